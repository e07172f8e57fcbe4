"""Values, resampled values and intervals of any metric, from per-sample statistics alone.

``stats`` is always an ``(n, k)`` array: ``n`` samples, ``k`` statistics each. The bootstrap
(Efron 1979) draws samples, or whole groups of them, with replacement; as statistics add up, a
resample is a row of integer weights, and a thousand of them are a few matrix products.

Drawing is what costs most. From 512 units on, a sixteenth of the resamples is drawn; the others
take the same counts and deal them out again, to units shuffled once and then moved on. Counts of n
draws from n units are exchangeable, so each resample has just the law of Efron's, and two that
share their counts are uncorrelated but for the shuffle's chance, of the order of 1/sqrt(n).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.metrics.formulas import Formula, formula
from harness.types import Metric

Weights: TypeAlias = NDArray[np.uint16]
Groups: TypeAlias = Sequence[Hashable | None] | None

_CHUNK_ELEMENTS = 1 << 18
"""Weights worked on at once: 2 MB as floats, whatever B and n are."""

_REMEMBERED_ELEMENTS = 1 << 19
"""Draws up to this size (2 MB) are kept: all metrics and models of a task share them."""

_DEALS, _DEALT_FROM = 16, 512
"""How many resamples share one row of counts, and from how many units on."""


_UNTHREADED = 1 << 18
"""Multiplications up to which OpenBLAS stays on the calling thread."""

_ALIKE = 1e-9
"""Resampled values nearer than this, relative to the bounds, are the same number."""


def _matrix(stats: ArrayLike) -> NDArray[np.float64]:
    matrix = np.asarray(stats, dtype=np.float64)
    return matrix.reshape(0, 1) if matrix.size == 0 else matrix


def value(metric: Metric, stats: ArrayLike) -> float:
    """The metric's value on all samples of ``stats`` ``(n, k)``; ``nan`` where n is 0."""
    matrix = _matrix(stats)
    if not len(matrix):
        return float("nan")
    return float(formula(metric.formula)(matrix.sum(axis=0)))


def per_sample(metric: Metric, stats: ArrayLike) -> NDArray[np.float64]:
    """The metric's value on each sample alone, ``(n,)``; for corpus metrics a rough guide only."""
    matrix = _matrix(stats)
    return formula(metric.formula)(matrix) if len(matrix) else np.empty(0)


def _product(weights: NDArray[Any], matrix: NDArray[Any]) -> NDArray[Any]:
    """``weights @ matrix`` in slices too small for threads.

    They gain little on matrices of a few columns, and where other programs keep the cores busy
    they spin, and cost ten times what the product does.
    """
    step = max(1, _UNTHREADED // max(1, len(weights) * matrix.shape[1]))
    total = np.asarray(weights[:, :step] @ matrix[:step])
    for i in range(step, len(matrix), step):
        total += weights[:, i : i + step] @ matrix[i : i + step]
    return total


def _sums(weights: NDArray[Any], matrix: NDArray[Any]) -> NDArray[np.float64]:
    """``weights @ matrix``, where an infinite statistic that is not drawn adds nothing."""
    infinite = np.isinf(matrix)
    if not infinite.any():
        return _product(weights, matrix)
    sums = _product(weights, np.where(infinite, 0.0, matrix))
    return np.where(_product(weights, infinite.astype(float)) > 0, np.inf, sums)


def replicates(metric: Metric, stats: ArrayLike, weights: ArrayLike) -> NDArray[np.float64]:
    """The metric's value on each of B resamples, ``(B,)``, from ``weights`` ``(B, n)``."""
    matrix, rows = _matrix(stats), np.asarray(weights)
    step = max(1, _CHUNK_ELEMENTS // max(1, len(matrix)))
    compute = formula(metric.formula)
    parts = [compute(_sums(rows[i : i + step], matrix)) for i in range(0, len(rows), step)]
    return np.concatenate(parts) if parts else np.empty(0)


def _group_index(n: int, groups: Groups) -> tuple[NDArray[np.intp], int]:
    """Each sample's group number, and how many groups. A ``None`` is a group of its own."""
    if groups is None:
        return np.arange(n), n
    if len(groups) != n:
        raise ValueError(f"{n} samples but {len(groups)} groups")
    numbers: dict[Hashable, int] = {}
    keys = ((i,) if g is None else (None, g) for i, g in enumerate(groups))
    index = np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.intp)
    return index, len(numbers)


def _draws(n: int, rows: int, seed: int) -> Iterator[Weights]:
    """Multinomial counts over ``n`` units, ``rows`` in all, a chunk of them at a time.

    Each row is drawn by a call of its own, so a chunk's size never changes what is drawn.
    """
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK_ELEMENTS // max(1, n))
    for start in range(0, rows, step):
        chunk = np.empty((min(step, rows - start), n), dtype=np.uint16)
        for row in chunk:
            row[:] = np.bincount(rng.integers(n, size=n), minlength=n)
        yield chunk


@lru_cache(maxsize=4)
def _order(n: int, seed: int) -> NDArray[np.intp]:
    """The order in which units stand when counts are dealt out, read-only."""
    order = np.random.default_rng([seed, 1]).permutation(n) if n >= _DEALT_FROM else np.arange(n)
    order.flags.writeable = False
    return order


def _offsets(n: int) -> range:
    """By how many places each deal is moved on."""
    return range(0, n - n % _DEALS, n // _DEALS) if n >= _DEALT_FROM else range(1)


def bootstrap_weights(n: int, B: int = 1000, seed: int = 0, groups: Groups = None) -> Weights:
    """How often each of ``n`` samples is drawn in each of ``B`` resamples, ``(B, n)``.

    With ``groups`` (one per sample; ``None``: a group of its own) whole groups are drawn. The same
    ``n``, ``B``, ``seed`` and groups give the same draws, so that models are compared on the same
    resamples. A matrix of B·n two-byte counts is returned; :func:`interval` never holds it whole.
    """
    if n == 0:
        return np.zeros((B, 0), dtype=np.uint16)
    index, units = _group_index(n, groups)
    offsets, back = _offsets(units), np.argsort(_order(units, seed))
    dealt = [np.roll(np.arange(units), offset)[back] for offset in offsets]
    drawn = (row[dealt] for rows in _draws(units, -(-B // len(offsets)), seed) for row in rows)
    weights = np.concatenate([np.empty((0, units), dtype=np.uint16), *drawn])[:B]
    return weights if groups is None else weights[:, index]


@lru_cache(maxsize=4)
def _remembered_draws(n: int, rows: int, seed: int) -> NDArray[np.float32]:
    """What :func:`_draws` gives, whole, as floats (exact: they are small counts), read-only."""
    drawn = np.concatenate(list(_draws(n, rows, seed))).astype(np.float32)
    drawn.flags.writeable = False
    return drawn


def _drawn(n: int, rows: int, seed: int) -> Iterator[NDArray[Any]]:
    """Chunks of rows, remembered where they are few."""
    if n * rows > _REMEMBERED_ELEMENTS:
        yield from _draws(n, rows, seed)
        return
    drawn, step = _remembered_draws(n, rows, seed), max(1, _CHUNK_ELEMENTS // n)
    yield from (drawn[i : i + step] for i in range(0, rows, step))


def _exact_in_single_precision(units: NDArray[np.float64]) -> bool:
    """Whether no resample's sum can be rounded: counts, whose sums stay below 2^24."""
    return bool(len(units) * np.abs(units).max() < 1 << 24 and (units == np.rint(units)).all())


def _bootstrap_values(
    compute: Formula, units: NDArray[np.float64], B: int, seed: int
) -> NDArray[np.float64]:
    """The formula's value of the units' statistics in each resample, ``(B,)``.

    Only the values of all resamples are held at once, never their sums.
    """
    n, k = units.shape
    offsets = _offsets(n)
    precision = np.float32 if _exact_in_single_precision(units) else np.float64
    shuffled = units[_order(n, seed)].astype(precision)
    twice = np.concatenate([shuffled, shuffled]) if len(offsets) > 1 else shuffled
    values = []
    for rows in _drawn(n, -(-B // len(offsets)), seed):
        weights = rows.astype(precision, copy=False)
        sums = np.empty((len(rows), len(offsets), k))
        for deal, offset in enumerate(offsets):
            sums[:, deal] = _sums(weights, twice[offset : offset + n])
        values.append(compute(sums).ravel())
    return np.concatenate(values)[:B]


def _unvaried(metric: Metric, centre: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a bounded value on which ``n`` samples agree, ``(low, high)``.

    If a share p of all samples were otherwise, n that agree would be seen with probability
    (1 - p)^n, which is 5 % at p = 1 - 0.05^(1/n), about 3/n (the "rule of three", Hanley and
    Lippman-Hand 1983; the one-sided bound of Clopper and Pearson 1934). That share may lie at
    either bound of the metric. For 0 of 20 right that is 0 to 13.9. Without both bounds, nothing
    can be said of the others: ``(centre, centre)``.
    """
    low, high = metric.bounds
    if low is None or high is None:
        return centre, centre
    if n <= 1:
        return low, high
    share = 1.0 - 0.05 ** (1.0 / n)
    return centre - share * (centre - low), centre + share * (high - centre)


def interval(
    metric: Metric, stats: ArrayLike, B: int = 1000, seed: int = 0, groups: Groups = None
) -> tuple[float, float]:
    """The percentile bootstrap's 95 % interval of the metric's value, ``(low, high)``.

    The value itself always lies inside: where a skewed formula's resamples all miss it, the
    interval is widened to it. Resamples whose value is undefined (``nan``) are left out. Where all
    resamples agree, as with 0 of 20 right, the bootstrap knows no spread, and the interval is that
    of :func:`_unvaried`. One sample, or one group, says nothing of its spread: the interval is then
    the metric's bounds where both are known, else ``(value, value)``. No sample: ``(nan, nan)``.
    """
    matrix = _matrix(stats)
    centre = value(metric, matrix)
    if not len(matrix):
        return centre, centre
    index, number = _group_index(len(matrix), groups)
    if number == 1:
        return _unvaried(metric, centre, number)
    units = matrix
    if groups is not None:
        units = np.zeros((number, matrix.shape[1]))
        np.add.at(units, index, matrix)
    values = _bootstrap_values(formula(metric.formula), units, B, seed)
    values = values[~np.isnan(values)]
    if not len(values):
        return centre, centre
    finite = bool(np.isfinite(values).all())
    if finite and np.ptp(values) <= _ALIKE * max(1.0, abs(centre)):
        # A unit of zeros, such as a sentence without entities on either side, has no evidence.
        return _unvaried(metric, centre, int(units.any(axis=1).sum()))
    # Interpolating between two infinite perplexities would give nan.
    low, high = np.percentile(values, [2.5, 97.5], method="linear" if finite else "nearest")
    return float(np.fmin(low, centre)), float(np.fmax(high, centre))
