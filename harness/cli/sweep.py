"""``harness sweep``: sizes × training tokens × seeds from scratch, and one table of them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import click

from harness.cli.common import echo_json, terminable, track_option
from harness.cli.recipe import preparation_table, read_request, recipe_options
from harness.cli.running import run_cells
from harness.cli.tracking import Trackers, with_trackers
from harness.codec import SCHEMA, to_json
from harness.errors import UsageError
from harness.names import escaped
from harness.plan import RunRequest, plan_tasks
from harness.plugins import Registry, load_registry
from harness.pretraining import Prepared, PretrainJob, PretrainRequest
from harness.results import RunDirectory
from harness.sweeps import (
    SWEEP,
    add_row,
    estimate_sum,
    estimate_table,
    sweep_table,
    with_test_scores,
)
from harness.sweeps import write_sweep as write
from harness.training import Estimate, TrainedModel

MODELS, RUN = "models", "run"


@click.command()
@recipe_options
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="How many.")
@click.option("--test", "-t", "tasks", multiple=True, help="Tasks to evaluate every model on.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N samples of each task.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, mps.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder.")
@track_option
@click.option("--dry-run", is_flag=True, help="Say what it will cost; train nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def sweep(
    recipe: Path | None,
    seeds: int,
    tasks: tuple[str, ...],
    limit: int | None,
    device: str,
    output: Path,
    track: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    **said: Any,
) -> int:
    """Train every size on growing numbers of tokens, by several seeds, into one table.

    \b
    harness sweep --corpus text.txt --sizes 6 --checkpoints 5 --seeds 2 -o ladder
    harness fit ladder/sweep.csv --law chinchilla --x N,D --y loss
    harness plot ladder/sweep.csv --y loss -o ladder.svg

    The options are those of `harness pretrain`, which trains each seed. OUTPUT/sweep.csv has a
    line for each size × checkpoint × seed: N, D, C, the loss on held-out text and, with --test,
    the scores of the run OUTPUT/run. `harness finetune` writes such a table of shares of a task.
    The same command again goes on where it stopped.

    \b
    Exit codes: 0 done, 2 usage, 4 a size diverged or something cannot be read or saved,
    130 interrupted.
    """
    registry, trackers = with_trackers(load_registry(), track)
    if tasks:
        plan_tasks(registry, RunRequest(tasks=tasks))
    request = read_request(
        registry, recipe, said, output=output, device=device, watch=trackers.point
    )
    with terminable(), redirect_stdout(sys.stderr):
        jobs = [_job(registry, request, number) for number in range(seeds)]
        prepared = jobs[0].prepared()
    if not as_json:
        click.echo(preparation_table(prepared))
    if dry_run:
        return _print_plan(jobs, prepared, as_json=as_json)
    rows = _train(jobs, output / SWEEP, trackers)
    code = 0 if all(row.outcome == "complete" for row in rows) else 4
    addresses = tuple(escaped(row.model) for row in rows if row.model)
    if tasks and addresses:
        asked = RunRequest(models=addresses, tasks=tasks, limit=limit, device=device)
        code = max(code, run_cells(registry, asked, output / RUN, quiet=as_json))
        rows = with_test_scores(rows, RunDirectory(output / RUN).read_run())
        write(output / SWEEP, rows)
    trackers.sweep(rows)
    if as_json:
        models = [to_json(row) for row in rows]
        echo_json({"schema": SCHEMA, "preparation": to_json(prepared), "models": models})
    else:
        click.echo(f"\n{sweep_table(rows)}\n\n{_next(output / SWEEP)}")
    return code


def _job(registry: Registry, request: PretrainRequest, number: int) -> PretrainJob:
    """The training of one seed, so many after the request's own, in a folder of its own."""
    seed = request.training.seed + number
    of_seed = replace(
        request,
        output=request.output / MODELS / f"s{seed}",
        mark=f"-s{seed}",
        training=replace(request.training, seed=seed),
    )
    return cast("PretrainJob", registry.trainer("pretrain").spec.build(of_seed))


def _train(jobs: Sequence[PretrainJob], table: Path, trackers: Trackers) -> list[TrainedModel]:
    """Train seed by seed; the table on disk grows with each model."""
    rows: list[TrainedModel] = []
    try:
        with terminable(), redirect_stdout(sys.stderr):
            for job in jobs:
                for row in job.run(lambda line: click.echo(line, err=True)):
                    add_row(rows, row)
                    trackers.trained(row)
                    write(table, rows)
    except KeyboardInterrupt:
        command = shlex.join(("harness", *sys.argv[1:]))
        click.echo(f"interrupted; the same command goes on from here: {command}", err=True)
        raise
    if not rows:
        raise UsageError("The sweep has no size to train.\nGive --sizes, or a recipe's shapes.")
    return rows


def _print_plan(jobs: Sequence[PretrainJob], prepared: Prepared, *, as_json: bool) -> int:
    found: list[Estimate] = []
    with redirect_stdout(sys.stderr):
        for job in jobs:
            found += job.estimates()
        tokens = list(jobs[0].checkpoints())
    if as_json:
        echo_json(
            {
                "schema": SCHEMA,
                "preparation": to_json(prepared),
                "estimates": [to_json(one) for one in found],
                "checkpoint_tokens": tokens,
            }
        )
    else:
        said = ", ".join(f"{number:,}" for number in tokens)
        click.echo(f"\n{estimate_table(found)}\n\n{estimate_sum(found)}")
        click.echo(f"Checkpoints of each after {said} tokens.")
    return 4 if any(one.refused for one in found) else 0


def _next(table: Path) -> str:
    name = shlex.quote(str(table))
    return (
        f"Fit the law:  harness fit {name} --law chinchilla --x N,D --y loss "
        "--resample cluster:training\n"
        f"Draw it:      harness plot {name} --y loss -o FIGURE.svg"
    )
