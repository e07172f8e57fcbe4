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
from harness.laws.noise import SMALL, noise_like, shares_like
from harness.laws.records import LEVEL
from harness.laws.solver import Goal, minimise

Array = NDArray[np.float64]
Unit: TypeAlias = Literal["points", "residuals", "cluster", "seeds", "items"]

BATCH = 512


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

    @property
    def robust(self) -> bool:
        """Whether whole points are drawn, which holds for noise that is uneven."""
        return self.unit in ("points", "cluster", "seeds")

    @property
    def clusters(self) -> int | None:
        """How many clusters there are, where whole ones are drawn."""
        if self.unit != "cluster" or self.labels is None:
            return None
        return int(np.unique(self.labels).size)

    def freedom(self, n: int, parameters: int) -> int:
        """Degrees of freedom that the units of n points leave for the size of their noise."""
        if self.clusters is not None:
            return self.clusters - 1
        if self.unit == "seeds" and self.labels is not None:
            return max(n - int(np.unique(self.labels).size), 1)
        return max(n - parameters, 1)

    def shrinkage(self, n: int, parameters: int) -> float:
        """By how much draws of units spread less than estimates do, as a factor above one."""
        if not self.robust:
            return 1.0
        return float(np.sqrt((self.clusters or n) / self.freedom(n, parameters)))


@dataclass(frozen=True, kw_only=True)
class Replicates:
    """θ of every replicate that converged (R, p), and how many did not."""

    theta: Array
    failures: int
    plan: Plan

    def widened(self, fit: PointFit) -> Array:
        """θ (R, p) moved away from the estimate, so that percentiles are intervals of Student's t.

        Draws of n units spread less than the estimate by √((n − 1)/n) or so, and their percentiles
        take the noise as known; with few clusters both matter (Hesterberg 2015, section 5).
        """
        n, parameters = fit.data.y.size, fit.theta.size
        factor = self.plan.shrinkage(n, parameters)
        drawn_by_t = self.plan.unit == "residuals" and (n < SMALL or fit.loss.scale == "binomial")
        if self.plan.unit != "items" and not drawn_by_t:
            factor *= student(self.plan.freedom(n, parameters)) / student(None)
        theta: Array = fit.theta + factor * (self.theta - fit.theta)
        return np.clip(theta, fit.bound.lower, fit.bound.upper)


def student(freedom: int | None) -> float:
    """Half the width of a 95 % interval in standard errors; ``None``: these are known."""
    from scipy.special import ndtri, stdtrit

    level = (1 + LEVEL) / 2
    return float(ndtri(level) if freedom is None else stdtrit(freedom, level))


def bootstrap(fit: PointFit, plan: Plan) -> Replicates:
    """Fit every replicate of ``plan``.

    Raises:
        UsageError: the unit needs clusters, seeds or items that the points do not have.
    """
    if plan.unit == "cluster" and (plan.labels is None or np.unique(plan.labels).size < 3):
        raise UsageError("--resample cluster:COLUMN needs a column with at least three values.")
    if plan.unit == "items" and plan.items is None:
        raise UsageError(
            "--resample items needs the samples behind every score; a table has none, and nor has "
            "an import without samples.\nChoose points, residuals, seeds or cluster:COLUMN."
        )
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
        raise UsageError(
            "--resample seeds needs several rows with the same settings; none are.\n"
            "Where rows share a training, as the checkpoints of a sweep do, resample whole "
            "trainings: --resample cluster:training."
        )

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
        return shares_like(fit, np.broadcast_to(fitted, (rows, n)), fit.data.weights, generator)
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
