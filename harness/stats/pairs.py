"""Two systems on the same samples: their statistics side by side."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from harness import metrics
from harness.cellstats import CellStats, side_by_side, unit_sums
from harness.errors import NotComparableError
from harness.types import Metric

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """Statistics of two systems, row by row of the same sample.

    a, b
        (n, k) sufficient statistics of the samples that both have
    unit
        (n,) the number of the unit each sample belongs to: its group, or itself
    only_a, only_b
        how many samples only one of them has
    """

    metric: Metric
    a: Array
    b: Array
    unit: NDArray[np.intp]
    only_a: int = 0
    only_b: int = 0

    @property
    def n(self) -> int:
        """How many samples are paired."""
        return len(self.a)

    @cached_property
    def units(self) -> int:
        """How many units are drawn or swapped as a whole."""
        return int(self.unit.max()) + 1 if self.n else 0

    @property
    def clustered(self) -> bool:
        """Whether some samples share a source."""
        return self.units < self.n

    @cached_property
    def unit_a(self) -> Array:
        """(u, k) sums of ``a`` over each unit."""
        return unit_sums(self.a, self.unit)

    @cached_property
    def unit_b(self) -> Array:
        """(u, k) sums of ``b`` over each unit."""
        return unit_sums(self.b, self.unit)

    @cached_property
    def value_a(self) -> float:
        """The metric's value of the first system on the paired samples."""
        return metrics.value(self.metric, self.a)

    @cached_property
    def value_b(self) -> float:
        """The metric's value of the second system on the paired samples."""
        return metrics.value(self.metric, self.b)

    @cached_property
    def differing(self) -> int:
        """How many units are not the same on both sides."""
        return int((self.unit_a != self.unit_b).any(axis=1).sum())

    @property
    def difference(self) -> float:
        """Second minus first, on the metric's own scale."""
        return self.value_b - self.value_a

    @property
    def sign(self) -> float:
        """1 where a positive difference is a gain, -1 where it is a loss."""
        return 1.0 if self.metric.higher_is_better else -1.0

    @cached_property
    def unusable(self) -> tuple[int, int]:
        """How many samples of each side hold a statistic that is no finite number."""
        return tuple(int((~np.isfinite(side)).any(axis=1).sum()) for side in (self.a, self.b))  # type: ignore[return-value]

    @cached_property
    def per_sample(self) -> tuple[Array, Array] | None:
        """Each sample's own scores where the metric is their plain mean, else ``None``."""
        if self.metric.formula not in ("mean", "ratio") or self.a.shape[1] != 2:
            return None
        if not (self.a[:, 1] == 1).all() or not (self.b[:, 1] == 1).all():
            return None
        return self.a[:, 0], self.b[:, 0]

    @property
    def step(self) -> float:
        """What the largest change of one sample changes in a mean; 0 for other metrics."""
        scores = self.per_sample
        return 0.0 if scores is None else float(np.abs(scores[1] - scores[0]).max()) / self.n

    @cached_property
    def binary(self) -> bool:
        """Whether every sample is simply right or wrong."""
        scores = self.per_sample
        return scores is not None and np.unique(np.concatenate(scores)).size <= 2


def pair(metric: Metric, a: CellStats, b: CellStats) -> Pairs:
    """Put two cells' statistics of ``metric`` side by side, sample by sample.

    Raises:
        NotComparableError: they share no sample, or the statistics are of different kinds.
    """
    try:
        found = side_by_side(metric.name, (a, b))
    except ValueError as error:
        raise NotComparableError(
            f"{metric.name}: the two sides keep different statistics per sample.\n"
            "Run both again with the same version of harness."
        ) from error
    if found is None:
        left, right = (len(side.graded(metric.name)) for side in (a, b))
        raise NotComparableError(
            f"{metric.name}: no sample is graded on both sides ({left} on the first, {right} on "
            "the second).\nRun both again with samples kept."
        )
    return Pairs(
        metric=metric,
        a=found.rows[0],
        b=found.rows[1],
        unit=found.unit,
        only_a=found.alone[0],
        only_b=found.alone[1],
    )
