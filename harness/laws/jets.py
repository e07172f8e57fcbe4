"""Numbers that carry their first and second derivatives: a law is written once, as a formula.

A :class:`Jet` of shape (R, n) holds value (R, n), gradient (R, n, p) and Hessian (R, n, p, p) by
the p parameters; arithmetic and the functions below follow the chain rule to second order, so
derivatives are exact to rounding. Adding a law means writing its formula, never its derivatives.
With p = 0 a jet is its value alone, and costs as little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Jet:
    """A value with its derivatives."""

    value: Array
    gradient: Array
    hessian: Array

    __array_ufunc__ = None  # so that array * Jet comes to Jet.__rmul__

    def __add__(self, other: Jet | Array | float) -> Jet:
        """Sum."""
        if isinstance(other, Jet):
            if not self.gradient.shape[-1]:
                return Jet(self.value + other.value, self.gradient, self.hessian)
            return Jet(
                self.value + other.value,
                self.gradient + other.gradient,
                self.hessian + other.hessian,
            )
        value = self.value + other
        return Jet(value, *_spread(value, self.gradient, self.hessian))

    __radd__ = __add__

    def __neg__(self) -> Jet:
        """Minus."""
        return Jet(-self.value, -self.gradient, -self.hessian)

    def __sub__(self, other: Jet | Array | float) -> Jet:
        """Difference."""
        return self + (-other)

    def __rsub__(self, other: Array | float) -> Jet:
        """Difference from a constant."""
        return (-self) + other

    def __mul__(self, other: Jet | Array | float) -> Jet:
        """Product."""
        if not isinstance(other, Jet):
            factor = np.asarray(other, dtype=float)
            if not self.gradient.shape[-1]:
                return Jet(self.value * factor, self.gradient, self.hessian)
            return Jet(
                self.value * factor,
                self.gradient * factor[..., None],
                self.hessian * factor[..., None, None],
            )
        if not self.gradient.shape[-1]:
            return Jet(self.value * other.value, self.gradient, self.hessian)
        cross = self.gradient[..., :, None] * other.gradient[..., None, :]
        return Jet(
            self.value * other.value,
            self.value[..., None] * other.gradient + other.value[..., None] * self.gradient,
            self.value[..., None, None] * other.hessian
            + other.value[..., None, None] * self.hessian
            + cross
            + np.swapaxes(cross, -1, -2),
        )

    __rmul__ = __mul__

    def __truediv__(self, other: Jet | Array | float) -> Jet:
        """Quotient."""
        if isinstance(other, Jet):
            return self * other.map(1 / other.value, -1 / other.value**2, 2 / other.value**3)
        return self * (1.0 / np.asarray(other, dtype=float))

    def __rtruediv__(self, other: Array | float) -> Jet:
        """A constant over this."""
        return self.map(1 / self.value, -1 / self.value**2, 2 / self.value**3) * other

    def map(self, value: Array, first: Array, second: Array) -> Jet:
        """A function of this, from its value and derivatives there."""
        if not self.gradient.shape[-1]:
            return Jet(value, self.gradient, self.hessian)
        outer = self.gradient[..., :, None] * self.gradient[..., None, :]
        return Jet(
            value,
            first[..., None] * self.gradient,
            first[..., None, None] * self.hessian + second[..., None, None] * outer,
        )


def parameters(theta: Array) -> tuple[Jet, ...]:
    """The p parameters of rows (R, p) as jets of shape (R, 1)."""
    rows, count = theta.shape
    jets = []
    for i in range(count):
        gradient = np.zeros((rows, 1, count))
        gradient[..., i] = 1.0
        jets.append(Jet(theta[:, i, None], gradient, np.zeros((rows, 1, count, count))))
    return tuple(jets)


def exp(x: Jet) -> Jet:
    """Exponential."""
    value = np.exp(x.value)
    return x.map(value, value, value)


def log(x: Jet) -> Jet:
    """Natural logarithm."""
    return x.map(np.log(x.value), 1 / x.value, -1 / x.value**2)


def softplus(x: Jet) -> Jet:
    """log(1 + exp(x)), without overflow."""
    s = 0.5 * (1 + np.tanh(0.5 * x.value))
    return x.map(np.logaddexp(0.0, x.value), s, s * (1 - s))


def sin(x: Jet) -> Jet:
    """Sine."""
    return x.map(np.sin(x.value), np.cos(x.value), -np.sin(x.value))


def cos(x: Jet) -> Jet:
    """Cosine."""
    return x.map(np.cos(x.value), -np.sin(x.value), -np.cos(x.value))


def arctan(x: Jet) -> Jet:
    """Inverse tangent."""
    square = 1 + x.value**2
    return x.map(np.arctan(x.value), 1 / square, -2 * x.value / square**2)


def logaddexp(x: Jet, y: Jet) -> Jet:
    """log(exp(x) + exp(y)): the logarithm of a sum of two terms given by their logarithms."""
    return x + softplus(y - x)


def _spread(value: Array, gradient: Array, hessian: Array) -> tuple[Array, Array]:
    """Derivatives broadcast to the shape of ``value``, for sums with wider constants."""
    shape = value.shape
    p = gradient.shape[-1]
    if p == 0 or gradient.shape[:-1] == shape:
        return gradient, hessian
    return np.broadcast_to(gradient, (*shape, p)), np.broadcast_to(hessian, (*shape, p, p))
