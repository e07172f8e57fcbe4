"""The JSON of ``run`` and ``show``: one document, its fields bound by the design."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from harness.codec import SCHEMA, to_json
from harness.scaling import CellFit
from harness.types import CellRecord, Efficiency, RunRecord


def run_document(run: RunRecord, fits: Sequence[CellFit]) -> dict[str, Any]:
    """What ``--json`` prints of a run."""
    return {
        "schema": SCHEMA,
        "run": run.directory,
        "status": run.status,
        "scores": [entry for record in run.cells for entry in _scores(record)],
        "fits": [fit_entry(fit) for fit in fits],
        "cells": [_cell(record) for record in run.cells],
        "errors": list(run.errors),
    }


def fit_entry(fitted: CellFit) -> dict[str, Any]:
    """One fit with the series it belongs to and the points it was read from."""
    return {
        "family": fitted.family,
        "task": fitted.task,
        "metric": fitted.metric.name,
        "x": fitted.x,
        **fitted.fit.to_json(),
        "points": [
            {"model": point.record.model.name, "x": point.size, "value": point.score.value}
            for point in fitted.points
        ],
    }


def _cell(record: CellRecord) -> dict[str, Any]:
    """How a cell was made and what it cost."""
    return {
        "model": record.model.name,
        "task": record.task,
        "status": record.status,
        "fingerprint": record.fingerprint,
        "asked": record.asked,
        "reused": record.reused,
        "seconds": record.seconds,
        "efficiency": _efficiency(record.efficiency),
    }


def _efficiency(spent: Efficiency | None) -> dict[str, Any] | None:
    if spent is None:
        return None
    return {
        **to_json(spent),
        "prompt_tokens_per_second": spent.prompt_tokens_per_second,
        "tokens_per_second": spent.tokens_per_second,
    }


def _scores(record: CellRecord) -> Iterator[dict[str, Any]]:
    counts = record.counts
    for score in record.scores:
        yield to_json(
            {
                "model": record.model.name,
                "family": record.model.family,
                "params": record.model.parameters.total,
                "non_embedding": record.model.parameters.non_embedding,
                "train_tokens": record.model.train_tokens,
                "task": record.task,
                "metric": score.metric.name,
                "value": score.value,
                "ci": list(score.ci),
                "n": score.n,
                "samples": counts.samples,
                "errors": counts.errors,
                "truncated": counts.truncated,
                "prompt_truncated": counts.prompt_truncated,
                "empty": counts.empty,
                "unparseable": counts.unparseable,
                "higher_is_better": score.metric.higher_is_better,
                "bounds": list(score.metric.bounds),
                "chance": score.metric.chance,
                "status": record.status,
                "size_source": record.origin.sizes if record.origin else "checkpoint",
                "imported": record.origin.format if record.origin else None,
                "stderr": score.stderr,
                "signature": score.signature,
                "notes": list(record.model.notes),
            }
        )
