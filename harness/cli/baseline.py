"""``harness baseline``: keep what a later check needs."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.common import echo_json, find_run


@click.command()
@click.argument("run", required=False)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The file to write."
)
@click.option("--allow-partial", is_flag=True, help="Keep what a partial run has.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def baseline(run: str | None, output: Path, allow_partial: bool, as_json: bool) -> int:
    """Write the scores and per-sample statistics of RUN (default: the latest) to one file.

    The file is all that `harness check` needs; the run itself may go.

    \b
    Exit codes: 0 written, 2 usage, 4 the run is partial or cannot be read, or the file cannot be
    written.
    """
    from harness.check import write_baseline
    from harness.compare import run_side

    path = find_run(run)
    cells = write_baseline(run_side(path), output, partial=allow_partial)
    size = output.stat().st_size
    if as_json:
        document = {"file": str(output), "run": str(path), "cells": cells, "bytes": size}
        echo_json({"schema": 1, **document})
    else:
        click.echo(f"{output}: {cells} cells, {size / 1024:,.0f} KiB")
    return 0
