"""A run as a table of points, so that every law can be fitted to it as to any CSV."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import UsageError, suggestion
from harness.laws.table import Table
from harness.stats import standard_error
from harness.types import CellRecord, Metric, RunRecord, Score

COLUMNS = ("model", "family", "task", "N", "params", "U", "D", "C")
GROUP = ("family", "task")


def run_metrics(run: RunRecord) -> dict[str, Metric]:
    """The run's metrics by name, in order of appearance."""
    return {score.metric.name: score.metric for cell in run.cells for score in cell.scores}


def metric_table(run: RunRecord, name: str) -> Table:
    """One row a cell that has the metric.

    Columns: model, family, task, ``N`` (non-embedding parameters), ``params`` (total), ``U``
    (distinct training tokens, where known), ``D`` (training tokens), ``C`` (training
    FLOPs), the metric, ``stderr`` (the file's own, or what the interval implies), ``items``,
    and the cell's other metrics.

    Raises:
        UsageError: the run has no such metric.
    """
    known = run_metrics(run)
    if name not in known:
        raise UsageError(f"The run has no metric '{name}'. {suggestion(name, known)}")
    others = tuple(other for other in known if other != name)
    rows = [
        (*_row(cell, score), *_values(cell, others))
        for cell in run.cells
        for score in cell.scores
        if score.metric.name == name
    ]
    return Table(
        name=f"{name} of {run.directory}",
        columns=(*COLUMNS, name, "stderr", "items", *others),
        rows=tuple(rows),
        lines=tuple(range(1, len(rows) + 1)),
    )


def _values(cell: CellRecord, names: Sequence[str]) -> tuple[str, ...]:
    """The cell's scores by the metrics ``names``, empty where it has none."""
    scores = {score.metric.name: repr(score.value) for score in cell.scores}
    return tuple(scores.get(name, "") for name in names)


def _row(cell: CellRecord, score: Score) -> tuple[str, ...]:
    parameters = cell.model.parameters
    values: Sequence[float | int | None] = (
        parameters.non_embedding,
        parameters.total,
        cell.model.unique_tokens,
        cell.model.train_tokens,
        cell.model.train_flops,
        score.value,
        standard_error(score),
        score.n,
    )
    texts = ("" if value is None else repr(value) for value in values)
    return (cell.model.name, cell.model.family, cell.task, *texts)
