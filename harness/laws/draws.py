"""Redrawn data sets of one series, all fitted together, and the intervals they give.

Two kinds of draws, because two things are uncertain. The *items*: every bootstrap draw of test
items, fitted on all sizes and on each set that leaves one size out. The *points*: training anew
would move each point about the law by about as much as the points miss it now, so residuals are
redrawn from Student's t, which for a straight line gives the textbook interval exactly.
Leaving one size out alone would be too narrow: for m points its spread is some sqrt(m − 1) times
smaller than that of the estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.laws.power import Rows, fit_power, fit_power_floor
from harness.laws.records import LEVEL, Interval
from harness.laws.verdicts import Points

Array = NDArray[np.float64]
Quantity: TypeAlias = Callable[[Rows], Array]
"""Something computed from every fitted row."""

SCATTER_DRAWS = 1000
LEVELS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Fits to redrawn data.

    ``point`` is the fit to the data themselves (one row), ``items`` the pooled fits to item
    draws and left-out sizes, ``scatter`` the fits to redrawn residuals with ``noise`` the scale
    of each draw (R,); no rows where the points do not outnumber the parameters.
    """

    point: Rows
    items: Rows
    scatter: Rows
    noise: Array
    residuals: Array
    r2: float
    unit: str
    method: str
    replicates: int
    failures: int
    seed: int
    floor: bool

    def intervals(self, quantity: Quantity, upper: float | None = None) -> Mapping[str, Interval]:
        """Percentile intervals of ``quantity`` by kind; open where draws end at ``upper``."""
        kinds = {"items": self.items, "scatter": self.scatter}
        return {
            name: _percentiles(quantity(rows), upper)
            for name, rows in kinds.items()
            if rows.alpha.size
        }

    def interval(self, quantity: Quantity, upper: float | None = None) -> Interval:
        """The hull of all kinds and the estimate itself."""
        ends = list(self.intervals(quantity, upper).values())
        value = float(quantity(self.point)[0])
        lows = [value if end.lo is None else end.lo for end in ends]
        highs = [end.hi for end in ends]
        hi = None if None in highs else max([value, *(h for h in highs if h is not None)])
        return Interval(lo=min([value, *lows]), hi=hi)

    def predict(self, l: float) -> tuple[float, tuple[float, float]]:  # noqa: E741
        """The error at centred log size ``l``, and 95 % bounds of a new one's."""
        at = np.array([l])
        value = float(np.exp(self.point.curve(at)[0, 0]))
        generator = np.random.default_rng([self.seed, 7])
        rows = [(self.items, self._spread(self.items.alpha.size))]
        if self.scatter.alpha.size:
            rows.append((self.scatter, self.noise))
        lows, highs = [value], [value]
        for fits, noise in rows:
            curve = fits.curve(at)[:, 0] + noise * generator.standard_normal(noise.size)
            lo, hi = np.exp(np.nanquantile(curve, LEVELS))
            lows.append(float(lo))
            highs.append(float(hi))
        return value, (min(lows), max(highs))

    def _spread(self, count: int) -> Array:
        scale = float(np.median(self.noise)) if self.noise.size else 0.0
        return np.full(count, scale)


def draw(points: Points, *, floor: bool, seed: int) -> Draws:
    """Fit the points, the item draws crossed with left-out sizes, and redrawn residuals."""
    fit = fit_power_floor if floor else fit_power
    l = points.log_sizes  # noqa: E741
    z = np.log(points.errors)[None, :]
    ones = np.ones_like(z)
    point = fit(l, z, ones)
    residuals = (z - point.curve(l))[0]
    parameters = 3 if floor else 2
    items, failures, count = _item_draws(points, fit, parameters)
    scatter, noise = _scatter_draws(points, point, fit, l.size - parameters, seed)
    total = float(((z - z.mean()) ** 2).sum())
    unit = "items × leave-one-size-out"
    if points.replicates is None:
        unit = "leave-one-size-out"
    kinds = f"percentile over {unit}"
    if points.replicates is None:
        kinds += " (no per-sample records to resample)"
    method = f"{kinds}, widened to the scatter of the points (Student's t) where that is wider"
    return Draws(
        point=point,
        items=items,
        scatter=scatter,
        noise=noise,
        residuals=residuals,
        r2=1.0 - float(point.sse[0]) / total if total > 0 else 0.0,
        unit=unit,
        method=method if noise.size else kinds,
        replicates=count,
        failures=failures,
        seed=seed,
        floor=floor,
    )


def scatter_of_floor(points: Points, *, seed: int) -> Interval:
    """The floor's interval by redrawn residuals alone: a small part of :func:`draw`'s cost."""
    z = np.log(points.errors)[None, :]
    point = fit_power_floor(points.log_sizes, z, np.ones_like(z))
    rows, _ = _scatter_draws(points, point, fit_power_floor, z.size - 3, seed)
    return _percentiles(rows.floor, None)


def _item_draws(
    points: Points, fit: Callable[[Array, Array, Array], Rows], parameters: int
) -> tuple[Rows, int, int]:
    """Pooled fits of every item draw on all sizes and on each set without one size.

    A size whose drawn error is not positive (the score reached its bound) leaves its row. Returns
    the fits, how many of them failed, and the number of item draws.
    """
    errors = points.errors[None, :] if points.replicates is None else points.replicates
    positive = errors > 0
    z = np.log(np.where(positive, errors, 1.0))
    weights = [positive.astype(float)]
    groups = np.unique(points.sizes)
    if groups.size > 2:
        weights += [positive * (points.sizes != size) for size in groups]
    count = len(weights)
    w = np.concatenate(weights)
    z = np.tile(z, (count, 1))
    rows = fit(points.log_sizes, z, w)
    good = np.isfinite(rows.alpha) & ((w > 0).sum(axis=1) >= parameters)
    kept = rows.take(np.flatnonzero(good))
    draws = 0 if points.replicates is None else len(errors)
    return kept, int((~good).sum()), draws


def _scatter_draws(
    points: Points,
    point: Rows,
    fit: Callable[[Array, Array, Array], Rows],
    freedom: int,
    seed: int,
) -> tuple[Rows, Array]:
    """Fits to the fitted curve plus redrawn residuals, and the residual scale of each draw."""
    if freedom < 1:
        return point.take(slice(0)), np.zeros(0)
    generator = np.random.default_rng([seed, 1])
    scale = np.sqrt(point.sse[0] / generator.chisquare(freedom, SCATTER_DRAWS))
    noise = generator.standard_normal((SCATTER_DRAWS, points.sizes.size))
    z = point.curve(points.log_sizes) + scale[:, None] * noise
    return fit(points.log_sizes, z, np.ones_like(z)), scale


def _percentiles(values: Array, upper: float | None) -> Interval:
    values = values[np.isfinite(values)]
    lo, hi = (float(end) for end in np.quantile(values, LEVELS))
    open_above = upper is not None and hi >= upper * (1 - 1e-6)
    return Interval(lo=lo, hi=None if open_above else hi)
