"""What a fit is: estimates with intervals, a verdict in words, and predictions.

A law is a form, a fit is an estimate; the two are different types. A :class:`Fit` whose verdict is
``not-identifiable`` holds no number for its parameters and refuses to predict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from harness.errors import DataError

if TYPE_CHECKING:
    from harness.laws.estimate import Certificate

Verdict: TypeAlias = Literal["ok", "weak", "not-identifiable"]

LEVEL = 0.95
"""Coverage that every interval here aims at."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A 95 % interval. An end that is ``None`` is open: the data do not bound it."""

    lo: float | None
    hi: float | None

    def covers(self, value: float) -> bool:
        """Whether ``value`` lies inside; an open end holds everything."""
        return (self.lo is None or self.lo <= value) and (self.hi is None or value <= self.hi)

    def __str__(self) -> str:
        """As tables print it: ``[0.214, 0.351]``, an open end as ``…``."""
        lo, hi = ("…" if end is None else f"{end:.3g}" for end in (self.lo, self.hi))
        return f"[{lo}, {hi}]"


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """One parameter. ``value`` and ``ci`` are ``None`` where it is not identified.

    ``kinds`` holds the intervals that ``ci`` was made of, by the name of their method.
    """

    value: float | None
    ci: Interval | None
    kinds: Mapping[str, Interval] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A score foretold. ``lo`` and ``hi`` bound one new measurement with 95 % probability.

    ``at`` is the value of the size variable, or of every variable; ``beyond`` is the factor by
    which the size exceeds the largest one fitted (at most 1: inside the data).
    """

    at: Mapping[str, float]
    value: float
    lo: float
    hi: float
    beyond: float
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Resampling:
    """How the intervals were made: the unit drawn anew, how often, how many fits failed."""

    unit: str
    replicates: int
    failures: int
    seed: int
    method: str


@dataclass(frozen=True, kw_only=True)
class Held:
    """A point that was not fitted, and what the fit foretold for it; ``at`` as in a prediction."""

    measured: float
    foretold: Prediction

    @property
    def inside(self) -> bool:
        """Whether the prediction interval holds it."""
        return self.foretold.lo <= self.measured <= self.foretold.hi

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        found = self.foretold
        return {
            "at": dict(found.at),
            "measured": self.measured,
            "value": found.value,
            "lo": found.lo,
            "hi": found.hi,
            "inside": self.inside,
        }


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A law fitted to points.

    law, formula
        the law's name and its formula in words
    estimates
        by the paper's letters (``A``, ``E``, ``alpha``), and ``exponent`` for the size exponent
    n, r2
        points used; share of the variance explained, on the scale the fit was made on
    loss
        what was minimised
    verdict, note
        whether the numbers can be believed, and one sentence of why, or of what they mean
    forecast
        predictions beyond the largest size, nearest first; empty where not identifiable
    residuals
        observed minus fitted on the fit's scale (log error unless the loss says otherwise)
    warnings
        what was done to the points or what else a reader must know, a sentence each
    certificate, lack_of_fit
        how sure the optimum is; χ² and its degrees of freedom where errors were given
    """

    law: str
    formula: str
    estimates: Mapping[str, Estimate]
    n: int
    r2: float | None
    loss: str
    verdict: Verdict
    note: str
    resampling: Resampling | None = None
    forecast: tuple[Prediction, ...] = ()
    residuals: tuple[float, ...] = ()
    warnings: tuple[str, ...] = ()
    certificate: Certificate | None = None
    lack_of_fit: tuple[float, int] | None = None
    predictor: Callable[[Mapping[str, float]], Prediction] | None = field(
        default=None, compare=False, repr=False
    )

    @property
    def exponent(self) -> Estimate:
        """The size exponent; without a value where there is none."""
        return self.estimates.get("exponent", Estimate(value=None, ci=None))

    def predict(self, size: float | None = None, **variables: float) -> Prediction:
        """The score at ``size``, or at the given values of several variables.

        Raises:
            DataError: the fit is not identifiable, so any number would be a guess.
        """
        if self.predictor is None:
            raise DataError(
                f"No prediction from the {self.law} fit: {self.note}\n"
                "Add sizes that span a wider range, or choose another law with --law."
            )
        at = dict(variables)
        if size is not None:
            at["N"] = size
        return self.predictor(at)

    def to_json(self) -> dict[str, Any]:
        """The fit as ``--json`` prints it; the caller adds family, task and metric."""
        document = {
            "law": self.law,
            "formula": self.formula,
            "estimates": {name: _estimate(value) for name, value in self.estimates.items()},
            "n": self.n,
            "r2": self.r2,
            "loss": self.loss,
            "verdict": self.verdict,
            "note": self.note,
            "forecast": _forecast(self.forecast),
        }
        if self.resampling is not None:
            document["resampling"] = {
                "unit": self.resampling.unit,
                "replicates": self.resampling.replicates,
                "failures": self.resampling.failures,
                "seed": self.resampling.seed,
                "method": self.resampling.method,
            }
        if self.warnings:
            document["warnings"] = list(self.warnings)
        if self.certificate is not None:
            document["certificate"] = self.certificate.to_json()
        if self.lack_of_fit is not None:
            square, freedom = self.lack_of_fit
            document["lack_of_fit"] = {"chi2": square, "dof": freedom}
        return document


def unidentified(
    *,
    law: str,
    formula: str,
    names: tuple[str, ...],
    n: int,
    loss: str,
    note: str,
    warnings: tuple[str, ...] = (),
) -> Fit:
    """A fit that says why there is no answer, and holds no number that looks like one."""
    nothing = Estimate(value=None, ci=None)
    return Fit(
        law=law,
        formula=formula,
        estimates=dict.fromkeys(dict.fromkeys((*names, "exponent")), nothing),
        n=n,
        r2=None,
        loss=loss,
        verdict="not-identifiable",
        note=note,
        warnings=warnings,
    )


def _interval(interval: Interval | None) -> list[float | None] | None:
    return None if interval is None else [interval.lo, interval.hi]


def _estimate(estimate: Estimate) -> dict[str, Any]:
    document: dict[str, Any] = {"value": estimate.value, "ci": _interval(estimate.ci)}
    if estimate.kinds:
        document["intervals"] = {name: _interval(ci) for name, ci in estimate.kinds.items()}
    return document


def _prediction(prediction: Prediction) -> dict[str, Any]:
    at = dict(prediction.at)
    where: dict[str, Any] = {"size": at["N"]} if set(at) == {"N"} else {"at": at}
    return where | {
        "value": prediction.value,
        "ci": [prediction.lo, prediction.hi],
        "beyond": prediction.beyond,
        "note": prediction.note,
    }


def _forecast(predictions: tuple[Prediction, ...]) -> dict[str, Any] | None:
    if not predictions:
        return None
    first, *further = predictions
    document = _prediction(first)
    if further:
        document["further"] = [_prediction(prediction) for prediction in further]
    return document
