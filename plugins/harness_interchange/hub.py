"""Hugging Face: ``.eval_results/*.yaml`` of a model's repository, and ``model-index``."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import DataError, UsageError
from harness.types import CellRecord, ExportedFile, ExportSource, Score
from harness_interchange import writing
from harness_interchange.yaml import to_yaml


@dataclass(frozen=True, kw_only=True)
class _Dataset:
    """The benchmark's data set on the Hub that a task stands for."""

    id: str
    task_id: str
    revision: str = ""
    metric: str = ""


def write_eval_results(source: ExportSource) -> Iterator[ExportedFile]:
    """``MODEL/.eval_results/TASK.yaml`` for each task that the option ``datasets`` maps.

    Raises UsageError for a map without any task of the run.
    """
    datasets = dict(_datasets(Path(source.options["datasets"])))
    known = {cell.task for cell in source.run.cells}
    if not known & datasets.keys():
        raise UsageError(
            f"{source.options['datasets']} maps none of the run's tasks.\n"
            f"They are: {', '.join(sorted(known))}."
        )
    for name, cells in writing.models_of(source).items():
        for cell in cells:
            score = _chosen(cell, datasets.get(cell.task))
            if score is not None:
                entry = _entry(source, cell, score, datasets[cell.task])
                file = f"{_folder(name)}/.eval_results/{writing.file_name(cell.task)}.yaml"
                yield ExportedFile(name=file, chunks=[to_yaml([entry]).encode()])


def write_model_index(source: ExportSource) -> Iterator[ExportedFile]:
    """``MODEL/model-index.yaml``: what goes between the ``---`` lines of the model's README."""
    url = source.options.get("url")
    for name, cells in writing.models_of(source).items():
        results = []
        for cell in cells:
            metrics = [
                {"type": s.metric.name, "value": s.value, "name": _described(s)}
                for s in cell.scores
                if math.isfinite(s.value)
            ]
            result: dict[str, Any] = {
                "task": {"type": "text-generation"},
                "dataset": {"type": writing.file_name(cell.task), "name": cell.task},
                "metrics": metrics,
            }
            if url:
                result["source"] = {"name": "harness", "url": url}
            if metrics:
                results.append(result)
        document = {"model-index": [{"name": writing.hub_id(name)[1], "results": results}]}
        file = f"{_folder(name)}/model-index.yaml"
        yield ExportedFile(name=file, chunks=[to_yaml(document).encode()])


def _folder(model: str) -> str:
    return writing.file_name(model.replace("/", "__"))


def _chosen(cell: CellRecord, dataset: _Dataset | None) -> Score | None:
    """The metric that the map names, else the task's headline."""
    if dataset is None:
        return None
    finite = [score for score in cell.scores if math.isfinite(score.value)]
    if not dataset.metric:
        return finite[0] if finite else None
    return next((score for score in finite if score.metric.name == dataset.metric), None)


def _entry(
    source: ExportSource, cell: CellRecord, score: Score, dataset: _Dataset
) -> Mapping[str, Any]:
    about = {"id": dataset.id, "task_id": dataset.task_id}
    if dataset.revision:
        about["revision"] = dataset.revision
    entry: dict[str, Any] = {
        "dataset": about,
        "value": score.value,
        "notes": _described(score),
    }
    date = writing.evaluated(source, cell)
    if date is not None:
        entry["date"] = writing.iso(date)
    url = source.options.get("url")
    if url:
        entry["source"] = {"url": url, "name": source.options.get("name", "harness")}
    return entry


def _described(score: Score) -> str:
    low, high = score.ci
    interval = f", 95 % interval {low:.6g} to {high:.6g}" if math.isfinite(low + high) else ""
    n = f", n = {score.n}" if score.n else ""  # an imported file may not say it
    return f"{score.metric.name}{n}{interval}"


def _datasets(path: Path) -> Iterator[tuple[str, _Dataset]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The map of data sets {path} cannot be read: {error}.") from error
    rows = csv.DictReader(text.splitlines())
    for row in rows:
        missing = [name for name in ("task", "id", "task_id") if not row.get(name)]
        if missing:
            raise DataError(
                f"{path} line {rows.line_num} has no '{missing[0]}'.\n"
                "Columns are task, id (of the data set on the Hub), task_id, revision, metric."
            )
        yield (
            row["task"],
            _Dataset(
                id=row["id"],
                task_id=row["task_id"],
                revision=row.get("revision") or "",
                metric=row.get("metric") or "",
            ),
        )
