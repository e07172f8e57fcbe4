"""``harness data``: fetch pinned data sets of the hub, and list what there is."""

from __future__ import annotations

from pathlib import Path

import click
from tabulate import tabulate

from harness.cli.common import echo_json
from harness.errors import DataError, HarnessError, UsageError, suggestion
from harness.fetching import FOLDER, fetch, fetched, place_of
from harness.plugins import Registry, load_registry
from harness.types import HubFile


@click.group()
def data() -> None:
    """Fetch data sets of the hub, pinned by commit, for runs that need no network."""


@data.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_(as_json: bool) -> None:
    """List the tasks with data sets on the hub, and what of them is here."""
    rows = []
    for name, files in sorted(_offered(load_registry()).items()):
        for file in files:
            rows.append(
                {
                    "task": name,
                    "option": file.option,
                    "repository": file.repository,
                    "revision": file.revision,
                    "path": file.path,
                    "columns": list(file.columns),
                    "state": _state(name, file),
                    "file": str(place_of(name, file)),
                }
            )
    if as_json:
        echo_json({"schema": 1, "data": rows})
        return
    header = ["task", "option", "repository", "revision", "path", "state"]
    table = [
        [str(row[key])[:12] if key == "revision" else row[key] for key in header] for row in rows
    ]
    click.echo(tabulate(table, headers=header, disable_numparse=True))


@data.command("fetch")
@click.argument("tasks", nargs=-1, required=True)
@click.option("--offline", is_flag=True, help="From the hub's local cache alone, no network.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=FOLDER, show_default=True)
def fetch_(tasks: tuple[str, ...], offline: bool, output: Path) -> int:
    """Fetch the data of TASKS, check the columns, and keep it with its digest.

    `harness run --tasks TASK:hub` then reads what was fetched into the default folder, and never
    touches the network.
    """
    offered = _offered(load_registry())
    for name in tasks:
        if name not in offered:
            raise UsageError(
                f"Task '{name}' has no data set on the hub. {suggestion(name, offered)}".rstrip()
            )
    code = 0
    for name in tasks:
        for file in offered[name]:
            try:
                got = fetch(name, file, output, offline=offline)
            except HarnessError as error:
                click.echo(f"harness: {error}", err=True)
                code = code or error.exit_code
                continue
            click.echo(f"{name}: {file.option}={got.path} (SHA-256 {got.sha256[:16]})")
    return code


def _offered(registry: Registry) -> dict[str, tuple[HubFile, ...]]:
    return {name: entry.spec.hub for name, entry in registry.tasks.items() if entry.spec.hub}


def _state(task: str, file: HubFile) -> str:
    if not place_of(task, file).exists():
        return "not fetched"
    try:
        fetched(task, file)
    except DataError:
        return "damaged"
    return "here"
