"""Ranks with ties, from paired tests of each model against the best one it shares a rank with.

A column of m models takes m − 1 tests: going down the scores, each model is tested against the
leader of the rank above it; where the test does not separate the two, it shares that rank, else it
leads the next. Each test has the level alpha/(m − 1) (Bonferroni), so that the chance of any false
separation in a column is at most alpha, whatever the order turned out to be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness import metrics, stats
from harness.cellstats import Aligned, unit_sums
from harness.stats.significance import Name
from harness.types import Metric, Score

Array = NDArray[np.float64]

PAIRED = {"mcnemar": "McNemar's test", "permutation": "paired permutation test"}
BOOTSTRAP = "paired bootstrap test"
UNPAIRED = "unpaired test from standard errors"
UNTESTED = "no test: neither samples nor standard errors"

_FIRST_DRAWS = 1000
_COLUMNS_AT_ONCE = 1 << 10


@dataclass(frozen=True, kw_only=True, eq=False)
class Material:
    """What a column's tests work on.

    values (m,)
        the scores on the samples that all models have
    draws (m, B)
        the scores of each model over the same resamples; ``None``: nothing is known of their spread
    """

    metric: Metric
    values: Array
    draws: Array | None
    tables: Aligned | None


def from_samples(metric: Metric, tables: Aligned, resampler: stats.Resampler) -> Material:
    """Draws that all models share, so that what the samples have in common cancels."""
    units = int(tables.unit.max()) + 1
    m, n, k = tables.rows.shape
    sums = tables.rows
    if units < n:
        sums = np.stack([unit_sums(rows, tables.unit) for rows in tables.rows])
    step = max(1, _COLUMNS_AT_ONCE // k)
    parts = [resampler.values(metric, sums[i : i + step]) for i in range(0, m, step)]
    draws = np.concatenate(parts)
    compute = metrics.formula(metric.formula)
    values = np.asarray(compute(tables.rows.sum(axis=1)), dtype=np.float64)
    return Material(metric=metric, values=values, draws=draws, tables=tables)


def from_scores(metric: Metric, scores: Sequence[Score], resampler: stats.Resampler) -> Material:
    """Without samples: normal draws of the scores' standard errors, where all have one."""
    values = np.array([score.value for score in scores])
    known = [stats.standard_error(score) for score in scores]
    errors = np.array([np.nan if error is None else error for error in known])
    draws = None
    if np.isfinite(errors).all():
        generator = np.random.default_rng([resampler.seed, 19])
        noise = generator.standard_normal((len(scores), resampler.draws))
        draws = values[:, None] + errors[:, None] * noise
    return Material(metric=metric, values=values, draws=draws, tables=None)


def column_ranks(material: Material, alpha: float, seed: int) -> tuple[list[int], str]:
    """The rank of every model of a column, and the test in words."""
    order = np.argsort(-_sign(material.metric) * material.values, kind="stable")
    used: dict[str, None] = {}
    if material.draws is None:
        return ranks(order, lambda a, b: material.values[a] != material.values[b]), UNTESTED
    level = alpha / max(1, len(order) - 1)

    def separated(a: int, b: int) -> bool:
        name, answer = _separated(material, a, b, level, seed)
        used.setdefault(name)
        return answer

    found = ranks(order, separated)
    fallback = UNPAIRED if material.tables is None else BOOTSTRAP
    return found, " or ".join(sorted(used)) or fallback


def ranks(
    order: Sequence[int] | NDArray[np.intp], separated: Callable[[int, int], bool]
) -> list[int]:
    """Ranks by index, from indices in descending order of score; equals of a leader share its."""
    found = [0] * len(order)
    leader, rank = -1, 0
    for place, index in enumerate(map(int, order), start=1):
        if leader < 0 or separated(leader, index):
            leader, rank = index, place
        found[index] = rank
    return found


def draws_separate(a: Array, b: Array, values: tuple[float, float], level: float) -> bool:
    """The centred bootstrap's two-sided test that two systems differ.

    Where no draw lies as far out as the difference itself, the normal tail says how far out it is:
    the share of draws cannot be smaller than one in B.
    """
    from scipy.special import ndtr

    difference = values[1] - values[0]
    drawn = b - a
    drawn = drawn[np.isfinite(drawn)]
    near = 1e-10 * max(abs(values[0]), abs(values[1]), 1e-300)
    if not drawn.size or abs(difference) <= near:
        return False
    extreme = int((np.abs(drawn - difference) >= abs(difference) - near).sum())
    p = (extreme + 1) / (drawn.size + 1)
    if not extreme:
        spread = float(drawn.std(ddof=1)) if drawn.size > 1 else 0.0
        p = min(p, 2 * float(ndtr(-abs(difference) / spread))) if spread > near else p
    return p <= level


def _separated(material: Material, a: int, b: int, level: float, seed: int) -> tuple[str, bool]:
    assert material.draws is not None
    values = float(material.values[a]), float(material.values[b])
    if material.tables is not None:
        rows = material.tables.rows
        pairs = stats.Pairs(metric=material.metric, a=rows[a], b=rows[b], unit=material.tables.unit)
        if pairs.units < 2:
            return "no test: one source of samples", values[0] != values[1]
        name = stats.choose(pairs)
        if name in PAIRED:
            return PAIRED[name], _exchangeable(pairs, name, level, seed)
        return BOOTSTRAP, draws_separate(material.draws[a], material.draws[b], values, level)
    return UNPAIRED, draws_separate(material.draws[a], material.draws[b], values, level)


def _exchangeable(pairs: stats.Pairs, name: Name, level: float, seed: int) -> bool:
    """Whether an exact or sign-flipping test separates, with no more draws than that takes."""
    spread = stats.Spread(difference=pairs.difference, draws=np.empty(0), scale=1.0)
    if name == "permutation":
        if _certainly(pairs, level):
            return True
        # Far from the edge a thousand draws tell that there is nothing to separate.
        quick = stats.significance(pairs, name, spread, draws=_FIRST_DRAWS, seed=seed)
        if quick.p > max(0.1, 10 * level):
            return False
    draws = stats.affordable_draws(max(1, round(0.05 / level)), 0.05)
    return stats.significance(pairs, name, spread, draws=draws, seed=seed).p <= level


def _certainly(pairs: stats.Pairs, level: float) -> bool:
    """Whether Hoeffding's bound on the permutation test's p-value is below the level already.

    P(|Σ ±d| ≥ t) ≤ 2·exp(−t²/(2·Σd²)) for independent fair signs (Hoeffding 1963).
    """
    difference = pairs.unit_b[:, 0] - pairs.unit_a[:, 0]
    square = float((difference**2).sum())
    bound = 2 * np.exp(-(float(difference.sum()) ** 2) / (2 * square)) if square else 1.0
    return bool(bound <= level)


def _sign(metric: Metric) -> float:
    return 1.0 if metric.higher_is_better else -1.0
