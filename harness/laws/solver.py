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

Array = NDArray[np.float64]

BLOCK = 120_000
"""Rows times points of a block."""

_ITERATIONS = 200
_PATIENCE = 30
"""Iterations that a rival start gets before it must be near the best."""
_FINE = (1e-10, 1e-16)
"""A row is done when its step, or its promised decrease as a share of the objective, is below."""
_COARSE = (1e-4, 1e-5)
"""The same for deltas on the way to the last, ..."""
_RUGGED = 1e-4
"""... unless that is smaller than this: near least absolute deviations the way must be kept to."""


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
    columns, which holds linear functionals of θ fixed. ``rivals``: all rows seek the same optimum,
    so one that lags behind for long is given up; a straggler costs as much as all the others.
    """

    bound: Bound
    loss: Loss
    link: Link
    y: Array
    weights: Array
    along: Array | None = None
    rivals: bool = False

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


def minimise(goal: Goal, start: Array, *, polish: bool = False) -> Solution:
    """Minimise every row from its ``start`` (R, p).

    ``polish`` skips the wider deltas of a Huber loss, for starts at an optimum already.
    """
    deltas = goal.loss.continuation(0.0 if polish else _spread(goal, start))
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
    """Twice the median size of the residuals at the first start."""
    first = goal.rows(np.arange(1))
    with np.errstate(all="ignore"):
        residuals = goal.loss.residuals(first.bound.eta(start[:1]), first.y, goal.link)
    residuals = residuals[np.isfinite(residuals)]
    return 2.0 * float(np.median(np.abs(residuals))) if residuals.size else 1.0


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
    gradient = np.where(_held(goal, theta, gradient), 0.0, gradient)
    if goal.along is not None:
        gradient = gradient @ goal.along
    relative = np.abs(gradient).max(axis=1) / np.maximum(objective, 1e-300)
    return Solution(theta=theta, objective=objective, gradient=relative, converged=converged)


def _held(goal: Goal, theta: Array, gradient: Array) -> NDArray[np.bool_]:
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
    part, at = goal, theta
    now = goal.value(at, delta)
    damping = np.full(len(theta), 1e-6)
    best = float(now.min())
    for iteration in range(_ITERATIONS if tolerance == _FINE else _PATIENCE):
        step, decrement = _step(part, at, delta, damping)
        trial = np.clip(at + step, goal.bound.lower, goal.bound.upper)
        value = part.value(trial, delta)
        accept = value <= now
        small = np.abs(trial - at).max(axis=1) < tolerance[0]
        done = (decrement <= tolerance[1] * now) | (accept & small) | (now <= 1e-28)
        at = np.where(accept[:, None], trial, at)
        now = np.where(accept, value, now)
        damping = np.where(accept, 0.1 * damping, np.maximum(10.0 * damping, 1e-3))
        damping[damping < 1e-8] = 0.0
        leave = done | (damping > 1e14)
        best = min(best, float(now.min()))
        if goal.rivals and iteration >= _PATIENCE:
            leave |= now > 1.05 * best
        if leave.any():
            theta[active[leave]] = at[leave]
            converged[active[leave]] = done[leave] | (decrement[leave] <= 1e-9 * now[leave])
            stay = np.flatnonzero(~leave)
            active = active[stay]
            if active.size == 0:
                return theta, converged
            at, now, damping, part = at[stay], now[stay], damping[stay], part.rows(stay)
    theta[active] = at
    return theta, converged


def _step(goal: Goal, theta: Array, delta: float | None, damping: Array) -> tuple[Array, Array]:
    """A step for every row (R, p) and the decrease it promises (R,)."""
    gradient, hessian = goal.slopes(theta, delta)
    held = _held(goal, theta, gradient)
    if goal.along is not None:
        reduced = goal.along.T @ hessian @ goal.along
        inner, decrement = newton_step(gradient @ goal.along, reduced, damping)
        return inner @ goal.along.T, decrement
    free = ~held
    gradient = gradient * free
    hessian = hessian * (free[:, :, None] & free[:, None, :])
    index = np.arange(theta.shape[1])
    hessian[:, index, index] += held
    return newton_step(gradient, hessian, damping)


def newton_step(gradient: Array, hessian: Array, damping: Array) -> tuple[Array, Array]:
    """-(H + damping·|diag H|)⁻¹ g, with the eigenvalues' magnitudes where H is not positive."""
    index = np.arange(gradient.shape[1])
    diagonal = np.abs(hessian[:, index, index])
    top = diagonal.max(axis=1, initial=0.0)
    damped = hessian.copy()
    damped[:, index, index] += damping[:, None] * np.maximum(diagonal, 1e-8 * top[:, None])
    step, good = _cholesky_solve(damped, -gradient)
    bad = np.flatnonzero(~good)
    if bad.size:
        values, vectors = np.linalg.eigh(np.nan_to_num(hessian[bad]))
        size = np.abs(values)
        floor = np.maximum(1e-10, damping[bad])[:, None] * size.max(axis=1, keepdims=True)
        size = size + np.maximum(floor, 1e-300)
        along = np.einsum("rij,ri->rj", vectors, -gradient[bad]) / size
        step[bad] = np.einsum("rij,rj->ri", vectors, along)
    decrement: Array = -0.5 * (gradient * step).sum(axis=1)
    return step, decrement


def _cholesky_solve(matrix: Array, right: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Solve R small systems by a factorisation that runs over rows side by side."""
    p = right.shape[1]
    lower = [[matrix[:, i, j].copy() for j in range(i + 1)] for i in range(p)]
    good = np.ones(len(right), dtype=bool)
    with np.errstate(all="ignore"):
        for j in range(p):
            for k in range(j):
                lower[j][j] -= lower[j][k] ** 2
            good &= lower[j][j] > 1e-14 * np.abs(matrix[:, j, j])
            lower[j][j] = np.sqrt(lower[j][j])
            for i in range(j + 1, p):
                for k in range(j):
                    lower[i][j] -= lower[i][k] * lower[j][k]
                lower[i][j] /= lower[j][j]
        x = [right[:, i].copy() for i in range(p)]
        for i in range(p):
            for k in range(i):
                x[i] -= lower[i][k] * x[k]
            x[i] /= lower[i][i]
        for i in reversed(range(p)):
            for k in range(i + 1, p):
                x[i] -= lower[k][i] * x[k]
            x[i] /= lower[i][i]
    step = np.stack(x, axis=1)
    good &= np.isfinite(step).all(axis=1)
    return np.where(good[:, None], step, 0.0), good
