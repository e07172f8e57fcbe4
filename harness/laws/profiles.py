"""Profile-likelihood intervals: how far a parameter may move before the fit suffers.

The parameter is held at a value, all others are fitted anew, and the loss's rise is compared with
Student's t. Nothing is assumed of the shape of the valley, so an interval that has no end on one
side is found and said to have none.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from harness.laws.estimate import PointFit
from harness.laws.records import LEVEL, Interval
from harness.laws.solver import minimise

Array = NDArray[np.float64]

_STEPS = np.array([0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0, 20.0, 40.0])


def profile_interval(fit: PointFit, name: str, covariance: Array) -> Interval:
    """The 95 % profile interval of one of the paper's parameters; an open end is ``None``.

    ``covariance`` (p, p) of θ, from replicates, sets the first steps and directions only.
    """
    row, offset, positive = fit.bound.natural.row(name)
    center = float(row @ fit.theta)
    variance = float(row @ covariance @ row)
    if not np.isfinite(variance):
        return Interval(lo=None, hi=None)
    if variance <= (1e-9 * max(1.0, abs(center))) ** 2:
        value = center + offset
        exact = float(np.exp(value)) if positive else value
        return Interval(lo=exact, hi=exact)
    ends = [_end(fit, row, sign * np.sqrt(variance), covariance) for sign in (-1.0, 1.0)]
    outer = [None if end is None else center + end + offset for end in ends]
    if outer[0] is None and _stops_at_zero(fit, row):
        outer[0] = 0.0
    if positive:
        outer = [None if end is None else float(np.exp(end)) for end in outer]
    return Interval(lo=outer[0], hi=outer[1])


def _stops_at_zero(fit: PointFit, row: Array) -> bool:
    """Whether the parameter is a working one that cannot be negative, such as a floor."""
    own = np.flatnonzero(row)
    return own.size == 1 and bool(fit.bound.lower[own[0]] == 0.0)


def dispersion(fit: PointFit) -> float:
    """The factor that makes twice the loss's rise a squared Student t.

    For squares it is one over the residual variance; for Huber's loss E[ψ'] / E[ψ²] (Huber and
    Ronchetti 2009, ch. 7); for given errors and for counts one over χ² per degree of freedom
    where that exceeds one.
    """
    residuals, weights = fit.residuals, fit.data.weights
    freedom = max(residuals.size - fit.theta.size, 1)
    if fit.loss.needs_error:
        return 1.0 / max(1.0, chi_square(fit) / freedom)
    delta = fit.loss.delta
    if delta is None:
        return freedom / max(float((weights * residuals**2).sum()), 1e-300)
    size = np.abs(residuals)
    width = max(delta, 1.5 * float(np.median(size)) * residuals.size**-0.2)
    slope = float((size < width).mean()) * delta / width if width > delta else 1.0
    if width == delta:
        slope = float((size <= delta).mean())
    square = float((np.clip(residuals, -delta, delta) ** 2).sum()) / freedom
    return slope / max(square, 1e-300)


def chi_square(fit: PointFit) -> float:
    """Σ (residual/error)² for fits with given errors, Pearson's statistic for counts."""
    return float((fit.data.weights * fit.residuals**2).sum())


def _end(fit: PointFit, row: Array, step: float, covariance: Array) -> float | None:
    """How far ``row``·θ can go in the direction of ``step``, or ``None``: without end."""
    from scipy.special import stdtrit

    freedom = max(fit.data.y.size - fit.theta.size, 1)
    target = float(stdtrit(freedom, (1 + LEVEL) / 2))
    distances = step * _STEPS
    for _ in range(3):
        roots = _roots(fit, row, distances, covariance)
        over = np.flatnonzero(roots > target)
        if over.size == 0:
            return None
        at = int(over[0])
        before = distances[at - 1] if at else 0.0
        low = roots[at - 1] if at else 0.0
        share = (target - low) / (roots[at] - low)
        guess = before + share * (distances[at] - before)
        width = abs(distances[at] - before)
        if width < 1e-3 * abs(guess):
            break
        distances = np.linspace(before, distances[at], 6)[1:]
    return float(guess)


def _roots(fit: PointFit, row: Array, distances: Array, covariance: Array) -> Array:
    """Roots of the scaled rise in loss, with ``row``·θ held at each distance from the optimum."""
    direction = covariance @ row / float(row @ covariance @ row)
    start = fit.theta + distances[:, None] * direction
    reachable = _reachable(fit, row, distances)
    at_bound = (fit.theta <= fit.bound.lower) | (fit.theta >= fit.bound.upper)
    fixed = np.concatenate([row[None], np.eye(row.size)[at_bound & (row == 0)]])
    goal = replace(fit.goal, along=_null_space(fixed))
    if goal.along is not None and goal.along.shape[1]:
        objective = minimise(goal, start).objective
    else:
        objective = fit.goal.value(start, fit.loss.delta)
    rise = np.maximum(objective - fit.objective, 0.0)
    return np.where(reachable, np.sqrt(2.0 * dispersion(fit) * rise), 0.0)


def _reachable(fit: PointFit, row: Array, distances: Array) -> NDArray[np.bool_]:
    """Whether a parameter that is a working one itself stays inside its bounds."""
    own = np.flatnonzero(row)
    if own.size != 1:
        return np.ones(distances.size, dtype=bool)
    at = int(own[0])
    moved = fit.theta[at] + distances / row[at]
    inside: NDArray[np.bool_] = (moved > fit.bound.lower[at]) & (moved < fit.bound.upper[at])
    return inside


def _null_space(rows: Array) -> Array:
    """Columns that span everything orthogonal to ``rows`` (k, p): (p, p − k)."""
    _, _, right = np.linalg.svd(rows)
    space: Array = right[len(rows) :].T
    return space
