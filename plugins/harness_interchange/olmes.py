"""OLMES / oe-eval: ``task-NNN-TASK-metrics.json`` and ``metrics-all.jsonl``, with predictions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import DataError
from harness.types import ImportedCell, ImportedScore, Response, SampleRecord
from harness_interchange import measures, published
from harness_interchange.formats import wrong_format
from harness_interchange.reading import (
    find_files,
    inside,
    mapping,
    moment,
    number,
    read_json,
    read_lines,
    whole,
)

ENDING = "-metrics.json"
WITHOUT = "no 'task_name' or 'metrics' (files of requests and configurations hold no scores)"


def read(paths: Sequence[Path]) -> Iterator[ImportedCell]:
    """One cell per task among ``paths`` and in the folders among them.

    A folder's ``metrics-all.jsonl`` repeats its ``*-metrics.json`` and is read only without them.
    """
    files = find_files(paths, (f"*{ENDING}", "metrics-all.jsonl"))
    folders = {path.parent for path in files if path.name.endswith(ENDING)}
    count = 0
    for path in files:
        rows: Iterable[tuple[str, Any]]
        if path.name.endswith((".jsonl", ".jsonl.gz")):
            if path.parent in folders and path not in paths:
                continue
            rows = read_lines(path)
        else:
            rows = [(str(path), read_json(path))]
        for where, row in rows:
            if not isinstance(row, dict) or "task_name" not in row or "metrics" not in row:
                raise wrong_format(path, "metrics file of OLMES", WITHOUT)
            count += 1
            yield _cell(path, where, row)
    if not count:
        raise DataError(
            f"No metrics file of OLMES (*{ENDING} or metrics-all.jsonl) among what was given.\n"
            "Files of requests or task configurations hold no scores."
        )


def _cell(path: Path, where: str, row: Mapping[str, Any]) -> ImportedCell:
    model_config, config = inside(row, "model_config"), inside(row, "task_config")
    model = model_config.get("model") or model_config.get("model_path")
    if not isinstance(model, str):
        raise DataError(f"{where} names no model in 'model_config'.")
    task = str(inside(config, "metadata").get("alias") or row["task_name"])
    revision = model_config.get("revision")
    label = f"{model}@{revision}" if revision and revision != "main" else model
    known = published.find(model)
    n = whole(row.get("num_instances"))
    primary = str(config.get("primary_metric") or "")
    shots, limit = number(config.get("num_shots")), whole(config.get("limit"))
    parts = {
        "shots": config.get("num_shots"),
        "limit": limit,
        "split": config.get("split"),
        "task hash": row.get("task_hash"),
    }
    return ImportedCell(
        model=label,
        task=task,
        scores=tuple(_scores(task, row, n, primary)),
        files=(str(path),),
        family=known.family,
        identity=f"olmes:{row.get('model_hash') or label}",
        parameters=known.parameters,
        sizes=known.source,
        shots=None if shots is None else int(shots),
        limit=limit,
        setup={key: str(value) for key, value in parts.items() if value is not None},
        samples=_predictions(path),
        evaluated=moment(row.get("current_date")),
    )


def _scores(
    task: str, row: Mapping[str, Any], n: int | None, primary: str
) -> Iterator[ImportedScore]:
    """Every number, the primary metric first; ``primary_score`` repeats it under another name."""
    values = mapping(row["metrics"], task, "'metrics'")
    plain = {name: found for name, v in values.items() if (found := number(v)) is not None}
    names = sorted(plain, key=lambda name: name != primary)
    core = str(inside(row, "task_config").get("task_core") or row["task_name"])
    for name in names:
        if name == "primary_score" and primary in plain:
            continue
        yield ImportedScore(
            metric=measures.metric(name, task=core, source=f"olmes:{name}"),
            value=plain[name],
            n=n,
        )


def _predictions(path: Path) -> tuple[SampleRecord, ...]:
    if not path.name.endswith(ENDING):
        return ()
    stem = path.name.removesuffix(ENDING)
    for ending in ("-predictions.jsonl", "-predictions.jsonl.gz"):
        file = path.with_name(stem + ending)
        if file.is_file():
            return tuple(_prediction(mapping(row, w, "the line")) for w, row in read_lines(file))
    return ()


def _prediction(row: Mapping[str, Any]) -> SampleRecord:
    answers = row.get("model_output")
    responses = []
    for answer in answers if isinstance(answers, list) else []:
        text = inside(answer).get("continuation")
        responses.append(
            Response(
                text=text if isinstance(text, str) else None,
                logprob=number(inside(answer).get("sum_logits")),
                tokens=whole(inside(answer).get("num_tokens")),
            )
        )
    label = row.get("label")
    return SampleRecord(
        id=str(row.get("doc_id")),
        requests=(),
        responses=tuple(responses),
        reference=label if isinstance(label, str | int | float | list) else None,
        stats={
            name: (found, 1.0)
            for name, value in inside(row, "metrics").items()
            if (found := number(value)) is not None
        },
    )
