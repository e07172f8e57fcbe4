"""What several commands share: finding a run, printing JSON, being stopped politely."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from harness.errors import PartialError, UsageError, suggestion
from harness.wording import partial_words

RESULTS = Path("results")

track_option = click.option(
    "--track",
    multiple=True,
    help="Send curves and scores: tensorboard:DIR, wandb:NAME, mlflow:URI.",
)


def echo_json(document: Any) -> None:
    """One JSON document on stdout; what is no finite number is ``null``, as JSON has none."""
    click.echo(json.dumps(_finite(document), indent=1, ensure_ascii=False, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value


def find_run(text: str | None) -> Path:
    """A run by its directory or its name under results/runs; without a name, the latest one."""
    runs = RESULTS / "runs"
    known = sorted(runs.glob("*/manifest.json"), key=lambda path: path.stat().st_mtime)
    if text is None:
        if not known:
            raise UsageError(f"There is no run under {runs}.\n`harness run` makes one.")
        return known[-1].parent
    for candidate in (Path(text), runs / text):
        if (candidate / "manifest.json").is_file():
            return candidate
    hint = suggestion(text, [path.parent.name for path in known])
    found = "it holds no manifest.json" if Path(text).exists() else "it is not there"
    raise UsageError(f"'{text}' is not a run: {found}. {hint}".rstrip())


def completeness(status: str, label: object, *, as_json: bool = False) -> int:
    """The exit code that a run's status deserves; says so where it is not ``complete``.

    A JSON document holds the status already, so that the words go to stderr beside it.
    """
    if status == "complete":
        return 0
    click.echo(partial_words(label), err=as_json)
    return PartialError.exit_code


@contextmanager
def terminable() -> Iterator[None]:
    """A polite kill (SIGTERM, from a scheduler) is an interruption, like Ctrl-C."""

    def interrupt(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not in the main thread: signals are somebody else's business
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
