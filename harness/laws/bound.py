"""A law tied to points: the interface between laws and the solver.

A bound law works in coordinates θ that suit the solver (logarithms of positive parameters,
centred sizes). The paper's parameters are linear in θ, up to an exponential; :class:`Natural`
holds that map, so that any of them can be profiled, and means the same whatever the centre.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Variables = Mapping[str, Array]
"""Every variable's values at the points, each (n,)."""


@dataclass(frozen=True, kw_only=True)
class Natural:
    """The paper's q parameters from p working ones: ``matrix`` θ + ``offset``, then exp or not.

    matrix (q, p), offset (q,), positive (q,) where the exponential is taken. ``own`` (p,) is the
    index of the parameter that each working one stands for.
    """

    names: tuple[str, ...]
    matrix: Array
    offset: Array
    positive: NDArray[np.bool_]
    own: NDArray[np.intp]

    def values(self, theta: Array) -> Array:
        """The paper's parameters of rows ``theta`` (R, p), as (R, q)."""
        linear = theta @ self.matrix.T + self.offset
        with np.errstate(over="ignore"):
            values: Array = np.where(self.positive, np.exp(linear), linear)
        return values

    def row(self, name: str) -> tuple[Array, float, bool]:
        """The linear functional of one parameter: its row, its offset, whether exp follows."""
        at = self.names.index(name)
        return self.matrix[at], float(self.offset[at]), bool(self.positive[at])


class Bound(Protocol):
    """A law at given points, for the solver. Rows R are fits that run side by side."""

    @property
    def natural(self) -> Natural:
        """The map to the paper's parameters."""
        ...

    @property
    def lower(self) -> Array:
        """Lowest allowed θ (p,)."""
        ...

    @property
    def upper(self) -> Array:
        """Highest allowed θ (p,)."""
        ...

    def eta(self, theta: Array) -> Array:
        """η at every point, (R, n)."""
        ...

    def pull(self, theta: Array, first: Array, second: Array) -> tuple[Array, Array]:
        """Gradient (R, p) and Hessian (R, p, p) of Σ h(η) from h' and h'' at the points (R, n)."""
        ...

    def starts(self, y: Array, weights: Array) -> Array:
        """Good θ to begin with, best first, (S, p), from values and weights (n,)."""
        ...

    def at(self, variables: Variables) -> Bound:
        """The same law and coordinates at other points."""
        ...


@runtime_checkable
class Law(Protocol):
    """A functional form."""

    @property
    def name(self) -> str:
        """What ``--law`` calls it."""
        ...

    @property
    def formula(self) -> str:
        """How it reads."""
        ...

    @property
    def source(self) -> str:
        """The paper it comes from."""
        ...

    @property
    def variables(self) -> tuple[str, ...]:
        """The names it needs, size first."""
        ...

    @property
    def parameters(self) -> tuple[str, ...]:
        """The paper's letters, in the paper's order."""
        ...

    @property
    def exponent(self) -> str | None:
        """Which parameter is the size exponent."""
        ...

    @property
    def link(self) -> str:
        """What η is: ``log``, ``identity`` or ``logit`` of the value."""
        ...

    def bind(self, variables: Variables) -> Bound:
        """The law at the points given by ``variables``."""
        ...
