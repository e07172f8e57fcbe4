"""``harness plot``: scaling curves of a run, or a law in N and D, as a figure."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.common import completeness, find_run
from harness.errors import DataError, UsageError
from harness.wording import partial_note

CURVES = "chinchilla"


@click.command()
@click.argument("run", required=False, metavar="[SOURCE]")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The file to write: .png, .svg or .pdf.",
)
@click.option("--task", "-t", "tasks", multiple=True, help="Only this task; may be repeated.")
@click.option("--metric", "metrics", multiple=True, help="This metric, not the headline of a task.")
@click.option("--law", "-l", help="A law in N and D, to draw isoFLOP curves and the frontier.")
@click.option("--x", help="Its columns, of a table; default: N,D.")
@click.option("--y", help="The column of the score, or a run's metric.")
@click.option("--where", multiple=True, help="Only rows with COLUMN=VALUE, COLUMN>1.")
@click.option("--group", help="Draw each combination of these columns' values apart.")
def plot(
    run: str | None,
    output: Path,
    tasks: tuple[str, ...],
    metrics: tuple[str, ...],
    law: str | None,
    x: str | None,
    y: str | None,
    where: tuple[str, ...],
    group: str | None,
) -> int:
    """Draw the scaling curves of SOURCE, a run (default: the latest), one panel a task.

    Points with 95 % intervals, the law with its band, dashed beyond the largest size, what the
    smaller sizes foretold for the largest, and residuals. Of a table, such as sweep.csv, or with
    --law: the score over data for each size, isoFLOP curves, and the compute-optimal size and data
    over compute, by a law in N and D (default: chinchilla). Needs matplotlib: pip install
    'harness[plot]'. Exits with 4 when the run is partial, which the figure says as well.
    """
    from harness.plots import check_target

    check_target(output)
    if law or (run is not None and Path(run).is_file()):
        if tasks or metrics:
            raise UsageError(
                "--task and --metric choose panels of a run; of a law in N and D name the score: "
                "--y COLUMN, and rows: --where 'task=NAME'."
            )
        return _ladders(find_source(run), output, law or CURVES, x, y, where, group)
    if x or y or where or group:
        raise UsageError("--x, --y, --where and --group draw a law in N and D: add --law LAW.")
    return _panels(run, output, tasks, metrics)


def find_source(run: str | None) -> str:
    """The table or the run that was named; the latest run by default."""
    if run is not None and Path(run).is_file():
        return run
    if run is not None and Path(run).suffix in (".csv", ".tsv"):
        raise DataError(f"There is no file {run}.")
    return str(find_run(run))


def _panels(run: str | None, output: Path, tasks: tuple[str, ...], metrics: tuple[str, ...]) -> int:
    from harness.plots import run_panels, save_figure
    from harness.results import RunDirectory

    directory = RunDirectory(find_run(run))
    record = directory.read_run()
    panels = run_panels(record, directory, tasks=tasks, metrics=metrics)
    save_figure(panels, output, note=partial_note(record.status, directory.path))
    click.echo(f"{output}: {len(panels)} panels")
    return completeness(record.status, directory.path)


def _ladders(
    source: str,
    output: Path,
    law: str,
    x: str | None,
    y: str | None,
    where: tuple[str, ...],
    group: str | None,
) -> int:
    """One row of panels for each fit that has an answer; the others are told."""
    from harness.cli.sources import read_fits
    from harness.plots import ladder_of, save_ladders
    from harness.results import RunDirectory

    status = "complete"
    if not Path(source).is_file():
        status = RunDirectory(Path(source)).read_run().status
    options = {
        "law": law, "x": x or "N,D", "y": y, "where": where, "group": group, "through": None,
        "loss": None, "resample": None, "error": None, "items": None, "hold_out": (),
        "chance": None, "ceiling": None, "interval": "percentile", "replicates": 1000, "seed": 0,
    }  # fmt: skip
    ladders = []
    for one in read_fits(source, options):
        try:
            ladders.append(ladder_of(f"{one.label}, {one.fit.law}", one.fit, one.metric))
        except DataError as error:
            click.echo(f"{one.label}: {error}", err=True)
    if not ladders:
        raise DataError(f"No fit to {source} has curves to draw.")
    save_ladders(ladders, output, note=partial_note(status, source))
    click.echo(f"{output}: {len(ladders)} laws")
    return completeness(status, source)
