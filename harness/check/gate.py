"""The gate: a run against a baseline under a policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness import stats
from harness.check.baseline import Baseline
from harness.check.policy import Policy
from harness.check.scaling import Scaling, judge_exponents, scaling_gate
from harness.check.verdicts import Judgement, Verdict, gather, judge_cells, worst
from harness.compare import Match, Settings, Side, match_cells, refusal
from harness.compare.cells import CellComparison, check_metrics, compare_match, wanted_scores
from harness.compare.sides import require_some
from harness.errors import NotComparableError

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
    scaling = scaling_gate(side, run, policy, _settings(scored, policy).curve_resampler)
    judgements = _judged(scored, side, run, policy, scaling)
    return Gate(
        baseline=baseline,
        run=run,
        policy=policy,
        judgements=judgements,
        failed=tuple(
            f"{match.label}: {match.b.error or 'no scores'}"
            for match in matches
            if not match.b.scores
        ),
        unjudged=_unjudged(run, matches, scaling),
        skipped=missing,
        notes=scaling.notes,
    )


def _settings(matches: list[Match], policy: Policy, curves: int = 0) -> Settings:
    tests = sum(len(wanted_scores(match, policy.metrics)) for match in matches)
    return Settings(
        metrics=policy.metrics,
        alpha=policy.alpha,
        tests=max(1, tests + curves),
        margins=any(rule.delta > 0 for rule in (policy.default, *policy.rules)),
    )


def _judged(
    matches: list[Match], side: Side, run: Side, policy: Policy, scaling: Scaling
) -> tuple[Judgement, ...]:
    """Every judgement, with one Holm correction over all tests of the check."""
    settings = _settings(matches, policy, len(scaling.exponents))
    comparisons: list[CellComparison] = [
        one for match in matches for one in compare_match(match, side, run, settings)
    ]
    evidence = [gather(comparison, policy) for comparison in comparisons]
    tested = [i for i, one in enumerate(evidence) if one.p is not None]
    shifts = [one.found.exponent for one in scaling.exponents]
    adjusted = stats.holm(
        [evidence[i].p or 0.0 for i in tested]
        + [shift.p_below for shift in shifts if shift is not None]
    )
    by_cell = dict(zip(tested, adjusted, strict=False))
    cells = judge_cells(evidence, [by_cell.get(i) for i in range(len(evidence))], policy)
    exponents = judge_exponents(scaling.exponents, adjusted[len(tested) :], policy)
    return (*cells, *scaling.bands, *exponents)


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
    return NotComparableError(
        f"{run.label} lacks cells of the baseline: {names}{more}.\n"
        'Run them too, or write missing = "skip" in the policy.'
    )


def _unjudged(run: Side, matches: tuple[Match, ...], scaling: Scaling) -> tuple[str, ...]:
    judged = {(match.b.model.name, match.b.task) for match in matches}
    judged |= {(one.subject, one.task) for one in scaling.bands}
    return tuple(
        f"{cell.model.name} on {cell.task}"
        for cell in run.cells
        if (cell.model.name, cell.task) not in judged
    )
