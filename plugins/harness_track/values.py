"""What every tracker sends, as names and numbers."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.training import TrainedModel
    from harness.types import CellRecord, RunRecord

SCORES = ("model", "params", "train_tokens", "task", "metric", "value", "low", "high", "n")
"""Columns of the table of a run's scores."""


def library(name: str, package: str) -> Any:
    """The tracker's own library. Raises UsageError where it cannot be imported."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(
            f"--track needs {package}, which cannot be imported: {error}.\n"
            "pip install 'harness[track]'"
        ) from error


def scores_of(record: CellRecord) -> dict[str, float]:
    """``TASK/METRIC`` to value, for every score of a cell."""
    return {f"{plain(record.task)}/{s.metric.name}": s.value for s in record.scores}


def table_of(run: RunRecord) -> Iterator[tuple[Any, ...]]:
    """A row of ``SCORES`` for every score of a run."""
    for cell in run.cells:
        for score in cell.scores:
            yield (
                cell.model.name,
                cell.model.parameters.total,
                cell.model.train_tokens,
                cell.task,
                score.metric.name,
                score.value,
                *score.ci,
                score.n,
            )


def facts_of(row: TrainedModel) -> dict[str, Any]:
    """What does not change over a training."""
    return {
        "model": row.name,
        "family": row.family,
        "outcome": row.outcome,
        "parameters": row.parameters,
        "non_embedding": row.non_embedding,
        "trainable": row.trainable,
        "tokens": row.tokens,
        "flops": row.flops,
        **row.settings,
    }


def plain(name: str) -> str:
    """A name of letters that every tracker takes."""
    return re.sub(r"[^A-Za-z0-9_./ -]+", "_", name)
