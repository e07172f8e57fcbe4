"""Paired tests: is the difference between two systems more than chance?

All but the bootstrap test the hypothesis that the two systems are exchangeable on every sample (on
every group, where samples share a source). Each gives a two-sided p-value and the one-sided one of
"the second is worse", never zero: k of B random draws at least as extreme count (k+1)/(B+1). Draws
stop early where many were as extreme, which keeps the test valid (Besag and Clifford 1991).

==================  ===============================================================================
``mcnemar``         scores of 0 or 1, each sample on its own: exact binomial test of the samples
                    on which the two differ (McNemar 1947), with the mid-p value beside it
``permutation``     means of per-sample scores: signs of the differences flipped (Fisher 1935)
``randomization``   any metric: the two systems' statistics swapped at random and the metric
                    computed anew (Noreen 1989; Riezler and Maxwell 2005)
``bootstrap``       any metric: centred paired bootstrap (Koehn 2004; Graham et al. 2014); the
                    only one that can test "worse by more than δ"
==================  ===============================================================================

With at most 13 units that differ, all ways to swap are enumerated and the p-value is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness import metrics
from harness.errors import UsageError, suggestion
from harness.stats.pairs import Pairs
from harness.stats.resampling import Spread, cheapest

Array = NDArray[np.float64]
Coins = NDArray[Any]
Name: TypeAlias = Literal["mcnemar", "permutation", "randomization", "bootstrap"]

TESTS: tuple[str, ...] = ("auto", "bootstrap", "randomization", "mcnemar", "permutation")
DRAWS = 10_000

_STOPS: tuple[tuple[int, int], ...] = ((2000, 200), (DRAWS, 10))
"""After so many draws, no more are made where at least so many of them were as extreme."""

_EXACT_UNITS = 13
_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Significance:
    """What a test found.

    ``p`` is two-sided; ``p_worse`` is that of "the second system is worse by more than the
    margin". ``draws`` is how many random draws they rest on, 0 where they are exact. ``mid_p`` is
    McNemar's two-sided mid-p value (Fagerland et al. 2013).
    """

    test: Name
    p: float
    p_worse: float
    draws: int
    mid_p: float | None = None


def choose(pairs: Pairs, wanted: str = "auto") -> Name:
    """The test that suits the metric, or the one wanted; raises UsageError where it cannot be."""
    if wanted not in TESTS:
        raise UsageError(f"Unknown test '{wanted}'. {suggestion(wanted, TESTS)}")
    single = pairs.per_sample is not None
    if wanted == "mcnemar" and not (pairs.binary and not pairs.clustered):
        why = "samples share sources" if pairs.binary else "its samples are not just right or wrong"
        raise UsageError(
            f"McNemar's test does not suit {pairs.metric.name}: {why}.\n"
            "Use --test permutation, randomization or auto."
        )
    if wanted == "permutation" and not single:
        raise UsageError(
            f"The permutation test does not suit {pairs.metric.name}: it is no mean of "
            "per-sample scores.\nUse --test randomization, bootstrap or auto."
        )
    if wanted != "auto":
        return wanted  # type: ignore[return-value]
    if pairs.binary and not pairs.clustered:
        return "mcnemar"
    return "permutation" if single else "randomization"


def significance(
    pairs: Pairs, test: Name, spread: Spread, *, draws: int = DRAWS, seed: int = 0
) -> Significance:
    """Test the difference; ``spread`` is used by the bootstrap alone.

    ``draws`` is the most draws that a p-value may rest on; 10,000 suffice unless it is tiny.
    """
    if test == "mcnemar":
        return _mcnemar(pairs)
    if test == "bootstrap":
        return shifted(pairs, spread)
    if test == "permutation":
        return _swapped(test, _mean_statistic(pairs), pairs, draws, seed)
    return _swapped(test, _corpus_statistic(pairs), pairs, draws, seed)


def shifted(pairs: Pairs, spread: Spread, *, margin: float = 0.0) -> Significance:
    """The centred bootstrap's p-values; ``p_worse`` asks for a loss of more than ``margin``.

    The draws are moved to the edge of the hypothesis, a loss of exactly ``margin``, and those
    counted that lie as far out as what was measured.
    """
    centred = spread.draws - spread.difference
    near = _tolerance(pairs)
    total = spread.draws.size + 1
    extreme = int((np.abs(centred) >= abs(spread.difference) - near).sum())
    gain = pairs.sign * spread.difference + margin
    worse = int((pairs.sign * centred <= gain + near).sum())
    return Significance(
        test="bootstrap",
        p=(extreme + 1) / total,
        p_worse=(worse + 1) / total,
        draws=spread.draws.size,
    )


def _mcnemar(pairs: Pairs) -> Significance:
    from scipy.special import bdtr

    scores = pairs.per_sample
    assert scores is not None
    gains = pairs.sign * (scores[1] - scores[0])
    better, worse = int((gains > 0).sum()), int((gains < 0).sum())
    differing, fewer = better + worse, min(better, worse)
    if differing == 0:
        return Significance(test="mcnemar", p=1.0, p_worse=1.0, draws=0, mid_p=1.0)
    tail = float(bdtr(fewer, differing, 0.5))
    p = min(1.0, 2 * tail)
    point = tail - (float(bdtr(fewer - 1, differing, 0.5)) if fewer else 0.0)
    mid = 1.0 if better == worse else min(1.0, 2 * tail - point)
    # P(at least `worse` of them are worse) = P(at most `better` are better), by symmetry.
    return Significance(
        test="mcnemar", p=p, p_worse=float(bdtr(better, differing, 0.5)), draws=0, mid_p=mid
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Statistic:
    """What swapping does: ``after(swaps)`` gives the difference for each row of swaps (r, u)."""

    units: int
    after: Callable[[Coins], Array]


def _mean_statistic(pairs: Pairs) -> _Statistic:
    scores = pairs.per_sample
    assert scores is not None
    unit = pairs.unit_b[:, 0] - pairs.unit_a[:, 0]
    moved = unit[unit != 0]
    total, n, factor = float(moved.sum()), pairs.n, cheapest(moved)
    return _Statistic(
        units=moved.size,
        after=lambda swaps: (total - 2 * (swaps.astype(factor.dtype) @ factor)) / n,
    )


def _corpus_statistic(pairs: Pairs) -> _Statistic:
    """Only units and columns that differ have to be summed anew."""
    difference = pairs.unit_b - pairs.unit_a
    rows, columns = (difference != 0).any(axis=1), (difference != 0).any(axis=0)
    moved = cheapest(np.ascontiguousarray(difference[rows][:, columns]))
    sum_a, sum_b = pairs.unit_a.sum(axis=0), pairs.unit_b.sum(axis=0)
    compute = metrics.formula(pairs.metric.formula)

    def after(swaps: Coins) -> Array:
        shift = np.zeros((len(swaps), difference.shape[1]))
        shift[:, columns] = swaps.astype(moved.dtype) @ moved
        return compute(sum_b - shift) - compute(sum_a + shift)

    return _Statistic(units=len(moved), after=after)


def _swapped(test: Name, statistic: _Statistic, pairs: Pairs, most: int, seed: int) -> Significance:
    """Count swaps at least as extreme as what was measured."""
    if statistic.units == 0:
        return Significance(test=test, p=1.0, p_worse=1.0, draws=0)
    near, measured = _tolerance(pairs), pairs.difference
    exact = statistic.units <= _EXACT_UNITS
    chunks = _all_swaps(statistic.units) if exact else _random_swaps(statistic.units, most, seed)
    extreme = worse = count = 0
    for swaps in chunks:
        after = statistic.after(swaps)
        # An undefined value cannot speak against chance.
        after = np.where(np.isnan(after), measured, after)
        extreme += int((np.abs(after) >= abs(measured) - near).sum())
        worse += int((pairs.sign * after <= pairs.sign * measured + near).sum())
        count += len(swaps)
        if any(count >= draws and min(extreme, worse) >= enough for draws, enough in _STOPS):
            break
    if exact:
        return Significance(test=test, p=extreme / count, p_worse=worse / count, draws=0)
    return Significance(
        test=test, p=(extreme + 1) / (count + 1), p_worse=(worse + 1) / (count + 1), draws=count
    )


def _all_swaps(units: int) -> Iterator[Coins]:
    numbers = np.arange(2**units)[:, None]
    yield ((numbers >> np.arange(units)) & 1).astype(np.uint8)


def _random_swaps(units: int, most: int, seed: int) -> Iterator[Coins]:
    """At most ``most`` rows of independent fair coins, in chunks that end where one may stop."""
    generator = np.random.default_rng([seed, 13])
    step = max(1, _CHUNK // units)
    done = 0
    while done < most:
        stop = next((draws for draws, _ in _STOPS if done < draws), most)
        size = min(step, stop - done, most - done)
        coins = generator.integers(0, 256, size=(size, (units + 7) // 8), dtype=np.uint8)
        yield np.unpackbits(coins, axis=1, count=units)
        done += size


def _tolerance(pairs: Pairs) -> float:
    """Differences this close are equal: sums in another order round otherwise."""
    return 1e-10 * max(abs(pairs.value_a), abs(pairs.value_b), 1e-300)
