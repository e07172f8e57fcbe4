"""Predictions of a fitted law: parameter draws plus the noise of one new measurement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.laws.estimate import PointFit
from harness.laws.losses import Link, inverse_link
from harness.laws.noise import noise_at, shares_like
from harness.laws.records import LEVEL, Prediction

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ScoreMap:
    """From a table's scores to what the law describes, and back: y = (score − zero)/unit.

    A loss is left as it is; the error of a bounded score has ``zero`` at the perfect score and
    a negative ``unit``; a share between chance and ceiling has both from there. ``clip`` is the
    range that scores keep to.
    """

    zero: float = 0.0
    unit: float = 1.0
    clip: tuple[float, float] = (-np.inf, np.inf)

    def forward(self, score: Array) -> Array:
        """What the law describes."""
        mapped: Array = (np.asarray(score, dtype=float) - self.zero) / self.unit
        return mapped

    def back(self, y: Array) -> Array:
        """Scores, inside their range."""
        score: Array = np.clip(self.zero + self.unit * np.asarray(y, dtype=float), *self.clip)
        return score


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """Predictions from a point fit and its replicates ``theta`` (R, p).

    ``clusters`` is how many there are, where whole clusters were resampled.
    """

    fit: PointFit
    theta: Array
    scores: ScoreMap
    seed: int
    clusters: int | None = None

    def __call__(self, at: Mapping[str, float]) -> Prediction:
        """The score at the given variables.

        Raises:
            UsageError: a variable of the law is missing, unknown or not positive.
        """
        needed = self.fit.law.variables
        for name in needed:
            if name not in at:
                how = " Give it with --tokens." if name == "D" else ""
                raise UsageError(
                    f"The {self.fit.law.name} law needs {name} to predict a score.{how}"
                )
            if not 0 < at[name] < np.inf:
                raise UsageError(f"{name} must be a positive number, not {at[name]:g}.")
        variables = {name: np.array([float(at[name])]) for name in needed}
        value, draws = self.draws(variables)
        lo, hi = np.quantile(draws[:, 0], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        size = needed[0]
        column = self.fit.data.variables[size]
        beyond = float(at[size]) / float(column.max())
        ends = sorted((float(lo), float(hi)))
        return Prediction(
            at={name: float(at[name]) for name in needed},
            value=float(value[0]),
            lo=min(ends[0], float(value[0])),
            hi=max(ends[1], float(value[0])),
            beyond=beyond,
            note=_where(beyond, float(at[size]), float(column.min())),
        )

    def curve(self, variables: Mapping[str, Array]) -> Array:
        """Scores of the replicates' laws without measurement noise, (R, k)."""
        eta = self.fit.bound.at(variables).eta(self.theta)
        return self.scores.back(inverse_link(self.fit.link)(eta))

    def draws(self, variables: Mapping[str, Array]) -> tuple[Array, Array]:
        """The fitted scores (k,) and draws of new measurements (R, k)."""
        bound = self.fit.bound.at(variables)
        value = self.scores.back(inverse_link(self.fit.link)(bound.eta(self.fit.theta[None])[0]))
        return value, self.measured(bound.eta(self.theta), variables, [self.seed, 13])

    def measured(self, eta: Array, at: Mapping[str, Array], seed: list[int]) -> Array:
        """Scores (R, k) that would be measured at k targets where the law says ``eta`` (R, k)."""
        generator = np.random.default_rng(seed)
        inverse = inverse_link(self.fit.link)
        if self.fit.loss.scale == "binomial":
            items = np.full(eta.shape[1], float(np.median(self.fit.data.weights)))
            return self.scores.back(shares_like(self.fit, inverse(eta), items, generator))
        noise = noise_at(self.fit, self.noise(), at, self.clusters, generator, len(eta))
        return self.scores.back(inverse(eta + noise))

    def noise(self) -> Array:
        """Residuals on the scale of η, so that draws keep the law's range."""
        y = self.fit.data.y
        eta = self.fit.bound.eta(self.fit.theta[None])[0]
        noise: Array = link_of(y, self.fit.link) - eta
        return noise


def link_of(y: Array, link: Link) -> Array:
    """η of measured values; shares at 0 or 1 are moved inside."""
    if link == "identity":
        return y
    with np.errstate(divide="ignore", invalid="ignore"):
        if link == "log":
            return np.asarray(np.log(y))
        inside = np.clip(y, 1e-4, 1 - 1e-4)
        return np.asarray(np.log(inside) - np.log1p(-inside))


def _where(beyond: float, size: float, smallest: float) -> str:
    if beyond > 1:
        return f"{beyond:.3g} times beyond the largest size"
    if size < smallest:
        return f"{smallest / size:.3g} times below the smallest size"
    return ""
