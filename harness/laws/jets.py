"""Numbers that carry their first and second derivatives: a law is written once, as a formula.

A :class:`Jet` of shape (R, n) holds value (R, n), gradient (p, R, n) and Hessian (p, p, R, n) by
the p parameters; arithmetic and the functions below follow the chain rule to second order, so
derivatives are exact to rounding. Adding a law means writing its formula, never its derivatives.
The parameters come first, so that inner loops run over points; a derivative may be of any shape
that broadcasts, and ``None`` where it is zero throughout, so that nothing is added up in vain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Slopes: TypeAlias = Callable[[], tuple[Array, Array]]
"""First and second derivative of a function where it was taken, computed only if wanted."""


@dataclass(frozen=True, eq=False)
class Jet:
    """A value with its derivatives."""

    value: Array
    gradient: Array | None = None
    hessian: Array | None = None

    __array_ufunc__ = None  # so that array * Jet comes to Jet.__rmul__

    def __add__(self, other: Jet | Array | float) -> Jet:
        """Sum."""
        if isinstance(other, Jet):
            return Jet(
                self.value + other.value,
                _sum(self.gradient, other.gradient),
                _sum(self.hessian, other.hessian),
            )
        return Jet(self.value + other, self.gradient, self.hessian)

    __radd__ = __add__

    def __neg__(self) -> Jet:
        """Minus."""
        return self * -1.0

    def __sub__(self, other: Jet | Array | float) -> Jet:
        """Difference."""
        return self + (-other)

    def __rsub__(self, other: Array | float) -> Jet:
        """Difference from a constant."""
        return (-self) + other

    def __mul__(self, other: Jet | Array | float) -> Jet:
        """Product."""
        if not isinstance(other, Jet):
            return Jet(
                self.value * other, _product(self.gradient, other), _product(self.hessian, other)
            )
        hessian = _sum(_product(other.hessian, self.value), _product(self.hessian, other.value))
        if self.gradient is not None and other.gradient is not None:
            cross = self.gradient[:, None] * other.gradient
            hessian = _sum(hessian, cross + np.swapaxes(cross, 0, 1))
        return Jet(
            self.value * other.value,
            _sum(_product(other.gradient, self.value), _product(self.gradient, other.value)),
            hessian,
        )

    __rmul__ = __mul__

    def __truediv__(self, other: Jet | Array | float) -> Jet:
        """Quotient."""
        if isinstance(other, Jet):
            return self * (1.0 / other)
        return self * (1.0 / np.asarray(other, dtype=float))

    def __rtruediv__(self, other: Array | float) -> Jet:
        """A constant over this."""
        inverse = 1.0 / self.value
        return self.map(inverse, lambda: (-(inverse**2), 2.0 * inverse**3)) * other

    def map(self, value: Array, slopes: Slopes) -> Jet:
        """A function of this, from its value and its derivatives there."""
        if self.gradient is None:
            return Jet(value)
        first, second = slopes()
        bend = (second * self.gradient)[:, None] * self.gradient
        return Jet(value, first * self.gradient, _sum(bend, _product(self.hessian, first)))


def _sum(left: Array | None, right: Array | None) -> Array | None:
    if left is None or right is None:
        return right if left is None else left
    return left + right


def _product(derivative: Array | None, factor: Array | float) -> Array | None:
    return None if derivative is None else derivative * factor


def parameters(theta: Array) -> tuple[Jet, ...]:
    """The p parameters of rows (R, p) as jets of shape (R, 1)."""
    unit = np.eye(theta.shape[1])
    return tuple(Jet(theta[:, i, None], unit[:, i, None, None]) for i in range(len(unit)))


def exp(x: Jet) -> Jet:
    """Exponential."""
    value = np.exp(x.value)
    return x.map(value, lambda: (value, value))


def log(x: Jet) -> Jet:
    """Natural logarithm."""
    return x.map(np.log(x.value), lambda: (1.0 / x.value, -1.0 / x.value**2))


def softplus(x: Jet) -> Jet:
    """log(1 + exp(x)), without overflow."""

    def slopes() -> tuple[Array, Array]:
        s = 0.5 * (1 + np.tanh(0.5 * x.value))
        return s, s * (1 - s)

    return x.map(np.maximum(x.value, 0.0) + np.log1p(np.exp(-np.abs(x.value))), slopes)


def sin(x: Jet) -> Jet:
    """Sine."""
    value = np.sin(x.value)
    return x.map(value, lambda: (np.cos(x.value), -value))


def cos(x: Jet) -> Jet:
    """Cosine."""
    value = np.cos(x.value)
    return x.map(value, lambda: (-np.sin(x.value), -value))


def arctan(x: Jet) -> Jet:
    """Inverse tangent."""

    def slopes() -> tuple[Array, Array]:
        square = 1 + x.value**2
        return 1 / square, -2 * x.value / square**2

    return x.map(np.arctan(x.value), slopes)


def logaddexp(x: Jet, y: Jet) -> Jet:
    """log(exp(x) + exp(y)): the logarithm of a sum of two terms given by their logarithms."""
    return x + softplus(y - x)
