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
from harness.stats.curves import CurveDifference, compare_curves
from harness.types import CellRecord, Metric

LEAST_SIZES = 3


@dataclass(frozen=True, kw_only=True)
class FamilyCells:
    """The cells of one family on one task, ordered by size."""

    family: str
    task: str
    side: Side
    cells: tuple[CellRecord, ...]

    @property
    def sizes(self) -> tuple[float, ...]:
        """Non-embedding parameters."""
        return tuple(float(cell.model.parameters.non_embedding or 0) for cell in self.cells)


@dataclass(frozen=True, kw_only=True)
class CurveComparison:
    """One metric of one task: two families' curves, and how they differ."""

    family_a: str
    family_b: str
    task: str
    metric: Metric
    found: CurveDifference


def families(side: Side) -> Mapping[tuple[str, str], FamilyCells]:
    """Families with enough sizes to have a curve, by family and task."""
    groups: dict[tuple[str, str], list[CellRecord]] = {}
    for cell in side.cells:
        if cell.model.parameters.non_embedding and cell.scores:
            groups.setdefault((cell.model.family, cell.task), []).append(cell)
    result = {}
    for (family, task), cells in groups.items():
        cells.sort(key=lambda cell: cell.model.parameters.non_embedding or 0)
        sizes = {cell.model.parameters.non_embedding for cell in cells}
        if len(sizes) >= LEAST_SIZES and len({cell.fingerprint for cell in cells}) == 1:
            result[family, task] = FamilyCells(
                family=family, task=task, side=side, cells=tuple(cells)
            )
    return result


def matched_families(a: Side, b: Side) -> Iterator[tuple[FamilyCells, FamilyCells]]:
    """Families of one name, or the only ones, on tasks whose fingerprints agree."""
    left, right = families(a), families(b)
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
        difference = _difference(metric, a, b, rows, settings.curve_resampler)
        if difference is not None and _too_few(difference, settings):
            difference = _difference(metric, a, b, rows, settings.fine_resampler)
        if difference is not None:
            found.append(
                CurveComparison(
                    family_a=a.family,
                    family_b=b.family,
                    task=a.task,
                    metric=metric,
                    found=difference,
                )
            )
    return tuple(found)


def _difference(
    metric: Metric,
    a: FamilyCells,
    b: FamilyCells,
    rows: Sequence[CellStats],
    resampler: stats.Resampler,
) -> CurveDifference | None:
    series = paired_series(metric, a, b, rows, resampler)
    if series is None:
        return None
    return compare_curves(*series, seed=resampler.seed, draws=resampler.draws)


def _too_few(found: CurveDifference, settings: Settings) -> bool:
    """Whether a p-value is at its lowest, while Holm's correction asks for a lower one."""
    shifts = [shift for shift in (found.exponent, found.level) if shift is not None]
    lowest = min((min(s.p, s.p_below, s.p_above) for s in shifts), default=1.0)
    draws = settings.curve_resampler.draws
    return settings.fine_resampler.draws > draws and lowest * (draws + 1) <= 10


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
        values=tuple(
            next(s.value for s in cell.scores if s.metric.name == metric.name)
            for cell in family.cells
        ),
        metric=metric,
        replicates=drawn,
        labels=tuple(cell.model.name for cell in family.cells),
    )


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
