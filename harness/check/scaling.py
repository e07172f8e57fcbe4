"""The scaling gate: a checkpoint below its family's prediction band, an exponent that fell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness import stats
from harness.check.policy import Policy
from harness.check.verdicts import Judgement, Reason, Verdict
from harness.compare import CurveComparison, Side
from harness.compare.families import (
    FamilyCells,
    common_axis,
    families,
    paired_series,
    size_of,
)
from harness.errors import DataError
from harness.laws import Fit, Prediction, fit_series
from harness.types import CellRecord, Metric, Score


def judge_exponents(
    curves: Sequence[CurveComparison], adjusted: Sequence[float], policy: Policy
) -> Iterator[Judgement]:
    """FAIL where an exponent is smaller than the baseline's, with Holm's p-values ``adjusted``."""
    for one, p_holm in zip(curves, adjusted, strict=True):
        shift = one.found.exponent
        assert shift is not None
        fell = p_holm <= policy.alpha
        word = "fell" if fell else "is not shown to have fallen"
        text = f"the exponent {word}: {shift.a:.3f} to {shift.b:.3f} (p {p_holm:.3g} after Holm)"
        yield Judgement(
            subject=one.family_b,
            task=one.task,
            metric=one.metric,
            kind="exponent",
            reasons=(
                Reason(
                    criterion="exponent",
                    verdict=Verdict.FAIL if fell else Verdict.PASS,
                    text=text,
                ),
            ),
            baseline=shift.a,
            value=shift.b,
            difference=shift.difference,
            ci=shift.ci,
            p=shift.p_below,
            p_holm=p_holm,
        )


def judge_bands(
    baseline: Side, run: Side, policy: Policy, resampler: stats.Resampler
) -> Iterator[Judgement | str]:
    """Checkpoints that the baseline does not hold, against the curve of their family there.

    A sentence stands for a judgement where the family has no curve.
    """
    known = set(baseline.models)
    fits: dict[tuple[str, str, str], Fit] = {}
    axis = common_axis(baseline, run)
    groups = families(baseline, axis)
    for cell in run.cells:
        family = groups.get((cell.model.family, cell.task))
        new = cell.model.name not in known and size_of(cell, axis) > 0
        if family is None or not new or cell.fingerprint != family.cells[0].fingerprint:
            continue
        for score in cell.scores:
            name = score.metric.name
            if policy.metrics and name not in policy.metrics:
                continue
            key = (family.family, family.task, name)
            if key not in fits:
                fits[key] = _fit(family, score.metric, resampler)
            yield _band(cell, score, fits[key], size_of(cell, axis))


def _fit(family: FamilyCells, metric: Metric, resampler: stats.Resampler) -> Fit:
    rows = [family.side.read(cell) for cell in family.cells]
    series = paired_series(metric, family, family, [*rows, *rows], resampler)
    if series is None:
        raise DataError(f"{family.family} on {family.task} has no usable {metric.name}.")
    return fit_series(series[0], seed=resampler.seed)


def _band(cell: CellRecord, score: Score, fit: Fit, size: float) -> Judgement | str:
    label = f"{cell.model.name}, {cell.task}, {score.metric.name}"
    if fit.verdict == "not-identifiable":
        return f"{label}: no prediction band. {fit.note}"
    expected: Prediction = fit.predict(size)
    below = (
        score.value < expected.lo if score.metric.higher_is_better else score.value > expected.hi
    )
    where = "outside" if below else "not worse than"
    text = (
        f"{score.value:.4g} is {where} its family's band at this size, "
        f"{expected.value:.4g} [{expected.lo:.4g}, {expected.hi:.4g}]"
    )
    return Judgement(
        subject=cell.model.name,
        task=cell.task,
        metric=score.metric,
        kind="band",
        reasons=(
            Reason(criterion="band", verdict=Verdict.FAIL if below else Verdict.PASS, text=text),
        ),
        baseline=expected.value,
        value=score.value,
        difference=score.value - expected.value,
        ci=(expected.lo - expected.value, expected.hi - expected.value),
        n=score.n,
    )
