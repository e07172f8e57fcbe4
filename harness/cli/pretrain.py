"""``harness pretrain``: every size of a family, from a corpus or a recipe file."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, cast

import click
from tabulate import tabulate

from harness.cli.common import echo_json, terminable
from harness.cli.tracking import Trackers, track_option, with_trackers
from harness.codec import SCHEMA, to_json
from harness.plan import RunRequest, plan_tasks
from harness.plugins import Registry, load_registry
from harness.pretraining import STEPS, Evaluation, Prepared, PretrainJob, PretrainRequest
from harness.recipes import Recipe, make_recipe, read_recipe
from harness.training import Estimate, TrainedModel
from harness.wording import MISSING, count

OBJECTIVES = ("causal", "mlm", "mlm+nsp")


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


@click.command()
@click.argument("recipe", required=False, type=click.Path(path_type=Path))
@click.option("--objective", type=click.Choice(OBJECTIVES), help="Default: causal.")
@click.option("--corpus", multiple=True, help="Text or JSON lines; or world, world:text.")
@click.option("--documents", type=Amount(), help="Take at most so many documents.")
@click.option("--steps", help=f"What to do to the text, of {', '.join(STEPS)}.")
@click.option("--also", multiple=True, help="A step besides the usual ones.")
@click.option("--skip", multiple=True, help="A usual step to leave out.")
@click.option("--language", help="For the steps language and stopwords; default: en.")
@click.option("--against", multiple=True, help="Tasks that the text is checked against.")
@click.option("--vocabulary", type=Amount(), help="Pieces of the tokenizer.")
@click.option("--tokenizer", help="A tokenizer.json to take, in place of learning one.")
@click.option("--family", help="The family's name.")
@click.option("--sizes", type=Amount(), help="How many sizes.")
@click.option("--max-params", type=Amount(), help="Of the largest, without embeddings.")
@click.option("--min-params", type=Amount(), help="Of the smallest, without embeddings.")
@click.option("--only", multiple=True, help="Train only these sizes.")
@click.option("--context", type=Amount(), help="Tokens of a row and of the models' context.")
@click.option("--tokens", type=Amount(), help="Training tokens of each size; default: one pass.")
@click.option("--checkpoints", type=Amount(), help="How many, each at twice the tokens.")
@click.option("--batch-tokens", type=Amount(), help="Tokens of a batch.")
@click.option("--rate", type=Amount(), help="Peak learning rate; default: by the compute.")
@click.option("--network", help="transformers, or stacked for small Llamas.")
@click.option("--optimizer", help="adamw or muon.")
@click.option("--packing", help="joined or whole documents.")
@click.option("--seed", type=int, help="For all that is drawn.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, mps.")
@click.option("--dtype", help="In which to compute: float32 or bfloat16.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder for the models.")
@track_option
@click.option("--dry-run", is_flag=True, help="Prepare the text, show the plan, train nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def pretrain(
    recipe: Path | None,
    only: tuple[str, ...],
    device: str,
    output: Path | None,
    track: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    **said: Any,
) -> int:
    """Train every size of a family from scratch, on text of your own or by RECIPE, a TOML file.

    Options count before the recipe. Depth, width and learning rate follow rules; every checkpoint
    is a model for `harness run`. The same command again goes on where it stopped.

    \b
    Exit codes: 0 done, 2 usage, 4 a size diverged or something cannot be read or saved,
    130 interrupted.
    """
    registry, trackers = with_trackers(load_registry(), track)
    tables = _with_options(read_recipe(recipe) if recipe else {}, said)
    made = make_recipe(tables, where=str(recipe) if recipe else "The command line")
    request = PretrainRequest(
        objective=made.objective,
        output=output or Path("models") / made.family.name,
        corpus=made.corpus,
        family=made.family,
        training=made.training,
        evaluations=_evaluations(registry, made),
        only=only,
        device=device,
        watch=trackers.point,
    )
    with terminable(), redirect_stdout(sys.stderr):
        job = cast("PretrainJob", registry.trainer("pretrain").spec.build(request))
        prepared = job.prepared()
    if not as_json:
        click.echo(_preparation_table(prepared))
    if dry_run:
        return _plan(job, prepared, as_json=as_json)
    rows = _train(job, trackers)
    if as_json:
        echo_json(_document(prepared, {"models": [to_json(row) for row in rows]}))
    else:
        click.echo(f"\n{_model_table(rows)}")
        click.echo(f"\n{_next_command(request, rows)}")
    return 0 if all(row.outcome == "complete" for row in rows) else 4


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
    chosen, also, skip = (given.pop(name, None) for name in ("steps", "also", "skip"))
    for step in [*(also or ()), *(skip or ())]:
        if step not in STEPS:
            raise click.UsageError(f"Unknown step '{step}'. There are: {', '.join(STEPS)}.")
    if chosen is None and also is None and skip is None:
        return None
    usual = corpus.get("steps", list(make_recipe({}, where="").corpus.steps))
    steps = [part for part in chosen.split(",") if part] if chosen is not None else list(usual)
    return [step for step in [*steps, *(also or ())] if step not in (skip or ())]


def _evaluations(registry: Registry, made: Recipe) -> tuple[Evaluation, ...]:
    if not made.corpus.against:
        return ()
    tasks = plan_tasks(registry, RunRequest(tasks=made.corpus.against))
    return tuple(
        Evaluation(name=task.text, samples=lambda task=task: task.build().samples())  # type: ignore[misc]
        for task in tasks
    )


def _train(job: PretrainJob, trackers: Trackers) -> list[TrainedModel]:
    def tell(line: str) -> None:
        click.echo(line, err=True)

    try:
        with terminable(), redirect_stdout(sys.stderr):
            rows = []
            for row in job.run(tell):
                rows.append(row)
                trackers.trained(row)
            return rows
    except KeyboardInterrupt:
        command = shlex.join(["harness", *sys.argv[1:]])
        tell(f"interrupted; the same command goes on from here: {command}")
        raise


def _plan(job: PretrainJob, prepared: Prepared, *, as_json: bool) -> int:
    with redirect_stdout(sys.stderr):
        found = list(job.estimates())
        tokens = list(job.checkpoints())
    if as_json:
        plan = {"sizes": [to_json(one) for one in found], "checkpoint_tokens": tokens}
        echo_json(_document(prepared, plan))
    else:
        click.echo(f"\n{_plan_table(found)}")
        click.echo(f"\nCheckpoints after {', '.join(f'{n:,}' for n in tokens)} tokens.")
    return 2 if any(one.refused for one in found) else 0


def _document(prepared: Prepared, more: dict[str, Any]) -> dict[str, Any]:
    document = {"schema": SCHEMA, "preparation": to_json(prepared), **more}
    json.dumps(document, allow_nan=False)
    return document


def _preparation_table(prepared: Prepared) -> str:
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


def _plan_table(found: Sequence[Estimate]) -> str:
    rows = [
        [
            one.name,
            count(one.parameters),
            f"{one.tokens:,}",
            f"{one.flops:.2e}",
            "done" if one.done else MISSING if one.seconds is None else _time(one.seconds),
            f"{one.memory / 1e6:,.0f}",
            one.refused,
        ]
        for one in found
    ]
    header = ["size", "params", "tokens", "FLOPs", "time", "memory MB", "refused"]
    align = ("left", *("right",) * 5, "left")
    table = tabulate(rows, headers=header, colalign=align, disable_numparse=True)
    whole = sum(one.seconds or 0.0 for one in found)
    return f"Plan\n{table}\nAll together about {_time(whole)}, by a few steps of each size."


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _model_table(rows: Sequence[TrainedModel]) -> str:
    table = [
        [
            row.name,
            count(row.parameters),
            count(row.non_embedding),
            f"{row.tokens:,}" if row.tokens else MISSING,
            f"{row.flops:.2e}" if row.flops else MISSING,
            f"{row.seconds:.0f}",
            _losses(row) or f"{row.outcome}: {row.error}",
        ]
        for row in rows
    ]
    header = ["model", "params", "non-embedding", "tokens", "FLOPs", "s", "held out, nats"]
    align = ("left", *("right",) * 5, "left")
    return tabulate(table, headers=header, colalign=align, disable_numparse=True)


def _losses(row: TrainedModel) -> str:
    return ", ".join(
        f"{name.removesuffix(' nats_per_token').replace('_', ' ')} {value:.3f}"
        for name, value in row.scores.items()
        if "nats" in name
    )


def _next_command(request: PretrainRequest, rows: Sequence[TrainedModel]) -> str:
    names = ",".join(row.name for row in rows if row.model)
    if not names:
        return f"No model came out; see {request.output}."
    if request.objective != "causal":
        return f"Fine-tune them: harness finetune --models {request.output} --help"
    several = f"{{{names}}}" if "," in names else names
    return f"Run them: harness run --models 'hf:{request.output}/{several}' --tasks TASKS"
