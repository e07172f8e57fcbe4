"""Trackers get curves, scores and tables; what they do wrong ends nothing."""

from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Program

from harness.cli.tracking import Trackers
from harness.tracking import Tracker
from harness.training import TrainedModel, TrainingPoint
from harness.types import (
    CellRecord,
    Metric,
    ModelInfo,
    Parameters,
    RunRecord,
    Score,
)

POINTS = [
    TrainingPoint(model="toy", step=step, tokens=step * 10, values={"train/loss": 5.0 - step})
    for step in (1, 2)
]
BRANCH = TrainingPoint(model="toy", step=1, tokens=10, values={"branch/loss": 4.5})
"""A checkpoint's own last steps are taken after the training has gone on without them."""
ROW = TrainedModel(
    name="toy", family="toys", outcome="complete", tokens=20, step=2, scores={"held out": 3.0}
)
CELL = CellRecord(
    model=ModelInfo(name="toy", family="toys", identity="x", parameters=Parameters(total=7)),
    task="quiz:a.json",
    status="complete",
    scores=(Score(metric=Metric(name="acc"), value=0.5, ci=(0.4, 0.6), n=9, signature="s"),),
)
RUN = RunRecord(directory="nowhere", status="complete", cells=(CELL,))


def send_all(tracker: Tracker) -> None:
    for point in POINTS:
        tracker.point(point)
    tracker.point(BRANCH)
    tracker.trained(ROW)
    tracker.cell(CELL)
    tracker.run(RUN, picture())
    tracker.sweep([ROW], picture())
    tracker.close()


def picture() -> bytes:
    pillow = pytest.importorskip("PIL.Image", reason="skipped: pillow cannot be imported")
    import io

    data = io.BytesIO()
    pillow.new("RGB", (3, 2), "red").save(data, "PNG")
    return data.getvalue()


def events(folder: Path) -> list[Any]:
    """What TensorBoard would read: length, checksum, record, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.rglob("events*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            found.append(Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return found


def test_tensorboard_files_hold_curves_scores_table_and_plot(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="skipped: tensorboardX cannot be imported")
    from harness_track.tensorboard import TensorBoard

    send_all(TensorBoard(str(tmp_path)))
    values = [(e.step, v) for e in events(tmp_path) for v in e.summary.value]
    numbers = {(v.tag, step): v.simple_value for step, v in values if v.HasField("simple_value")}
    assert numbers[("train/loss", 10)] == 4.0 and numbers[("train/loss", 20)] == 3.0
    assert numbers[("final/held_out", 20)] == 3.0
    assert numbers[("quiz_a.json/acc", 7)] == 0.5
    tags = {v.tag for _, v in values}
    assert "scaling" in tags and any("scores" in tag for tag in tags)
    (table,) = [v.tensor.string_val[0].decode() for _, v in values if "models" in v.tag]
    head, line, row = table.splitlines()
    assert head.startswith("model | family") and set(line) <= {"-", "|", " "} and "| 20 |" in row


def test_wandb_offline_keeps_a_run_for_each_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", reason="skipped: wandb cannot be imported")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    from harness_track.wandb import WeightsAndBiases

    send_all(WeightsAndBiases("toys"))
    kept = list(tmp_path.glob("wandb/offline-run-*/*.wandb"))
    assert len(kept) == 3 and all(path.stat().st_size for path in kept)
    for wanted in (
        b"train/loss",
        b"branch/loss",
        b"quiz_a.json/acc",
        b"sweep_",
    ):  # its own process may still be writing
        for _ in range(100):
            if any(wanted in path.read_bytes() for path in kept):
                break
            time.sleep(0.1)
        else:
            pytest.fail(f"{wanted!r} was not kept")
    assert list(tmp_path.glob("wandb/offline-run-*/files/media/images/*.png"))


def test_mlflow_files_hold_curves_facts_and_artifacts(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="skipped: mlflow cannot be imported")
    from harness_track.mlflow import MLflow

    send_all(MLflow(f"file:{tmp_path / 'store'}"))
    client = mlflow.MlflowClient(tracking_uri=(tmp_path / "store").as_uri())
    experiment = client.get_experiment_by_name("harness")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"toy", "scores", "sweep"}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    history = client.get_metric_history(runs["toy"].info.run_id, "train/loss")
    assert sorted((m.step, m.value) for m in history) == [(1, 4.0), (2, 3.0)]
    assert runs["toy"].data.params["family"] == "toys"
    assert runs["scores"].data.metrics["toys/quiz_a.json/acc"] == 0.5
    assert list(tmp_path.rglob("scores.csv")) and len(list(tmp_path.rglob("scaling.png"))) == 2
    assert ",20," in next(tmp_path.rglob("sweep.csv")).read_text(encoding="utf-8")


class Broken:
    """Fails at whatever it is told."""

    def __init__(self) -> None:
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        def fail(*_: object) -> None:
            self.asked += 1
            raise OSError(f"no {name}")

        return fail


def test_a_tracker_that_fails_is_said_once_and_left_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = Broken()
    trackers = Trackers([("broken:x", broken)])
    for point in POINTS:
        trackers.point(point)
    trackers.trained(ROW)
    trackers.harness_cell_finished(CELL)
    trackers.close()
    assert broken.asked == 1
    assert capsys.readouterr().err == "warning: tracking by broken:x stopped: no point\n"


@pytest.mark.parametrize(
    ("track", "said"),
    [
        ("tensorbord:x", "Did you mean 'tensorboard'"),
        ("tensorboard", "tensorboard:DIR"),
        ("mlflow:", "mlflow:URI"),
    ],
)
def test_a_tracker_that_cannot_be_is_refused_before_the_run(
    program: Program, track: str, said: str
) -> None:
    done = program("run", "-m", "toy", "-t", "toy-task", "--track", track)
    assert done.returncode == 2 and said in done.stderr
    assert not (program.folder / "results").exists()


@pytest.mark.parametrize("why", ["folder", "library"])
def test_a_tracker_that_cannot_be_opened_is_done_without(program: Program, why: str) -> None:
    (program.folder / "file").write_text("not a folder")
    if why == "library":  # found before the installed one, and broken as a missing one is
        (program.folder / "site" / "tensorboardX.py").write_text("raise ImportError('none here')")
    track = ("--track", "tensorboard:file/in")
    done = program("run", "-m", "adder-40", "-t", "sums", "--limit", "2", "-o", "out", *track)
    said = "pip install 'harness[track]'" if why == "library" else "Not a directory"
    assert done.returncode == 0 and (program.folder / "out").is_dir()
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("warning:")]
    assert line.startswith("warning: nothing is tracked by tensorboard:file/in: ") and said in line


def test_no_tracker_is_imported_unless_asked_for() -> None:
    import subprocess
    import sys

    script = (
        "import sys\nfrom harness.plugins import load_registry\n"
        "assert set(load_registry().trackers) == {'tensorboard', 'wandb', 'mlflow'}\n"
        "print({'wandb', 'mlflow', 'tensorboardX', 'PIL'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_a_training_sends_its_table_and_the_loss_over_size() -> None:
    pytest.importorskip("matplotlib", reason="skipped: matplotlib cannot be imported")
    sent: list[tuple[int, bytes | None]] = []

    class Kept:
        def sweep(self, rows: list[TrainedModel], figure: bytes | None) -> None:
            sent.append((len(rows), figure))

    def row(size: int, share: str, loss: float) -> TrainedModel:
        return TrainedModel(
            name=f"toy-{size}-{share}",
            family="toys",
            outcome="complete",
            non_embedding=size,
            parameters=size + 10,
            tokens=50,
            scores={"loss": loss},
            settings={"share": share},
        )

    rows = [row(n, share, 2 + 9 / n**0.5) for n in (100, 300, 900, 2700) for share in ("0.5", "1")]
    trackers = Trackers([("kept:x", Kept())])  # type: ignore[list-item]
    trackers.sweep(rows)
    trackers.sweep(rows[:1])
    (many, figure), (one, nothing) = sent
    assert (many, one, nothing) == (8, 1, None)
    assert figure is not None and figure.startswith(b"\x89PNG")
