"""``harness finetune``: every size of a family on growing shares of labelled texts."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast, get_args

import click

from harness.cli.common import echo_json, terminable, track_option
from harness.cli.running import run_cells
from harness.cli.tracking import Trackers, with_trackers
from harness.codec import SCHEMA, to_json
from harness.errors import UsageError, suggestion
from harness.names import Item, escaped, parse_items
from harness.plan import PlannedTask, RunRequest, plan_tasks
from harness.plugins import Registry, load_registry
from harness.results import RunDirectory
from harness.starts import find_starts
from harness.sweeps import (
    SWEEP,
    estimate_sum,
    estimate_table,
    method_table,
    sweep_table,
    with_test_scores,
    write_sweep,
)
from harness.training import Estimate, FinetuneRequest, Method, TrainedModel, TrainingJob
from harness.types import RequestKind, TaskSpec

KINDS: tuple[RequestKind, ...] = ("tag", "classify", "generate")
METHODS: tuple[str, ...] = get_args(Method)


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """The options that only the trainer reads."""

    epochs: int
    learning_rate: float | None
    warmup: float
    weight_decay: float
    batch_size: int
    accumulate: int
    patience: int
    max_length: int | None
    class_weights: bool
    gradient_checkpointing: bool
    device: str
    dtype: str


@click.command()
@click.option("--models", "-m", multiple=True, required=True, help="Checkpoints, or folders of.")
@click.option("--family", help="What the models are sizes of, if they do not say so.")
@click.option("--task", "-t", required=True, help="What to learn: conll, world-ner, squad, ...")
@click.option("--train", required=True, help="Its texts: FILE, or options such as split=train.")
@click.option("--validation", help="The same, to choose the best weights by; default: a tenth.")
@click.option("--test", help="The same, to evaluate the finished models on.")
@click.option("--as", "kind", type=click.Choice(KINDS), help="Default: the first the task offers.")
@click.option("--method", default="full", show_default=True, help=f"Of {', '.join(METHODS)}.")
@click.option("--shares", default="1", show_default=True, help="Of the training texts: 0.01,0.1,1.")
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="How many.")
@click.option("--epochs", type=int, default=10, show_default=True, help="At most so many.")
@click.option("--learning-rate", type=float, help="Peak; default: by method and width.")
@click.option("--warmup", type=click.FloatRange(0, 1), default=0.1, show_default=True)
@click.option("--weight-decay", type=float, default=0.01, show_default=True, help="AdamW's.")
@click.option("--batch-size", type=int, default=16, show_default=True, help="Texts a step.")
@click.option("--accumulate", type=int, default=1, show_default=True, help="Steps an update.")
@click.option("--patience", type=int, default=3, show_default=True, help="0: never stop early.")
@click.option("--max-length", type=int, help="Tokens of a text; default: the model's context.")
@click.option("--class-weights", is_flag=True, help="Let rare labels count as much as others.")
@click.option("--gradient-checkpointing", is_flag=True, help="Less memory for more time.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@click.option(
    "--dtype", default="auto", show_default=True, help="auto, float32, bfloat16, float16."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder.")
@track_option
@click.option("--dry-run", is_flag=True, help="Say what it will cost; train nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def finetune(
    models: tuple[str, ...],
    family: str | None,
    task: str,
    train: str,
    validation: str | None,
    test: str | None,
    kind: RequestKind | None,
    method: str,
    shares: str,
    seeds: int,
    output: Path,
    track: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    **numbers: object,
) -> int:
    """Train every model on growing shares of a task's texts; evaluate what comes out.

    \b
    harness finetune -m family/ -t conll --train eng.train --validation eng.testa \\
      --test eng.testb --shares 0.01,0.1,1 --seeds 3 -o ner
    harness fit ner/run --law product --x N,D,C --y entity_f1

    Each model × method × share × seed becomes an ordinary checkpoint in OUTPUT/models and a line
    of OUTPUT/sweep.csv; with --test the checkpoints are evaluated in the run OUTPUT/run. The same
    command again goes on where it stopped.

    \b
    Exit codes: 0 done, 2 usage, 4 a training diverged, or something cannot be read or saved,
    130 interrupted.
    """
    registry, trackers = with_trackers(load_registry(), track)
    wanted = _Wanted(registry=registry, task=task, kind=kind)
    request = FinetuneRequest(
        models=find_starts(registry, models, family=family),
        kind=wanted.chosen,
        task=wanted.item.name,
        train=wanted.planned(train).build(),
        validation=wanted.planned(validation).build() if validation else None,
        test=wanted.planned(test).build() if test else None,
        output=output,
        methods=_methods(method),
        shares=_shares(shares),
        seeds=tuple(range(seeds)),
        watch=trackers.point,
        **vars(Numbers(**numbers)),  # type: ignore[arg-type]
    )
    with terminable(), redirect_stdout(sys.stderr):
        job = registry.trainer("finetune").spec.build(request)
        if dry_run:
            estimates = job.estimates()
    if dry_run:
        return _print_estimates(estimates, as_json=as_json)
    rows = _train(job, output, trackers)
    if not as_json:
        click.echo(sweep_table(rows))
        methods = method_table(rows)
        click.echo(f"\nMethods compared (means over seeds)\n{methods}\n" if methods else "")
    addresses = tuple(escaped(row.model) for row in rows if row.outcome == "complete")
    code = 0 if len(addresses) == len(rows) else 4
    if as_json:
        echo_json({"schema": SCHEMA, "output": str(output), "models": [to_json(r) for r in rows]})
    if test and addresses:
        asked = RunRequest(
            models=addresses, tasks=(wanted.planned(test).text,), device=request.device
        )
        code = max(code, run_cells(registry, asked, output / "run", quiet=as_json))
        rows = with_test_scores(rows, RunDirectory(output / "run").read_run())
        write_sweep(output / SWEEP, rows)
    trackers.sweep(rows)
    return code


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """The task as it was named, to be built over several sets of texts."""

    registry: Registry
    task: str
    kind: RequestKind | None

    @property
    def item(self) -> Item:
        items = parse_items(self.task, what="task name")
        if len(items) != 1:
            raise UsageError(f"--task '{self.task}' names {len(items)} tasks.\nName one.")
        return items[0]

    @property
    def spec(self) -> TaskSpec:
        return self.registry.task(self.item.name).spec

    @property
    def chosen(self) -> RequestKind:
        """What is learnt: the kind asked for, or the first that the task offers."""
        offered = [kind for kind in KINDS if any(kind in need for need in self.spec.needs)]
        kind = self.kind or next(iter(offered), None)
        if kind is None or kind not in offered:
            asked = f" --as {self.kind}" if self.kind else ""
            raise UsageError(
                f"Task '{self.item.name}' cannot be learnt{asked}: it offers "
                f"{', '.join(offered) or 'nothing with a right answer'}."
            )
        return kind

    def planned(self, texts: str) -> PlannedTask:
        """The task over ``texts``: what would stand behind its name and a colon."""
        item = self.item
        (given,) = parse_items(f"{item.name}:{texts}")
        argument, options = given.argument, dict(item.options) | dict(given.options)
        if argument and not self.spec.argument:
            if not any(option.name == "split" for option in self.spec.options):
                raise UsageError(
                    f"Task '{item.name}' takes no file, and '{argument}' names one.\n"
                    f"Give its options instead: {_names(self.spec)}."
                )
            options["split"] = argument
            argument = ""
        text = ",".join(
            [f"{item.name}:{escaped(argument)}" if argument else item.name]
            + [f"{key}={escaped(value)}" for key, value in options.items()]
        )
        (planned,) = plan_tasks(self.registry, RunRequest(tasks=(text,)))
        return replace(planned, settings=replace(planned.settings, kinds=self._alternative()))

    def _alternative(self) -> frozenset[RequestKind]:
        """The richest alternative that asks for the kind: it shows how answers are joined."""
        return max((need for need in self.spec.needs if self.chosen in need), key=len)


def _names(spec: TaskSpec) -> str:
    return ", ".join(f"{option.name}=" for option in spec.options) or "it has none"


def _methods(text: str) -> tuple[Method, ...]:
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in found:
        if name not in METHODS:
            raise UsageError(f"Unknown method '{name}'. {suggestion(name, METHODS)}")
    if not found:
        raise UsageError(f"--method names none. There are: {', '.join(METHODS)}.")
    return cast("tuple[Method, ...]", found)


def _shares(text: str) -> tuple[float, ...]:
    try:
        found = tuple(dict.fromkeys(float(part) for part in text.split(",") if part.strip()))
    except ValueError as error:
        raise UsageError(f"--shares {text}: {error}.\nWrite parts such as 0.01,0.1,1.") from error
    if not found:
        raise UsageError("--shares names none.\nWrite parts such as 0.01,0.1,1.")
    return found


def _train(job: TrainingJob, output: Path, trackers: Trackers) -> list[TrainedModel]:
    """Train cell by cell; the table on disk grows with each."""
    rows: list[TrainedModel] = []
    try:
        with terminable(), redirect_stdout(sys.stderr):
            for row in job.run(lambda line: click.echo(line, err=True)):
                rows.append(row)
                trackers.trained(row)
                write_sweep(output / SWEEP, rows)
    except KeyboardInterrupt:
        command = shlex.join(("harness", *sys.argv[1:]))
        click.echo(f"interrupted; the same command goes on from here: {command}", err=True)
        raise
    return rows


def _print_estimates(estimates: Sequence[Estimate], *, as_json: bool) -> int:
    if as_json:
        echo_json({"schema": SCHEMA, "estimates": [to_json(one) for one in estimates]})
    else:
        click.echo(f"{estimate_table(estimates)}\n\n{estimate_sum(estimates)}")
    return 4 if any(one.refused for one in estimates) else 0
