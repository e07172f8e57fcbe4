"""Swapping two systems' statistics unit by unit: evenly, or towards the tail for small p-values.

Even swaps cannot show a p-value below one over their number. :func:`tilted` draws swaps that favour
one system (each as often), and weighs each by how much likelier an even coin makes it. The p-value
(w₀ + Σ wᵢ·[at least as extreme])/(B + 1), where w₀ is the weight of what was measured, is valid
for any number of draws (Harrison 2012, Biometrika 99:57, eq. 3): the tilt depends on nothing that
a swap changes. Two thousand draws then show p-values of any size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import metrics
from harness.stats.pairs import Pairs
from harness.stats.resampling import cheapest

Array = NDArray[np.float64]
Coins = NDArray[Any]

TILTED_DRAWS = 2000
_CHUNK = 1 << 20
_PARTS = 1 << 16
_STEP = 1e-4
"""Relative step of the numerical gradient."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Statistic:
    """What swapping does: ``after(swaps)`` gives the difference for each row of swaps (r, u).

    ``influence`` (u,) is what each unit adds to the difference to first order: swapped, it takes
    away as much. Its size does not depend on which of the two systems is which.
    """

    units: int
    after: Callable[[Coins], Array]
    influence: Array

    @property
    def tiltable(self) -> bool:
        """Whether the influences tell which swaps lead towards the tail."""
        return bool(np.isfinite(self.influence).all() and self.influence.any())


def mean_statistic(pairs: Pairs) -> Statistic:
    """The difference of two means of per-sample scores."""
    unit = pairs.unit_b[:, 0] - pairs.unit_a[:, 0]
    moved = unit[unit != 0]
    total, n, factor = float(moved.sum()), pairs.n, cheapest(moved)
    return Statistic(
        units=moved.size,
        after=lambda swaps: (total - 2 * (swaps.astype(factor.dtype) @ factor)) / n,
        influence=moved / n,
    )


def corpus_statistic(pairs: Pairs) -> Statistic:
    """The difference of any metric. Only units and columns that differ are summed anew."""
    difference = pairs.unit_b - pairs.unit_a
    rows, columns = (difference != 0).any(axis=1), (difference != 0).any(axis=0)
    exact = np.ascontiguousarray(difference[rows][:, columns])
    moved = cheapest(exact)
    sum_a, sum_b = pairs.unit_a.sum(axis=0), pairs.unit_b.sum(axis=0)
    compute = metrics.formula(pairs.metric.formula)

    def after(swaps: Coins) -> Array:
        shift = np.zeros((len(swaps), difference.shape[1]))
        shift[:, columns] = swaps.astype(moved.dtype) @ moved
        return compute(sum_b - shift) - compute(sum_a + shift)

    slope = _gradient(compute, (sum_a + sum_b) / 2)[columns]
    return Statistic(units=len(moved), after=after, influence=exact @ slope)


def _gradient(compute: Callable[[Array], Array], at: Array) -> Array:
    """Central differences of a metric at the sums ``at`` (k,)."""
    steps = np.diag(_STEP * np.maximum(np.abs(at), 1.0))
    with np.errstate(all="ignore"):
        slope: Array = (compute(at + steps) - compute(at - steps)) / (2 * steps.diagonal())
    return slope


def all_swaps(units: int) -> Coins:
    """Every way to swap so many units, (2^u, u)."""
    numbers = np.arange(2**units)[:, None]
    return ((numbers >> np.arange(units)) & 1).astype(np.uint8)


def even(units: int, ends: tuple[int, ...], seed: int) -> Iterator[Coins]:
    """``ends[-1]`` rows of independent fair coins, in chunks that end at each of ``ends``."""
    generator = np.random.default_rng([seed, 13])
    step = max(1, _CHUNK // units)
    done = 0
    while done < ends[-1]:
        size = min(step, next(end for end in ends if done < end) - done)
        coins = generator.integers(0, 256, size=(size, (units + 7) // 8), dtype=np.uint8)
        yield np.unpackbits(coins, axis=1, count=units)
        done += size


@dataclass(frozen=True, kw_only=True, eq=False)
class Tilt:
    """Swaps that favour one of the systems: unit i with odds exp(±2·tᵢ), t = ``strength`` (u,).

    Unit i is swapped ``chance`` (u,) times in 2¹⁶, or as often not swapped, so that two bytes of
    chance decide.
    """

    chance: NDArray[np.uint16]
    seed: int

    @cached_property
    def strength(self) -> Array:
        """t, of the chances as they are."""
        chance = self.chance.astype(np.float64)
        half: Array = np.log((_PARTS - chance) / chance) / 2
        return half

    @property
    def weight_of_measured(self) -> float:
        """The weight of no swap at all."""
        return float(self._weights(np.array([self.strength.sum()]))[0])

    def draws(self) -> Iterator[tuple[Coins, Array]]:
        """Rows of swaps (r, u) with their weights (r,), :data:`TILTED_DRAWS` in all."""
        generator = np.random.default_rng([self.seed, 19])
        units = self.chance.size
        step = max(1, _CHUNK // units)
        for start in range(0, TILTED_DRAWS, step):
            rows = min(step, TILTED_DRAWS - start)
            first = generator.random(rows) < 0.5
            drawn = generator.integers(0, _PARTS, size=(rows, units), dtype=np.uint16)
            swaps = (drawn < self.chance) ^ first[:, None]
            yield swaps, self._weights(self.strength.sum() - 2 * (swaps @ self.strength))

    def _weights(self, pull: Array) -> Array:
        """How much likelier fair coins are, for the tilted sum of each row: Π cosh tᵢ / cosh Σ."""
        weights: Array = np.exp(_log_cosh(self.strength).sum() - _log_cosh(pull))
        return weights


def tilted(statistic: Statistic, *, level: float, seed: int) -> Tilt:
    """Swaps whose middle lies where a two-sided p-value is about ``level``."""
    from scipy.special import ndtri

    unit = statistic.influence / np.sqrt((statistic.influence**2).sum())
    odds = np.exp(-np.logaddexp(0.0, -2 * float(ndtri(level / 2)) * unit))
    chance = np.clip(np.rint(odds * _PARTS), 1, _PARTS - 1).astype(np.uint16)
    return Tilt(chance=chance, seed=seed)


def _log_cosh(x: Array) -> Array:
    result: Array = np.logaddexp(x, -x) - np.log(2)
    return result
