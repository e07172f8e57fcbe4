"""``harness cache``: look into the response store, shrink it, check it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import click
from tabulate import tabulate

from harness.cli.common import RESULTS, echo_json
from harness.errors import DataError, UsageError, suggestion
from harness.store import ResponseStore

DAY = 86_400.0
STORE = RESULTS / "responses.sqlite"

store_option = click.option(
    "--store",
    type=click.Path(path_type=Path),
    default=STORE,
    show_default=True,
    help="The response store; with `run -o DIR` it is DIR/responses.sqlite.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group()
def cache() -> None:
    """Look into the response store, shrink it, check it."""


@cache.command()
@store_option
@json_option
def info(store: Path, as_json: bool) -> None:
    """What the store holds, model by model."""
    with _opened(store) as opened:
        models = opened.models()
    size = store.stat().st_size
    if as_json:
        rows = [vars(model) for model in models]
        echo_json({"schema": 1, "store": str(store), "bytes": size, "models": rows})
        return
    table = [
        [m.name, m.identity[:16], m.answers, datetime.fromtimestamp(m.newest, UTC).date()]
        for m in models
    ]
    total = sum(model.answers for model in models)
    click.echo(f"{store}: {total:,} answers, {size / 1e6:.1f} MB")
    if table:
        click.echo(tabulate(table, headers=["model", "identity", "answers", "newest"]))


@cache.command()
@store_option
@click.option("--model", "-m", "names", multiple=True, help="Only this model; may be repeated.")
@click.option("--older-than", type=float, metavar="DAYS", help="Only answers older than this.")
@click.option("--all", "everything", is_flag=True, help="Every answer.")
def prune(store: Path, names: tuple[str, ...], older_than: float | None, everything: bool) -> None:
    """Forget stored answers; they will be asked anew when they are needed."""
    if not names and older_than is None and not everything:
        raise UsageError("Say what to forget: --model NAME, --older-than DAYS or --all.")
    with _opened(store) as opened:
        known = [model.name for model in opened.models()]
        for name in names:
            if name not in known:
                raise UsageError(f"The store has no model '{name}'. {suggestion(name, known)}")
        before = None if older_than is None else time.time() - older_than * DAY
        gone = opened.prune(names=names, before=before)
    click.echo(f"{gone:,} answers forgotten; {store.stat().st_size / 1e6:.1f} MB are left.")


@cache.command()
@store_option
def verify(store: Path) -> int:
    """Check every row; exits with 4 when something is wrong."""
    with _opened(store) as opened:
        findings = 0
        for finding in opened.verify():
            findings += 1
            click.echo(finding)
        answers = sum(model.answers for model in opened.models())
    click.echo(f"{answers:,} answers checked, {findings} of them wrong.")
    return DataError.exit_code if findings else 0


def _opened(store: Path) -> ResponseStore:
    if not store.is_file():
        raise UsageError(f"There is no response store at '{store}'.\n`harness run` makes one.")
    return ResponseStore(store)
