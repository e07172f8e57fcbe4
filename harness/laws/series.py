"""The scaling law of one family on one metric: a score at each of a few sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError, suggestion
from harness.laws.draws import Draws, Quantity, draw, scatter_of_floor
from harness.laws.power import MAX_ALPHA, Rows, fit_power, fit_power_floor
from harness.laws.records import Estimate, Fit, Prediction, Resampling, unidentified
from harness.laws.scale import ErrorScale, error_scale
from harness.laws.verdicts import Judgement, Points, judge, refuse
from harness.types import Metric

Array = NDArray[np.float64]

SERIES_LAWS = {
    "power": "L = A·N^-alpha",
    "power-floor": "L = E + A·N^-alpha",
    "error-power": "{error} = A·N^-alpha",
    "error-power-floor": "{error} = E + A·N^-alpha",
}

FORECASTS = (2.0, 10.0)
"""A fit foretells the scores at these multiples of the largest size."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """One family × task × metric.

    sizes
        non-embedding parameters, in any order
    values
        the scores on the metric's own scale; NaN where there is none
    replicates
        (B, m) bootstrap scores over items, the same draw of items for every size, or ``None``
        where there are no per-sample records
    """

    sizes: tuple[float, ...]
    values: tuple[float, ...]
    metric: Metric
    replicates: Array | None = None
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Lengths must agree."""
        if len(self.sizes) != len(self.values):
            raise ValueError(f"{len(self.sizes)} sizes but {len(self.values)} values")
        if self.replicates is not None and self.replicates.shape[1:] != (len(self.sizes),):
            raise ValueError(f"replicates of shape {self.replicates.shape}, not (B, m)")


def fit_series(series: Series, *, law: str | None = None, seed: int = 0) -> Fit:
    """Fit a law to a series; honest about what it cannot know.

    Losses get ``power-floor`` (Kaplan et al. 2020; Henighan et al. 2020, arXiv:2010.14701, with
    the floor), bounded scores ``error-power``, the power law on the distance to the perfect
    score, with a floor where the data tell one. ``law`` chooses one of :data:`SERIES_LAWS`; with
    or without ``error-`` it means the one that suits the metric.
    Residuals are logarithmic, their squares minimised.

    The 95 % interval of the exponent is the wider of two: percentiles of fits to the item
    bootstrap, pooled over all sizes and each set that leaves one size out; and the scatter of the
    points about the law, as Student's t has it for few points.

    Raises:
        UsageError: ``law`` is not one for a series.
    """
    found = _judged(series, law, seed)
    if found.reason is not None or found.draws is None or found.scale is None:
        return unidentified(
            law=found.law,
            formula=found.formula,
            names=_names(found.law),
            n=len(found.points.sizes),
            loss="log-mse",
            note=found.reason or "",
        )
    return _fit(found, found.draws, found.scale)


def law_told(series: Series, *, seed: int = 0) -> tuple[str, str | None]:
    """The law that :func:`fit_series` fits, and why its exponent cannot be told, or ``None``.

    Costs no forecasts and no intervals of what is not asked.
    """
    found = _judged(series, None, seed)
    return found.law, found.reason


@dataclass(frozen=True, kw_only=True, eq=False)
class _Judged:
    """A law chosen for a series, with the draws behind it; ``reason``: why there is no fit."""

    law: str
    points: Points
    scale: ErrorScale | None
    draws: Draws | None = None
    judgement: Judgement | None = None
    reason: str | None = None

    @property
    def formula(self) -> str:
        """The law as a line to read."""
        words = "S" if self.scale is None else self.scale.words
        return SERIES_LAWS[self.law].format(error=words)


def _judged(series: Series, law: str | None, seed: int) -> _Judged:
    scale = error_scale(series.metric)
    name = _law_name(series.metric, law)
    points = _points(series, scale)
    reason = refuse(points, series.metric)
    if scale is None:
        reason = reason or f"{series.metric.name} has no known perfect score to measure from."
    if reason is not None:
        return _Judged(law=name, points=points, scale=scale, reason=reason)
    name = _affordable(name, points)
    draws = draw(points, floor=name.endswith("floor"), seed=seed)
    if law is None and name == "error-power":
        name, draws = _with_floor_if_told(name, draws, points, seed)
    judgement = judge(points, draws, series.metric)
    return _Judged(
        law=name,
        points=points,
        scale=scale,
        draws=draws,
        judgement=judgement,
        reason=judgement.note if judgement.verdict == "not-identifiable" else None,
    )


def _law_name(metric: Metric, law: str | None) -> str:
    if law is None:
        return "power-floor" if metric.is_loss else "error-power"
    if law not in SERIES_LAWS:
        raise UsageError(
            f"Unknown law '{law}' for scores of one family. {suggestion(law, SERIES_LAWS)}"
        )
    form = law.removeprefix("error-")
    return form if metric.is_loss else f"error-{form}"


def _names(law: str) -> tuple[str, ...]:
    return ("A", "E", "alpha") if law.endswith("floor") else ("A", "alpha")


def _points(series: Series, scale: ErrorScale | None) -> Points:
    """What can be fitted: finite scores at positive sizes, as errors."""
    sizes = np.asarray(series.sizes, dtype=float)
    values = np.asarray(series.values, dtype=float)
    order = np.argsort(sizes, kind="stable")
    keep = order[(np.isfinite(sizes) & (sizes > 0) & np.isfinite(values))[order]]
    replicates = series.replicates
    errors = np.full(keep.size, np.nan) if scale is None else scale.error(values[keep])
    drawn = None
    if replicates is not None and scale is not None and replicates.shape[0] > 0:
        drawn = scale.error(replicates[:, keep])
    return Points(
        sizes=sizes[keep],
        values=values[keep],
        errors=errors,
        replicates=drawn,
        scores=None if replicates is None else replicates[:, keep],
        missing=len(series.sizes) - keep.size,
    )


def _affordable(law: str, points: Points) -> str:
    """The law without its floor where there are fewer points than parameters plus two."""
    if law.endswith("-floor") and points.distinct < 5:
        return law.removesuffix("-floor")
    return law


def _with_floor_if_told(name: str, draws: Draws, points: Points, seed: int) -> tuple[str, Draws]:
    """A floor under the error, where every interval of it excludes zero."""
    if points.distinct < 5:
        return name, draws
    if not _floor_helps(points) or not (scatter_of_floor(points, seed=seed).lo or 0.0) > 0.0:
        return name, draws
    floored = draw(points, floor=True, seed=seed)
    interval = floored.interval(lambda rows: rows.floor)
    alpha = floored.interval(lambda rows: rows.alpha, upper=MAX_ALPHA)
    told = interval.lo is not None and interval.lo > 0.0 and alpha.hi is not None
    return (f"{name}-floor", floored) if told else (name, draws)


def _floor_helps(points: Points) -> bool:
    """Whether a floor lowers the squares enough to be worth resampling (F of about 2 to 3)."""
    z = np.log(points.errors)[None, :]
    ones = np.ones_like(z)
    plain = fit_power(points.log_sizes, z, ones)
    floored = fit_power_floor(points.log_sizes, z, ones)
    return bool(floored.floor[0] > 0 and floored.sse[0] < 0.65 * plain.sse[0])


def _fit(found: _Judged, draws: Draws, scale: ErrorScale) -> Fit:
    points, center, judgement = found.points, found.points.center, found.judgement
    assert judgement is not None

    def constant(rows: Rows) -> Array:
        value: Array = np.exp(rows.log_a + rows.alpha * center)
        return value

    alpha = _estimate(draws, lambda rows: rows.alpha, upper=MAX_ALPHA)
    estimates = {"A": _estimate(draws, constant)}
    if found.law.endswith("floor"):
        estimates["E"] = _estimate(draws, lambda rows: rows.floor)
    estimates |= {"alpha": alpha, "exponent": alpha}

    def predict(at: Mapping[str, float]) -> Prediction:
        return _predict(at["N"], points, draws, scale)

    largest = float(points.sizes.max())
    return Fit(
        law=found.law,
        formula=found.formula,
        estimates=estimates,
        n=len(points.sizes),
        r2=draws.r2,
        loss="log-mse",
        verdict=judgement.verdict,
        note=judgement.note,
        resampling=Resampling(
            unit=draws.unit,
            replicates=draws.replicates,
            failures=draws.failures,
            seed=draws.seed,
            method=draws.method,
        ),
        forecast=tuple(predict({"N": largest * factor}) for factor in FORECASTS),
        residuals=tuple(float(value) for value in draws.residuals),
        predictor=predict,
    )


def _estimate(draws: Draws, quantity: Quantity, upper: float | None = None) -> Estimate:
    value = float(quantity(draws.point)[0])
    return Estimate(
        value=value,
        ci=draws.interval(quantity, upper=upper),
        kinds=draws.intervals(quantity, upper=upper),
    )


def _predict(size: float, points: Points, draws: Draws, scale: ErrorScale) -> Prediction:
    """A new score at ``size``: parameter draws plus the scatter of the points about the law."""
    if not size > 0:
        raise UsageError(f"--size must be a positive number of parameters, not {size:g}.")
    value, ends = draws.predict(np.log(size) - points.center)
    score = scale.score(np.array([value, *ends]))
    lo, hi = sorted(score[1:])
    beyond = size / float(points.sizes.max())
    note = ""
    if beyond > 1:
        note = f"{beyond:.3g} times beyond the largest size"
    elif size < points.sizes.min():
        note = f"{points.sizes.min() / size:.3g} times below the smallest size"
    return Prediction(
        at={"N": float(size)},
        value=float(score[0]),
        lo=float(lo),
        hi=float(hi),
        beyond=float(beyond),
        note=note,
    )
