"""MLflow: a server's address or ``file:DIR``; the experiment is ``harness``.

Newer versions of its library keep files only where ``MLFLOW_ALLOW_FILE_STORE`` is ``true`` in the
environment; asking for ``file:DIR`` sets it for this program.
"""

from __future__ import annotations

import csv
import io
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.sweeps import SWEEP, sweep_lines
from harness_track.values import SCORES, facts_of, library, plain, scores_of, table_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.training import TrainedModel, TrainingPoint
    from harness.types import CellRecord, RunRecord

EXPERIMENT = "harness"


class MLflow:
    """See :class:`harness.tracking.Tracker`; a run of its own for each model trained."""

    def __init__(self, uri: str) -> None:
        """Find or make the experiment. Raises UsageError where the place cannot be used."""
        self._library = library("mlflow", "mlflow or mlflow-skinny")
        if not uri:
            raise UsageError("--track mlflow:URI needs an address, or a folder: mlflow:file:DIR")
        if uri.startswith("file:"):
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
            if not uri.startswith("file:/"):
                uri = Path(uri.removeprefix("file:")).absolute().as_uri()
        try:
            self._client = self._library.MlflowClient(tracking_uri=uri)
            found = self._client.get_experiment_by_name(EXPERIMENT)
            experiment = (
                found.experiment_id if found else self._client.create_experiment(EXPERIMENT)
            )
        except Exception as error:  # its library raises errors of its own and of requests
            reason = " ".join(str(error).split())[:200]
            raise UsageError(f"--track mlflow:{uri} cannot be used: {reason}") from error
        self._experiment = experiment
        self._runs: dict[str, str] = {}

    def point(self, point: TrainingPoint) -> None:
        """Curves over steps."""
        self._log(point.model, {**point.values, "tokens": float(point.tokens)}, point.step)

    def trained(self, row: TrainedModel) -> None:
        """Facts as parameters, scores as metrics; its run ends."""
        run = self._run(row.name)
        for key, value in facts_of(row).items():
            self._client.log_param(run, plain(key), str(value)[:500])
        self._log(row.name, {f"final/{name}": v for name, v in row.scores.items()}, row.step)
        self._client.set_terminated(run, "FINISHED" if row.outcome == "complete" else "FAILED")
        self._runs.pop(row.name)

    def cell(self, record: CellRecord) -> None:
        """Scores, over the model's parameters."""
        named = {f"{record.model.family}/{name}": v for name, v in scores_of(record).items()}
        self._log("scores", named, record.model.parameters.total or 0)

    def run(self, run: RunRecord, figure: bytes | None) -> None:
        """The table of scores and the scaling plot, as artifacts."""
        self._files("scores", "scores.csv", [SCORES, *table_of(run)], figure)

    def sweep(self, rows: Sequence[TrainedModel], figure: bytes | None) -> None:
        """The same of a training."""
        self._files("sweep", SWEEP, sweep_lines(rows), figure)

    def _files(
        self, run: str, table: str, rows: Sequence[Sequence[object]], figure: bytes | None
    ) -> None:
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        with tempfile.TemporaryDirectory() as folder:
            files = {table: text.getvalue().encode()}
            if figure is not None:
                files["scaling.png"] = figure
            for name, content in files.items():
                path = Path(folder) / name
                path.write_bytes(content)
                self._client.log_artifact(self._run(run), str(path))

    def close(self) -> None:
        """End every run that is open."""
        for run in self._runs.values():
            self._client.set_terminated(run)
        self._runs = {}

    def _log(self, name: str, values: Mapping[str, float], step: int) -> None:
        for key, value in values.items():
            self._client.log_metric(self._run(name), plain(key), value, step=step)

    def _run(self, name: str) -> str:
        if name not in self._runs:
            made = self._client.create_run(self._experiment, run_name=name)
            self._runs[name] = made.info.run_id
        return self._runs[name]
