"""``harness data``: fetch data sets of the hub, and list what there is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from tabulate import tabulate

from harness.cli.common import echo_json
from harness.errors import DataError, HarnessError, UsageError, suggestion
from harness.fetching import FOLDER, Fetched, fetch, fetched, place_of
from harness.plugins import Registry, load_registry
from harness.types import HubFile


@click.group()
def data() -> None:
    """Fetch data sets of the hub, each locked to a commit, for runs that need no network."""


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
                    "subset": file.subset,
                    "repository": file.repository,
                    "revision": file.revision,
                    "pinned": file.pinned,
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
    table = [[_short(row) if key == "revision" else row[key] for key in header] for row in rows]
    click.echo(tabulate(table, headers=header, disable_numparse=True))
    if any(not row["pinned"] for row in rows):
        click.echo("\nA branch is not pinned: the first fetch records its commit and keeps to it.")


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
            lock = "" if file.pinned else f", {file.revision} locked at {_commit(got)}: not pinned"
            click.echo(f"{name}: {file.option}={got.path} (SHA-256 {got.sha256[:16]}{lock})")
    return code


def _offered(registry: Registry) -> dict[str, tuple[HubFile, ...]]:
    return {name: entry.spec.hub for name, entry in registry.tasks.items() if entry.spec.hub}


def _short(row: Mapping[str, Any]) -> str:
    """A commit's first twelve digits, or a branch as it is."""
    return str(row["revision"])[:12] if row["pinned"] else str(row["revision"])


def _commit(got: Fetched) -> str:
    return got.revision[:12] or "an unknown commit"


def _state(task: str, file: HubFile) -> str:
    place = place_of(task, file)
    if not place.with_name(f"{place.name}.json").exists():
        return "not fetched"
    try:
        got = fetched(task, file)
    except DataError:
        return "damaged"
    return "here" if file.pinned else f"here, of {_commit(got)}"
