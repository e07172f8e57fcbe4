"""``harness run``: the main job."""

from __future__ import annotations

import logging
import os
import shlex
import sys
import time
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import click

from harness.cli.common import RESULTS, terminable
from harness.cli.show import print_best_tags, print_run
from harness.cli.tracking import track_option, with_trackers
from harness.errors import HarnessError, PluginError, UsageError
from harness.manifest import new_manifest, now
from harness.plan import Plan, RunRequest, plan, run_name
from harness.plugins import Registry, load_registry, notify_run
from harness.results import Manifest, RunDirectory
from harness.run import Failure, Workplace, execute
from harness.store import ResponseStore
from harness.types import RunRecord

STORE = "responses.sqlite"


class BatchSize(click.ParamType[int | None]):
    """``auto`` or a whole number."""

    name = "auto|N"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        """None stands for auto."""
        if value is None or value == "auto":
            return None
        try:
            return int(str(value))
        except ValueError:
            self.fail(f"{value!r} is neither 'auto' nor a whole number.", param, ctx)


@click.command()
@click.option("--models", "-m", multiple=True, help="Models or families; default: the embedded.")
@click.option("--tasks", "-t", multiple=True, help="Tasks; default: those of the embedded family.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The run's directory, to go on in too."
)
@click.option("--limit", type=int, help="Only the first N samples of each task.")
@click.option("--shots", type=int, help="Worked examples before each question.")
@click.option(
    "--chat-template",
    is_flag=False,
    flag_value="default",
    metavar="[FILE|NAME]",
    help="Put prompts into a chat template: the tokenizer's own, one of its several, or a file.",
)
@click.option("--system", metavar="TEXT", help="The system message before each prompt.")
@click.option("--seed", type=int, default=0, show_default=True, help="For all that is drawn.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@click.option(
    "--dtype", default="auto", show_default=True, help="auto, float32, bfloat16, float16."
)
@click.option(
    "--batch-size", type=BatchSize(), default="auto", show_default=True, help="auto or a number."
)
@click.option(
    "--max-errors",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Exit with 4 only when more samples than this have no answer.",
)
@click.option(
    "--allow-code-execution",
    is_flag=True,
    help="Let tasks that need it run what the model wrote, confined, on this machine.",
)
@click.option(
    "--max-cost",
    type=click.FloatRange(min=0.0),
    help="What all models together may spend, in the currency of their prices.",
)
@track_option
@click.option("--efficiency", is_flag=True, help="Also print what the answers cost.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def run(
    models: tuple[str, ...],
    tasks: tuple[str, ...],
    output: Path | None,
    max_errors: int,
    max_cost: float | None,
    track: tuple[str, ...],
    efficiency: bool,
    as_json: bool,
    **numbers: object,
) -> int:
    """Run models over tasks; print performance-versus-size tables and scaling fits.

    Names take shell-like braces and commas: --models 'nano,hf:org/pythia-{70m,160m}'. A family's
    name stands for all its sizes. Answers are stored as they come: the same command again goes on
    where it stopped, and a finished cell costs nothing.

    \b
    Exit codes: 0 done, 2 usage, 3 a plugin broke its contract, 4 something failed or is missing,
    130 interrupted.
    """
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    registry, _ = with_trackers(load_registry(), track)
    request = RunRequest(models=models, tasks=tasks, **numbers)  # type: ignore[arg-type]
    made = plan(registry, request)
    path = output if output is not None else RESULTS / "runs" / run_name(made)
    directory = RunDirectory(path)
    store = path / STORE if output is not None else RESULTS / STORE
    fresh = output is None or directory.earlier_manifest() is None
    try:
        failures = _execute(made, registry, directory, store, max_cost)
    except HarnessError as error:
        # A command that could not run leaves no run behind to be shown, nor what it said wrongly.
        if output is None or (fresh and isinstance(error, UsageError)):
            directory.discard_if_empty()
        raise
    if len(failures) == len(made.cells) and not as_json:
        raise failures[0].error
    code = print_run(directory, as_json=as_json, efficiency=efficiency)
    finished = directory.read_run()
    with redirect_stdout(sys.stderr):
        complaints = notify_run(registry, finished)
    for complaint in complaints:
        click.echo(f"warning: an observer failed: {complaint}", err=True)
    if _tolerable(finished, directory, max_errors):
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
