"""Bootstrap of a fit by a chosen unit.

Which unit is drawn anew decides the interval: points as if independent, residuals about the law,
whole clusters (a model size, a budget), seeds within a cell, or test items. It is asked for,
never guessed in silence, and told with the result. Every replicate is fitted to convergence from
the optimum, side by side with the others; memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.laws.estimate import PointFit
from harness.laws.losses import inverse_link
from harness.laws.solver import Goal, minimise

Array = NDArray[np.float64]
Unit: TypeAlias = Literal["points", "residuals", "cluster", "seeds", "items"]

BATCH = 512
SMALL = 20
"""Fewer points than this have too few residuals to draw from: Student's t takes their place."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to resample.

    ``labels`` (n,) say which cluster, or which cell of equal settings, a point belongs to;
    ``items`` (B, n) are scores over redrawn test items, the same draw for all points.
    """

    unit: Unit
    replicates: int = 1000
    seed: int = 0
    labels: NDArray[np.intp] | None = None
    items: Array | None = None
    column: str = ""

    @property
    def words(self) -> str:
        """The unit as a report names it."""
        return f"cluster:{self.column}" if self.unit == "cluster" else self.unit


@dataclass(frozen=True, kw_only=True)
class Replicates:
    """θ of every replicate that converged (R, p), and how many did not."""

    theta: Array
    failures: int
    plan: Plan


def bootstrap(fit: PointFit, plan: Plan) -> Replicates:
    """Fit every replicate of ``plan``.

    Raises:
        UsageError: the unit needs clusters, seeds or items that the points do not have.
    """
    if plan.unit == "cluster" and (plan.labels is None or np.unique(plan.labels).size < 3):
        raise UsageError("--resample cluster:COLUMN needs a column with at least three values.")
    if plan.unit == "items" and plan.items is None:
        raise UsageError("--resample items needs per-sample records, which only a run has.")
    kept, failures = [], 0
    for y, weights in _batches(fit, plan):
        rows = max(len(np.atleast_2d(y)), len(np.atleast_2d(weights)))
        goal = Goal(bound=fit.bound, loss=fit.loss, link=fit.link, y=y, weights=weights)
        solution = minimise(goal, np.repeat(fit.theta[None], rows, axis=0), near=True)
        good = solution.converged & np.isfinite(solution.objective)
        kept.append(solution.theta[good])
        failures += int((~good).sum())
    return Replicates(theta=np.concatenate(kept), failures=failures, plan=plan)


def left_out(fit: PointFit, plan: Plan) -> Array:
    """θ of the fits that each leave one unit out, (G, p): the jackknife that BCa needs."""
    n = fit.data.y.size
    labels = plan.labels if plan.unit == "cluster" and plan.labels is not None else np.arange(n)
    groups = np.unique(labels)
    weights = fit.data.weights * (labels[None, :] != groups[:, None])
    goal = Goal(bound=fit.bound, loss=fit.loss, link=fit.link, y=fit.data.y, weights=weights)
    return minimise(goal, np.repeat(fit.theta[None], groups.size, axis=0)).theta


def _batches(fit: PointFit, plan: Plan) -> Iterator[tuple[Array, Array]]:
    """Targets and weights of a few hundred replicates at a time."""
    generator = np.random.default_rng([plan.seed, 11])
    if plan.unit == "items" and plan.items is not None:
        for begin in range(0, len(plan.items), BATCH):
            yield plan.items[begin : begin + BATCH], fit.data.weights
        return
    draw = _drawer(fit, plan)
    for begin in range(0, plan.replicates, BATCH):
        yield draw(generator, min(BATCH, plan.replicates - begin))


def _drawer(fit: PointFit, plan: Plan) -> Callable[[np.random.Generator, int], tuple[Array, Array]]:
    n = fit.data.y.size
    if plan.unit == "residuals":
        return lambda generator, rows: (redrawn(fit, generator, rows), fit.data.weights)
    if plan.unit == "seeds":
        return _within_cells(fit, plan.labels if plan.labels is not None else np.arange(n))
    labels = plan.labels if plan.unit == "cluster" and plan.labels is not None else np.arange(n)
    groups, index = np.unique(labels, return_inverse=True)
    share = np.full(groups.size, 1.0 / groups.size)

    def counted(generator: np.random.Generator, rows: int) -> tuple[Array, Array]:
        counts = generator.multinomial(groups.size, share, size=rows)
        return fit.data.y, fit.data.weights * counts[:, index]

    return counted


def _within_cells(
    fit: PointFit, labels: NDArray[np.intp]
) -> Callable[[np.random.Generator, int], tuple[Array, Array]]:
    """Seeds are drawn anew within each cell of equal settings."""
    cells = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    if max(cell.size for cell in cells) < 2:
        raise UsageError("--resample seeds needs several rows with the same settings; none are.")

    def counted(generator: np.random.Generator, rows: int) -> tuple[Array, Array]:
        counts = np.zeros((rows, fit.data.y.size))
        for cell in cells:
            share = np.full(cell.size, 1.0 / cell.size)
            counts[:, cell] = generator.multinomial(cell.size, share, size=rows)
        return fit.data.y, fit.data.weights * counts

    return counted


def redrawn(fit: PointFit, generator: np.random.Generator, rows: int) -> Array:
    """New measurements about the fitted law, (rows, n)."""
    eta = fit.bound.eta(fit.theta[None])[0]
    fitted = inverse_link(fit.link)(eta)
    n = fitted.size
    if fit.loss.scale == "binomial":
        counts = np.maximum(1, np.rint(fit.data.weights)).astype(np.int64)
        binomial: Array = generator.binomial(counts, fitted, size=(rows, n)) / counts
        return binomial
    noise = noise_like(fit.residuals * np.sqrt(_relative(fit)), fit.theta.size, generator, rows)
    noise = noise / np.sqrt(_relative(fit))
    if fit.loss.scale == "log":
        logged: Array = fitted * np.exp(noise)
        return logged
    natural: Array = fitted + noise
    return natural


def _relative(fit: PointFit) -> Array:
    """Weights as precisions relative to their mean, where they are precisions at all."""
    if not fit.loss.needs_error:
        return np.ones_like(fit.data.weights)
    relative: Array = fit.data.weights / fit.data.weights.mean()
    return relative


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
    scale = np.sqrt((residuals**2).sum() / generator.chisquare(freedom, rows))
    student: Array = scale[:, None] * generator.standard_normal((rows, n))
    return student
