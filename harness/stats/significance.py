"""Paired tests: is the difference between two systems more than chance?

All but the bootstrap test the hypothesis that the two systems are exchangeable on every sample (on
every group, where samples share a source). Each gives a two-sided p-value and the one-sided one of
"the second is worse", never zero: k of B random draws at least as extreme count (k+1)/(B+1). Draws
stop early where many were as extreme, which keeps the test valid (Besag and Clifford 1991). Where
few were and many tests ask for smaller p-values than so many draws can show, further swaps are
drawn towards the tail (:mod:`harness.stats.swaps`).

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

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError, suggestion
from harness.stats.pairs import Pairs
from harness.stats.resampling import Spread
from harness.stats.swaps import (
    TILTED_DRAWS,
    Statistic,
    all_swaps,
    corpus_statistic,
    even,
    mean_statistic,
    tilted,
)

Array = NDArray[np.float64]
Name: TypeAlias = Literal["mcnemar", "permutation", "randomization", "bootstrap"]

TESTS: tuple[str, ...] = ("auto", "bootstrap", "randomization", "mcnemar", "permutation")
DRAWS = 10_000

_STOPS: tuple[tuple[int, int], ...] = ((2000, 200), (DRAWS, 10))
"""After so many draws, no more are made where at least so many of them were as extreme."""

_TILT_AFTER, _FEW = 2000, 40
"""Where many tests are made, so many even swaps tell p-values down to 0.02; draws towards the
tail, of which as many follow where fewer than 40 were as extreme, tell smaller ones better."""

_EXACT_UNITS = 13
_MOST_DRAWS = 200_000


@dataclass(frozen=True, kw_only=True)
class Significance:
    """What a test found.

    ``p`` is two-sided; ``p_worse`` is that of "the second system is worse by more than the
    margin". ``draws`` is how many random draws were made, 0 where they are exact. ``mid_p`` is
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

    ``draws`` is how many draws a p-value must be worth (:func:`affordable_draws`). Beyond 10,000,
    2000 are drawn, and 2000 towards the tail where fewer than 40 of these were as extreme.
    """
    if test == "mcnemar":
        return _mcnemar(pairs)
    if test == "bootstrap":
        return shifted(pairs, spread)
    if test == "permutation":
        return _swapped(test, mean_statistic(pairs), pairs, draws, seed)
    return _swapped(test, corpus_statistic(pairs), pairs, draws, seed)


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


@dataclass(kw_only=True, eq=False)
class _Tally:
    """The weight of draws at least as extreme as what was measured, either way and to the worse."""

    pairs: Pairs
    extreme: float = 0.0
    worse: float = 0.0
    draws: int = 0

    def add(self, after: Array, weights: Array | float = 1.0) -> None:
        """Count differences (r,) of these weights."""
        near, measured = _tolerance(self.pairs), self.pairs.difference
        # An undefined value cannot speak against chance.
        after = np.where(np.isnan(after), measured, after)
        sign = self.pairs.sign
        self.extreme += float((weights * (np.abs(after) >= abs(measured) - near)).sum())
        self.worse += float((weights * (sign * after <= sign * measured + near)).sum())
        self.draws += len(after)

    def p_values(self, own: float) -> tuple[float, float]:
        """Two-sided and one-sided, where what was measured has the weight ``own``."""
        total = self.draws + 1
        return min(1.0, (self.extreme + own) / total), min(1.0, (self.worse + own) / total)


def _swapped(
    test: Name, statistic: Statistic, pairs: Pairs, wanted: int, seed: int
) -> Significance:
    """Count swaps at least as extreme as what was measured."""
    if statistic.units == 0:
        return Significance(test=test, p=1.0, p_worse=1.0, draws=0)
    tally = _Tally(pairs=pairs)
    if statistic.units <= _EXACT_UNITS:
        tally.add(statistic.after(all_swaps(statistic.units)))
        count = tally.draws
        return Significance(
            test=test, p=tally.extreme / count, p_worse=tally.worse / count, draws=0
        )
    tilt = wanted > DRAWS and statistic.tiltable
    most = _TILT_AFTER if tilt else min(wanted, _MOST_DRAWS)
    ends = *(draws for draws, _ in _STOPS if draws < most), most
    for swaps in even(statistic.units, ends, seed):
        tally.add(statistic.after(swaps))
        fewer = min(tally.extreme, tally.worse)
        if any(tally.draws >= draws and fewer >= enough for draws, enough in _STOPS):
            break
    p, p_worse = tally.p_values(1.0)
    if not tilt or fewer >= _FEW:
        return Significance(test=test, p=p, p_worse=p_worse, draws=tally.draws)
    # Plain counts that are kept give larger p-values than those that are not, so that to take the
    # tail's in place of the latter alone leaves both valid.
    small, small_worse = _tail(statistic, pairs, 5 / wanted, seed)
    return Significance(
        test=test,
        p=small if tally.extreme < _FEW else p,
        p_worse=small_worse if tally.worse < _FEW else p_worse,
        draws=tally.draws + TILTED_DRAWS,
    )


def _tail(statistic: Statistic, pairs: Pairs, level: float, seed: int) -> tuple[float, float]:
    """Two-sided and one-sided p-values, precise where they are about ``level``."""
    tally, tilt = _Tally(pairs=pairs), tilted(statistic, level=level, seed=seed)
    for swaps, weights in tilt.draws():
        tally.add(statistic.after(swaps), weights)
    return tally.p_values(tilt.weight_of_measured)


def _tolerance(pairs: Pairs) -> float:
    """Differences this close are equal: sums in another order round otherwise."""
    return 1e-10 * max(abs(pairs.value_a), abs(pairs.value_b), 1e-300)
