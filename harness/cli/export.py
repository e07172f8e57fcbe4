"""``harness export``: a run in the formats of others."""

from __future__ import annotations

from pathlib import Path

import click
from tabulate import tabulate

from harness.cli.common import completeness, echo_json, find_run
from harness.errors import UsageError
from harness.exporting import check_options, export_source, save_files
from harness.plugins import Registry, load_registry
from harness.results import RunDirectory


@click.command()
@click.argument("exporter", metavar="FORMAT", required=False)
@click.argument("run", required=False)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Folder; default: RUN/exports/FORMAT."
)
@click.option(
    "--set", "settings", metavar="NAME=VALUE", multiple=True, help="The format's options."
)
@click.option("--list", "as_list", is_flag=True, help="List the formats and their options.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def export(
    exporter: str | None,
    run: str | None,
    output: Path | None,
    settings: tuple[str, ...],
    as_list: bool,
    as_json: bool,
) -> int:
    """Write RUN (a directory, or a name under results/runs; default: the latest) as FORMAT.

    \b
    Exit codes: 0 done, 2 usage, 3 the exporter broke its contract, 4 the files could not be
    saved, or the run that they hold is partial.
    """
    registry = load_registry()
    if as_list:
        _list(registry, as_json)
        return 0
    if exporter is None:
        raise UsageError("Give a format.\n`harness export --list` lists formats.")
    entry = registry.exporter(exporter)
    options = dict(_option(text) for text in settings)
    check_options(entry, options)
    path = find_run(run)
    directory = RunDirectory(path)
    record = directory.read_run()
    from harness.document import fit_entry
    from harness.scaling import fit_run

    fits = [fit_entry(fit) for fit in fit_run(record, directory)]
    source = export_source(record, directory, fits, options)
    folder = output if output is not None else path / "exports" / exporter
    written = save_files(entry, entry.spec.write(source), folder)
    if as_json:
        files = [str(one) for one in written]
        document = {"run": str(path), "status": record.status, "format": exporter, "files": files}
        echo_json({"schema": 1, **document})
    else:
        more = f" and {len(written) - 1} more" if len(written) > 1 else ""
        click.echo(f"{written[0]}{more}" if written else "Nothing to export: no score fits.")
    code = completeness(record.status, path, as_json=as_json)
    return code if written else 4


def _option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--set {text}: write --set NAME=VALUE.")
    return name, value


def _list(registry: Registry, as_json: bool) -> None:
    entries = list(registry.exporters.values())
    if as_json:
        formats = [
            {
                "name": e.spec.name,
                "description": e.spec.description,
                "options": [o.name for o in e.spec.options],
                "from": e.plugin.source,
            }
            for e in entries
        ]
        echo_json({"schema": 1, "exporters": formats})
        return
    rows = [[e.spec.name, e.plugin.source, e.spec.description] for e in entries]
    click.echo(tabulate(rows, headers=["format", "from", "what it is"], disable_numparse=True))
    for entry in entries:
        if entry.spec.options:
            click.echo(f"\nOptions of {entry.spec.name} (--set name=value):")
        for option in entry.spec.options:
            needed = " (required)" if option.required else ""
            click.echo(f"  {option.name}  {option.help}{needed}")
