"""What ``harness run`` does: plan, execute, print; also as a part of other commands."""

from __future__ import annotations

import logging
import os
import shlex
import sys
import time
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path

import click

from harness.cli.common import RESULTS, terminable
from harness.cli.show import print_best_tags, print_run
from harness.cli.tracking import with_trackers
from harness.errors import HarnessError, PluginError, UsageError
from harness.manifest import new_manifest, now
from harness.plan import Plan, RunRequest, plan, run_name
from harness.plugins import Registry, load_registry, notify_run
from harness.results import Manifest, RunDirectory
from harness.run import Failure, Workplace, execute
from harness.store import ResponseStore
from harness.types import RunRecord

STORE = "responses.sqlite"


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What a run is asked besides models and tasks; see the options of ``harness run``."""

    output: Path | None
    max_errors: int
    max_cost: float | None
    track: tuple[str, ...]
    efficiency: bool
    as_json: bool


def evaluate(request: RunRequest, wishes: Wishes) -> int:
    """Carry ``request`` out and print tables or JSON; returns the exit code."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    registry, _ = with_trackers(load_registry(), wishes.track)
    made = plan(registry, request)
    output = wishes.output
    path = output if output is not None else RESULTS / "runs" / run_name(made)
    directory = RunDirectory(path)
    store = path / STORE if output is not None else RESULTS / STORE
    fresh = output is None or directory.earlier_manifest() is None
    try:
        failures = _execute(made, registry, directory, store, wishes.max_cost)
    except HarnessError as error:
        # A command that could not run leaves no run behind to be shown, nor what it said wrongly.
        if output is None or (fresh and isinstance(error, UsageError)):
            directory.discard_if_empty()
        raise
    if len(failures) == len(made.cells) and not wishes.as_json:
        raise failures[0].error
    code = print_run(directory, as_json=wishes.as_json, efficiency=wishes.efficiency)
    finished = directory.read_run()
    with redirect_stdout(sys.stderr):
        complaints = notify_run(registry, finished)
    for complaint in complaints:
        click.echo(f"warning: an observer failed: {complaint}", err=True)
    if _tolerable(finished, directory, wishes.max_errors):
        return 0
    return max((failure.error.exit_code for failure in failures), key=_severity, default=code)


def run_cells(registry: Registry, request: RunRequest, output: Path, *, quiet: bool = False) -> int:
    """Carry ``request`` out in ``output`` for another command; returns the exit code.

    Prints the run's tables, and the reports by type and by tag of the cell that tags best, unless
    ``quiet``.
    """
    made = plan(registry, request)
    directory = RunDirectory(output)
    failures = _execute(made, registry, directory, output / STORE, None)
    if len(failures) == len(made.cells):
        raise failures[0].error
    if not quiet:
        print_run(directory, as_json=False)
        print_best_tags(directory)
    finished = directory.read_run()
    with redirect_stdout(sys.stderr):
        for complaint in notify_run(registry, finished):
            click.echo(f"warning: an observer failed: {complaint}", err=True)
    whole = 0 if finished.status == "complete" else 4
    return max((failure.error.exit_code for failure in failures), key=_severity, default=whole)


def _tolerable(run: RunRecord, directory: RunDirectory, max_errors: int) -> bool:
    """Whether nothing is wrong but a few samples without an answer, as many as were allowed."""
    whole = len(run.cells) == len(directory.read_manifest().cells)
    failed = any(cell.status == "failed" for cell in run.cells)
    return whole and not failed and sum(c.counts.errors for c in run.cells) <= max_errors


def _execute(
    made: Plan,
    registry: Registry,
    directory: RunDirectory,
    store_path: Path,
    max_cost: float | None,
) -> tuple[Failure, ...]:
    from harness.cli.progress import make_progress

    directory.prepare()
    manifest = new_manifest(made, registry, _command(), directory.earlier_manifest())
    progress = make_progress(len(made.cells))
    started = time.monotonic()
    status = "interrupted"
    errors: tuple[str, ...] = ()
    directory.write_manifest(manifest)
    try:
        with terminable(), ResponseStore(store_path) as store:
            place = Workplace(
                registry=registry,
                directory=directory,
                store=store,
                progress=progress,
                max_cost=max_cost,
                beside=_processors() > 1,
            )
            # What a plugin prints must not end up in the JSON document on stdout.
            with redirect_stdout(sys.stderr):
                outcome = execute(made, place)
        failed = outcome.failures or any(r.status != "complete" for r in outcome.records)
        status = "partial" if failed else "complete"
        return outcome.failures
    except KeyboardInterrupt:
        progress.warn(f"interrupted; the same command goes on from here: {shlex.join(_command())}")
        raise
    except HarnessError as error:
        status, errors = "partial", (str(error),)
        raise
    finally:
        progress.close()
        _finish(directory, replace(manifest, errors=errors), status, time.monotonic() - started)


def _finish(directory: RunDirectory, manifest: Manifest, status: str, seconds: float) -> None:
    """Write how the run ended; what ended it matters more than a disk that is full here too."""
    ending = replace(manifest, status=status, finished=now(), seconds=round(seconds, 3))
    try:
        directory.write_manifest(ending)
    except HarnessError:
        if status == "complete":
            raise


def _processors() -> int:
    """How many this process may use, which is fewer than the machine has in many a container."""
    affinity = getattr(os, "sched_getaffinity", None)  # not everywhere
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _command() -> tuple[str, ...]:
    return ("harness", *sys.argv[1:])


def _severity(code: int) -> int:
    """A plugin's broken contract is said before data that could not be read."""
    return PluginError.exit_code + 100 if code == PluginError.exit_code else code
