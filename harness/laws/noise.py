"""The noise of a new measurement about a fitted law."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.laws.bound import Variables
from harness.laws.estimate import PointFit

Array = NDArray[np.float64]

SMALL = 20
"""Fewer points than this have too few residuals to draw from: Student's t takes their place."""
NEAR = 0.25
"""The share of the points, those next to a target, whose residuals say how noisy it is there."""


def noise_like(
    residuals: Array, parameters: int, generator: np.random.Generator, rows: int
) -> Array:
    """Noise (rows, n) like ``residuals`` (n,), widened for the parameters fitted to them."""
    n = residuals.size
    freedom = max(n - parameters, 1)
    if n >= SMALL:
        centred = residuals - np.median(residuals)
        picked = generator.integers(0, n, size=(rows, n))
        drawn: Array = np.sqrt(n / freedom) * centred[picked]
        return drawn
    return _student(float((residuals**2).sum()), freedom, generator, (rows, n))


def noise_at(
    fit: PointFit,
    residuals: Array,
    at: Variables,
    clusters: int | None,
    generator: np.random.Generator,
    rows: int,
) -> Array:
    """Noise (rows, k) of new measurements at k targets, from ``residuals`` (n,) on any scale.

    Residuals are drawn from the points nearest to a target in log size, so that noise that grows
    or falls along the way is met where the target lies. A target is a new cluster where points
    come in ``clusters``: their number then says how well the noise is known.
    """
    names = fit.law.variables
    count, n, parameters = at[names[0]].size, residuals.size, fit.theta.size
    if clusters is not None or n < SMALL:
        units = n if clusters is None else clusters
        square = float((residuals**2).mean()) * units
        return _student(square, max(units - parameters, 1), generator, (rows, count))
    centred = np.sqrt(n / max(n - parameters, 1)) * (residuals - np.median(residuals))
    distance = np.zeros((count, n))
    for name in names:
        known, wanted = np.log(fit.data.variables[name]), np.log(at[name])
        distance += (wanted[:, None] - known) ** 2 / max(float(known.var()), 1e-12)
    near = np.argsort(distance, axis=1, kind="stable")[:, : max(SMALL, round(NEAR * n))]
    picked = generator.integers(0, near.shape[1], size=(rows, count))
    drawn: Array = centred[near[np.arange(count), picked]]
    return drawn


def _student(
    square: float, freedom: int, generator: np.random.Generator, shape: tuple[int, int]
) -> Array:
    """Normal noise of variance ``square``/freedom, which is itself uncertain: Student's t."""
    scale = np.sqrt(square / generator.chisquare(freedom, shape[0]))
    student: Array = scale[:, None] * generator.standard_normal(shape)
    return student


def shares_like(
    fit: PointFit, expected: Array, items: Array, generator: np.random.Generator
) -> Array:
    """Shares of ``items`` right where ``expected`` (R, n) are: binomial, and as much wider as the
    fit's scatter is wider than binomial (McCullagh and Nelder 1989, section 4.5)."""
    counts = np.maximum(1, np.rint(items)).astype(np.int64)
    drawn = generator.binomial(counts, expected) / counts
    wider = np.sqrt(overdispersion(fit))
    shares: Array = np.clip(expected + wider * (drawn - expected), 0.0, 1.0)
    return shares


def overdispersion(fit: PointFit) -> float:
    """χ² per degree of freedom where that exceeds one, for fits with given errors or counts."""
    square = float((fit.data.weights * fit.residuals**2).sum())
    return max(1.0, square / max(fit.residuals.size - fit.theta.size, 1))
