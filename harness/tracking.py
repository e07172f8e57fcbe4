"""Trackers: where curves, scores and tables of trainings and runs are sent, by plugins.

``--track tensorboard:DIR`` opens the tracker of that name. A tracker never decides how a run
ends: what it raises is reported once, and that tracker is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.training import TrainedModel, TrainingPoint
from harness.types import CellRecord, RunRecord


class Tracker(Protocol):
    """An open tracker. Any method may raise; see above."""

    def point(self, point: TrainingPoint) -> None:
        """A training went on."""
        ...

    def trained(self, row: TrainedModel) -> None:
        """A model is finished, or was given up."""
        ...

    def cell(self, record: CellRecord) -> None:
        """A cell of a run has its scores."""
        ...

    def run(self, run: RunRecord, figure: bytes | None) -> None:
        """A run is done. ``figure`` is its scaling plot as PNG, where one could be drawn."""
        ...

    def sweep(self, rows: Sequence[TrainedModel], figure: bytes | None) -> None:
        """A command has trained all it had to: its table (``harness.sweeps.sweep_lines``).

        ``figure`` is the loss over size as PNG, where one could be drawn.
        """
        ...

    def close(self) -> None:
        """Nothing follows; write what was held back."""
        ...


@dataclass(frozen=True, kw_only=True)
class TrackerSpec:
    """A tracker as a plugin declares it.

    ``open`` takes what follows the colon, which ``argument`` names. It raises UsageError where
    the tracker's own library is missing or the argument cannot be; a run then goes on without.
    """

    name: str
    open: Callable[[str], Tracker]
    argument: str
    description: str = ""
