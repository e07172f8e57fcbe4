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
from harness.laws.noise import overdispersion
from harness.laws.records import Interval
from harness.laws.resample import Replicates, student
from harness.laws.solver import minimise

Array = NDArray[np.float64]

_STEPS = np.array([0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0, 20.0, 40.0])


def profile_interval(fit: PointFit, name: str, drawn: Replicates) -> Interval:
    """The 95 % profile interval of one of the paper's parameters; an open end is ``None``.

    Where ``drawn`` are whole points or clusters, their spread replaces the loss's own measure of
    noise: the rise at half a standard error either way is set to what it is for a parabola. Else
    the replicates set the first steps and directions only.
    """
    covariance = np.atleast_2d(np.cov(drawn.theta.T))
    row, offset, positive = fit.bound.natural.row(name)
    center = float(row @ fit.theta)
    variance = float(row @ covariance @ row)
    if not np.isfinite(variance):
        return Interval(lo=None, hi=None)
    if variance <= (1e-9 * max(1.0, abs(center))) ** 2:
        value = center + offset
        exact = float(np.exp(value)) if positive else value
        return Interval(lo=exact, hi=exact)
    n, parameters = fit.data.y.size, fit.theta.size
    step = float(np.sqrt(variance)) * drawn.plan.shrinkage(n, parameters)
    target = student(drawn.plan.freedom(n, parameters))
    if fit.loss.needs_error and not drawn.plan.robust and overdispersion(fit) == 1.0:
        target = student(None)
    if drawn.plan.robust:
        half = _roots(fit, row, step * np.array([-0.5, 0.5]), covariance).mean()
        target *= 2.0 * float(half) if half > 0 else 1.0
    ends = [_end(fit, row, sign * step, covariance, target) for sign in (-1.0, 1.0)]
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
        return 1.0 / overdispersion(fit)
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


def _end(fit: PointFit, row: Array, step: float, covariance: Array, target: float) -> float | None:
    """How far ``row``·θ can go in the direction of ``step`` until the root of the scaled rise
    reaches ``target``, or ``None``: without end."""
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
