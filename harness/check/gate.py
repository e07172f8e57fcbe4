"""The gate: a run against a baseline under a policy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness import stats
from harness.check.baseline import Baseline
from harness.check.policy import Policy
from harness.check.scaling import judge_bands, judge_exponents
from harness.check.verdicts import Judgement, Verdict, gather, judge_cells, worst
from harness.compare import (
    CellComparison,
    CurveComparison,
    Match,
    Settings,
    Side,
    compare_all,
    match_cells,
    refusal,
)
from harness.compare.cells import check_metrics, wanted_scores
from harness.compare.sides import require_some
from harness.errors import NotComparableError
from harness.types import Metric

MOST_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Gate:
    """The outcome of a check.

    failed
        cells that the run tried and has no score for, with the reason
    unjudged
        cells of the run that the baseline does not hold
    skipped
        cells of the baseline that the run lacks, where the policy allows it
    """

    baseline: Baseline
    run: Side
    policy: Policy
    judgements: tuple[Judgement, ...]
    failed: tuple[str, ...]
    unjudged: tuple[str, ...]
    skipped: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """The gravest of all; a cell without a score leaves the gate INCONCLUSIVE at best."""
        least = (Verdict.INCONCLUSIVE,) if self.failed else ()
        return worst((*least, *(judgement.verdict for judgement in self.judgements)))

    @property
    def exit_code(self) -> int:
        """1 for FAIL (and for INCONCLUSIVE where the policy says so), 4 for a partial run."""
        if self.verdict is Verdict.FAIL:
            return 1
        if self.failed or self.run.status != "complete":
            return 4
        if self.verdict is Verdict.INCONCLUSIVE and self.policy.inconclusive == "fail":
            return 1
        return 0


def check(
    run: Side, baseline: Baseline, policy: Policy, mapping: Mapping[str, str] | None = None
) -> Gate:
    """Judge ``run`` against ``baseline``.

    Raises:
        NotComparableError: a cell differs in fingerprint, seed, limit or shots, or is missing.
        DataError: samples cannot be read.
        UsageError: the mapping or the policy names what does not exist.
    """
    side = baseline.side
    matches, missing = match_cells(side, run, mapping)
    require_some(matches, side, run)
    if missing and policy.missing == "refuse":
        raise _missing(missing, run)
    scored = [match for match in matches if match.b.scores]
    _require_comparable(scored, side, run)
    check_metrics(scored, policy.metrics)
    settings = _settings(scored, policy)
    comparisons, curves = compare_all(scored, side, run, settings, curves=policy.scaling.exponent)
    bands, notes = _bands(side, run, policy, settings)
    judgements = _judged(comparisons, [c for c in curves if c.found.exponent], policy)
    return Gate(
        baseline=baseline,
        run=run,
        policy=policy,
        judgements=(*judgements, *bands),
        failed=tuple(
            f"{match.label}: {match.b.error or 'no scores'}"
            for match in matches
            if not match.b.scores
        ),
        unjudged=_unjudged(run, matches, bands),
        skipped=missing,
        notes=(*notes, *_untold(curves)),
    )


def _settings(matches: list[Match], policy: Policy) -> Settings:
    tests = sum(len(wanted_scores(match, policy.metrics)) for match in matches)

    def margin(match: Match, metric: Metric) -> float:
        cell = match.b
        return policy.rule(task=cell.task, model=cell.model.name, metric=metric.name).delta

    margins = any(rule.delta > 0 for rule in (policy.default, *policy.rules))
    return Settings(
        metrics=policy.metrics,
        alpha=policy.alpha,
        tests=max(1, tests),
        margin=margin if margins else None,
    )


def _judged(
    comparisons: Sequence[CellComparison], curves: Sequence[CurveComparison], policy: Policy
) -> tuple[Judgement, ...]:
    """Cells and exponents, with one Holm correction over all their tests."""
    evidence = [gather(comparison, policy) for comparison in comparisons]
    tested = [i for i, one in enumerate(evidence) if one.p is not None]
    shifts = [one.found.exponent for one in curves]
    adjusted = stats.holm(
        [evidence[i].p or 0.0 for i in tested]
        + [shift.p_below for shift in shifts if shift is not None]
    )
    by_cell = dict(zip(tested, adjusted, strict=False))
    cells = judge_cells(evidence, [by_cell.get(i) for i in range(len(evidence))], policy)
    return (*cells, *judge_exponents(curves, adjusted[len(tested) :], policy))


def _bands(
    side: Side, run: Side, policy: Policy, settings: Settings
) -> tuple[list[Judgement], list[str]]:
    """Judgements on new checkpoints, and notes where there is no band to judge by."""
    if not policy.scaling.band:
        return [], []
    found = list(judge_bands(side, run, policy, settings.curve_resampler))
    return (
        [one for one in found if isinstance(one, Judgement)],
        [one for one in found if isinstance(one, str)],
    )


def _untold(curves: Sequence[CurveComparison]) -> Iterator[str]:
    for one in curves:
        if one.found.exponent is None:
            label = f"{one.family_b}, {one.task}, {one.metric.name}"
            yield f"{label}: no exponent to compare. {one.found.note}"


def _require_comparable(matches: list[Match], side: Side, run: Side) -> None:
    errors = [refusal(match, side, run) for match in matches]
    found = [error for error in errors if error is not None]
    if not found:
        return
    first, *advice = str(found[0]).splitlines()
    more = f" ({len(found) - 1} more cells likewise)" if len(found) > 1 else ""
    raise NotComparableError("\n".join([first + more, *advice]))


def _missing(missing: tuple[str, ...], run: Side) -> NotComparableError:
    names = ", ".join(missing[:MOST_NAMED])
    more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
    state = "" if run.status == "complete" else " is partial and"
    return NotComparableError(
        f"{run.label}{state} lacks cells of the baseline: {names}{more}.\n"
        'Run them too, or write missing = "skip" in the policy.'
    )


def _unjudged(run: Side, matches: tuple[Match, ...], bands: list[Judgement]) -> tuple[str, ...]:
    judged = {(match.b.model.name, match.b.task) for match in matches}
    judged |= {(one.subject, one.task) for one in bands}
    return tuple(
        f"{cell.model.name} on {cell.task}"
        for cell in run.cells
        if (cell.model.name, cell.task) not in judged
    )
