"""Scores as CSV, scores and samples as Parquet."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.codec import to_json
from harness.errors import DataError
from harness.types import ExportedFile, ExportSource
from harness_interchange import writing

COLUMNS = (
    "model", "family", "params", "non_embedding", "active", "train_tokens", "task", "shots",
    "metric", "value", "ci_low", "ci_high", "stderr", "n", "samples", "errors", "truncated",
    "empty", "unparseable", "higher_is_better", "low", "high", "chance", "loss", "status",
    "size_source", "imported", "fingerprint", "signature",
)  # fmt: skip
BATCH = 2000
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def write_csv(source: ExportSource) -> Iterator[ExportedFile]:
    """``scores.csv``, which `harness import csv` reads back."""
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    for row in _rows(source):
        table.writerow({name: _cell(value) for name, value in row.items()})
    yield ExportedFile(name="scores.csv", chunks=[text.getvalue().encode()])


def write_parquet(source: ExportSource) -> Iterator[ExportedFile]:
    """``scores.parquet``, and ``samples.parquet`` where samples are kept.

    Raises DataError where pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise DataError(
            "Parquet needs a package: pip install 'harness[parquet]'.\n"
            "`harness export csv` writes the scores without it."
        ) from error
    rows = [{k: _known(v) for k, v in row.items()} for row in _rows(source)]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=_score_schema(pa)), buffer)
    yield ExportedFile(name="scores.parquet", chunks=[buffer.getvalue()])
    schema = pa.schema([(name, pa.string()) for name in ("model", "task", "id", "group")])
    for name in ("prompts", "answers"):
        schema = schema.append(pa.field(name, pa.list_(pa.string())))
    for name in ("reference", "error", "stats"):
        schema = schema.append(pa.field(name, pa.string()))
    schema = schema.append(pa.field("unparseable", pa.bool_()))
    buffer = io.BytesIO()
    count = 0
    with pq.ParquetWriter(buffer, schema) as writer:
        for batch in _batches(source):
            count += len(batch)
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
    if count:
        yield ExportedFile(name="samples.parquet", chunks=[buffer.getvalue()])


def _rows(source: ExportSource) -> Iterator[Mapping[str, Any]]:
    for cell in source.run.cells:
        info, counts, origin = cell.model, cell.counts, cell.origin
        for score in cell.scores:
            metric = score.metric
            values = (
                info.name, info.family, info.parameters.total, info.parameters.non_embedding,
                info.parameters.active, info.train_tokens, cell.task, cell.shots, metric.name,
                score.value, *score.ci, score.stderr, score.n or None, counts.samples or None,
                counts.errors, counts.truncated, counts.empty, counts.unparseable,
                metric.higher_is_better, *metric.bounds, metric.chance, metric.is_loss, cell.status,
                "checkpoint" if origin is None else origin.sizes,
                None if origin is None else origin.format, cell.fingerprint, score.signature,
            )  # fmt: skip
            yield dict(zip(COLUMNS, values, strict=True))


def _cell(value: Any) -> Any:
    """A value as text; a text that a spreadsheet would run gets an apostrophe before it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    return repr(value) if isinstance(value, float) else value


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _score_schema(pa: Any) -> Any:
    texts = {
        "model", "family", "task", "metric", "status", "size_source", "imported", "fingerprint",
        "signature",
    }  # fmt: skip
    floats = {"value", "ci_low", "ci_high", "stderr", "low", "high", "chance"}
    kinds = []
    for name in COLUMNS:
        if name in texts:
            kind = pa.string()
        elif name in floats:
            kind = pa.float64()
        else:
            kind = pa.bool_() if name in ("higher_is_better", "loss") else pa.int64()
        kinds.append((name, kind))
    return pa.schema(kinds)


def _batches(source: ExportSource) -> Iterator[Sequence[Mapping[str, Any]]]:
    batch: list[Mapping[str, Any]] = []
    for cell in source.run.cells:
        if cell.status == "failed":
            continue
        for sample in source.samples(cell):
            batch.append(
                {
                    "model": cell.model.name,
                    "task": cell.task,
                    "id": sample.id,
                    "group": sample.group,
                    "prompts": [writing.prompt(request) for request in sample.requests],
                    "answers": [
                        writing.answer(request, response)
                        for request, response in zip(
                            sample.requests, sample.responses, strict=False
                        )
                    ],
                    "reference": writing.dump(to_json(sample.reference)),
                    "error": next((r.error for r in sample.responses if r.error), None),
                    "stats": writing.dump(to_json(sample.stats)),
                    "unparseable": sample.unparseable,
                }
            )
            if len(batch) >= BATCH:
                yield batch
                batch = []
    if batch:
        yield batch
