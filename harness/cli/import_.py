"""``harness import``: other programs' results become a run."""

from __future__ import annotations

import sys
from collections.abc import Sized
from pathlib import Path
from typing import TYPE_CHECKING

import click
from tabulate import tabulate

from harness.cli.common import RESULTS, echo_json
from harness.errors import UsageError
from harness.imported import ImportRequest
from harness.importing import Imported, import_run
from harness.plugins import Registered, Registry, load_registry
from harness.sizes import read_sizing

if TYPE_CHECKING:
    from harness.types import ImporterSpec

SHOWN = 8


@click.command("import")
@click.argument("importer", metavar="FORMAT", required=False)
@click.argument("paths", metavar="PATH...", nargs=-1, type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The run's directory.")
@click.option(
    "--sizes",
    type=click.Path(path_type=Path),
    help="CSV (model,params[,non_embedding,active,train_tokens,family]) or JSON of sizes.",
)
@click.option("--size-pattern", help="Regular expression whose group is the size in the name.")
@click.option("--family", help="The family of all models, for files that do not say it.")
@click.option("--list", "as_list", is_flag=True, help="List the formats.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def import_(
    importer: str | None,
    paths: tuple[Path, ...],
    output: Path | None,
    sizes: Path | None,
    size_pattern: str | None,
    family: str | None,
    as_list: bool,
    as_json: bool,
) -> int:
    """Make a run of results that another program wrote.

    FORMAT is one of `harness import --list`; each PATH is a file or a folder of its results. The
    run is like our own for show, fit, compare, check, leaderboard and report. Scores keep the
    scale of their files. Sizes that the files do not hold come from --sizes or --size-pattern.

    \b
    Exit codes: 0 done, 2 usage or results that must not stand together, 4 a file cannot be read
    or the run is partial.
    """
    registry = load_registry()
    if as_list:
        _list(registry, as_json)
        return 0
    if importer is None or not paths:
        raise UsageError(
            "Give a format and what to import.\n`harness import --list` lists formats."
        )
    found = registry.importer(importer)
    path = output if output is not None else RESULTS / "runs" / f"{importer}-{paths[0].stem}"
    request = ImportRequest(
        format=importer,
        reader=found.plugin,
        command=("harness", *sys.argv[1:]),
        settings={
            "paths": [str(one) for one in paths],
            "sizes": None if sizes is None else str(sizes),
            "size_pattern": size_pattern,
            "family": family,
        },
    )
    sizing = read_sizing(sizes, size_pattern, family)
    imported = import_run(found.spec.read(paths), request, sizing, path)
    for warning in _limited(imported.warnings):
        click.echo(f"warning: {warning}", err=True)
    partial = any(record.status != "complete" for record in imported.records)
    if as_json:
        echo_json(_document(imported, path, importer, partial))
    else:
        click.echo(_summary(imported, path))
    return 4 if partial else 0


def _list(registry: Registry, as_json: bool) -> None:
    entries: list[Registered[ImporterSpec]] = list(registry.importers.values())
    if as_json:
        formats = [
            {"name": e.spec.name, "description": e.spec.description, "from": e.plugin.source}
            for e in entries
        ]
        echo_json({"schema": 1, "importers": formats})
        return
    rows = [[e.spec.name, e.plugin.source, e.spec.description] for e in entries]
    click.echo(tabulate(rows, headers=["format", "from", "what it is"], disable_numparse=True))


def _limited(warnings: tuple[str, ...]) -> list[str]:
    shown = list(warnings[:SHOWN])
    if len(warnings) > SHOWN:
        shown.append(f"{len(warnings) - SHOWN} more like these; each cell's record holds its own.")
    return shown


def _summary(imported: Imported, path: Path) -> str:
    records = imported.records
    models = {record.model.name: record for record in records}
    tasks = {record.task for record in records}
    cells, of_models = _counted("cell", records), _counted("model", models)
    lines = [
        f"{cells} ({of_models}, {_counted('task', tasks)}) imported into {path}; "
        f"`harness show {path}` prints them."
    ]
    unsized = [
        name
        for name, record in models.items()
        if record.origin and record.origin.sizes == "unknown"
    ]
    if unsized:
        more = f" and {len(unsized) - 3} more" if len(unsized) > 3 else ""
        lines.append(
            f"Size unknown: {', '.join(unsized[:3])}{more}. For fits give --sizes FILE (CSV with "
            "model,params) or --size-pattern."
        )
    families = {record.model.family for record in models.values()}
    if len(families) == len(models) > 1:
        lines.append("Every model is a family of its own; --family NAME makes them one.")
    broken = [record for record in records if record.status != "complete"]
    if broken:
        lines.append(f"{len(broken)} of them are incomplete, such as: {broken[0].error}")
    return "\n".join(lines)


def _counted(noun: str, things: Sized) -> str:
    return f"1 {noun}" if len(things) == 1 else f"{len(things)} {noun}s"


def _document(imported: Imported, path: Path, importer: str, partial: bool) -> dict[str, object]:
    models = {record.model.name: record for record in imported.records}
    return {
        "schema": 1,
        "run": str(path),
        "format": importer,
        "status": "partial" if partial else "complete",
        "cells": len(imported.records),
        "tasks": sorted({record.task for record in imported.records}),
        "models": [
            {
                "model": name,
                "family": record.model.family,
                "params": record.model.parameters.total,
                "non_embedding": record.model.parameters.non_embedding,
                "size_source": record.origin.sizes if record.origin else "unknown",
            }
            for name, record in models.items()
        ],
        "warnings": list(imported.warnings),
    }
