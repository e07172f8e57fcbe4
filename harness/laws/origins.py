"""Fits of a law to the smaller sizes of the same points, for many cuts at once.

Choosing a law asks for hundreds of fits whose only use is a prediction. They need no certificate
and no Hessian: rows (a cut and a start each) descend side by side by Levenberg and Marquardt's
method, with slopes by differences of η, which every law has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.laws.bound import Bound, Law, Variables
from harness.laws.estimate import Data
from harness.laws.losses import Link, inverse_link

Array = NDArray[np.float64]

STARTS = 8
"""Starts of each fit, as many as a law offers."""
FINALISTS = 2
"""Of these, how many are followed to the end."""
_SCOUT, _LONGEST = 8, 80
"""Iterations of all starts, and of the finalists."""
_GAIN = 1e-5
"""A row is done when it gains less than this share of its objective in an accepted step."""
_STEP = 1e-6


@dataclass(frozen=True, kw_only=True)
class CutFits:
    """Fits of one law to cuts: ``bound`` at all points, ``theta`` (K, p), and the weighted mean
    squares (K,) of their own points' residuals."""

    law: Law
    bound: Bound
    theta: Array
    square: Array

    def at(self, variables: Variables) -> Array:
        """The fitted values (K, k) at other points."""
        eta = self.bound.at(variables).eta(self.theta)
        with np.errstate(all="ignore"):
            return inverse_link(self.law.link)(eta)  # type: ignore[arg-type]


def fit_cuts(law: Law, data: Data, cuts: Sequence[NDArray[np.bool_]], *, log: bool) -> CutFits:
    """Fit ``law`` by squares to each of ``cuts`` (masks (n,)) of ``data``.

    log
        squares of differences of logarithms rather than of values
    """
    bound = law.bind(data.variables)
    weights, starts = [], []
    for cut in cuts:
        part = data.take(cut)
        own = law.bind(part.variables)
        theta = _moved(own, bound, own.starts(part.y, part.weights)[:STARTS])
        starts.append(np.clip(theta, bound.lower, bound.upper))
        row = np.where(cut, data.weights, 0.0)
        weights.append(np.tile(row / row.sum(), (len(theta), 1)))
    owner = np.repeat(np.arange(len(cuts)), [len(block) for block in starts])
    problem = _Problem(bound=bound, link=law.link, y=data.y, log=log)  # type: ignore[arg-type]
    theta, w = np.concatenate(starts), np.concatenate(weights)
    with np.errstate(all="ignore"):
        theta, square = _descend(problem, theta, w, _SCOUT)
        keep = np.concatenate(
            [
                rows[np.argsort(square[rows], kind="stable")[:FINALISTS]]
                for rows in (np.flatnonzero(owner == k) for k in range(len(cuts)))
            ]
        )
        theta, w, owner = theta[keep], w[keep], owner[keep]
        theta, square = _descend(problem, theta, w, _LONGEST)
    best = [
        int(rows[np.argmin(square[rows])])
        for rows in (np.flatnonzero(owner == k) for k in range(len(cuts)))
    ]
    return CutFits(law=law, bound=bound, theta=theta[best], square=square[best])


def _moved(own: Bound, common: Bound, theta: Array) -> Array:
    """The same parameters in the coordinates of ``common``, whose sizes are centred elsewhere."""
    natural = theta @ own.natural.matrix.T + own.natural.offset
    back = np.linalg.solve(common.natural.matrix, (natural - common.natural.offset).T)
    return np.asarray(back.T, dtype=float)


@dataclass(frozen=True, kw_only=True)
class _Problem:
    bound: Bound
    link: Link
    y: Array
    log: bool

    def fitted(self, theta: Array) -> Array:
        """Fitted values on the residual's scale, (R, n)."""
        eta = self.bound.eta(theta)
        if self.log:
            return eta if self.link == "log" else np.log(inverse_link(self.link)(eta))
        return eta if self.link == "identity" else inverse_link(self.link)(eta)

    @property
    def target(self) -> Array:
        return np.log(self.y) if self.log else self.y

    def slopes(self, theta: Array, fitted: Array) -> Array:
        """Slopes of the fitted values by θ, (R, n, p), by differences that stay in bounds."""
        rows, p = theta.shape
        step = _STEP * np.maximum(1.0, np.abs(theta))
        step = np.where(theta + step > self.bound.upper, -step, step)
        moved = theta[:, None, :] + step[:, :, None] * np.eye(p)
        ahead = self.fitted(moved.reshape(rows * p, p)).reshape(rows, p, -1)
        slopes: Array = ((ahead - fitted[:, None]) / step[:, :, None]).swapaxes(1, 2)
        return slopes


def _descend(problem: _Problem, theta: Array, w: Array, iterations: int) -> tuple[Array, Array]:
    """Levenberg and Marquardt's iteration over rows; returns θ and mean squares (R,)."""
    theta = theta.copy()
    fitted = problem.fitted(theta).copy()
    square = _square(problem, fitted, w)
    damping = np.full(len(theta), 1e-3)
    active = np.flatnonzero(np.isfinite(square))
    for _ in range(iterations):
        if not active.size:
            break
        at = theta[active]
        step = _step(problem, at, fitted[active], w[active], damping[active])
        trial = np.clip(at + step, problem.bound.lower, problem.bound.upper)
        value = problem.fitted(trial)
        new = _square(problem, value, w[active])
        better = new < square[active]
        gain = np.where(better, square[active] - new, np.inf)
        rows = active[better]
        done = (gain <= _GAIN * square[active] + 1e-26) | (damping[active] > 1e9)
        theta[rows], fitted[rows], square[rows] = trial[better], value[better], new[better]
        damping[active] *= np.where(better, 0.2, 6.0)
        active = active[~done]
    return theta, square


def _square(problem: _Problem, fitted: Array, w: Array) -> Array:
    left = np.where(w > 0, fitted - problem.target, 0.0)
    total = (w * left**2).sum(axis=1)
    return np.where(np.isfinite(total), total, np.inf)


def _step(problem: _Problem, theta: Array, fitted: Array, w: Array, damping: Array) -> Array:
    used = w > 0
    slopes = np.where(used[:, :, None], problem.slopes(theta, fitted), 0.0)
    slopes = np.nan_to_num(slopes, nan=0.0, posinf=0.0, neginf=0.0)
    left = np.where(used, problem.target - fitted, 0.0)
    weighted = slopes * w[:, :, None]
    down = np.einsum("rnp,rn->rp", weighted, left)
    gauss = np.matmul(weighted.swapaxes(1, 2), slopes)
    low, high = problem.bound.lower, problem.bound.upper
    held = ((theta <= low) & (down < 0)) | ((theta >= high) & (down > 0))
    free = ~held
    gauss *= free[:, :, None] & free[:, None, :]
    index = np.arange(theta.shape[1])
    diagonal = gauss[:, index, index]
    floor = 1e-12 * diagonal.max(axis=1, keepdims=True) + 1e-30
    gauss[:, index, index] = diagonal * (1 + damping[:, None]) + floor + held
    step: Array = np.linalg.solve(gauss, (down * free)[:, :, None])[..., 0]
    return step
