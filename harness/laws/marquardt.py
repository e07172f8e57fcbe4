"""Levenberg and Marquardt's method, for valleys that Newton's steps do not follow.

Slower than Newton's where that works, and harder to mislead: its matrix is never indefinite, its
steps are measured by the steepest slopes met so far (Moré 1978), and its damping falls slowly
enough to keep to a bent valley. A fit that Newton's method leaves without a proof is tried again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.laws.solver import Goal, held_at_bounds

Array = NDArray[np.float64]

_ITERATIONS = 3000
_STALE = (150, 1e-8)
"""A start ends that has gained less than this share of its objective in so many iterations."""
_FIRST = 1e-2
_EASED, _RAISED = 1 / 3, 2.0
"""What becomes of the damping after a step that was kept, and one that was not."""
_DONE = 1e-15
"""A start is done when a step promises, and brings, less than this share of the objective."""


def descend(goal: Goal, starts: Array) -> Array:
    """Where each of ``starts`` (S, p) comes down to, (S, p), by the last delta of the loss."""
    with np.errstate(all="ignore"):
        return np.array([_descend(goal, start) for start in starts])


@dataclass(frozen=True, kw_only=True)
class _Place:
    """A point on the way: θ (1, p), objective, gradient (1, p), matrix (1, p, p)."""

    theta: Array
    value: float
    gradient: Array
    matrix: Array


def _place(goal: Goal, theta: Array, value: float) -> _Place:
    gradient, _ = goal.slopes(theta, goal.loss.delta)
    return _Place(
        theta=theta, value=value, gradient=gradient, matrix=goal.gauss(theta, goal.loss.delta)
    )


def _descend(goal: Goal, start: Array) -> Array:
    delta, theta = goal.loss.delta, np.clip(start, goal.bound.lower, goal.bound.upper)[None]
    here = _place(goal, theta, float(goal.value(theta, delta)[0]))
    steepest, damping, mark = np.zeros(theta.shape[1]), _FIRST, here.value
    for iteration in range(1, _ITERATIONS):
        diagonal = np.diagonal(here.matrix[0])
        steepest = np.maximum(steepest, np.where(np.isfinite(diagonal), diagonal, 0.0))
        step, promised = _step(goal, here, np.where(steepest > 0, steepest, 1.0), damping)
        trial = np.clip(here.theta + step, goal.bound.lower, goal.bound.upper)
        value = float(goal.value(trial, delta)[0])
        if value <= here.value:
            done = max(here.value - value, promised) <= _DONE * here.value
            here, damping = _place(goal, trial, value), damping * _EASED
            if done:
                break
        else:
            damping *= _RAISED
            if damping > 1e20:
                break
        if iteration % _STALE[0] == 0:
            if here.value > mark * (1.0 - _STALE[1]):
                break
            mark = here.value
    found: Array = here.theta[0]
    return found


def _step(goal: Goal, here: _Place, steepest: Array, damping: float) -> tuple[Array, float]:
    """A step (1, p) of the damped linear problem and the decrease it promises."""
    free = ~held_at_bounds(goal, here.theta, here.gradient)[0]
    scale = np.where(free, 1.0 / np.sqrt(steepest), 0.0)
    matrix = here.matrix[0] * scale[:, None] * scale
    gradient = here.gradient[0] * scale
    try:
        step = np.linalg.solve(matrix + damping * np.eye(scale.size), -gradient)
    except np.linalg.LinAlgError:
        return np.zeros_like(here.theta), np.inf
    promised = -float(gradient @ step) - 0.5 * float(step @ matrix @ step)
    return (step * scale)[None], promised
