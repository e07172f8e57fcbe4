"""``harness fit``: scaling laws for a run or any table of points."""

from __future__ import annotations

from typing import Any

import click

from harness.cli.common import echo_json
from harness.cli.sources import Named, fit_options, read_fits
from harness.codec import SCHEMA
from harness.fitreport import fit_report, fits_table, ranking_table

IN_FULL = 3


@click.command()
@fit_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def fit(source: str, as_json: bool, **options: Any) -> None:
    """Fit scaling laws to SOURCE: a run, or a CSV file with a header.

    A run's fits are those of its size tables, resampled over its samples; with --law, --x and the
    like any law is fitted to its scores. --law auto ranks laws by how well they foretell the
    largest sizes when those are held out.
    """
    fits = read_fits(source, options)
    if as_json:
        echo_json({"schema": SCHEMA, "fits": [one.to_json() for one in fits]})
        return
    click.echo(_text(fits))


def _text(fits: tuple[Named, ...]) -> str:
    if not fits:
        return "Nothing to fit: no family has two sizes with a score."
    parts = []
    for one in fits[:IN_FULL] if len(fits) <= IN_FULL else ():
        parts.append(fit_report(one.label, one.fit))
    if len(fits) > IN_FULL:
        parts.append(fits_table([(one.label, one.fit) for one in fits]))
    parts += [ranking_table(one.label, one.ranking) for one in fits if one.ranking is not None]
    return "\n\n".join(parts)
