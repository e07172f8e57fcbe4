"""Values, resampled values and intervals of any metric, from per-sample statistics alone.

``stats`` is always an ``(n, k)`` array: ``n`` samples, ``k`` statistics each. The bootstrap
(Efron 1979) draws samples, or whole groups of them, with replacement; as statistics add up, a
resample is a row of integer weights, and a thousand of them are one matrix product.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.metrics.formulas import formula
from harness.types import Metric

Weights: TypeAlias = NDArray[np.uint16]
Groups: TypeAlias = Sequence[Hashable | None] | None

_CHUNK_ELEMENTS = 1 << 18
"""Weights worked on at once: 2 MB as floats, whatever B and n are."""

_REMEMBERED_ELEMENTS = 1 << 22
"""Draws up to this size (16 MB) are kept: all metrics and models of a task share them."""


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


def _sums(weights: NDArray[Any], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """``weights @ matrix``, where an infinite statistic that is not drawn adds nothing."""
    infinite = np.isinf(matrix)
    if not infinite.any():
        return np.asarray(weights @ matrix)
    sums = weights @ np.where(infinite, 0.0, matrix)
    return np.where((weights @ infinite) > 0, np.inf, sums)


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


def _draws(n: int, B: int, seed: int) -> Iterator[Weights]:
    """Multinomial counts over ``n`` units, B rows in all, a chunk of rows at a time.

    Each row is drawn by a call of its own, so a chunk's size never changes what is drawn.
    """
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK_ELEMENTS // max(1, n))
    for start in range(0, B, step):
        chunk = np.empty((min(step, B - start), n), dtype=np.uint16)
        for row in chunk:
            row[:] = np.bincount(rng.integers(n, size=n), minlength=n)
        yield chunk


def bootstrap_weights(n: int, B: int = 1000, seed: int = 0, groups: Groups = None) -> Weights:
    """How often each of ``n`` samples is drawn in each of ``B`` resamples, ``(B, n)``.

    With ``groups`` (one per sample; ``None``: a group of its own) whole groups are drawn. The same
    ``n``, ``B``, ``seed`` and groups give the same draws, so that models are compared on the same
    resamples. A matrix of B·n two-byte counts is returned; :func:`interval` never holds it whole.
    """
    if n == 0:
        return np.zeros((B, 0), dtype=np.uint16)
    index, units = _group_index(n, groups)
    drawn = np.concatenate(list(_draws(units, B, seed)))
    return drawn if groups is None else drawn[:, index]


@lru_cache(maxsize=2)
def _remembered_draws(n: int, B: int, seed: int) -> NDArray[np.float32]:
    """What :func:`_draws` gives, whole, as floats (exact: they are small counts), read-only."""
    drawn, start = np.empty((B, n), dtype=np.float32), 0
    for chunk in _draws(n, B, seed):
        drawn[start : start + len(chunk)] = chunk
        start += len(chunk)
    drawn.flags.writeable = False
    return drawn


def _exact_in_single_precision(units: NDArray[np.float64]) -> bool:
    """Whether no resample's sum can be rounded: counts, whose sums stay below 2^24."""
    return bool(len(units) * np.abs(units).max() < 1 << 24 and (units == np.rint(units)).all())


def _bootstrap_sums(units: NDArray[np.float64], B: int, seed: int) -> NDArray[np.float64]:
    """Sums of the units' statistics in each resample, ``(B, k)``."""
    n = len(units)
    if n * B > _REMEMBERED_ELEMENTS:
        return np.concatenate([_sums(rows, units) for rows in _draws(n, B, seed)])
    drawn = _remembered_draws(n, B, seed)
    if _exact_in_single_precision(units):
        return (drawn @ units.astype(np.float32)).astype(np.float64)
    step = max(1, _CHUNK_ELEMENTS // n)
    chunks = (drawn[i : i + step].astype(np.float64) for i in range(0, B, step))
    return np.concatenate([_sums(rows, units) for rows in chunks])


def interval(
    metric: Metric, stats: ArrayLike, B: int = 1000, seed: int = 0, groups: Groups = None
) -> tuple[float, float]:
    """The percentile bootstrap's 95 % interval of the metric's value, ``(low, high)``.

    The value itself always lies inside: where a skewed formula's resamples all miss it, the
    interval is widened to it. Resamples whose value is undefined (``nan``) are left out. One
    sample, or one group, says nothing of its spread: the interval is then the metric's bounds
    where both are known, else ``(value, value)``. No sample: ``(nan, nan)``.
    """
    matrix = _matrix(stats)
    centre = value(metric, matrix)
    if not len(matrix):
        return centre, centre
    index, number = _group_index(len(matrix), groups)
    if number == 1:
        low, high = metric.bounds
        return (centre, centre) if low is None or high is None else (low, high)
    units = matrix
    if groups is not None:
        units = np.zeros((number, matrix.shape[1]))
        np.add.at(units, index, matrix)
    values = formula(metric.formula)(_bootstrap_sums(units, B, seed))
    values = values[~np.isnan(values)]
    if not len(values):
        return centre, centre
    # Interpolating between two infinite perplexities would give nan.
    finite = bool(np.isfinite(values).all())
    low, high = np.percentile(values, [2.5, 97.5], method="linear" if finite else "nearest")
    return float(np.fmin(low, centre)), float(np.fmax(high, centre))
