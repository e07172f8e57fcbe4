"""Weights & Biases: one run of its own for each model trained, and one for a run's scores.

Its library reads its key and its mode from the environment (``WANDB_API_KEY``, ``WANDB_MODE``).
Without a network, ``WANDB_MODE=offline`` keeps everything in a folder for ``wandb sync``.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.sweeps import sweep_lines
from harness_track.values import SCORES, facts_of, library, plain, scores_of, table_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.training import TrainedModel, TrainingPoint
    from harness.types import CellRecord, RunRecord


class WeightsAndBiases:
    """See :class:`harness.tracking.Tracker`."""

    def __init__(self, project: str) -> None:
        """Name the project; runs are begun when there is something to send."""
        if not project:
            raise UsageError("--track wandb:PROJECT needs the name of a project.")
        self._library = library("wandb", "wandb")
        self._project = project
        self._runs: dict[str, Any] = {}

    def point(self, point: TrainingPoint) -> None:
        """Curves over tokens. W&B's own count of steps drops what goes back, as branches do."""
        known = point.model in self._runs
        run = self._run(point.model)
        if not known:
            run.define_metric("*", step_metric="tokens")
        values = {plain(name): value for name, value in point.values.items()}
        run.log({**values, "tokens": point.tokens, "step": point.step})

    def trained(self, row: TrainedModel) -> None:
        """Facts and scores of a model; its run ends."""
        run = self._run(row.name)
        run.config.update(facts_of(row), allow_val_change=True)
        run.summary.update({plain(name): value for name, value in row.scores.items()})
        self._runs.pop(row.name).finish(exit_code=0 if row.outcome == "complete" else 1)

    def cell(self, record: CellRecord) -> None:
        """Scores by model."""
        scores = {f"{record.model.name}/{name}": v for name, v in scores_of(record).items()}
        self._run("scores").log(scores)

    def run(self, run: RunRecord, figure: bytes | None) -> None:
        """The table of scores, and the scaling plot."""
        self._table("scores", [SCORES, *table_of(run)], figure)

    def sweep(self, rows: Sequence[TrainedModel], figure: bytes | None) -> None:
        """The same of a training, as text: a cell that diverged has no numbers."""
        lines = [[str(value) for value in line] for line in sweep_lines(rows)]
        self._table("sweep", lines, figure)

    def _table(self, name: str, lines: Sequence[Sequence[object]], figure: bytes | None) -> None:
        columns, *data = (list(line) for line in lines)
        said: dict[str, Any] = {name: self._library.Table(columns=columns, data=data)}
        if figure is not None:
            from PIL import Image

            said["scaling"] = self._library.Image(Image.open(io.BytesIO(figure)))
        self._run(name).log(said)

    def close(self) -> None:
        """End every run that is open."""
        for run in self._runs.values():
            run.finish()
        self._runs = {}

    def _run(self, name: str) -> Any:
        if name not in self._runs:
            self._runs[name] = self._library.init(
                project=self._project,
                name=name,
                reinit="create_new",
                settings=self._library.Settings(silent=True),
            )
        return self._runs[name]
