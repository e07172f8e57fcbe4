"""Laws fitted for comparison: to all points, and up to many sizes on the way to the largest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.laws.bound import Law
from harness.laws.estimate import Data
from harness.laws.losses import Loss
from harness.laws.origins import CutFits, fit_cuts

Array = NDArray[np.float64]

ORIGINS = tuple(2.0 ** (-quarter / 4) for quarter in range(1, 9))
"""Fits are made to sizes up to these shares of the largest, and judged on the sizes above."""

FEWEST = 2
"""Held-out points that an origin needs."""

EFFECTIVE = 15
"""Effective points, (Σw)²/Σw², that weights by size must leave."""

MOST = 80
"""Points; more are averaged in groups of neighbouring sizes, which hardly ranks otherwise."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A law, how its points count, its fits and how it did.

    by_size
        whether points count in proportion to their size
    fits
        to all points, then to each origin's
    held
        root mean squared error of log held-out values for each of ``ORIGINS``, NaN where the
        law could not be fitted
    square
        mean squared log residual of all ``points``, alike
    """

    law: Law
    by_size: bool
    fits: CutFits
    held: Array
    square: float
    points: int

    @property
    def size(self) -> int:
        """How many parameters the law has."""
        return len(self.law.parameters)

    @property
    def scatter(self) -> float:
        """Standard deviation of the points about the law."""
        return float(np.sqrt(self.square * self.points / (self.points - self.size)))

    @property
    def aic(self) -> float:
        """Akaike's criterion of Gaussian residuals; NaN for points that count by size."""
        if self.by_size:
            return float("nan")
        return float(self.points * np.log(max(self.square, 1e-300)) + 2 * (self.size + 1))

    @property
    def aicc(self) -> float:
        """The same, corrected for few points (Hurvich and Tsai 1989)."""
        k, left = self.size + 1, self.points - self.size - 2
        return self.aic + 2 * k * (k + 1) / left if left > 0 else float("inf")


def scale_of(variables: Mapping[str, Array]) -> Array:
    """What is held out from the top: the size; for several variables their product, as compute."""
    product: Array = np.prod(np.stack(list(variables.values())), axis=0)
    return product


def weighted_by_size(data: Data) -> Data:
    """Points that count in proportion to their size, and as much together as before."""
    weights = data.weights * scale_of(data.variables)
    return replace(data, weights=weights * (data.weights.sum() / weights.sum()))


def candidates_of(laws: Sequence[Law], data: Data, loss: Loss) -> list[Candidate]:
    """Laws that there are points enough for, fitted, weighted by size too where that may be."""
    readings = [(law, False, data) for law in laws]
    weighted = weighted_by_size(data)
    effective = weighted.weights.sum() ** 2 / (weighted.weights**2).sum()
    # Given errors are weights already, and say better which points count.
    if len(data.variables) == 1 and not loss.needs_error and effective >= EFFECTIVE:
        readings += [(law, True, weighted) for law in laws if law.name != "power"]
    found = []
    for law, by_size, points in readings:
        if _suits(law, points):
            found.append(_candidate(law, by_size, points, log=loss.scale == "log"))
    return [one for one in found if np.isfinite(one.scatter)]


def _suits(law: Law, data: Data) -> bool:
    if data.y.size < len(law.parameters) + 2:
        return False
    x = data.variables
    return law.name != "effective-params" or bool((x["D"] > x["N"]).all())


def _candidate(law: Law, by_size: bool, data: Data, *, log: bool) -> Candidate:
    scale = scale_of(data.variables)
    cuts = [np.ones(scale.size, dtype=bool)]
    places = []
    for place, top in enumerate(_tops(scale, len(data.variables))):
        below = scale <= top * (1 + 1e-9)
        if below.sum() >= len(law.parameters) + 2 and (~below).sum() >= FEWEST:
            cuts.append(below)
            places.append(place)
    fits = fit_cuts(law, data, cuts, log=log)
    with np.errstate(all="ignore"):
        left = np.log(fits.at(data.variables)) - np.log(data.y)
    held = np.full(len(ORIGINS), np.nan)
    for row, place in enumerate(places, start=1):
        error = float(np.sqrt(np.mean(left[row][~cuts[row]] ** 2)))
        held[place] = max(error, 1e-9) if np.isfinite(error) else np.nan
    return Candidate(
        law=law,
        by_size=by_size,
        fits=fits,
        held=held,
        square=float(np.mean(left[0] ** 2)),
        points=scale.size,
    )


def _tops(scale: Array, variables: int) -> Array:
    """The largest scale of each origin's fit: shares of the largest, or of the points.

    Points in several variables crowd at small budgets, and half the largest may leave out one.
    """
    if variables == 1:
        tops: Array = np.array(ORIGINS) * scale.max()
    else:
        tops = np.quantile(scale, np.linspace(0.9, 0.5, len(ORIGINS)))
    return tops


def thinned(data: Data) -> Data:
    """At most ``MOST`` points: geometric means of neighbours in log size, weights added up."""
    size = np.log(next(iter(data.variables.values())))
    if size.size <= MOST or size.max() <= size.min():
        return data
    share = (size - size.min()) / (size.max() - size.min())
    group = np.minimum((share * MOST).astype(int), MOST - 1)
    weight: Array = np.bincount(group, data.weights).astype(float)
    used = weight > 0

    def mean(values: Array) -> Array:
        total = np.bincount(group, data.weights * np.log(values))
        averaged: Array = np.exp(total[used] / weight[used])
        return averaged

    variables = {name: mean(values) for name, values in data.variables.items()}
    return Data(variables=variables, y=mean(data.y), weights=weight[used])
