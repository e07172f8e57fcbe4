"""``harness show``: the tables of a run, from its records alone."""

from __future__ import annotations

import click

from harness.cli.common import echo_json, find_run


@click.command()
@click.argument("run", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def show(run: str | None, as_json: bool) -> int:
    """Print the tables of RUN: a directory, or a name under results/runs (default: the latest).

    Exits with 4 when the run is partial.
    """
    from harness.results import RunDirectory

    directory = RunDirectory(find_run(run))
    return print_run(directory, as_json=as_json)


def print_run(directory: object, *, as_json: bool) -> int:
    """Print a run's tables or JSON; returns the exit code that its completeness deserves."""
    from harness.document import run_document
    from harness.results import RunDirectory
    from harness.scaling import fit_run
    from harness.table import run_tables

    assert isinstance(directory, RunDirectory)
    run = directory.read_run()
    fits = fit_run(run, directory)
    if as_json:
        echo_json(run_document(run, fits))
    else:
        click.echo(run_tables(run, fits), nl=False)
    return 0 if run.status == "complete" else 4
