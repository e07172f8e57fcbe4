"""From a run's records to fits: one series per family, task and metric, one law for each.

Sizes are non-embedding parameters (Kaplan et al. 2020); imported models of which only the total is
known are fitted over totals, and the fit says so. Where samples are kept, all sizes are resampled
with the same draw of samples, so that what the sizes share cancels out of the exponent. Where an
imported file has standard errors instead, normal draws of that spread take their place: wider than
the truth, as what the sizes share does not cancel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.cellstats import CellStats, side_by_side
from harness.laws import Fit, Series, fit_series
from harness.results import RunDirectory
from harness.stats import standard_error
from harness.types import CellRecord, Metric, RunRecord, Score

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REPLICATES = 1000
LEAST_MODELS = 2
SIZE = "non_embedding"
TOTAL = "total"
ALIKE = 0.9
"""Amounts of training data that differ by less than a tenth count as one."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One model's score in a series."""

    record: CellRecord
    score: Score
    size: int


@dataclass(frozen=True, kw_only=True)
class CellFit:
    """How one metric of one task grows over a family, with the points it was read from.

    ``x`` says which size: ``non_embedding`` or ``total`` parameters.
    """

    family: str
    task: str
    metric: Metric
    points: tuple[Point, ...]
    fit: Fit
    x: str = SIZE


def fit_run(
    run: RunRecord, directory: RunDirectory, *, law: str | None = None, seed: int = 0
) -> tuple[CellFit, ...]:
    """Fit every family × task × metric that has at least two sizes, by the ``law`` that suits.

    A single model is no family and gets no fit; with two sizes the fit says why there is none.
    Raises UsageError for a ``law`` that is none of ``harness.laws.SERIES_LAWS``.
    """
    axes = _axes(run.cells)
    points = _points(run.cells, axes)
    statistics: dict[str, CellStats] = {}
    current: tuple[str, str] | None = None
    fits = []
    for (family, task, name), every in points.items():
        found = _most_trained(every)
        if len({point.size for point in found}) < LEAST_MODELS:
            continue
        if current != (family, task):  # one curve's cells in memory at a time
            current = (family, task)
            statistics.clear()
        cells = []
        for point in found:
            model = point.record.model.name
            if model not in statistics:
                statistics[model] = directory.read_stats(point.record)
            cells.append(statistics[model])
        metric = _shared_metric(found)
        replicates = item_draws(metric, name, cells, seed)
        parametric = _parametric(found, seed) if replicates is None else None
        series = Series(
            sizes=tuple(float(point.size) for point in found),
            values=tuple(point.score.value for point in found),
            replicates=replicates if parametric is None else parametric,
            metric=metric,
            labels=tuple(point.record.model.name for point in found),
        )
        fit = fit_series(series, law=law, seed=seed)
        if len(found) < len(every):
            fit = _among(fit, len(found), len(every))
        if len({point.record.fingerprint for point in found}) > 1:
            fit = _unlike(fit, found)
        fits.append(
            CellFit(
                family=family,
                task=task,
                metric=metric,
                points=tuple(found),
                fit=fit if parametric is None else _by_standard_errors(fit),
                x=axes[family],
            )
        )
    return tuple(fits)


def _shared_metric(found: Sequence[Point]) -> Metric:
    """The metric of a series; of unknown range where imported scores disagree about it."""
    metric = found[0].score.metric
    if len({point.score.metric.bounds for point in found}) > 1:
        return replace(metric, bounds=(None, None), is_loss=False)
    return metric


def _axes(cells: Sequence[CellRecord]) -> Mapping[str, str]:
    """Each family's size: non-embedding parameters, or totals where more models have those."""
    models: dict[str, dict[str, CellRecord]] = {}
    for record in cells:
        models.setdefault(record.model.family, {})[record.model.name] = record
    axes = {}
    for family, records in models.items():
        known = [record.model.parameters for record in records.values()]
        total = sum(parameters.total is not None for parameters in known)
        inner = sum(parameters.non_embedding is not None for parameters in known)
        axes[family] = TOTAL if total > inner else SIZE
    return axes


def _points(
    cells: Sequence[CellRecord], axes: Mapping[str, str]
) -> Mapping[tuple[str, str, str], list[Point]]:
    points: dict[tuple[str, str, str], list[Point]] = {}
    for record in cells:
        parameters = record.model.parameters
        total = axes[record.model.family] == TOTAL
        size = parameters.total if total else parameters.non_embedding
        if size is None:
            continue
        for score in record.scores:
            key = (record.model.family, record.task, score.metric.name)
            points.setdefault(key, []).append(Point(record=record, score=score, size=size))
    for found in points.values():
        found.sort(key=lambda point: point.size)
    return points


def _most_trained(found: Sequence[Point]) -> list[Point]:
    """The points at each size's most training data, where a size was trained on several amounts.

    A curve in size alone would mix the two effects. Amounts within a tenth of the most count as
    equal, as shares drawn by several seeds differ by a little. Of models that were fine-tuned
    distinct tokens count, as each stops after passes of its own; of others the tokens read.
    Sizes of unknown data stay as they are.
    """
    most: dict[int, float] = {}
    for point in found:
        most[point.size] = max(most.get(point.size, 0.0), _amount(point))
    return [point for point in found if _amount(point) >= ALIKE * most[point.size]]


def _amount(point: Point) -> float:
    info = point.record.model
    distinct = info.unique_tokens if info.train_samples else None
    return float(distinct or info.train_tokens or 0)


def _among(fit: Fit, kept: int, number: int) -> Fit:
    """The same fit, which says that models trained on less are left out."""
    said = (
        f"Of {number} models the {kept} with the most training data of their size are fitted; "
        "`harness fit RUN --law product --x N,D,C` takes all."
    )
    return replace(fit, note=f"{fit.note} {said}".strip())


def _unlike(fit: Fit, found: Sequence[Point]) -> Fit:
    """The same fit, doubted: its sizes were not asked, or not graded, alike."""
    first = found[0].record
    other = next(p.record for p in found if p.record.fingerprint != first.fingerprint)
    said = (
        f"The sizes were not measured alike: fingerprint {first.fingerprint} of "
        f"{first.model.name} against {other.fingerprint} of {other.model.name}."
    )
    verdict = "weak" if fit.verdict == "ok" else fit.verdict
    return replace(fit, verdict=verdict, note=f"{said} {fit.note}".strip())


def item_draws(
    metric: Metric, name: str, cells: Sequence[CellStats], seed: int, number: int = REPLICATES
) -> NDArray[np.float64] | None:
    """Scores of every size over the same resamples of the samples that all sizes have, (B, m)."""
    import numpy as np

    from harness import metrics

    try:
        found = side_by_side(name, cells)
    except ValueError:
        return None
    if found is None:
        return None
    named = [group for group in found.groups or () if group is not None]
    clustered = found.groups if len(set(named)) < len(named) else None
    weights = metrics.bootstrap_weights(found.rows.shape[1], number, seed, clustered)
    columns = [metrics.replicates(metric, rows, weights) for rows in found.rows]
    return np.stack(columns, axis=1)


def _parametric(found: Sequence[Point], seed: int) -> NDArray[np.float64] | None:
    """Normal draws about the scores, (B, m), or None where a standard error is not known."""
    import numpy as np

    errors = [standard_error(point.score) for point in found]
    if any(error is None for error in errors):
        return None
    values = np.array([point.score.value for point in found])
    generator = np.random.default_rng([seed, 11])
    noise = generator.standard_normal((REPLICATES, len(found)))
    draws: NDArray[np.float64] = values + noise * np.array(errors, dtype=float)
    return draws


def _by_standard_errors(fit: Fit) -> Fit:
    """The same fit, which says that standard errors were drawn and not items."""
    if fit.resampling is None:
        return fit
    unit = fit.resampling.unit.replace("items", "standard errors")
    method = fit.resampling.method.replace(fit.resampling.unit, unit)
    return replace(fit, resampling=replace(fit.resampling, unit=unit, method=method))
