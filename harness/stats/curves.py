"""Do two scaling curves differ, in level or in exponent?

Two things are uncertain, as in :mod:`harness.laws`: which items the test holds, and where training
anew would put each point. The items are drawn anew with the same draw for every size of both
families, so that what they share cancels. The scatter about the laws is taken from their residuals:
where both families have the same sizes, from the residuals of their difference, so that a bend
common to both cancels too. Interval and p-value are the wider and the larger of the two kinds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.laws import Series
from harness.laws.power import Rows, fit_power, fit_power_floor
from harness.laws.scale import ErrorScale, error_scale
from harness.laws.series import law_told
from harness.types import Metric

Array = NDArray[np.float64]
Fitter: TypeAlias = Callable[[Array, Array, Array], Rows]

SCATTER_DRAWS = 4000


@dataclass(frozen=True, kw_only=True)
class Shift:
    """How one quantity differs between two curves.

    ``p`` is two-sided; ``p_below`` is that of "the second is smaller", ``p_above`` of "larger".
    """

    a: float
    b: float
    ci: tuple[float, float]
    p: float
    p_below: float
    p_above: float

    @property
    def difference(self) -> float:
        """Second minus first."""
        return self.b - self.a


@dataclass(frozen=True, kw_only=True)
class CurveDifference:
    """Two families' curves of one metric.

    ``level`` compares the fitted scores at ``size``, on the metric's own scale; ``floor``: both
    curves tell one, and are compared with it. Both differences are
    ``None`` where a curve cannot be told; ``note`` then says why.
    """

    metric: Metric
    law: str
    floor: bool
    exponent: Shift | None
    level: Shift | None
    size: float | None
    note: str


@dataclass(frozen=True, kw_only=True, eq=False)
class _Curve:
    """Usable points of one family: log sizes (m,), log errors (m,) and drawn ones (B, m)."""

    l: Array  # noqa: E741 - log size, as in the formulas
    z: Array
    drawn: Array | None
    weights: Array | None


@dataclass(frozen=True, kw_only=True)
class _Scatter:
    """Redraws the residuals of fitted curves."""

    fitter: Fitter
    draws: int
    seed: int

    def between(
        self, a: _Curve, b: _Curve, point_a: Rows, point_b: Rows
    ) -> tuple[Array, Array] | None:
        """Draws of (exponent difference, log-error difference at the centre).

        ``None`` where the points do not outnumber the parameters.
        """
        generator = np.random.default_rng([self.seed, 17])
        same = a.l.size == b.l.size and bool(np.allclose(a.l, b.l, atol=1e-2))
        if same and self.fitter is fit_power:
            rows = fit_power(a.l, (b.z - a.z)[None], np.ones((1, a.l.size)))
            drawn = self._redrawn(a.l, rows, generator)
            return None if drawn is None else (drawn.alpha, drawn.log_a)
        drawn_a = self._redrawn(a.l, point_a, generator)
        drawn_b = self._redrawn(b.l, point_b, generator)
        if drawn_a is None or drawn_b is None:
            return None
        zero = np.zeros(1)
        return drawn_b.alpha - drawn_a.alpha, (drawn_b.curve(zero) - drawn_a.curve(zero))[:, 0]

    def _redrawn(
        self,
        l: Array,  # noqa: E741 - log size, as in the formulas
        point: Rows,
        generator: np.random.Generator,
    ) -> Rows | None:
        """Fits to the fitted curve plus normal residuals of redrawn scale (Student's t)."""
        freedom = l.size - (3 if self.fitter is fit_power_floor else 2)
        if freedom < 1:
            return None
        scale = np.sqrt(point.sse[0] / generator.chisquare(freedom, self.draws))
        z = point.curve(l) + scale[:, None] * generator.standard_normal((self.draws, l.size))
        return self.fitter(l, z, np.ones_like(z))


def compare_curves(a: Series, b: Series, *, seed: int = 0) -> CurveDifference:
    """Compare two families on one metric; their replicates must share the draws of items."""
    told = law_told(a, seed=seed), law_told(b, seed=seed)
    (law_a, _), (law_b, _) = told
    note = _unidentified(*(reason for _, reason in told))
    floor = law_a.endswith("floor") and law_b.endswith("floor")
    found = CurveDifference(
        metric=a.metric,
        law=law_a,
        floor=floor,
        exponent=None,
        level=None,
        size=None,
        note=note,
    )
    if note or error_scale(a.metric) is None:
        return found
    found = replace(
        found,
        law=law_a if law_a.endswith("floor") == floor else law_b,
        size=float(np.exp(_common_center(a, b))),
        note=_mixed(law_a, law_b),
    )
    return redrawn(found, a, b, seed=seed)


def redrawn(
    found: CurveDifference, a: Series, b: Series, *, seed: int = 0, draws: int = SCATTER_DRAWS
) -> CurveDifference:
    """The same fits, with intervals and p-values from the replicates of these two series.

    ``draws`` is how often the scatter about the laws is drawn, but at least 4000 times.
    """
    scale = error_scale(found.metric)
    if scale is None or found.size is None:
        return found
    center = _common_center(a, b)
    first, second = _curve(a, scale, center), _curve(b, scale, center)
    fitter = fit_power_floor if found.floor else fit_power
    scatter = _Scatter(fitter=fitter, draws=max(draws, SCATTER_DRAWS), seed=seed)
    exponent, level = _shifts(first, second, fitter, scale, scatter)
    return replace(found, exponent=exponent, level=level)


def _unidentified(*reasons: str | None) -> str:
    return " ".join(
        f"The {which} curve has no exponent: {reason}"
        for which, reason in zip(("first", "second"), reasons, strict=True)
        if reason is not None
    )


def _mixed(law_a: str, law_b: str) -> str:
    if law_a.endswith("floor") == law_b.endswith("floor"):
        return ""
    return "Only one of the curves tells a floor; both are compared without one."


def _common_center(a: Series, b: Series) -> float:
    """The middle, in log size, of the range that both families cover (or of all sizes)."""
    logs_a, logs_b = np.log(np.asarray(a.sizes)), np.log(np.asarray(b.sizes))
    low, high = max(logs_a.min(), logs_b.min()), min(logs_a.max(), logs_b.max())
    if low > high:
        low, high = min(logs_a.min(), logs_b.min()), max(logs_a.max(), logs_b.max())
    return float(low + high) / 2


def _curve(series: Series, scale: ErrorScale, center: float) -> _Curve:
    sizes, values = np.asarray(series.sizes), np.asarray(series.values)
    errors = scale.error(values)
    order = np.argsort(sizes, kind="stable")
    keep = order[(np.isfinite(errors) & (errors > 0) & (sizes > 0))[order]]
    drawn = weights = None
    if series.replicates is not None and len(series.replicates):
        rows = scale.error(series.replicates[:, keep])
        positive = np.isfinite(rows) & (rows > 0)
        drawn, weights = np.log(np.where(positive, rows, 1.0)), positive.astype(float)
    return _Curve(
        l=np.log(sizes[keep]) - center, z=np.log(errors[keep]), drawn=drawn, weights=weights
    )


def _shifts(
    a: _Curve, b: _Curve, fitter: Fitter, scale: ErrorScale, scatter: _Scatter
) -> tuple[Shift, Shift]:
    """Exponent and level, from the points and from every draw."""
    point_a, point_b = (fitter(c.l, c.z[None], np.ones((1, c.z.size))) for c in (a, b))
    exponents: list[Array] = []
    levels: list[Array] = []
    if a.drawn is not None and b.drawn is not None:
        rows_a, rows_b = (fitter(c.l, c.drawn, c.weights) for c in (a, b))  # type: ignore[arg-type]
        exponents.append(rows_b.alpha - rows_a.alpha)
        levels.append(_score(rows_b, scale) - _score(rows_a, scale))
    scattered = scatter.between(a, b, point_a, point_b)
    if scattered is not None:
        alpha, log_error = scattered
        exponents.append(alpha)
        # A step in log error becomes a step in score from the first curve's own level.
        base = point_a.curve(np.zeros(1))[0, 0]
        levels.append(scale.score(np.exp(base + log_error)) - _score(point_a, scale))
    exponent = _shift(float(point_a.alpha[0]), float(point_b.alpha[0]), exponents)
    level = _shift(float(_score(point_a, scale)[0]), float(_score(point_b, scale)[0]), levels)
    return exponent, level


def _score(rows: Rows, scale: ErrorScale) -> Array:
    """The fitted scores at the common centre, (R,)."""
    return scale.score(np.exp(rows.curve(np.zeros(1))[:, 0]))


def _shift(a: float, b: float, kinds: list[Array]) -> Shift:
    """The hull of each kind's percentile interval, and the largest of their p-values."""
    difference = b - a
    near = 1e-10 * max(abs(a), abs(b), 1e-300)
    ends, ps = [(difference, difference)], []
    for draws in kinds:
        finite = draws[np.isfinite(draws)]
        if not finite.size:
            continue
        low, high = np.quantile(finite, [0.025, 0.975])
        ends.append((float(low), float(high)))
        centred, total = finite - difference, finite.size + 1
        ps.append(
            (
                ((np.abs(centred) >= abs(difference) - near).sum() + 1) / total,
                ((centred <= difference + near).sum() + 1) / total,
                ((centred >= difference - near).sum() + 1) / total,
            )
        )
    p, below, above = (max(column) for column in zip(*ps, strict=True)) if ps else (1.0, 1.0, 1.0)
    return Shift(
        a=a,
        b=b,
        ci=(min(low for low, _ in ends), max(high for _, high in ends)),
        p=float(p),
        p_below=float(below),
        p_above=float(above),
    )
