"""A fit in words: parameters with intervals, how sure the optimum is, and what lies ahead."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from tabulate import tabulate

from harness.laws import Fit
from harness.laws.choose import Ranking
from harness.laws.frontier import Allocation, IsoFlop
from harness.laws.records import Estimate, Held, Prediction
from harness.laws.target import Needed
from harness.wording import MISSING, short


def fit_report(title: str, fit: Fit) -> str:
    """Everything a reader must know of one fit."""
    parts = [f"{title}\n{fit.law}: {fit.formula}", _summary(fit)]
    if fit.verdict != "not-identifiable":
        parts.append(_estimates(fit.estimates))
    parts.append(f"Verdict: {fit.verdict}. {fit.note}".rstrip())
    parts += [f"Note: {warning}" for warning in fit.warnings]
    parts += [f"Forecast at {where(p)}: {prediction_text(p)}" for p in fit.forecast]
    return "\n".join(parts)


def held_text(held: Sequence[Held]) -> str:
    """What was foretold for the points held out, beside what was measured."""
    rows = [
        [
            where(one.foretold),
            f"{one.measured:.4g}",
            prediction_text(replace(one.foretold, note="")),
            "inside" if one.inside else "outside",
        ]
        for one in held
    ]
    header = ["held out", "measured", "foretold [95 %]", "interval"]
    inside = sum(one.inside for one in held)
    return (
        f"{tabulate(rows, headers=header, disable_numparse=True)}\n"
        f"{inside} of {len(held)} held-out points lie inside their interval."
    )


def fits_table(rows: Sequence[tuple[str, Fit]]) -> str:
    """One line a fit, the notes of those that need one below."""
    header = ["points", "law", "exponent [95 %]", "R²", "n", "loss", "verdict"]
    table = [
        [
            label,
            fit.law,
            estimate_text(fit.exponent),
            MISSING if fit.r2 is None else f"{fit.r2:.3f}",
            fit.n,
            fit.loss,
            fit.verdict,
        ]
        for label, fit in rows
    ]
    notes = [f"  {label}: {fit.note}" for label, fit in rows if fit.verdict != "ok"]
    return "\n".join([tabulate(table, headers=header, disable_numparse=True), *notes])


def estimate_text(estimate: Estimate) -> str:
    """A value with its interval, an open end as ``…``."""
    if estimate.value is None:
        return MISSING
    return f"{estimate.value:.4g}" + (f" {estimate.ci}" if estimate.ci is not None else "")


def prediction_text(prediction: Prediction) -> str:
    """A prediction with its interval, and a word when it lies beyond the data."""
    note = f" ({prediction.note})" if prediction.note else ""
    return f"{prediction.value:.4g} [{prediction.lo:.4g}, {prediction.hi:.4g}]{note}"


def needed_text(needed: Needed) -> str:
    """The size that a target needs, its interval, and how far beyond the data it lies."""
    if needed.size is None:
        return f"{needed.target} is out of reach: {needed.note}"
    lo, hi = ("no size" if end is None else short(end) for end in (needed.ci.lo, needed.ci.hi))
    note = f" ({needed.note})" if needed.note else ""
    return f"{needed.target} needs N = {short(needed.size)} [{lo}, {hi}]{note}"


def allocation_text(best: Allocation) -> str:
    """The best size and data for a budget, with bands."""
    parts = [
        f"{name} = {_with_band(estimate)}"
        for name, estimate in (("N", best.n), ("D", best.d), ("loss", best.loss))
    ]
    note = f" ({best.note})" if best.note else ""
    return f"for {best.compute:.3g} FLOP: {', '.join(parts)}{note}"


def isoflop_text(estimate: IsoFlop | None, warning: str, compute: float) -> str:
    """What isoFLOP parabolas through the same points say, and how far to trust them."""
    if estimate is None:
        return ""
    size = 10 ** (estimate.size_level + estimate.a * math.log10(compute))
    data = 10 ** (estimate.data_level + estimate.b * math.log10(compute))
    told = (
        f"beside it, isoFLOP parabolas over {len(estimate.budgets)} budgets: N = {short(size)}, "
        f"D = {short(data)} (N ∝ C^{estimate.a:.3f})"
    )
    return f"{told}\n{warning}".rstrip()


def ranking_table(title: str, ranking: Ranking, average: Sequence[Prediction] = ()) -> str:
    """How `auto` ranked the laws, and what they foretell together, each by its weight."""
    rows = [
        [
            score.law,
            "by size" if score.by_size else "alike",
            _digits(score.held_out),
            _digits(score.distance),
            _digits(score.aicc),
            score.origins,
            f"{score.weight:.2f}",
        ]
        for score in ranking.laws
    ]
    header = [
        "law",
        "points count",
        "held-out RMSLE",
        "from the average",
        "AICc",
        "origins",
        "weight in the average",
    ]
    table = tabulate(rows, headers=header, disable_numparse=True)
    foretold = [f"Average over laws at {where(p)}: {prediction_text(p)}" for p in average]
    return "\n".join([f"{title}: laws judged by the largest sizes, held out", table, *foretold])


def _digits(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else MISSING


def _with_band(estimate: Estimate) -> str:
    if estimate.value is None:
        return MISSING
    ci = estimate.ci
    ends = () if ci is None else (ci.lo, ci.hi)
    band = ", ".join("…" if end is None else short(end) for end in ends)
    return f"{short(estimate.value)} [{band}]"


def where(prediction: Prediction) -> str:
    """The place of a prediction: ``N = 7B, D = 1.4T``."""
    return ", ".join(f"{name} = {short(value)}" for name, value in prediction.at.items())


def _summary(fit: Fit) -> str:
    pieces = [f"{fit.n} points", f"loss {fit.loss}"]
    if fit.r2 is not None:
        pieces.append(f"R² {fit.r2:.4f}")
    if fit.lack_of_fit is not None:
        square, freedom = fit.lack_of_fit
        pieces.append(f"χ² {square:.1f} on {freedom} degrees of freedom")
    lines = [", ".join(pieces)]
    drawn = fit.resampling
    if drawn is not None:
        lines.append(
            f"Resampled: {drawn.unit}, B = {drawn.replicates}, {drawn.failures} failed, "
            f"seed {drawn.seed}; {drawn.method}"
        )
    if fit.certificate is not None:
        lines.append(f"Optimum: {', '.join(_certificate(fit.certificate.to_json()))}")
    return "\n".join(lines)


def _certificate(document: Mapping[str, object]) -> Iterator[str]:
    for name, value in document.items():
        if value in (None, [], ()):
            continue
        if isinstance(value, float):
            value = f"{value:.3g}"
        elif isinstance(value, (list, tuple)):
            value = " ".join(map(str, value))
        yield f"{name.replace('_', ' ')} {value}"


def _estimates(estimates: Mapping[str, Estimate]) -> str:
    kinds = list(dict.fromkeys(kind for e in estimates.values() for kind in e.kinds))
    rows = [
        [
            name,
            MISSING if estimate.value is None else f"{estimate.value:.6g}",
            MISSING if estimate.ci is None else str(estimate.ci),
            *(str(estimate.kinds[kind]) if kind in estimate.kinds else MISSING for kind in kinds),
        ]
        for name, estimate in estimates.items()
    ]
    return tabulate(rows, headers=["parameter", "estimate", "95 %", *kinds], disable_numparse=True)
