"""``harness laws``: the scaling laws there are."""

from __future__ import annotations

import click
from tabulate import tabulate

from harness.cli.common import echo_json
from harness.codec import SCHEMA


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def laws(as_json: bool) -> None:
    """List the scaling laws that plugins offer, with formula, variables and source."""
    # Laws load numpy and scipy, which no other list needs.
    from harness.cli.sources import known_laws

    known = known_laws().values()
    if as_json:
        rows = [
            {
                "name": law.name,
                "formula": law.formula,
                "variables": list(law.variables),
                "parameters": list(law.parameters),
                "source": law.source,
            }
            for law in known
        ]
        echo_json({"schema": SCHEMA, "laws": rows})
        return
    table = [[law.name, ", ".join(law.variables), law.formula, law.source] for law in known]
    click.echo(tabulate(table, headers=["law", "variables", "formula", "source"]))
