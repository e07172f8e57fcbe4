"""What a fit minimises: a sum over points of ρ(residual), and its derivatives.

A law gives η for every point; its link says what η is: the logarithm of the fitted value, the
value itself, or the logit of a score's place between chance and ceiling. A loss turns η and the
measured value into a term of the objective with its first two derivatives by η, so that any law
can be fitted with any loss that suits its link.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError, suggestion

Array = NDArray[np.float64]
Link: TypeAlias = Literal["log", "identity", "logit"]
Terms: TypeAlias = tuple[Array, Array, Array]
"""Value, first and second derivative by η."""

LOSSES = ("huber:DELTA", "lad", "log-mse", "mse", "weighted", "binomial")

_LAD_DELTA = 1e-8


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A loss by name.

    scale
        residuals are differences of logarithms, of the values themselves, or a likelihood
    delta
        where Huber's loss turns from squares to absolute values; ``None`` for squares
    needs_error
        the points must come with standard errors (``weighted``) or item counts (``binomial``)
    """

    name: str
    scale: Literal["log", "natural", "binomial"]
    delta: float | None = None
    needs_error: bool = False

    def continuation(self, widest: float) -> tuple[float | None, ...]:
        """Deltas to minimise with in turn, from about ``widest`` (the residuals' size) down.

        A narrow Huber loss is rugged, a wide one smooth; steps of a factor of three follow the
        optimum down, larger ones lost it on the Chinchilla points.
        """
        if self.delta is None:
            return (None,)
        steps = int(
            np.clip(np.ceil(np.log(max(widest, self.delta) / self.delta) / np.log(3.0)), 0, 40)
        )
        return tuple(self.delta * 3.0**step for step in range(steps, -1, -1))

    def terms(self, eta: Array, y: Array, link: Link, delta: float | None) -> Terms:
        """ρ, dρ/dη and d²ρ/dη² for every point, of the shape of ``eta``."""
        if self.scale == "binomial":
            return _binomial(eta, y)
        fitted, slope, bend = _fitted(eta, link, self.scale)
        target = np.log(y) if self.scale == "log" else y
        value, first, second = _rho(target - fitted, delta)
        if link == self.scale or (link == "identity" and self.scale == "natural"):
            return value, -first, second
        return value, -first * slope, second * slope**2 - first * bend

    def gauss(self, eta: Array, y: Array, link: Link, delta: float | None) -> Array:
        """d²ρ/dη² without the link's curvature: Gauss and Newton's, never negative."""
        if self.scale == "binomial":
            return _binomial(eta, y)[2]
        fitted, slope, _ = _fitted(eta, link, self.scale)
        _, _, second = _rho((np.log(y) if self.scale == "log" else y) - fitted, delta)
        curve: Array = second * slope**2
        return curve

    def residuals(self, eta: Array, y: Array, link: Link) -> Array:
        """Measured minus fitted on the loss's scale (Pearson's for ``binomial``)."""
        if self.scale == "binomial":
            p = _expit(eta)
            pearson: Array = (y - p) / np.sqrt(p * (1 - p))
            return pearson
        fitted, _, _ = _fitted(eta, link, self.scale)
        residual: Array = (np.log(y) if self.scale == "log" else y) - fitted
        return residual


def parse_loss(text: str) -> Loss:
    """The loss that ``--loss`` names.

    Raises:
        UsageError: no such loss, or a delta that is not a positive number.
    """
    name, _, argument = text.partition(":")
    if name == "huber":
        try:
            delta = float(argument or "1e-3")
        except ValueError:
            delta = -1.0
        if not 0 < delta < np.inf:
            raise UsageError(f"--loss huber:DELTA needs a positive number, not '{argument}'.")
        return Loss(name=f"huber:{argument or '1e-3'}", scale="log", delta=delta)
    simple = {
        "lad": Loss(name="lad", scale="log", delta=_LAD_DELTA),
        "log-mse": Loss(name="log-mse", scale="log"),
        "mse": Loss(name="mse", scale="natural"),
        "weighted": Loss(name="weighted", scale="natural", needs_error=True),
        "binomial": Loss(name="binomial", scale="binomial", needs_error=True),
    }
    if argument or name not in simple:
        raise UsageError(f"Unknown loss '{text}'. {suggestion(name, [*simple, 'huber:1e-3'])}")
    return simple[name]


def inverse_link(link: Link) -> Callable[[Array], Array]:
    """From η to the fitted value."""
    if link == "log":
        return lambda eta: np.asarray(np.exp(eta))
    return _expit if link == "logit" else np.asarray


def _rho(residual: Array, delta: float | None) -> Terms:
    """Huber's function; squares where delta is ``None``."""
    if delta is None:
        return 0.5 * residual**2, residual, np.ones_like(residual)
    clipped = np.clip(residual, -delta, delta)
    value = clipped * (residual - 0.5 * clipped)
    return value, clipped, (clipped == residual).astype(float)


def _fitted(eta: Array, link: Link, scale: str) -> Terms:
    """The fitted value on the residual's scale, with its derivatives by η."""
    if scale == link or (scale == "natural" and link == "identity"):
        return eta, np.ones(1), np.zeros(1)
    with np.errstate(all="ignore"):
        if link == "log":
            value = np.exp(eta)
            return value, value, value
        if link == "identity":
            return np.log(eta), 1.0 / eta, -1.0 / eta**2
        p = _expit(eta)
        if scale == "log":
            return np.log(p), 1 - p, -p * (1 - p)
        return p, p * (1 - p), p * (1 - p) * (1 - 2 * p)


def _binomial(eta: Array, y: Array) -> Terms:
    """Minus the log likelihood of share ``y`` per item, for logit η, less its least value."""
    p = _expit(eta)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(y > 0, y * np.log(y), 0) - np.where(y < 1, (1 - y) * np.log1p(-y), 0)
    value = np.logaddexp(0.0, eta) - y * eta - entropy
    return value, p - y, p * (1 - p)


def _expit(eta: Array) -> Array:
    value: Array = 0.5 * (1.0 + np.tanh(0.5 * np.asarray(eta)))
    return value
