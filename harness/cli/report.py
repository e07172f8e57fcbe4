"""``harness report``: a run as one page."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.common import completeness, echo_json, find_run


@click.command()
@click.argument("run", required=False)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write; default: RUN/report.html.",
)
@click.option(
    "--samples", type=click.IntRange(min=0), help="At most N samples of each cell; default: all."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def report(run: str | None, output: Path | None, samples: int | None, as_json: bool) -> int:
    """Write RUN (default: the latest) as one HTML page that needs no network.

    Scaling curves with bands, laws and residuals; tables of scores and fits; every sample with
    search and a diff against its reference; how the run was made. Exits with 4 when the run is
    partial, which the page says as well.
    """
    from harness.report import save_report
    from harness.results import RunDirectory

    path = find_run(run)
    target = output if output is not None else path / "report.html"
    size = save_report(path, target, samples=samples)
    status = RunDirectory(path).read_run().status
    if as_json:
        document = {"run": str(path), "status": status, "file": str(target), "bytes": size}
        echo_json({"schema": 1, **document})
    else:
        click.echo(f"{target}: {size / 1e6:.1f} MB")
    return completeness(status, path, as_json=as_json)
