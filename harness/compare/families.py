"""Scaling curves of whole families, side against side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness import stats
from harness.cellstats import CellStats, side_by_side, unit_sums
from harness.compare.cells import Settings
from harness.compare.sides import Side
from harness.laws import Series
from harness.stats.curves import CurveDifference, compare_curves, redrawn
from harness.types import CellRecord, Metric, Score

LEAST_SIZES = 3
SIZE = "non_embedding"


@dataclass(frozen=True, kw_only=True)
class FamilyCells:
    """The cells of one family on one task, ordered by size.

    ``axis`` says which size: ``non_embedding`` or ``total`` parameters.
    """

    family: str
    task: str
    side: Side
    axis: str
    cells: tuple[CellRecord, ...]

    @property
    def sizes(self) -> tuple[float, ...]:
        """Parameters."""
        return tuple(size_of(cell, self.axis) for cell in self.cells)


@dataclass(frozen=True, kw_only=True)
class CurveComparison:
    """One metric of one task: two families' curves, and how they differ.

    ``drawn`` says what was drawn anew for the intervals: ``items``, ``standard errors`` (no samples
    are kept) or ``nothing`` but the scatter about the laws.
    """

    family_a: str
    family_b: str
    task: str
    metric: Metric
    axis: str
    drawn: str
    found: CurveDifference


def common_axis(*sides: Side) -> str:
    """Non-embedding parameters, or totals where more models of the sides have those."""
    known = {cell.model.name: cell.model.parameters for side in sides for cell in side.cells}
    inner = sum(one.non_embedding is not None for one in known.values())
    return "total" if sum(one.total is not None for one in known.values()) > inner else SIZE


def size_of(cell: CellRecord, axis: str) -> float:
    """Parameters of a cell's model; 0 where they are not known."""
    return float(getattr(cell.model.parameters, axis) or 0)


def families(side: Side, axis: str) -> Mapping[tuple[str, str], FamilyCells]:
    """Families with enough sizes to have a curve, by family and task."""
    groups: dict[tuple[str, str], list[CellRecord]] = {}
    for cell in side.cells:
        if size_of(cell, axis) and cell.scores:
            groups.setdefault((cell.model.family, cell.task), []).append(cell)
    result = {}
    for (family, task), cells in groups.items():
        cells.sort(key=lambda cell: size_of(cell, axis))
        sizes = {size_of(cell, axis) for cell in cells}
        if len(sizes) >= LEAST_SIZES and len({cell.fingerprint for cell in cells}) == 1:
            result[family, task] = FamilyCells(
                family=family, task=task, side=side, axis=axis, cells=tuple(cells)
            )
    return result


def matched_families(a: Side, b: Side) -> Iterator[tuple[FamilyCells, FamilyCells]]:
    """Families of one name, or the only ones, on tasks whose fingerprints agree."""
    axis = common_axis(a, b)
    left, right = families(a, axis), families(b, axis)
    names_a, names_b = ({family for family, _ in side} for side in (left, right))
    single = len(names_a) == len(names_b) == 1
    for (family, task), first in left.items():
        second = right.get((next(iter(names_b)) if single else family, task))
        if second is not None and first.cells[0].fingerprint == second.cells[0].fingerprint:
            yield first, second


def compare_families(
    a: FamilyCells, b: FamilyCells, settings: Settings
) -> tuple[CurveComparison, ...]:
    """Compare two families' curves on every metric that all their cells have."""
    rows = [f.side.read(cell) for f in (a, b) for cell in f.cells]
    found = []
    for metric in _metrics(a, b, settings.metrics):
        series = paired_series(metric, a, b, rows, settings.curve_resampler)
        if series is None:
            continue
        difference = compare_curves(*series, seed=settings.seed)
        if _too_few(difference, settings):
            fine = settings.fine_resampler
            more = paired_series(metric, a, b, rows, fine) or series
            difference = redrawn(difference, *more, seed=settings.seed, draws=fine.draws)
        kept = all(cell.graded(metric.name) for cell in rows)
        drawn = "items" if kept else "standard errors"
        found.append(
            CurveComparison(
                family_a=a.family,
                family_b=b.family,
                task=a.task,
                metric=metric,
                axis=a.axis,
                drawn="nothing" if series[0].replicates is None else drawn,
                found=difference,
            )
        )
    return tuple(found)


def _too_few(found: CurveDifference, settings: Settings) -> bool:
    """Whether a p-value is near its lowest, while Holm's correction asks for a lower one."""
    shifts = [shift for shift in (found.exponent, found.level) if shift is not None]
    lowest = min((min(s.p, s.p_below, s.p_above) for s in shifts), default=1.0)
    draws = settings.curve_resampler.draws
    return settings.fine_resampler.draws > draws and lowest * (draws + 1) <= 4


def _metrics(a: FamilyCells, b: FamilyCells, names: Sequence[str]) -> Iterator[Metric]:
    for score in a.cells[0].scores:
        name = score.metric.name
        everywhere = all(
            any(other.metric.name == name for other in cell.scores) for cell in (*a.cells, *b.cells)
        )
        if everywhere and (not names or name in names):
            yield score.metric


def paired_series(
    metric: Metric,
    a: FamilyCells,
    b: FamilyCells,
    rows: Sequence[CellStats],
    resampler: stats.Resampler,
) -> tuple[Series, Series] | None:
    """Both families' scores, with replicates over the same draws of the samples that all share.

    ``rows`` are the statistics of ``a``'s cells, then of ``b``'s. ``None`` where some statistic
    is no finite number.
    """
    matrix = _replicates(metric, rows, resampler)
    if matrix is None:
        scores = [_score(metric, cell) for family in (a, b) for cell in family.cells]
        matrix = _drawn_errors(scores, resampler)
    if matrix is not None and not np.isfinite(matrix).any():
        return None
    cut = len(a.cells)
    parts = (None, None) if matrix is None else (matrix[:, :cut], matrix[:, cut:])
    first, second = (
        _series(metric, family, drawn) for family, drawn in zip((a, b), parts, strict=True)
    )
    return first, second


def _series(metric: Metric, family: FamilyCells, drawn: NDArray[np.float64] | None) -> Series:
    return Series(
        sizes=family.sizes,
        values=tuple(_score(metric, cell).value for cell in family.cells),
        metric=metric,
        replicates=drawn,
        labels=tuple(cell.model.name for cell in family.cells),
    )


def _score(metric: Metric, cell: CellRecord) -> Score:
    return next(score for score in cell.scores if score.metric.name == metric.name)


def _drawn_errors(
    scores: Sequence[Score], resampler: stats.Resampler
) -> NDArray[np.float64] | None:
    """(B, m) normal draws of the scores' standard errors, each on its own; ``None`` where some
    score has none."""
    known = [stats.standard_error(score) for score in scores]
    errors = np.array([np.nan if error is None else error for error in known])
    if not np.isfinite(errors).all():
        return None
    generator = np.random.default_rng([resampler.seed, 23])
    noise = generator.standard_normal((resampler.draws, len(scores)))
    drawn: NDArray[np.float64] = np.array([score.value for score in scores]) + noise * errors
    return drawn


def _replicates(
    metric: Metric, rows: Sequence[CellStats], resampler: stats.Resampler
) -> NDArray[np.float64] | None:
    """(B, m) scores of every cell over the same resamples; ``None`` without shared samples."""
    try:
        found = side_by_side(metric.name, rows)
    except ValueError:
        return None
    if found is None or not np.isfinite(found.rows).all():
        return None
    return resampler.values(metric, [unit_sums(one, found.unit) for one in found.rows]).T
