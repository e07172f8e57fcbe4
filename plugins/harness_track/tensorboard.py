"""TensorBoard: event files below a folder, one folder for each model and one for the run."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.sweeps import sweep_lines
from harness_track.values import SCORES, library, plain, scores_of, table_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.training import TrainedModel, TrainingPoint
    from harness.types import CellRecord, RunRecord


class TensorBoard:
    """See :class:`harness.tracking.Tracker`; the horizontal axis of scores is the model's size."""

    def __init__(self, folder: str) -> None:
        """Open a folder. Raises UsageError where it cannot be."""
        self._library = library("tensorboardX", "tensorboardX")
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--track tensorboard:{folder}: {error.strerror or error}.") from error
        self._folder = Path(folder)
        self._writers: dict[str, Any] = {}

    def point(self, point: TrainingPoint) -> None:
        """Curves over tokens."""
        for name, value in point.values.items():
            self._scalar(point.model, plain(name), value, point.tokens)

    def trained(self, row: TrainedModel) -> None:
        """The last scores, at the model's training tokens."""
        for name, value in row.scores.items():
            self._scalar(row.name, f"final/{plain(name)}", value, row.tokens)

    def cell(self, record: CellRecord) -> None:
        """Scores, one point a model, over its parameters."""
        size = record.model.parameters.total or 0
        for name, value in scores_of(record).items():
            self._scalar(record.model.family, name, value, size)

    def run(self, run: RunRecord, figure: bytes | None) -> None:
        """The table as Markdown, and the scaling plot."""
        self._table("run", "scores", [SCORES, *table_of(run)], figure)

    def sweep(self, rows: Sequence[TrainedModel], figure: bytes | None) -> None:
        """The same of a training."""
        self._table("sweep", "models", sweep_lines(rows), figure)

    def _table(
        self, name: str, title: str, rows: Sequence[Sequence[object]], figure: bytes | None
    ) -> None:
        said = [" | ".join(str(value).replace("|", "\\|") for value in row) for row in rows]
        said.insert(1, " | ".join("---" for _ in rows[0]))
        self._write(name, self._library.summary.text(title, "\n".join(said)), 0)
        if figure is not None:
            import numpy as np
            from PIL import Image

            pixels = np.asarray(Image.open(io.BytesIO(figure)).convert("RGB"))
            self._write(name, self._library.summary.image("scaling", pixels, dataformats="HWC"), 0)

    def close(self) -> None:
        """Close every file."""
        for writer in self._writers.values():
            writer.close()

    def _scalar(self, name: str, tag: str, value: float, step: int) -> None:
        self._write(name, self._library.summary.scalar(tag, value), step)

    def _write(self, name: str, summary: Any, step: int) -> None:
        event = self._library.proto.event_pb2.Event(
            wall_time=time.time(), step=step, summary=summary
        )
        writer = self._writer(name)
        writer.write_event(event)
        writer.flush()

    def _writer(self, name: str) -> Any:
        """Writes in this thread: the library's own one dies on a full disk, and is waited for."""
        if name not in self._writers:
            folder = self._folder / plain(name).replace("/", "_")
            folder.mkdir(parents=True, exist_ok=True)
            writer = self._library.event_file_writer.EventsWriter(str(folder / "events"))
            self._writers[name] = writer
        return self._writers[name]
