"""Laws written as a formula over jets, for everything that is not a sum of power laws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from harness.laws import jets
from harness.laws.bound import Natural, Variables
from harness.laws.jets import Jet
from harness.laws.losses import Link

Array = NDArray[np.float64]
Formula = Callable[[Mapping[str, Jet], Variables], Jet]
"""η from parameters by name and variables (each (n,)), as a jet of shape (R, n).

A positive parameter ``A`` is also there as ``log A``, which saves taking its logarithm again.
"""
Pull = Callable[[Array, Variables, Array, Array], tuple[Array, Array]]
"""Gradient (R, p) and Hessian (R, p, p) of Σ h(η) from θ (R, p), variables, h' and h'' (R, n)."""

CACHED = 100_000
"""Numbers of a Hessian at all points that are worked on at a time."""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter of a law.

    ``positive`` ones are sought on a logarithmic scale. ``shift`` says how the parameter changes
    when the variables are divided by their geometric means: from the logarithms of those means it
    gives what must be added to the parameter (to its logarithm where positive) to undo that: one
    addend by itself under the key ``""``, and factors of other, not positive, parameters.
    """

    name: str
    positive: bool = False
    lower: float = -np.inf
    upper: float = np.inf
    shift: Callable[[Mapping[str, float]], Mapping[str, float]] | None = None


@dataclass(frozen=True, kw_only=True)
class JetLaw:
    """A law given by a formula for η.

    starts
        from variables as the formula sees them, values and weights (n,), the paper's parameters
        to begin with, (S, p), best first
    scaled
        the formula sees each variable divided by its geometric mean
    shared_scale
        variables that are all divided by the mean of the first, so that their ratios stay
    pull
        derivatives by hand, where the formula's own take too long
    """

    name: str
    formula: str
    source: str
    variables: tuple[str, ...]
    terms: tuple[Parameter, ...]
    function: Formula
    starts: Callable[[Variables, Array, Array], Array]
    exponent: str | None = None
    link: Link = "log"
    scaled: bool = True
    shared_scale: tuple[str, ...] = ()
    pull: Pull | None = None

    @property
    def parameters(self) -> tuple[str, ...]:
        """The paper's letters."""
        return tuple(term.name for term in self.terms)

    def bind(self, variables: Variables) -> JetBound:
        """The law at points."""
        means = {
            name: float(np.log(variables[name]).mean()) if self.scaled else 0.0
            for name in self.variables
        }
        if self.shared_scale:
            means |= dict.fromkeys(self.shared_scale, means[self.shared_scale[0]])
        return JetBound(law=self, means=means, points=_divided(variables, means))


@dataclass(frozen=True, kw_only=True)
class JetBound:
    """A :class:`JetLaw` at points, whose variables were divided by exp(``means``)."""

    law: JetLaw
    means: Mapping[str, float]
    points: Variables

    @cached_property
    def natural(self) -> Natural:
        """The paper's parameters, with the variables' scale put back."""
        names = self.law.parameters
        matrix, offset = np.eye(len(names)), np.zeros(len(names))
        for row, term in enumerate(self.law.terms):
            for name, amount in (term.shift(self.means) if term.shift else {}).items():
                if name:
                    matrix[row, names.index(name)] += amount
                else:
                    offset[row] += amount
        positive = np.array([term.positive for term in self.law.terms])
        own = np.arange(len(names))
        return Natural(names=names, matrix=matrix, offset=offset, positive=positive, own=own)

    @cached_property
    def lower(self) -> Array:
        """Bounds given by the law; a positive parameter may all but vanish."""
        return np.array([_edge(term, term.lower, -60.0) for term in self.law.terms])

    @cached_property
    def upper(self) -> Array:
        """See :attr:`lower`."""
        return np.array([_edge(term, term.upper, 300.0) for term in self.law.terms])

    def at(self, variables: Variables) -> JetBound:
        """The law at other points with the same scale."""
        points = _divided(variables, self.means)
        return JetBound(law=self.law, means=self.means, points=points)

    def _jet(self, parameters: tuple[Jet, ...]) -> Jet:
        named = {}
        for term, value in zip(self.law.terms, parameters, strict=True):
            if term.positive:
                named[f"log {term.name}"] = value
                value = jets.exp(value)
            named[term.name] = value
        with np.errstate(all="ignore"):
            return self.law.function(named, self.points)

    def _full(self, array: Array, rows: int) -> Array:
        count = next(iter(self.points.values())).size
        return np.broadcast_to(array, (*array.shape[:-2], rows, count))

    def eta(self, theta: Array) -> Array:
        """η at every point, (R, n)."""
        last: tuple[Array, Array] | None = self.__dict__.get("_last")
        if last is not None and last[0] is theta:
            return last[1]
        constants = tuple(Jet(theta[:, i, None]) for i in range(theta.shape[1]))
        eta = self._full(self._jet(constants).value, len(theta))
        # Asked again at once: for the objective, then for its slopes.
        self.__dict__["_last"] = (theta, eta)
        return eta

    def pull(self, theta: Array, first: Array, second: Array) -> tuple[Array, Array]:
        """Gradient and Hessian of Σ h(η): see :class:`harness.laws.bound.Bound`.

        Rows go in parts whose Hessians stay in the cache.
        """
        if self.law.pull is not None:
            return self.law.pull(theta, self.points, first, second)
        p = theta.shape[1]
        step = max(1, CACHED // (p * p * first.shape[1]))
        if len(theta) <= step:
            return self._pull(theta, first, second)
        parts = [
            self._pull(theta[i : i + step], first[i : i + step], second[i : i + step])
            for i in range(0, len(theta), step)
        ]
        return np.concatenate([g for g, _ in parts]), np.concatenate([h for _, h in parts])

    def _pull(self, theta: Array, first: Array, second: Array) -> tuple[Array, Array]:
        jet, (rows, p) = self._jet(jets.parameters(theta)), theta.shape
        if jet.gradient is None:
            return np.zeros((rows, p)), np.zeros((rows, p, p))
        slope = self._full(jet.gradient, rows).transpose(1, 0, 2)
        gradient = np.matmul(slope, first[:, :, None])[..., 0]
        hessian = np.matmul(slope * second[:, None, :], np.swapaxes(slope, 1, 2))
        if jet.hessian is not None:
            hessian += (jet.hessian * first).sum(axis=3).transpose(2, 0, 1)
        return gradient, hessian

    def starts(self, y: Array, weights: Array) -> Array:
        """The law's starts, as θ."""
        natural = np.atleast_2d(self.law.starts(self.points, y, weights))
        positive = np.array([term.positive for term in self.law.terms])
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log(np.maximum(natural, 1e-20))
        theta: Array = np.where(positive, logs, natural)
        return theta


def _edge(term: Parameter, natural: float, unbounded: float) -> float:
    """A bound on the working scale; ``unbounded`` is used for a positive parameter without one."""
    if not term.positive:
        return natural
    return float(np.log(natural)) if 0 < natural < np.inf else unbounded


def _divided(variables: Variables, means: Mapping[str, float]) -> Variables:
    return {
        name: np.asarray(variables[name], dtype=float) / np.exp(mean)
        for name, mean in means.items()
    }
