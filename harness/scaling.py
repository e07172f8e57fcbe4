"""From a run's records to fits: one series per family, task and metric, one law for each.

Sizes are non-embedding parameters (Kaplan et al. 2020). Where samples are kept, all sizes are
resampled with the same draw of samples, so that what the sizes share cancels out of the exponent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.laws import Fit, Series, fit_series
from harness.results import CellStats, RunDirectory
from harness.types import CellRecord, Metric, RunRecord, Score

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REPLICATES = 1000
LEAST_MODELS = 2
SIZE = "non_embedding"


@dataclass(frozen=True, kw_only=True)
class Point:
    """One model's score in a series."""

    record: CellRecord
    score: Score
    size: int


@dataclass(frozen=True, kw_only=True)
class CellFit:
    """How one metric of one task grows over a family, with the points it was read from."""

    family: str
    task: str
    metric: Metric
    points: tuple[Point, ...]
    fit: Fit


def fit_run(run: RunRecord, directory: RunDirectory, *, seed: int = 0) -> tuple[CellFit, ...]:
    """Fit every family × task × metric that has at least two sizes.

    A single model is no family and gets no fit; with two sizes the fit says why there is none.
    """
    points = _points(run.cells)
    statistics: dict[tuple[str, str], CellStats] = {}
    fits = []
    for (family, task, name), found in points.items():
        if len({point.size for point in found}) < LEAST_MODELS:
            continue
        cells = []
        for point in found:
            key = (point.record.model.name, task)
            if key not in statistics:
                statistics[key] = directory.read_stats(point.record)
            cells.append(statistics[key])
        metric = found[0].score.metric
        series = Series(
            sizes=tuple(float(point.size) for point in found),
            values=tuple(point.score.value for point in found),
            replicates=_replicates(metric, name, cells, seed),
            metric=metric,
            labels=tuple(point.record.model.name for point in found),
        )
        fit = fit_series(series, seed=seed)
        fits.append(CellFit(family=family, task=task, metric=metric, points=tuple(found), fit=fit))
    return tuple(fits)


def _points(cells: Sequence[CellRecord]) -> Mapping[tuple[str, str, str], list[Point]]:
    points: dict[tuple[str, str, str], list[Point]] = {}
    for record in cells:
        size = record.model.parameters.non_embedding
        if size is None:
            continue
        for score in record.scores:
            key = (record.model.family, record.task, score.metric.name)
            points.setdefault(key, []).append(Point(record=record, score=score, size=size))
    for found in points.values():
        found.sort(key=lambda point: point.size)
    return points


def _replicates(
    metric: Metric, name: str, cells: Sequence[CellStats], seed: int
) -> NDArray[np.float64] | None:
    """Scores of every size over the same resamples of the samples that all sizes have, (B, m)."""
    import numpy as np

    from harness import metrics

    shared = [key for key in cells[0].rows.get(name, {}) if all(key in c.rows[name] for c in cells)]
    if not shared:
        return None
    groups = [cells[0].groups[key] for key in shared]
    named = [group for group in groups if group is not None]
    clustered = groups if len(set(named)) < len(named) else None
    weights = metrics.bootstrap_weights(len(shared), REPLICATES, seed, clustered)
    columns = [
        metrics.replicates(metric, np.array([cell.rows[name][key] for key in shared]), weights)
        for cell in cells
    ]
    return np.stack(columns, axis=1)
