"""A law fitted to points, with intervals, forecasts and a verdict: the engine's front door."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.laws.bound import Law
from harness.laws.collinear import collinearity
from harness.laws.estimate import Data, PointFit, fit_point
from harness.laws.forecast import Predictor, ScoreMap
from harness.laws.losses import Loss
from harness.laws.profiles import chi_square, profile_interval
from harness.laws.records import (
    LEVEL,
    Estimate,
    Fit,
    Interval,
    Prediction,
    Resampling,
    unidentified,
)
from harness.laws.resample import Plan, Replicates, bootstrap, left_out

Array = NDArray[np.float64]

LEAST_SPAN = 4.0
FORECASTS = (2.0, 10.0)
WEAK_WIDTH = 0.6
HOPELESS_WIDTH = 2.0
LEAST_R2 = 0.5
ILL_CONDITIONED = 1e9
COLLINEAR = "The parameters cannot be told apart: their effects on these points are collinear."


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to fit: the loss, the resampling, the kind of bootstrap interval, and scores' scale.

    ``profiles`` may be turned off where hundreds of fits are compared.
    """

    loss: Loss
    plan: Plan
    interval: Literal["percentile", "bca"] = "percentile"
    scores: ScoreMap = field(default_factory=ScoreMap)
    profiles: bool = True
    warnings: tuple[str, ...] = ()


def fit_law(law: Law, data: Data, settings: Settings) -> Fit:
    """Fit ``law`` to ``data``, whose values are already on the law's scale.

    Raises:
        DataError: no fit can be tried: one point, all sizes equal, all values equal, or values
            that the law or the loss cannot have.
    """
    warnings = [*settings.warnings, *_check(law, data, settings.loss)]
    count = len(law.parameters)
    if data.y.size <= count:
        return _nothing(
            law,
            data,
            settings,
            warnings,
            f"{data.y.size} points cannot tell {count} parameters apart.",
        )
    fit = fit_point(law, data, settings.loss)
    if not np.isfinite(fit.objective):
        return _nothing(law, data, settings, warnings, f"{law.name} has no value at these points.")
    warnings += _point_warnings(fit)
    drawn = bootstrap(fit, settings.plan)
    if len(drawn.theta) < 0.5 * settings.plan.replicates and settings.plan.unit != "items":
        note = "Most resampled fits did not converge."
        if fit.certificate.condition > ILL_CONDITIONED:
            note = collinearity(data.variables) or COLLINEAR
        return _nothing(law, data, settings, warnings, note)
    estimates = _estimates(fit, drawn, settings)
    verdict, note = _verdict(fit, drawn, estimates, warnings)
    if verdict == "not-identifiable":
        return _nothing(law, data, settings, warnings, note)
    predictor = Predictor(
        fit=fit,
        theta=drawn.widened(fit),
        scores=settings.scores,
        seed=settings.plan.seed,
        clusters=settings.plan.clusters,
    )
    return Fit(
        law=law.name,
        formula=law.formula,
        estimates=estimates,
        n=data.y.size,
        r2=fit.r2,
        loss=settings.loss.name,
        verdict=verdict,
        note=note,
        resampling=_resampling(drawn, settings),
        forecast=_forecasts(predictor),
        residuals=tuple(float(r) for r in fit.residuals),
        warnings=tuple(warnings),
        certificate=fit.certificate,
        lack_of_fit=_lack_of_fit(fit),
        predictor=predictor,
    )


def _check(law: Law, data: Data, loss: Loss) -> list[str]:
    """Warnings about the points; raises where no fit can be tried."""
    if data.y.size < 2:
        raise DataError("One point cannot be fitted; a law needs several sizes.")
    warnings = []
    for name in law.variables:
        column = data.variables[name]
        span = float(column.max() / column.min())
        if span == 1.0:
            raise DataError(f"Every point has the same {name} ({column[0]:g}): nothing to fit.")
        if span < LEAST_SPAN and name != "L":
            warnings.append(f"{name} spans a factor of {span:.3g} only.")
    related = collinearity(data.variables)
    if related:
        warnings.append(related)
    if np.ptp(data.y) == 0:
        raise DataError(f"The value is {data.y[0]:g} at every point: there is no trend to fit.")
    if (loss.scale == "log" or law.link == "log") and not (data.y > 0).all():
        bad = float(data.y[~(data.y > 0)][0])
        raise DataError(
            f"A value of {bad:g} has no logarithm, which {loss.name} and {law.name} need.\n"
            "Leave such points out with --where, or fit with --loss mse and another law."
        )
    if loss.scale == "binomial" and not ((data.y >= 0) & (data.y <= 1)).all():
        raise DataError("--loss binomial needs scores between chance and ceiling (0 to 1).")
    if loss.scale == "binomial" and law.link != "logit":
        raise DataError(f"--loss binomial needs a logit law such as logit-linear, not {law.name}.")
    return warnings


def _point_warnings(fit: PointFit) -> list[str]:
    warnings = []
    count, n = fit.theta.size, fit.data.y.size
    if n < count + 2:
        warnings.append(f"{n} points for {count} parameters: the fit all but joins the dots.")
    certificate = fit.certificate
    if not certificate.converged:
        warnings.append("The optimum was not reached.")
    if certificate.active:
        names = ", ".join(certificate.active)
        warnings.append(f"{names} at the end of its range; intervals near it do not hold.")
    if certificate.second is not None and certificate.second < 0.01:
        warnings.append(
            f"Another optimum fits nearly as well (its loss is {100 * certificate.second:.2g} % "
            "higher)."
        )
    if certificate.condition > ILL_CONDITIONED and not collinearity(fit.data.variables):
        warnings.append(COLLINEAR)
    lack = _lack_of_fit(fit)
    if lack is not None and lack[1] > 0 and lack[0] > lack[1] + 3 * np.sqrt(2.0 * lack[1]):
        warnings.append(
            f"Lack of fit: χ² is {lack[0]:.4g} for {lack[1]} degrees of freedom, more scatter "
            "than the given errors explain."
        )
    return warnings


def _lack_of_fit(fit: PointFit) -> tuple[float, int] | None:
    if not fit.loss.needs_error:
        return None
    return chi_square(fit), fit.data.y.size - fit.theta.size


def _estimates(fit: PointFit, drawn: Replicates, settings: Settings) -> dict[str, Estimate]:
    """Every parameter with its intervals; an end that the profile leaves open is open."""
    natural = fit.bound.natural
    values, draws = fit.parameters, natural.values(drawn.widened(fit))
    jackknife = None
    if settings.interval == "bca":
        jackknife = natural.values(left_out(fit, drawn.plan))
    estimates = {}
    for i, name in enumerate(natural.names):
        sample = None if jackknife is None else jackknife[:, i]
        boot = _percentiles(draws[:, i], values[name], sample)
        kinds = {drawn.plan.words: boot}
        ci = boot
        if settings.profiles:
            kinds["profile"] = profile = profile_interval(fit, name, drawn)
            ci = Interval(
                lo=None if profile.lo is None else boot.lo,
                hi=None if profile.hi is None else boot.hi,
            )
        estimates[name] = Estimate(value=values[name], ci=ci, kinds=kinds)
    if fit.law.exponent is not None:
        estimates["exponent"] = estimates[fit.law.exponent]
    return estimates


def _percentiles(draws: Array, value: float, jackknife: Array | None) -> Interval:
    """Percentile interval, or BCa where a jackknife is given (Efron 1987)."""
    levels = np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    if jackknife is not None:
        from scipy.special import ndtr, ndtri

        below = np.clip((draws < value).mean(), 1e-6, 1 - 1e-6)
        bias = ndtri(below)
        away = jackknife.mean() - jackknife
        spread = float((away**2).sum()) ** 1.5
        skew = float((away**3).sum()) / (6.0 * spread) if spread > 0 else 0.0
        z = bias + ndtri(levels)
        levels = ndtr(bias + z / (1.0 - skew * z))
    lo, hi = np.quantile(draws, levels)
    return Interval(lo=float(lo), hi=float(hi))


def _verdict(
    fit: PointFit, drawn: Replicates, estimates: Mapping[str, Estimate], warnings: list[str]
) -> tuple[Literal["ok", "weak", "not-identifiable"], str]:
    size = fit.law.variables[0]
    span = float(np.ptp(np.log(fit.data.variables[size])))
    exponent = estimates.get("exponent")
    if span < np.log(LEAST_SPAN) - 1e-12 and exponent is not None:
        return "not-identifiable", (
            f"{size} spans a factor of {np.exp(span):.3g} only; an exponent needs {LEAST_SPAN:g}."
        )
    if fit.r2 < 0:
        return "not-identifiable", f"{fit.law.name} fits these points worse than a constant does."
    doubts = [] if exponent is None else _exponent_doubts(fit.law.exponent or "", exponent)
    if doubts and doubts[0].startswith("!"):
        return "not-identifiable", doubts[0][1:]
    if drawn.failures > 0.05 * (drawn.failures + len(drawn.theta)):
        doubts.append(f"{drawn.failures} resampled fits did not converge.")
    open_ended = [name for name, e in estimates.items() if e.ci and None in (e.ci.lo, e.ci.hi)]
    if open_ended:
        names = ", ".join(name for name in open_ended if name != "exponent")
        doubts.append(f"The interval of {names} is open: the data do not bound it.")
    doubts += warnings
    if fit.r2 < LEAST_R2:
        doubts.append(f"The law explains {100 * fit.r2:.0f} % of the variance only.")
    if doubts:
        return "weak", doubts[0]
    if exponent is None or exponent.value is None or fit.law.exponent != "alpha":
        return "ok", "The parameters are identified."
    factor = 10.0**-exponent.value
    return "ok", f"Ten times the {size} multiplies the part that depends on it by {factor:.2g}."


def _exponent_doubts(name: str, exponent: Estimate) -> list[str]:
    """Why the exponent is weak; a reason that begins with ``!`` means there is none at all."""
    ci, value = exponent.ci, exponent.value
    if ci is None or value is None:
        return []
    if ci.lo is None or ci.hi is None:
        return [f"!The interval of {name} has no {'lower' if ci.lo is None else 'upper'} end."]
    if ci.lo <= 0 <= ci.hi:
        return [f"!The interval of {name}, {ci}, covers zero: no trend is told."]
    width = (ci.hi - ci.lo) / abs(value)
    if width > HOPELESS_WIDTH:
        return [f"!{name} may be anything in {ci}: too wide to be an answer."]
    if width > WEAK_WIDTH:
        return [f"The interval of {name} is {100 * width:.0f} % of its value wide."]
    return []


def _forecasts(predictor: Predictor) -> tuple[Prediction, ...]:
    """Forecasts at multiples of the largest size, for laws in one variable."""
    variables = predictor.fit.law.variables
    if variables not in {("N",), ("D",)}:
        return ()
    largest = float(predictor.fit.data.variables[variables[0]].max())
    return tuple(predictor({variables[0]: largest * factor}) for factor in FORECASTS)


def _resampling(drawn: Replicates, settings: Settings) -> Resampling:
    words = f"{settings.interval} over {drawn.plan.words}"
    if settings.profiles:
        words += ", open where the profile likelihood is"
    return Resampling(
        unit=drawn.plan.words,
        replicates=len(drawn.theta) + drawn.failures,
        failures=drawn.failures,
        seed=drawn.plan.seed,
        method=words,
    )


def _nothing(law: Law, data: Data, settings: Settings, warnings: list[str], note: str) -> Fit:
    return unidentified(
        law=law.name,
        formula=law.formula,
        names=law.parameters,
        n=data.y.size,
        loss=settings.loss.name,
        note=note,
        warnings=tuple(warnings),
    )
