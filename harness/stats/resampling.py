"""The paired bootstrap: how a difference varies when the same samples are drawn anew for both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import metrics
from harness.stats.pairs import Pairs
from harness.types import Metric

Array = NDArray[np.float64]

BOOTSTRAP = 2000
"""Draws behind an interval."""

_CHUNK = 1 << 20
"""Weights drawn at once: 8 MB while they are drawn."""

_KEPT = 1 << 26
"""Weights kept for the next comparison, as a byte each: 64 MB."""

_READY = 1 << 22
"""So many weights or fewer are kept as they are multiplied, in single precision: 16 MB."""

_SINGLE = 1 << 24
"""Below it, whole numbers are exact in single precision."""


def cheapest(table: Array) -> NDArray[Any]:
    """``table`` (u, k) in single precision where no sum of a resample of it is rounded there
    (counts), which halves the cost of a product; else as it is."""
    if table.size and len(table) * np.abs(table).max() >= _SINGLE:
        return table
    return table.astype(np.float32) if (table == np.rint(table)).all() else table


class Resampler:
    """Bootstrap weights, drawn once for all comparisons that have the same number of units.

    The same seed, number of draws and number of units always give the same weights, so that all
    systems are compared on the same resamples.
    """

    def __init__(self, *, draws: int = BOOTSTRAP, seed: int = 0) -> None:
        """``draws`` is how many resamples there are."""
        self.draws = draws
        self.seed = seed
        self._kept: dict[int, list[NDArray[Any]]] = {}

    def differences(self, pairs: Pairs) -> Array:
        """The difference, second minus first, on each resample, (draws,); NaN where undefined."""
        first, second = self.values(pairs.metric, (pairs.unit_a, pairs.unit_b))
        with np.errstate(invalid="ignore"):
            difference: Array = second - first
        return difference

    def values(self, metric: Metric, systems: Sequence[Array] | Array) -> Array:
        """Each system's value on each resample, (systems, draws).

        ``systems`` are finite statistics, (u, k) each.
        """
        table = np.concatenate(systems, axis=1)
        compute = metrics.formula(metric.formula)
        columns = [compute(sums.reshape(len(sums), len(systems), -1)) for sums in self.sums(table)]
        return np.concatenate(columns).T

    def sums(self, table: Array) -> Iterator[Array]:
        """The sums of ``table`` (u, k) over each resample, (draws, k), in chunks of rows."""
        varying = (table != table[0]).any(axis=0)
        factor = cheapest(np.ascontiguousarray(table[:, varying]))
        for weights in self.weights(len(table)):
            # As many units are drawn as there are, so a constant's sum is always the same.
            sums = np.tile(table[0] * len(table), (len(weights), 1))
            sums[:, varying] = weights.astype(factor.dtype, copy=False) @ factor
            yield sums

    def weights(self, units: int) -> Iterator[NDArray[Any]]:
        """How often each unit is drawn, (draws, units), in chunks of rows.

        They are kept for the next call where they are few enough.
        """
        if units in self._kept:
            yield from self._kept[units]
            return
        kept: list[NDArray[Any]] = []
        room = _KEPT - self.draws * (units + sum(self._kept))
        for chunk in self._drawn(units):
            if room >= 0:
                kept.append(chunk)
            yield chunk
        if kept:
            self._kept[units] = kept

    def _drawn(self, units: int) -> Iterator[NDArray[Any]]:
        generator = np.random.default_rng([self.seed, 11])
        step = max(1, _CHUNK // max(units, 1))
        for start in range(0, self.draws, step):
            rows = min(step, self.draws - start)
            drawn = generator.integers(units, size=(rows, units))
            # One count for all rows: row i counts in the cells from i·units on.
            drawn += np.arange(rows)[:, None] * units
            counts = np.bincount(drawn.ravel(), minlength=rows * units)
            kind = np.uint8 if counts.max(initial=0) < 256 else np.uint32
            ready = self.draws * units <= _READY
            yield counts.reshape(rows, units).astype(np.float32 if ready else kind)


@dataclass(frozen=True, kw_only=True, eq=False)
class Spread:
    """How uncertain a difference is.

    ``draws`` (B,) are bootstrap differences, finite ones only, widened by :func:`widening`;
    ``scale`` is the larger of the two values, against which rounding is judged.
    """

    difference: float
    draws: Array
    scale: float
    units: int = 0

    @property
    def standard_error(self) -> float:
        """Of the difference, for as many units as there are; 0 where the draws differ by rounding
        only."""
        if self.draws.size < 2:
            return 0.0
        error = float(self.draws.std(ddof=1)) / student(self.units)
        return error if error > 1e-9 * self.scale else 0.0

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The percentile interval, widened to hold the difference itself."""
        if not self.draws.size:
            return self.difference, self.difference
        low, high = np.quantile(self.draws, [(1 - level) / 2, (1 + level) / 2])
        return min(float(low), self.difference), max(float(high), self.difference)

    def bound(self, share: float) -> float:
        """The quantile ``share`` of the difference: a one-sided bound."""
        return float(np.quantile(self.draws, share)) if self.draws.size else self.difference


def spread(pairs: Pairs, resampler: Resampler) -> Spread:
    """Bootstrap the difference (Efron and Tibshirani 1993; paired as in Koehn 2004)."""
    draws = resampler.differences(pairs)
    draws = draws[np.isfinite(draws)]
    return Spread(
        difference=pairs.difference,
        draws=pairs.difference + widening(pairs.units) * (draws - pairs.difference),
        scale=max(abs(pairs.value_a), abs(pairs.value_b)),
        units=pairs.units,
    )


def widening(units: int) -> float:
    """By how much percentiles of so many redrawn units are too narrow for 95 % intervals.

    Draws of n units spread by sqrt((n - 1)/n) less than the estimate, and take their spread as
    known where Student's t is due (Hesterberg 2015, The American Statistician 69:371, section 5):
    a fifth for 10 units, 0.2 % for 1000.
    """
    return student(units) * float(np.sqrt(units / (units - 1))) if units > 1 else 1.0


def student(units: int) -> float:
    """Student's 97.5 % point for so many units over the normal one; 1 below two units."""
    from scipy.special import ndtri, stdtrit

    return float(stdtrit(units - 1, 0.975) / ndtri(0.975)) if units > 1 else 1.0
