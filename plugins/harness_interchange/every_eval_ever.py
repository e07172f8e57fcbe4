"""Every Eval Ever, schema 0.3.0: an aggregate and a samples file per model.

Ids are made from content, so that the same run exports to the same bytes. The format has no place
for a scaling fit: it goes, as JSON, into the score's ``details``.
"""

from __future__ import annotations

import hashlib
import math
import uuid
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from harness import __version__
from harness.types import (
    CellRecord,
    ExportedFile,
    ExportSource,
    Loglikelihood,
    Metric,
    SampleRecord,
    Score,
)
from harness_interchange import writing

SCHEMA = "0.3.0"
LIBRARIES = {"lm-eval": "lm_eval", "inspect": "inspect_ai"}


def write_every_eval_ever(source: ExportSource) -> Iterator[ExportedFile]:
    """``data/COLLECTION/DEVELOPER/MODEL/UUID.json`` and ``UUID_samples.jsonl`` per model."""
    collection = writing.file_name(source.options.get("collection", "harness"))
    with_samples = source.options.get("samples", "yes") != "no"
    for name, cells in writing.models_of(source).items():
        developer, model = writing.hub_id(name)
        model_id = f"{developer}/{model}"
        folder = f"data/{collection}/{writing.file_name(developer)}/{writing.file_name(model)}"
        stamp = str(int(source.made))
        aggregate = _aggregate(source, cells, model_id, f"{collection}/{model_id}/{stamp}")
        identifier = _uuid([name, _timeless(aggregate)])
        rows = partial(_rows, source, cells, model_id, aggregate["evaluation_id"])
        if with_samples:
            digest, count = _digest(rows())
            if count:
                file = f"{folder}/{identifier}_samples.jsonl"
                aggregate["detailed_evaluation_results"] = {
                    "format": "jsonl",
                    "file_path": file,
                    "hash_algorithm": "sha256",
                    "checksum": digest,
                    "total_rows": count,
                }
                yield ExportedFile(name=file, chunks=rows())
        text = f"{writing.dump(aggregate)}\n"
        yield ExportedFile(name=f"{folder}/{identifier}.json", chunks=[text.encode()])


def _uuid(content: Any) -> str:
    """A UUID made of the content's digest, with the bits of version 4 that the format wants."""
    digest = hashlib.sha256(writing.dump(content).encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def _timeless(value: Any) -> Any:
    """A document without its times: the same results imported again keep their identifier."""
    if isinstance(value, dict):
        return {
            key: _timeless(item)
            for key, item in value.items()
            if key not in ("evaluation_id", "evaluation_timestamp", "retrieved_timestamp")
        }
    return [_timeless(item) for item in value] if isinstance(value, list) else value


def _digest(chunks: Iterator[bytes]) -> tuple[str, int]:
    digest, count = hashlib.sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        count += 1
    return digest.hexdigest(), count


def _aggregate(
    source: ExportSource, cells: Sequence[CellRecord], model_id: str, evaluation_id: str
) -> dict[str, Any]:
    stamp = str(int(source.made))
    left_out = [
        f"{cell.task}/{score.metric.name}"
        for cell in cells
        for score in cell.scores
        if not math.isfinite(score.value)
    ]
    details: dict[str, str] = {"run_status": source.run.status}
    if left_out:
        details["not_finite"] = ", ".join(left_out)
    times = [time for cell in cells if (time := writing.evaluated(source, cell)) is not None]
    return {
        "schema_version": SCHEMA,
        "evaluation_id": evaluation_id,
        **({"evaluation_timestamp": str(int(max(times)))} if times else {}),
        "retrieved_timestamp": stamp,
        "source_metadata": {
            "source_name": "harness",
            "source_type": "evaluation_run",
            "source_organization_name": source.options.get("organization", "unknown"),
            "evaluator_relationship": "other",
            "additional_details": details,
        },
        "eval_library": _library(cells),
        "model_info": _model(cells[0], model_id),
        "evaluation_results": [
            _result(source, cell, score)
            for cell in cells
            for score in cell.scores
            if math.isfinite(score.value)
        ],
    }


def _library(cells: Sequence[CellRecord]) -> dict[str, Any]:
    """The program that computed the scores: for an import, not ours."""
    formats = {cell.origin.format for cell in cells if cell.origin is not None}
    if len(formats) == 1 and all(cell.origin is not None for cell in cells):
        name = LIBRARIES.get(next(iter(formats)), next(iter(formats)))
        version = next((c.versions[name] for c in cells if name in c.versions), "unknown")
        return {
            "name": name,
            "version": version,
            "additional_details": {"converted_by": f"harness {__version__}"},
        }
    return {"name": "harness", "version": __version__}


def _model(cell: CellRecord, model_id: str) -> dict[str, Any]:
    info, counts = cell.model, cell.model.parameters
    details = {
        "deployment_type": "unknown",
        "model_availability": "unknown",
        "identity": info.identity,
        "family": info.family,
    }
    numbers = {
        "num_parameters": counts.total,
        "non_embedding_parameters": counts.non_embedding,
        "active_parameters": counts.active,
        "train_tokens": info.train_tokens,
    }
    details |= {name: str(number) for name, number in numbers.items() if number is not None}
    if cell.origin is not None:
        details["parameters_from"] = cell.origin.sizes
    return {
        "name": info.name,
        "id": model_id,
        "developer": model_id.split("/")[0],
        "additional_details": details,
    }


def _result(source: ExportSource, cell: CellRecord, score: Score) -> dict[str, Any]:
    counts = cell.counts
    time = writing.evaluated(source, cell)
    return {
        "evaluation_result_id": f"{cell.task}/{score.metric.name}",
        "evaluation_name": cell.task,
        "source_data": {
            "dataset_name": cell.task,
            "source_type": "other",
            "additional_details": {"task_fingerprint": cell.fingerprint},
        },
        **({} if time is None else {"evaluation_timestamp": str(int(time))}),
        "metric_config": _metric(score.metric, score.signature),
        "score_details": {
            "score": score.value,
            "uncertainty": _uncertainty(cell, score),
            "details": {
                "samples": str(counts.samples),
                "errors": str(counts.errors),
                "truncated": str(counts.truncated),
                "empty": str(counts.empty),
                "unparseable": str(counts.unparseable),
                "status": cell.status,
                **_fit(source, cell, score),
            },
        },
        "generation_config": {
            "additional_details": {
                "seed": str(cell.seed),
                "shots": str(cell.shots),
                "limit": str(cell.limit),
            }
        },
    }


def _metric(metric: Metric, signature: str) -> dict[str, Any]:
    low, high = metric.bounds
    found: dict[str, Any] = {
        "metric_id": metric.name,
        "metric_name": metric.name,
        "metric_kind": metric.formula,
        "lower_is_better": not metric.higher_is_better,
        "score_type": "continuous",
        "min_score": "-Infinity" if low is None else low,
        "max_score": "Infinity" if high is None else high,
        "additional_details": {"signature": signature},
    }
    if metric.chance is not None:
        found["additional_details"]["chance"] = str(metric.chance)
    return found


def _uncertainty(cell: CellRecord, score: Score) -> dict[str, Any]:
    found: dict[str, Any] = {"num_samples": score.n} if score.n else {}
    if score.stderr is not None:
        found["standard_error"] = {"value": score.stderr, "method": "as imported"}
    low, high = score.ci
    if math.isfinite(low) and math.isfinite(high):
        found["confidence_interval"] = {
            "lower": low,
            "upper": high,
            "confidence_level": 0.95,
            "method": "percentile bootstrap" if cell.origin is None else "see standard_error",
        }
    return found


def _fit(source: ExportSource, cell: CellRecord, score: Score) -> Mapping[str, str]:
    key = (cell.model.family, cell.task, score.metric.name)
    for fit in source.fits:
        if (fit["family"], fit["task"], fit["metric"]) == key:
            kept = {k: v for k, v in fit.items() if k not in ("points", "resampling")}
            return {"scaling_fit": writing.dump(kept)}
    return {}


def _rows(
    source: ExportSource, cells: Sequence[CellRecord], model_id: str, evaluation_id: str
) -> Iterator[bytes]:
    for cell in cells:
        for sample in source.samples(cell):
            if sample.responses:
                row = _row(cell, sample, model_id, evaluation_id)
                yield f"{writing.dump(row)}\n".encode()


def _row(
    cell: CellRecord, sample: SampleRecord, model_id: str, evaluation_id: str
) -> dict[str, Any]:
    values = {s.metric.name: writing.sample_value(s.metric, sample) for s in cell.scores}
    headline = next((s.metric for s in cell.scores if values[s.metric.name] is not None), None)
    score = values[headline.name] if headline is not None else None
    answers = [
        writing.answer(request, response)
        for request, response in zip(_padded(sample), sample.responses, strict=False)
    ]
    error = next((r.error for r in sample.responses if r.error is not None), None)
    first = sample.requests[0] if sample.requests else None
    metadata = {name: f"{value!r}" for name, value in values.items() if value is not None}
    if score is None:
        metadata["unscored"] = "the score 0 stands for no score"
    if sample.unparseable:
        metadata["unparseable"] = "yes"
    row: dict[str, Any] = {
        "schema_version": SCHEMA,
        "evaluation_id": evaluation_id,
        "model_id": model_id,
        "evaluation_name": cell.task,
        "sample_id": sample.id,
        "interaction_type": "single_turn",
        "input": {
            "raw": "" if first is None else writing.prompt(first),
            "reference": writing.references(sample),
        },
        "output": {"raw": answers},
        "answer_attribution": [
            {
                "turn_idx": 0,
                "source": "output.raw",
                "extracted_value": answers[0] if answers else "",
                "extraction_method": "none",
                "is_terminal": True,
            }
        ],
        "evaluation": {
            "score": 0.0 if score is None else score,
            "is_correct": headline is not None and _is_best(headline, score),
        },
        "error": error,
        "metadata": metadata,
    }
    if headline is not None:
        row["evaluation_result_id"] = f"{cell.task}/{headline.name}"
    choices = [r.continuation for r in sample.requests if isinstance(r, Loglikelihood)]
    if len(choices) > 1:
        row["input"]["choices"] = choices
    return row | _usage(sample)


def _padded(sample: SampleRecord) -> list[Any]:
    missing = max(0, len(sample.responses) - len(sample.requests))
    return [*sample.requests, *[None] * missing]


def _is_best(metric: Metric, score: float | None) -> bool:
    best = metric.bounds[1] if metric.higher_is_better else metric.bounds[0]
    return score is not None and best is not None and math.isclose(score, best)


def _usage(sample: SampleRecord) -> dict[str, Any]:
    pairs = [(r.prompt_tokens, r.tokens) for r in sample.responses]
    read = [p for p, _ in pairs if p is not None]
    made = [t for _, t in pairs if t is not None]
    if not pairs or len(read) < len(pairs) or len(made) < len(pairs):
        return {}
    return {
        "token_usage": {
            "input_tokens": sum(read),
            "output_tokens": sum(made),
            "total_tokens": sum(read) + sum(made),
        }
    }
