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

from harness.cli.common import echo_json, terminable, track_option
from harness.cli.recipe import preparation_table, read_request, recipe_options
from harness.cli.tracking import Trackers, with_trackers
from harness.codec import SCHEMA, to_json
from harness.plugins import load_registry
from harness.pretraining import Prepared, PretrainJob, PretrainRequest
from harness.sweeps import add_row
from harness.training import Estimate, TrainedModel
from harness.wording import MISSING, count


@click.command()
@recipe_options
@click.option("--only", multiple=True, help="Train only these sizes.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, mps.")
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
    request = read_request(
        registry,
        recipe,
        said,
        output=output,
        only=only,
        device=device,
        watch=trackers.point,
    )
    with terminable(), redirect_stdout(sys.stderr):
        job = cast("PretrainJob", registry.trainer("pretrain").spec.build(request))
        prepared = job.prepared()
    if not as_json:
        click.echo(preparation_table(prepared))
    if dry_run:
        return _plan(job, prepared, as_json=as_json)
    rows = _train(job, trackers)
    if as_json:
        echo_json(_document(prepared, {"models": [to_json(row) for row in rows]}))
    else:
        click.echo(f"\n{_model_table(rows)}")
        click.echo(f"\n{_next_command(request, rows)}")
    return 0 if all(row.outcome == "complete" for row in rows) else 4


def _train(job: PretrainJob, trackers: Trackers) -> list[TrainedModel]:
    def tell(line: str) -> None:
        click.echo(line, err=True)

    try:
        with terminable(), redirect_stdout(sys.stderr):
            rows: list[TrainedModel] = []
            for row in job.run(tell):
                add_row(rows, row)
                trackers.trained(row)
            trackers.sweep(rows)
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
