"""What ``pretrain`` and ``sweep`` share: the options of a recipe, and the request they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from tabulate import tabulate

from harness.plan import RunRequest, plan_tasks
from harness.plugins import Registry
from harness.pretraining import STEPS, Evaluation, Prepared, PretrainRequest
from harness.recipes import Recipe, make_recipe, read_recipe

OBJECTIVES = ("causal", "mlm", "mlm+nsp")
FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


class Amount(click.ParamType[float]):
    """A whole number that may be written 1e6 or 1_000_000."""

    name = "number"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number; fails for what is none, or not above 0."""
        try:
            number = float(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a number such as 1e6.", param, ctx)
        if not 0 < number < float("inf"):
            self.fail(f"{value!r} is not above 0.", param, ctx)
        return number


WHOLE = {"documents", "vocabulary", "tokens", "batch_tokens", "checkpoints", "context", "sizes"}


def recipe_options(function: FunctionT) -> FunctionT:
    """The recipe's file, and every option that counts before what it says."""
    for option in reversed(
        (
            click.argument("recipe", required=False, type=click.Path(path_type=Path)),
            click.option("--objective", type=click.Choice(OBJECTIVES), help="Default: causal."),
            click.option(
                "--corpus", multiple=True, help="Text or JSON lines; or world, world:text."
            ),
            click.option("--documents", type=Amount(), help="Take at most so many documents."),
            click.option("--steps", help=f"What to do to the text, of {', '.join(STEPS)}."),
            click.option("--also", multiple=True, help="A step besides the usual ones."),
            click.option("--skip", multiple=True, help="A usual step to leave out."),
            click.option("--language", help="For the steps language and stopwords; default: en."),
            click.option(
                "--against", multiple=True, help="Tasks that the text is checked against."
            ),
            click.option("--vocabulary", type=Amount(), help="Pieces of the tokenizer."),
            click.option("--tokenizer", help="A tokenizer.json to take, in place of learning one."),
            click.option("--family", help="The family's name."),
            click.option("--sizes", type=Amount(), help="How many sizes."),
            click.option("--max-params", type=Amount(), help="Of the largest, without embeddings."),
            click.option(
                "--min-params", type=Amount(), help="Of the smallest, without embeddings."
            ),
            click.option(
                "--context", type=Amount(), help="Tokens of a row and of the models' context."
            ),
            click.option(
                "--tokens", type=Amount(), help="Training tokens of each size; default: one pass."
            ),
            click.option(
                "--checkpoints", type=Amount(), help="How many, each at twice the tokens."
            ),
            click.option("--batch-tokens", type=Amount(), help="Tokens of a batch."),
            click.option(
                "--rate", type=Amount(), help="Peak learning rate; default: by the compute."
            ),
            click.option("--network", help="transformers, or stacked for small Llamas."),
            click.option("--optimizer", help="adamw or muon."),
            click.option("--packing", help="joined or whole documents."),
            click.option("--seed", type=int, help="For all that is drawn."),
            click.option("--dtype", help="In which to compute: float32 or bfloat16."),
        )
    ):
        function = option(function)
    return function


def read_request(
    registry: Registry, recipe: Path | None, said: dict[str, Any], **more: Any
) -> PretrainRequest:
    """The request of a recipe with what the command line ``said`` put over it.

    ``more`` are the request's own fields; without ``output`` the models go below ``models``.
    Raises UsageError and DataError.
    """
    tables = _with_options(read_recipe(recipe) if recipe else {}, said)
    made = make_recipe(tables, where=str(recipe) if recipe else "The command line")
    more["output"] = more.get("output") or Path("models") / made.family.name
    return PretrainRequest(
        objective=made.objective,
        corpus=made.corpus,
        family=made.family,
        training=made.training,
        evaluations=_evaluations(registry, made),
        **more,
    )


def _with_options(tables: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """The recipe with what the command line says put over it."""
    given = {
        name: int(value) if name in WHOLE else value
        for name, value in said.items()
        if value not in (None, ())
    }
    merged = {name: dict(tables.get(name, {})) for name in ("corpus", "family", "training")}
    places = {
        "corpus": ("corpus", "files"),
        "against": ("corpus", "against"),
        "family": ("family", "name"),
        "max_params": ("family", "most"),
        "min_params": ("family", "least"),
        "sizes": ("family", "sizes"),
        "context": ("family", "context"),
        **{name: ("corpus", name) for name in ("documents", "language", "vocabulary", "tokenizer")},
    }
    steps = _steps(merged["corpus"], given)
    for name, value in given.items():
        if name == "objective":
            continue
        table, key = places.get(name, ("training", name))
        merged[table][key] = list(value) if isinstance(value, tuple) else value
    if "tokens" in given:
        merged["training"].pop("rows", None)
    if {"sizes", "max_params", "min_params"} & given.keys():
        merged["family"].pop("shapes", None)
    if steps is not None:
        merged["corpus"]["steps"] = steps
    objective = given.get("objective", tables.get("objective", "causal"))
    return {**merged, "objective": objective}


def _steps(corpus: dict[str, Any], given: dict[str, Any]) -> list[str] | None:
    """The steps of the recipe or the usual ones, changed by --steps, --also and --skip."""
    chosen = given.pop("steps", None)
    also, skip = (_parts(given.pop(name, None) or ()) for name in ("also", "skip"))
    for step in [*also, *skip]:
        if step not in STEPS:
            raise click.UsageError(f"Unknown step '{step}'. There are: {', '.join(STEPS)}.")
    if chosen is None and not also and not skip:
        return None
    usual = corpus.get("steps", list(make_recipe({}, where="").corpus.steps))
    steps = _parts((chosen,)) if chosen is not None else list(usual)
    return [step for step in [*steps, *also] if step not in skip]


def _parts(values: Sequence[str]) -> list[str]:
    """What is named, by commas or by an option that is repeated."""
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def _evaluations(registry: Registry, made: Recipe) -> tuple[Evaluation, ...]:
    if not made.corpus.against:
        return ()
    tasks = plan_tasks(registry, RunRequest(tasks=made.corpus.against))
    return tuple(
        Evaluation(name=task.text, samples=lambda task=task: task.build().samples())  # type: ignore[misc]
        for task in tasks
    )


def preparation_table(prepared: Prepared) -> str:
    """What each step did to the text, and what there is to learn from."""
    rows = [
        [
            step.name,
            f"{step.documents_in:,}",
            f"{step.documents_out:,}",
            f"{step.bytes_in:,}",
            f"{step.bytes_out:,}",
            step.detail,
        ]
        for step in prepared.steps
    ]
    header = ["step", "documents in", "out", "bytes in", "out", "what"]
    align = ("left", "right", "right", "right", "right", "left")
    lines = [
        "Text",
        tabulate(rows, headers=header, colalign=align, disable_numparse=True),
        f"{prepared.documents:,} documents to learn from ({prepared.tokens:,} tokens of a "
        f"vocabulary of {prepared.vocabulary:,}), {prepared.held_out_documents:,} held out",
        *prepared.notes,
    ]
    return "\n".join(lines)
