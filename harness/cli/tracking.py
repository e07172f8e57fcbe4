"""``--track``: opening trackers, and keeping their failures away from what they watch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from harness import hookimpl
from harness.errors import UsageError
from harness.plugins import Registry, new_manager
from harness.sweeps import write_sweep
from harness.tracking import Tracker, TrackerSpec
from harness.training import TrainedModel, TrainingPoint
from harness.types import CellRecord, RunRecord

if TYPE_CHECKING:
    from harness.plots import Panel


class Trackers:
    """All open trackers as one, which never raises: one that fails is said once and left alone."""

    def __init__(self, opened: Sequence[tuple[str, Tracker]]) -> None:
        """``opened``: trackers by what the user called them."""
        self._open = dict(opened)

    def point(self, point: TrainingPoint) -> None:
        """See :class:`harness.tracking.Tracker`."""
        self._each(lambda tracker: tracker.point(point))

    def trained(self, row: TrainedModel) -> None:
        """See :class:`harness.tracking.Tracker`."""
        self._each(lambda tracker: tracker.trained(row))

    def sweep(self, rows: Sequence[TrainedModel]) -> None:
        """See :class:`harness.tracking.Tracker`; draws the figure where anyone is to have it."""
        if self._open:
            figure = _loss_plot(rows)
            self._each(lambda tracker: tracker.sweep(rows, figure))

    def close(self) -> None:
        """See :class:`harness.tracking.Tracker`."""
        self._each(lambda tracker: tracker.close())
        self._open = {}

    @hookimpl
    def harness_cell_finished(self, record: CellRecord) -> None:
        """A cell of a run, by the hook of every observer."""
        self._each(lambda tracker: tracker.cell(record))

    @hookimpl
    def harness_run_finished(self, run: RunRecord) -> None:
        """A run with its scaling plot, by the hook of every observer."""
        if self._open:
            figure = _scaling_plot(run)
            self._each(lambda tracker: tracker.run(run, figure))

    def _each(self, tell: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._open.items()):
            try:
                with redirect_stdout(sys.stderr):
                    tell(tracker)
            except Exception as error:  # whatever a tracker's library raises
                del self._open[name]
                reason = " ".join(str(error).split())[:200] or type(error).__name__
                click.echo(f"warning: tracking by {name} stopped: {reason}", err=True)


@contextmanager
def tracking(registry: Registry, texts: Sequence[str]) -> Iterator[tuple[Registry, Trackers]]:
    """Open the trackers that ``texts`` name; the registry has them among its observers.

    One that cannot be opened is said and done without. Raises UsageError for an unknown name and
    for one that says not where to.
    """
    opened: list[tuple[str, Tracker]] = []
    for text in texts:
        name, colon, argument = text.partition(":")
        spec = registry.tracker(name).spec
        if not colon or not argument:
            raise UsageError(f"--track {text}: say where to: --track {name}:{spec.argument}")
        opened += [(text, tracker) for tracker in _open(text, spec, argument)]
    trackers = Trackers(opened)
    manager = new_manager()
    manager.register(trackers)
    try:
        yield _observed(registry, manager) if opened else registry, trackers
    finally:
        trackers.close()


def with_trackers(registry: Registry, texts: Sequence[str]) -> tuple[Registry, Trackers]:
    """The same until the command that is being carried out ends."""
    return click.get_current_context().with_resource(tracking(registry, texts))


def _open(text: str, spec: TrackerSpec, argument: str) -> list[Tracker]:
    """The tracker, or nothing where it fails: hours of work must not hang on a missing library."""
    try:
        with redirect_stdout(sys.stderr):
            return [spec.open(argument)]
    except Exception as error:  # whatever a tracker's library raises
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        click.echo(f"warning: nothing is tracked by {text}: {reason}", err=True)
        return []


def _observed(registry: Registry, manager: Any) -> Registry:
    info = next(plugin for plugin in registry.plugins if not plugin.error)
    return replace(registry, observers=(*registry.observers, (info, manager)))


def _scaling_plot(run: RunRecord) -> bytes | None:
    """The figure of ``harness plot``; None where nothing can be drawn."""
    from harness.plots import run_panels
    from harness.results import RunDirectory
    from harness.wording import partial_note

    try:
        panels = run_panels(run, RunDirectory(Path(run.directory)), tasks=(), metrics=())
        return _picture(panels, note=partial_note(run.status, run.directory))
    except Exception:  # too few sizes, no matplotlib, ...: the scores are sent all the same
        return None


def _loss_plot(rows: Sequence[TrainedModel]) -> bytes | None:
    """The loss over size, of each size's models with the most data; None as above."""
    from harness.cli.sources import known_laws
    from harness.laws.request import FitRequest
    from harness.laws.table import read_csv
    from harness.laws.tablefit import fit_table
    from harness.plots import fit_panel

    x, y = ("N",), "loss"
    whole = [row for row in rows if row.outcome == "complete" and y in row.scores]
    try:
        most = max(float(row.settings["share"]) for row in whole)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "sweep.csv"
            write_sweep(path, [row for row in whole if float(row.settings["share"]) == most])
            table = read_csv(path)
        asked = FitRequest(
            law="power", x=x, y=y, group=("family",), counted=True, laws=known_laws()
        )
        found = [
            fit_panel(" ".join([*g.group.values(), y]), g.fit, x, y)
            for g in fit_table(table, asked)
        ]
        return _picture([panel for panel in found if panel is not None], note="")
    except Exception:  # as above
        return None


def _picture(panels: Sequence[Panel], *, note: str) -> bytes:
    """A figure as PNG. Raises what drawing raises."""
    from harness.plots import save_figure

    with TemporaryDirectory() as folder:
        path = Path(folder) / "scaling.png"
        save_figure(panels, path, note=note)
        return path.read_bytes()
