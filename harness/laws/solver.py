"""Damped Newton for thousands of fits at once, each with its own weights and targets.

Rows are data sets over the same points; a bootstrap is a matrix of weights, not of copies. Rows
run in blocks small enough for the cache, so memory does not grow with their number, and leave
their block when converged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.laws.bound import Bound
from harness.laws.losses import Link, Loss
from harness.laws.systems import along_eigenvectors, damped_solve

Array = NDArray[np.float64]

BLOCK = 120_000
"""Rows times points of a block."""

_ITERATIONS = 200
"""Most iterations of a resampled row, whose start is an optimum already."""
_STALE = (40, 1e-6)
"""A row ends that has gained less than this share of its objective in so many iterations."""
_PATIENCE = 30
"""Iterations that a rival start gets before it must be near the best."""
_FINE = (1e-10, 1e-16)
"""A row is done when its step, or its promised decrease as a share of the objective, is below."""
_COARSE = (1e-4, 1e-5)
"""The same for deltas on the way to the last, ..."""
_RUGGED = 1e-4
"""... unless that is smaller than this: near least absolute deviations the way must be kept to."""
_FACTORS = np.array([5.0, 2.0, 0.5, 0.1])
"""What becomes of the damping after a step that gained nothing, little, enough, all it promised."""


@dataclass(frozen=True, kw_only=True)
class Solution:
    """Optima: θ (R, p), objective Σ w·ρ (R,), the gradient's largest entry relative to the
    objective (R,), and whether each row converged (R,)."""

    theta: Array
    objective: Array
    gradient: Array
    converged: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What to minimise: a bound law's misfit to ``y``.

    y and weights are (n,) for all rows alike or (R, n). ``along`` (p, k) restricts moves to its
    columns, which holds linear functionals of θ fixed. ``rivals``, if not zero: all rows seek
    the same optimum in so many iterations, and one that lags behind for long is given up, since
    a straggler costs as much as all the others.
    """

    bound: Bound
    loss: Loss
    link: Link
    y: Array
    weights: Array
    along: Array | None = None
    rivals: int = 0

    def rows(self, chosen: NDArray[np.intp]) -> Goal:
        """The goal of some rows only."""
        if self.y.ndim == 1 and self.weights.ndim == 1:
            return self
        return Goal(
            bound=self.bound,
            loss=self.loss,
            link=self.link,
            y=self.y if self.y.ndim == 1 else self.y[chosen],
            weights=self.weights if self.weights.ndim == 1 else self.weights[chosen],
            along=self.along,
            rivals=self.rivals,
        )

    def value(self, theta: Array, delta: float | None) -> Array:
        """The objective of every row, infinite where the law has no value there."""
        with np.errstate(all="ignore"):
            rho, _, _ = self.loss.terms(self.bound.eta(theta), self.y, self.link, delta)
            total = (self.weights * rho).sum(axis=1)
        return np.where(np.isfinite(total), total, np.inf)

    def slopes(self, theta: Array, delta: float | None) -> tuple[Array, Array]:
        """Gradient (R, p) and Hessian (R, p, p)."""
        _, first, second = self.loss.terms(self.bound.eta(theta), self.y, self.link, delta)
        return self.bound.pull(theta, self.weights * first, self.weights * second)

    def gauss(self, theta: Array, delta: float | None) -> Array:
        """Gauss and Newton's Hessian (R, p, p), which is never indefinite."""
        eta = self.bound.eta(theta)
        second = self.weights * self.loss.gauss(eta, self.y, self.link, delta)
        return self.bound.pull(theta, np.zeros_like(second), second)[1]


def minimise(goal: Goal, start: Array, *, near: bool = False) -> Solution:
    """Minimise every row from its ``start`` (R, p).

    A narrow Huber loss is reached through wider ones; ``near``: the starts are optima of data
    much the same, and one wider loss is enough.
    """
    widest = _spread(goal, start)
    if near and goal.loss.delta is not None:
        widest = min(widest, 2.0 * goal.loss.delta)
    deltas = goal.loss.continuation(widest)
    with np.errstate(all="ignore"):
        parts = [
            _block(goal.rows(rows), start[rows], deltas)
            for rows in _blocks(len(start), goal.y.shape[-1])
        ]
    return Solution(
        theta=np.concatenate([part.theta for part in parts]),
        objective=np.concatenate([part.objective for part in parts]),
        gradient=np.concatenate([part.gradient for part in parts]),
        converged=np.concatenate([part.converged for part in parts]),
    )


def _blocks(rows: int, points: int) -> Iterator[NDArray[np.intp]]:
    step = max(1, BLOCK // max(points, 1))
    for begin in range(0, max(rows, 1), step):
        yield np.arange(begin, min(begin + step, rows))


def _spread(goal: Goal, start: Array) -> float:
    """The median size of the residuals at the first start."""
    first = goal.rows(np.arange(1))
    with np.errstate(all="ignore"):
        residuals = goal.loss.residuals(first.bound.eta(start[:1]), first.y, goal.link)
    residuals = residuals[np.isfinite(residuals)]
    return float(np.median(np.abs(residuals))) if residuals.size else 1.0


def _block(goal: Goal, start: Array, deltas: tuple[float | None, ...]) -> Solution:
    theta = np.clip(start, goal.bound.lower, goal.bound.upper)
    converged = np.zeros(len(theta), dtype=bool)
    rugged = deltas[-1] is not None and deltas[-1] < _RUGGED
    for delta in deltas:
        tolerance = _FINE if rugged or delta == deltas[-1] else _COARSE
        theta, converged = _newton(goal, theta, delta, tolerance)
    final = deltas[-1]
    objective = goal.value(theta, final)
    gradient, _ = goal.slopes(theta, final)
    gradient = np.where(held_at_bounds(goal, theta, gradient), 0.0, gradient)
    if goal.along is not None:
        gradient = gradient @ goal.along
    relative = np.abs(gradient).max(axis=1) / np.maximum(objective, 1e-300)
    return Solution(theta=theta, objective=objective, gradient=relative, converged=converged)


def held_at_bounds(goal: Goal, theta: Array, gradient: Array) -> NDArray[np.bool_]:
    """Parameters at a bound that the gradient pushes against."""
    low = (theta <= goal.bound.lower) & (gradient > 0)
    high = (theta >= goal.bound.upper) & (gradient < 0)
    held: NDArray[np.bool_] = low | high
    return held


def _newton(
    goal: Goal,
    theta: Array,
    delta: float | None,
    tolerance: tuple[float, float],
) -> tuple[Array, NDArray[np.bool_]]:
    theta = theta.copy()
    converged = np.zeros(len(theta), dtype=bool)
    active = np.arange(len(theta))
    part, at = goal, theta.copy()
    now = goal.value(at, delta)
    damping = np.full(len(theta), 1e-6)
    best, mark = float(now.min()), now
    sharper = 1e-6 if goal.rivals else 1.0
    for iteration in range(_iterations(goal, tolerance)):
        step, decrement = _step(part, at, delta, damping)
        trial = np.clip(at + step, goal.bound.lower, goal.bound.upper)
        value = part.value(trial, delta)
        slack = np.where(decrement <= 1e-12 * now, 1e-14 * now, 0.0)
        accept = value <= now + slack
        gain = now - value
        small = np.abs(trial - at).max(axis=1) < tolerance[0]
        done = (decrement <= tolerance[1] * now * sharper) | (accept & small) | (now <= 1e-28)
        at = trial if accept.all() else np.where(accept[:, None], trial, at)
        now = np.where(accept, value, now)
        damping = _eased(damping, gain / np.maximum(decrement, 1e-300))
        stale = np.zeros(len(now), dtype=bool)
        if iteration % _STALE[0] == _STALE[0] - 1:
            stale = now > mark * (1.0 - _STALE[1])
            mark = now
        leave = done | stale | (damping > 1e14)
        best = min(best, float(now.min()))
        if goal.rivals and iteration >= _PATIENCE:
            leave |= now > 1.05 * best
        if leave.any():
            theta[active[leave]] = at[leave]
            flat = 1e-6 if goal.rivals else 1e-9
            converged[active[leave]] = done[leave] | (decrement[leave] <= flat * now[leave])
            stay = np.flatnonzero(~leave)
            active = active[stay]
            if active.size == 0:
                return theta, converged
            at, now, damping, part = at[stay], now[stay], damping[stay], part.rows(stay)
            mark = mark[stay]
    theta[active] = at
    return theta, converged


def _iterations(goal: Goal, tolerance: tuple[float, float]) -> int:
    if tolerance == _COARSE:
        return _PATIENCE
    return goal.rivals or _ITERATIONS


def _eased(damping: Array, ratio: Array) -> Array:
    """New damping from the ratio of the decrease got to the one promised."""
    factor = _FACTORS[(ratio > 0.0) * 1 + (ratio > 0.25) + (ratio > 0.75)]
    eased = np.maximum(damping, 1e-6) * factor
    return np.where((factor < 1) & (eased < 1e-8), 0.0, eased)


def _step(goal: Goal, theta: Array, delta: float | None, damping: Array) -> tuple[Array, Array]:
    """A step for every row (R, p) and the decrease it promises (R,).

    Newton's; where its Hessian is not positive, Gauss and Newton's; where that is singular, along
    the eigenvectors.
    """
    gradient, hessian = goal.slopes(theta, delta)
    held = held_at_bounds(goal, theta, gradient)
    gradient, hessian = _restricted(goal, held, gradient, hessian)
    step, good = damped_solve(hessian, gradient, damping)
    bad = np.flatnonzero(~good)
    if bad.size:
        some = goal.rows(bad)
        gauss = some.gauss(theta[bad], delta)
        _, gauss = _restricted(goal, held[bad], gradient[bad], gauss, reduced=True)
        careful = np.maximum(damping[bad], 1e-8)
        step[bad], fine = damped_solve(gauss, gradient[bad], careful)
        worst = bad[~fine]
        step[worst] = along_eigenvectors(hessian[worst], gradient[worst], damping[worst])
    decrement: Array = -0.5 * (gradient * step).sum(axis=1)
    if goal.along is not None:
        step = step @ goal.along.T
    return step, decrement


def _restricted(
    goal: Goal, held: NDArray[np.bool_], gradient: Array, hessian: Array, *, reduced: bool = False
) -> tuple[Array, Array]:
    """Gradient and Hessian in the directions that rows may move in.

    ``reduced``: the gradient is restricted already.
    """
    if goal.along is not None:
        inner = gradient if reduced else gradient @ goal.along
        return inner, goal.along.T @ hessian @ goal.along
    free = ~held
    hessian = hessian * (free[:, :, None] & free[:, None, :])
    index = np.arange(free.shape[1])
    hessian[:, index, index] += held
    return gradient * free, hessian
