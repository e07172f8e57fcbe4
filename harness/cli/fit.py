"""``harness fit``: scaling laws for a run or any table of points."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.common import completeness, echo_json, find_run
from harness.cli.fitoptions import fit_options
from harness.errors import DataError
from harness.wording import partial_note

if TYPE_CHECKING:
    from harness.cli.sources import Named
    from harness.plots import Mark

IN_FULL = 3


@click.command()
@fit_options
@click.option(
    "--plot",
    "figure",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also draw the fits: FILE.png, FILE.svg or FILE.pdf.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def fit(source: str, figure: Path | None, as_json: bool, **options: Any) -> int:
    """Fit scaling laws to SOURCE: a run, or a CSV file with a header.

    A run's fits are those of its size tables, resampled over its samples; with --law, --x and the
    like any law is fitted to its scores. --law auto ranks laws by how well they foretell the
    largest sizes when those are held out. Exits with 4 when the run is partial.
    """
    from harness.cli.sources import read_fits, source_status
    from harness.codec import SCHEMA

    if figure is not None:
        from harness.plots import check_target

        check_target(figure)
    fits = read_fits(source, options)
    if figure is not None:
        _plot(source, fits, figure)
    status = source_status(source)
    if as_json:
        fitted = [one.to_json() for one in fits]
        echo_json({"schema": SCHEMA, "status": status, "fits": fitted})
    else:
        click.echo(_text(fits))
    return completeness(status, source, as_json=as_json)


def _plot(source: str, fits: tuple[Named, ...], figure: Path) -> None:
    """One panel a fit; raises DataError where no fit has points to draw."""
    from harness.plots import fit_panel, save_figure
    from harness.plots.panels import series_marks, with_held_out, with_residuals
    from harness.results import RunDirectory

    run = None if Path(source).is_file() else RunDirectory(find_run(source)).read_run()
    panels = []
    for one in fits:
        group = dict(one.group)
        marks: tuple[Mark, ...] = ()
        if run is not None and one.fit.certificate is None:
            # The run's own series; the fits of laws to tables bring their points along.
            marks = with_residuals(
                series_marks(run, group["family"], group["task"], one.metric, one.x[0]), one.fit
            )
        panel = fit_panel(one.label, one.fit, one.x, one.metric, marks)
        panels.append(panel if panel is None else with_held_out(panel, one.held))
    drawn = [panel for panel in panels if panel is not None]
    if not drawn:
        raise DataError(f"No fit to {source} has points to draw.")
    save_figure(drawn, figure, note="" if run is None else partial_note(run.status, source))


def _text(fits: tuple[Named, ...]) -> str:
    from harness.fitreport import fit_report, fits_table, held_text, ranking_table

    if not fits:
        return "Nothing to fit: no family has two sizes with a score."
    parts = []
    for one in fits[:IN_FULL] if len(fits) <= IN_FULL else ():
        parts.append(fit_report(one.label, one.fit))
        parts += [held_text(one.held)] if one.held else []
    if len(fits) > IN_FULL:
        parts.append(fits_table([(one.label, one.fit) for one in fits]))
    parts += [
        ranking_table(one.label, one.ranking, one.average)
        for one in fits
        if one.ranking is not None
    ]
    return "\n\n".join(parts)
