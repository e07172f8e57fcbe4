"""``harness plot``: a run's scaling curves as a figure."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.common import completeness, find_run


@click.command()
@click.argument("run", required=False)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The file to write: .png, .svg or .pdf.",
)
@click.option("--task", "-t", "tasks", multiple=True, help="Only this task; may be repeated.")
@click.option("--metric", "metrics", multiple=True, help="This metric, not the headline of a task.")
def plot(run: str | None, output: Path, tasks: tuple[str, ...], metrics: tuple[str, ...]) -> int:
    """Draw the scaling curves of RUN (default: the latest), one panel a task.

    Points with 95 % intervals, the law with its band, dashed beyond the largest size, what the
    smaller sizes foretold for the largest, and residuals. Needs matplotlib: pip install
    'harness[plot]'. Exits with 4 when the run is partial, which the figure says
    as well.
    """
    from harness.plots import check_target, run_panels, save_figure
    from harness.results import RunDirectory
    from harness.wording import partial_note

    check_target(output)
    directory = RunDirectory(find_run(run))
    record = directory.read_run()
    panels = run_panels(record, directory, tasks=tasks, metrics=metrics)
    save_figure(panels, output, note=partial_note(record.status, directory.path))
    click.echo(f"{output}: {len(panels)} panels")
    return completeness(record.status, directory.path)
