"""Whether a fitted exponent can be believed, and why not, in one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.laws.power import MAX_ALPHA
from harness.laws.records import Interval, Verdict
from harness.types import Metric
from harness.wording import short

if TYPE_CHECKING:
    from harness.laws.draws import Draws

Array = NDArray[np.float64]

LEAST_SIZES = 3
LEAST_SPAN = 4.0
WIDE_SPAN = 10.0
WEAK_WIDTH = 0.6
"""An interval wider than this share of the exponent makes a verdict weak, ..."""
HOPELESS_WIDTH = 2.0
"""... and one wider than this share of it gives no exponent."""


@dataclass(frozen=True, kw_only=True)
class Points:
    """What is fitted, ordered by size.

    ``errors`` (m,) and ``replicates`` (B, m) are on the error scale, ``values`` (m,) and
    ``scores`` (B, m) on the metric's own; ``missing`` counts sizes without a usable score.
    """

    sizes: Array
    values: Array
    errors: Array
    replicates: Array | None
    scores: Array | None
    missing: int = 0

    @property
    def distinct(self) -> int:
        """How many different sizes there are."""
        return int(np.unique(self.sizes).size)

    @property
    def center(self) -> float:
        """The mean of log size, subtracted so that A and alpha are hardly correlated."""
        return float(np.log(self.sizes).mean())

    @property
    def log_sizes(self) -> Array:
        """Centred log sizes (m,)."""
        centred: Array = np.log(self.sizes) - self.center
        return centred

    @property
    def span(self) -> float:
        """Largest over smallest size."""
        return float(self.sizes.max() / self.sizes.min()) if self.sizes.size else 0.0


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A verdict and its one sentence."""

    verdict: Verdict
    note: str


def refuse(points: Points, metric: Metric) -> str | None:
    """Why no fit should even be tried, or ``None``."""
    if points.distinct < LEAST_SIZES:
        lost = f" ({points.missing} without a score)" if points.missing else ""
        counted = "1 size" if points.distinct == 1 else f"{points.distinct} sizes"
        return f"Only {counted}{lost}; an exponent needs at least {LEAST_SIZES}."
    if points.span < LEAST_SPAN:
        return (
            f"The sizes span a factor of {points.span:.3g} only; an exponent needs at least "
            f"{LEAST_SPAN:g}."
        )
    if np.ptp(points.values) == 0:
        return f"The score is {points.values[0]:.4g} at every size."
    return _saturated(points, metric)


def _saturated(points: Points, metric: Metric) -> str | None:
    """Scores that sit at chance or at an end of the metric's range say nothing of size."""
    at_chance = chance_sizes(points, metric)
    if points.distinct - at_chance < LEAST_SIZES and at_chance:
        return (
            f"{at_chance} of {points.distinct} sizes score at or below chance "
            f"({metric.chance:g}) within their noise."
        )
    bound_hit = int((points.errors <= 0).sum())
    if bound_hit and metric.is_loss:
        return f"{_sizes(bound_hit)} at a loss of zero or below, which has no logarithm."
    if bound_hit:
        return f"{_sizes(bound_hit)} at the perfect score, where the error has no logarithm."
    low, high = metric.bounds
    if low is not None and high is not None and not metric.is_loss:
        width = high - low
        if points.values.max() < low + 0.02 * width:
            return f"Every size scores at the floor (at most {points.values.max():.3g})."
        if points.values.min() > high - 0.02 * width:
            return f"Every size scores at the ceiling (at least {points.values.min():.4g})."
    return None


def chance_sizes(points: Points, metric: Metric) -> int:
    """How many sizes cannot be told from chance: within two standard errors above it, or below."""
    if metric.chance is None:
        return 0
    noise = np.zeros(points.values.size) if points.scores is None else points.scores.std(axis=0)
    gain = points.values - metric.chance
    if not metric.higher_is_better:
        gain = -gain
    return int((gain <= 2 * noise).sum())


def judge(points: Points, draws: Draws, metric: Metric) -> Judgement:
    """The verdict on fitted draws."""
    alpha = float(draws.point.alpha[0])
    interval = draws.interval(lambda rows: rows.alpha, upper=MAX_ALPHA)
    reason = _hopeless(alpha, interval)
    if reason is not None:
        return Judgement(verdict="not-identifiable", note=reason)
    doubts = _doubts(points, draws, metric, interval)
    if doubts:
        return Judgement(verdict="weak", note=_sentence(doubts))
    return Judgement(verdict="ok", note=_meaning(draws))


def _hopeless(alpha: float, interval: Interval) -> str | None:
    lo, hi = interval.lo, interval.hi
    if hi is not None and hi < 0:
        return f"The score gets worse with size (exponent {lo or 0:.2g} to {hi:.2g})."
    if lo is None or lo <= 0:
        upper = "no upper end" if hi is None else f"{hi:.2g}"
        return f"The exponent's interval, {lo or 0:.2g} to {upper}, covers zero: no trend is told."
    if hi is None:
        return f"The exponent has no upper bound (it may be anything above {lo:.2g})."
    if hi - lo > HOPELESS_WIDTH * alpha:
        return f"The exponent may be anything from {lo:.2g} to {hi:.2g}: too wide to be an answer."
    return None


def _doubts(points: Points, draws: Draws, metric: Metric, interval: Interval) -> list[str]:
    """Reasons to hold an exponent weak, gravest first."""
    doubts: list[str] = []
    alpha = float(draws.point.alpha[0])
    bend = bending(points, draws)
    if bend is not None:
        doubts.append(bend)
    if interval.lo is not None and interval.hi is not None:
        width = (interval.hi - interval.lo) / alpha
        if width > WEAK_WIDTH:
            doubts.append(f"the exponent's interval is {100 * width:.0f} % of its value wide")
    if points.distinct < LEAST_SIZES + 1:
        doubts.append("three sizes leave one degree of freedom")
    if metric.is_loss and not draws.floor and points.distinct < 5:
        doubts.append(f"{points.distinct} sizes cannot tell a floor, so none is assumed")
    if points.span < WIDE_SPAN:
        doubts.append(f"the sizes span a factor of {points.span:.2g} only")
    at_chance = chance_sizes(points, metric)
    if at_chance:
        doubts.append(f"{_sizes(at_chance)} at or below chance ({metric.chance:g})")
    fall = falling_back(points)
    if fall is not None:
        doubts.append(fall)
    total = draws.failures + draws.items.alpha.size
    if draws.failures > 0.05 * total:
        doubts.append(f"{100 * draws.failures / total:.0f} % of the resampled fits failed")
    if points.missing:
        doubts.append(f"{_sizes(points.missing)} without a usable score left out")
    return doubts


def bending(points: Points, draws: Draws) -> str | None:
    """Whether log error against log size bends away from the fitted law beyond its noise.

    A squared term is added to the residuals' regression and tested (two-sided, 5 %). With a
    floor in the law the bend is looked for in what is left after it.
    """
    from scipy import special

    l = points.log_sizes  # noqa: E741
    floored = bool(draws.point.floor[0] > 0)
    freedom = l.size - 3 - int(floored)
    if freedom < 2:
        return None
    design = np.stack([np.ones_like(l), l, l**2], axis=1)
    target = draws.residuals if floored else np.log(points.errors)
    solution, *_ = np.linalg.lstsq(design, target, rcond=None)
    left = target - design @ solution
    variance = float(left @ left) / freedom * np.linalg.inv(design.T @ design)[2, 2]
    if not variance > 0 or abs(solution[2]) < 1e-9:
        return None
    p = 2 * float(special.stdtr(freedom, -abs(solution[2]) / np.sqrt(variance)))
    if p >= 0.05:
        return None
    if floored:
        return "the points still bend away from the law"
    slopes = -(solution[1] + 2 * solution[2] * np.array([l.min(), l.max()]))
    word = "steepens" if slopes[1] > slopes[0] else "flattens"
    return (
        f"the curve {word} (local exponent {slopes[0]:.2g} at the small end, {slopes[1]:.2g} at "
        "the large), so one exponent is an average over these sizes"
    )


def falling_back(points: Points) -> str | None:
    """A larger size that is worse than a smaller one beyond the noise of the items."""
    if points.replicates is None:
        return None
    step = np.diff(points.replicates, axis=1)
    worse = np.flatnonzero(np.quantile(step, 0.025, axis=0) > 0)
    if worse.size == 0:
        return None
    at = int(worse[0])
    before, after = points.values[at], points.values[at + 1]
    return (
        f"the score gets worse from size {short(points.sizes[at])} ({before:.4g}) to "
        f"{short(points.sizes[at + 1])} ({after:.4g})"
    )


def _meaning(draws: Draws) -> str:
    factor = 10 ** -float(draws.point.alpha[0])
    what = "part above the floor" if draws.floor and draws.point.floor[0] > 0 else "error"
    sentence = f"Ten times the size multiplies the {what} by {factor:.2g}"
    if not draws.floor:
        return f"{sentence}."
    floor = draws.interval(lambda rows: rows.floor)
    if floor.lo is not None and floor.lo > 0:
        return f"{sentence}."
    return f"{sentence}; the floor E is not told apart from 0 (it may be up to {floor.hi:.2g})."


def _sentence(doubts: list[str]) -> str:
    text = "; ".join(doubts[:2])
    return f"{text[0].upper()}{text[1:]}."


def _sizes(count: int) -> str:
    return "1 size is" if count == 1 else f"{count} sizes are"
