"""Laws that are sums of power laws: f = Σ_k A_k · exp(F_k·φ), with exponents φ shared at will.

E + A·N^-α + B·D^-β is one: three terms, of which the last has no exponent. In θ = (log A_k, φ)
the logarithm of f is a log-sum-exp of linear functions, so its gradient and Hessian are weighted
averages with the terms' shares, and sums over points become products of matrices. A term without
exponents is sought as it is, not as its logarithm, so that a floor of zero is a plain bound.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from harness.laws.bound import Natural, Variables
from harness.laws.losses import Link

Array = NDArray[np.float64]

VANISHED = -40.0
"""A term's log amplitude, relative to the data, at which it counts as zero."""

STARTS = 6


@dataclass(frozen=True, kw_only=True)
class ExpSumLaw:
    """A sum of power laws.

    features
        from the variables (each (n,)) to F (K, n, q): term k is log A_k + F_k·φ
    amplitudes, exponents
        the paper's letters of A_k and φ; ``parameters`` is their order in the paper
    grids
        values of each exponent to start from
    """

    name: str
    formula: str
    source: str
    variables: tuple[str, ...]
    parameters: tuple[str, ...]
    amplitudes: tuple[str, ...]
    exponents: tuple[str, ...]
    features: Callable[[Variables], Array]
    grids: tuple[tuple[float, ...], ...] = ()
    exponent_bounds: tuple[float, float] = (-20.0, 20.0)
    exponent: str | None = None
    link: Link = "log"

    def bind(self, variables: Variables) -> ExpSum:
        """The law at points; sizes are centred there."""
        raw = self.features(variables)
        center = raw.mean(axis=1)
        return ExpSum(law=self, center=center, features=raw - center[:, None, :])


@dataclass(frozen=True, kw_only=True)
class ExpSum:
    """An :class:`ExpSumLaw` at n points: features (K, n, q) less their ``center`` (K, q)."""

    law: ExpSumLaw
    center: Array
    features: Array

    @cached_property
    def natural(self) -> Natural:
        """A_k = exp(a_k − center·φ), and φ itself, in the paper's order."""
        k, q = self.center.shape
        matrix = np.eye(k + q)
        matrix[:k, k:] = -self.center
        logarithmic = np.zeros(k + q, dtype=bool)
        logarithmic[:k] = ~self._constant
        names = (*self.law.amplitudes, *self.law.exponents)
        order = [names.index(name) for name in self.law.parameters]
        return Natural(
            names=self.law.parameters,
            matrix=matrix[order],
            offset=np.zeros(k + q),
            positive=logarithmic[order],
            own=np.argsort(order),
        )

    @cached_property
    def _constant(self) -> NDArray[np.bool_]:
        """Which terms have no exponent, (K,)."""
        return np.array([columns.size == 0 for columns in self._columns])

    @cached_property
    def lower(self) -> Array:
        """Amplitudes may vanish, exponents stay in the law's range."""
        q = self.center.shape[1]
        amplitudes = np.where(self._constant, 0.0, VANISHED)
        return np.concatenate([amplitudes, np.full(q, self.law.exponent_bounds[0])])

    @cached_property
    def upper(self) -> Array:
        """See :attr:`lower`."""
        k, q = self.center.shape
        return np.array([1e30] * k + [self.law.exponent_bounds[1]] * q)

    def at(self, variables: Variables) -> ExpSum:
        """The law at other points with the same centre."""
        features = self.law.features(variables) - self.center[:, None, :]
        return ExpSum(law=self.law, center=self.center, features=features)

    def _terms(self, theta: Array) -> list[Array]:
        """Every term at every point; the last θ's are kept, since η is wanted before slopes."""
        last: tuple[Array, list[Array]] | None = self.__dict__.get("_last")
        if last is not None and last[0] is theta:
            return last[1]
        terms = self._computed(theta)
        self.__dict__["_last"] = (theta, terms)
        return terms

    def _computed(self, theta: Array) -> list[Array]:
        k = len(self.center)
        terms = []
        for i in range(k):
            columns = self._columns[i]
            amplitude = theta[:, i, None]
            if columns.size == 0:
                terms.append(amplitude)
            else:
                linear = theta[:, k + columns] @ self.features[i][:, columns].T
                linear += amplitude
                terms.append(np.exp(linear, out=linear))
        return terms

    @cached_property
    def _columns(self) -> list[NDArray[np.intp]]:
        """Which exponents each term depends on."""
        return [np.flatnonzero(np.abs(f).max(axis=0) > 0) for f in self.features]

    def eta(self, theta: Array) -> Array:
        """log f at every point, (R, n)."""
        with np.errstate(over="ignore"):
            total = np.zeros((len(theta), self.features.shape[1]))
            for term in self._terms(theta):
                total += term
        eta: Array = np.log(total)
        return eta

    @cached_property
    def _moments(self) -> dict[tuple[int, int], Array]:
        """For terms k <= l the columns 1, F_l, F_k and F_k ⊗ F_l, side by side."""
        moments = {}
        n = self.features.shape[1]
        for k in range(len(self.center)):
            for l in range(k, len(self.center)):  # noqa: E741
                left = self.features[k][:, self._columns[k]]
                right = self.features[l][:, self._columns[l]]
                outer = (left[:, :, None] * right[:, None, :]).reshape(n, -1)
                moments[k, l] = np.concatenate([np.ones((n, 1)), right, left, outer], axis=1)
        return moments

    @cached_property
    def _places(self) -> dict[tuple[int, int], Array]:
        """For terms k <= l, where their moments belong in a flat Hessian: (M, (K + q)²) of 0, 1."""
        count, q = self.center.shape
        places = {}
        for (k, l), moments in self._moments.items():  # noqa: E741
            left, right = count + self._columns[k], count + self._columns[l]
            pairs = [(k, l), *((k, j) for j in right)]
            pairs += [(i, l) for i in left] + [(i, j) for i in left for j in right]
            place = np.zeros((moments.shape[1], count + q, count + q))
            for at, (i, j) in enumerate(pairs):
                place[at, i, j] += 1.0
                if l != k:
                    place[at, j, i] += 1.0
            places[k, l] = place.reshape(len(place), -1)
        return places

    def pull(self, theta: Array, first: Array, second: Array) -> tuple[Array, Array]:
        """Gradient and Hessian of Σ h(η): see :class:`harness.laws.bound.Bound`.

        With shares s_k the Hessian is Σ_kl [(h'' − h') s_k s_l + δ_kl h' s_k] T_k T_lᵀ, where
        T_k is the gradient of log term k. A constant term has slope 1 and no second derivative,
        so its share is 1/f and δ_kk falls away.
        """
        count, q = self.center.shape
        terms = self._terms(theta)
        total = sum(terms[1:], start=terms[0] + np.zeros((1, self.features.shape[1])))
        shares = [
            (1.0 if constant else term) / total
            for term, constant in zip(terms, self._constant, strict=True)
        ]
        gradient = np.zeros((len(theta), count + q))
        hessian = np.zeros((len(theta), (count + q) ** 2))
        curve = second - first
        for k in range(count):
            pulled = first * shares[k]
            gradient[:, k] = pulled.sum(axis=1)
            columns = self._columns[k]
            gradient[:, count + columns] += pulled @ self.features[k][:, columns]
            bent = curve * shares[k]
            for l in range(k, count):  # noqa: E741
                weight = bent * shares[l]
                if l == k and not self._constant[k]:
                    weight += pulled
                hessian += weight @ self._moments[k, l] @ self._places[k, l]
        return gradient, hessian.reshape(len(theta), count + q, count + q)

    def starts(self, y: Array, weights: Array) -> Array:
        """Exponents on the grid, amplitudes by non-negative least squares on relative errors.

        A single term is linear in logs and solved exactly.
        """
        if len(self.center) == 1:
            return self._regression(y, weights)
        grid = np.stack([axis.ravel() for axis in np.meshgrid(*self.law.grids, indexing="ij")], 1)
        columns = np.stack([grid @ f.T for f in self.features], axis=2)
        columns = np.exp(columns) / y[:, None]
        amplitudes, misfit = nonnegative(columns, weights)
        best = np.argsort(misfit, kind="stable")[:STARTS]
        least = 1e-4 * amplitudes[best].max(axis=1, keepdims=True)
        logs = np.log(np.maximum(amplitudes[best], least))
        chosen = np.where(self._constant, amplitudes[best], logs)
        start: Array = np.concatenate([chosen, grid[best]], axis=1)
        return start

    def _regression(self, y: Array, weights: Array) -> Array:
        root = np.sqrt(weights)[:, None]
        design = np.concatenate([np.ones((y.size, 1)), self.features[0]], axis=1)
        solution, *_ = np.linalg.lstsq(root * design, root[:, 0] * np.log(y), rcond=None)
        start: Array = solution[None, :]
        return start


def nonnegative(columns: Array, weights: Array, target: Array | None = None) -> tuple[Array, Array]:
    """Non-negative amplitudes that bring each of G designs (G, n, K) closest to ``target``.

    ``target`` is (G, n), or ones. Few columns: every subset of them is solved, and the best
    feasible one kept. Returns amplitudes (G, K) and weighted sums of squares (G,).
    """
    target = np.ones(columns.shape[:2]) if target is None else target
    weighted = columns * weights[:, None]
    gram = np.swapaxes(weighted, 1, 2) @ columns
    moment = (np.swapaxes(weighted, 1, 2) @ target[:, :, None])[..., 0]
    total = (weights * target**2).sum(axis=1)
    count = columns.shape[2]
    best = np.zeros(moment.shape)
    misfit = total.copy()
    for size in range(count, 0, -1):
        for subset in combinations(range(count), size):
            chosen = np.array(subset)
            part = gram[:, chosen[:, None], chosen]
            ridge = 1e-14 * np.trace(part, axis1=1, axis2=2)[:, None, None] * np.eye(size)
            solution = np.linalg.solve(part + ridge, moment[:, chosen, None])[..., 0]
            value = total - (solution * moment[:, chosen]).sum(axis=1)
            better = (solution >= 0).all(axis=1) & (value < misfit - 1e-15)
            misfit = np.where(better, value, misfit)
            full = np.zeros_like(best)
            full[:, chosen] = solution
            best = np.where(better[:, None], full, best)
    return best, misfit
