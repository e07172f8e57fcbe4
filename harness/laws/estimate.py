"""The best fit of a law to points, with a certificate that it is the best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.laws.bound import Bound, Law, Variables
from harness.laws.losses import Link, Loss
from harness.laws.marquardt import descend
from harness.laws.solver import Goal, Solution, minimise

Array = NDArray[np.float64]

SAME = 1e-6
"""Optima whose objectives differ by less than this share are one basin."""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """How sure the optimum is.

    gradient
        largest entry of the gradient relative to the objective, at the optimum
    converged
        whether Newton's iteration ended there by its own criterion
    starts, share
        how many starts were tried, and the share of them that ended at the optimum
    second
        the objective of the next best basin relative to the best, minus one; ``None``: no other
    active
        names of parameters at a bound, where intervals do not hold
    condition
        condition number of the Hessian, scaled to a unit diagonal, after centring
    """

    gradient: float
    converged: bool
    starts: int
    share: float
    second: float | None
    active: tuple[str, ...]
    condition: float

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "gradient": self.gradient,
            "converged": self.converged,
            "starts": self.starts,
            "share_at_optimum": self.share,
            "second_basin": self.second,
            "active_bounds": list(self.active),
            "condition": self.condition if np.isfinite(self.condition) else None,
        }


@dataclass(frozen=True, kw_only=True)
class Data:
    """Points: variables and values (n,), and weights (n,) that count each point."""

    variables: Variables
    y: Array
    weights: Array

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Data:
        """Some of the points."""
        return Data(
            variables={name: column[rows] for name, column in self.variables.items()},
            y=self.y[rows],
            weights=self.weights[rows],
        )


@dataclass(frozen=True, kw_only=True)
class PointFit:
    """The optimum: θ (p,), the paper's parameters, the objective Σ w·ρ, and its certificate."""

    law: Law
    loss: Loss
    bound: Bound
    data: Data
    theta: Array
    objective: float
    certificate: Certificate

    @property
    def link(self) -> Link:
        """The law's link."""
        return self.law.link  # type: ignore[return-value]

    @property
    def parameters(self) -> dict[str, float]:
        """The paper's parameters by name."""
        values = self.bound.natural.values(self.theta[None])[0]
        return dict(zip(self.bound.natural.names, (float(v) for v in values), strict=True))

    @property
    def goal(self) -> Goal:
        """What was minimised."""
        return Goal(
            bound=self.bound,
            loss=self.loss,
            link=self.link,
            y=self.data.y,
            weights=self.data.weights,
        )

    @property
    def residuals(self) -> Array:
        """Measured minus fitted on the loss's scale, (n,)."""
        residuals: Array = self.loss.residuals(self._eta(), self.data.y, self.link)[0]
        return residuals

    @property
    def r2(self) -> float:
        """Share of the variance explained, on the loss's scale."""
        y = np.log(self.data.y) if self.loss.scale == "log" else self.data.y
        left = self.residuals
        if self.loss.scale == "binomial":
            left = y - 0.5 * (1 + np.tanh(0.5 * self._eta()[0]))
        w = self.data.weights
        spread = float((w * (y - np.average(y, weights=w)) ** 2).sum())
        return 1.0 - float((w * left**2).sum()) / spread if spread > 0 else 0.0

    def _eta(self) -> Array:
        return self.bound.eta(self.theta[None])


PROOF = 1e-4
"""A gradient below this share of the objective proves an optimum; else it is sought again."""
THOROUGH = 1500
"""Iterations that a curved valley may take; Newton's method usually needs a dozen."""
AGAIN = 2
"""Places that the slower method sets out from."""
QUICK = (6, 60)
"""Starts and iterations of fits that are only compared with others."""


def fit_point(law: Law, data: Data, loss: Loss, *, quick: bool = False) -> PointFit:
    """Fit ``law`` by ``loss``; a ``quick`` fit may stop in a flat valley before its very end."""
    bound = law.bind(data.variables)
    goal = Goal(
        bound=bound,
        loss=loss,
        link=law.link,  # type: ignore[arg-type]
        y=data.y,
        weights=data.weights,
        rivals=QUICK[1] if quick else THOROUGH,
    )
    starts = bound.starts(data.y, data.weights)[: QUICK[0] if quick else None]
    solution = minimise(goal, starts)
    if not quick and (len(starts) == 1 or not _proved(goal, solution)):
        found = np.concatenate([solution.theta, descend(goal, _again(starts, solution))])
        solution = minimise(goal, found[np.isfinite(goal.value(found, loss.delta))])
    best = int(np.argmin(solution.objective))
    objective = float(solution.objective[best])
    excess = solution.objective / max(objective, 1e-300) - 1.0
    scale = 1e-24 * max(1.0, float(data.weights.sum()))
    same = (excess < SAME) | (solution.objective < scale)
    others = excess[~same & np.isfinite(excess) & solution.converged]
    theta = solution.theta[best]
    certificate = Certificate(
        gradient=float(solution.gradient[best]) if objective > scale else 0.0,
        converged=bool(solution.converged[best]),
        starts=len(starts),
        share=float(same.mean()),
        second=float(others.min()) if others.size else None,
        active=_active(bound, theta),
        condition=_condition(goal, theta),
    )
    return PointFit(
        law=law,
        loss=loss,
        bound=bound,
        data=data,
        theta=theta,
        objective=objective,
        certificate=certificate,
    )


def _again(starts: Array, solution: Solution) -> Array:
    """Where to seek again from: the starts, if few, else where the best of them led."""
    if len(starts) <= AGAIN:
        return starts
    return solution.theta[np.argsort(solution.objective, kind="stable")[:AGAIN]]


def _proved(goal: Goal, solution: Solution) -> bool:
    """Whether the best of ``solution`` is an optimum, or as good as exact."""
    best = int(np.argmin(solution.objective))
    exact = bool(solution.objective[best] <= 1e-24 * max(1.0, float(goal.weights.sum())))
    return exact or bool(solution.converged[best] and solution.gradient[best] < PROOF)


def _active(bound: Bound, theta: Array) -> tuple[str, ...]:
    """Names of parameters at their bounds; an amplitude is there once it has vanished."""
    gap = 1e-9 * np.maximum(1.0, np.abs(theta))
    at = (theta <= bound.lower + gap) | (theta >= bound.upper - gap)
    natural = bound.natural
    return tuple(natural.names[natural.own[i]] for i in np.flatnonzero(at))


def _condition(goal: Goal, theta: Array) -> float:
    _, hessian = goal.slopes(theta[None], goal.loss.delta)
    matrix = hessian[0]
    scale = np.sqrt(np.abs(np.diag(matrix)))
    scale[scale == 0] = 1.0
    values = np.abs(np.linalg.eigvalsh(matrix / np.outer(scale, scale)))
    return float(values.max() / values.min()) if values.min() > 0 else float("inf")
