"""From paired comparisons to PASS, FAIL or INCONCLUSIVE."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from harness import stats
from harness.check.policy import Policy, Rule
from harness.compare import CellComparison
from harness.types import Metric, Score

RELEVANT_SHARE = 0.02
"""A loss of 2 % of the range, or of the baseline's score, matters unless a policy says more."""

NEGLIGIBLE_SHARE = 0.1
"""A tenth of the loss that matters is nothing, however surely it is there."""


class Verdict(Enum):
    """How a criterion, a cell or a whole check ended, best first."""

    PASS = "PASS"
    INCONCLUSIVE = "INCONCLUSIVE"
    FAIL = "FAIL"

    @property
    def severity(self) -> int:
        """0 for PASS, 1 for INCONCLUSIVE, 2 for FAIL."""
        return list(Verdict).index(self)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The gravest of them; PASS where there are none."""
    return max(verdicts, key=lambda verdict: verdict.severity, default=Verdict.PASS)


@dataclass(frozen=True, kw_only=True)
class Reason:
    """One criterion and how it ended, in one sentence."""

    criterion: Literal[
        "worst", "max_drop", "max_relative_drop", "test", "score", "band", "exponent"
    ]
    verdict: Verdict
    text: str


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """One thing that was judged: a metric of a cell, or of a family's curve.

    subject, task, metric
        the model (or the family) and what it was measured on
    baseline, value, difference, ci
        on the metric's own scale; ``None`` where there is none
    p, p_holm
        one-sided: worse by more than the rule's delta; the latter after Holm over the check
    detectable
        the loss that the test would have found 4 times in 5
    """

    subject: str
    task: str
    metric: Metric
    kind: Literal["cell", "band", "exponent"]
    reasons: tuple[Reason, ...]
    baseline: float | None = None
    value: float | None = None
    difference: float | None = None
    ci: tuple[float, float] | None = None
    n: int | None = None
    test: str | None = None
    p: float | None = None
    p_holm: float | None = None
    detectable: float | None = None

    @property
    def verdict(self) -> Verdict:
        """The gravest of its reasons."""
        return worst(reason.verdict for reason in self.reasons)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One metric of one cell before Holm's correction.

    ``p`` is one-sided, ``None`` where the rule asks for no test or there can be none.
    """

    comparison: CellComparison
    score: Score
    rule: Rule

    @property
    def p(self) -> float | None:
        """That the run is worse by more than the rule's delta."""
        return self.comparison.p_worse if self.rule.test else None


def gather(comparison: CellComparison, policy: Policy) -> Evidence:
    """A comparison with its rule and the run's own score."""
    match = comparison.match
    rule = policy.rule(task=match.b.task, model=match.b.model.name, metric=comparison.metric.name)
    score = next(s for s in match.b.scores if s.metric.name == comparison.metric.name)
    return Evidence(comparison=comparison, score=score, rule=rule)


def judge_cells(
    evidence: Sequence[Evidence], adjusted: Sequence[float | None], policy: Policy
) -> tuple[Judgement, ...]:
    """Judge each metric; ``adjusted`` are Holm's p-values, ``None`` where there is no test."""
    return tuple(
        _judge(one, p_holm, policy) for one, p_holm in zip(evidence, adjusted, strict=True)
    )


def _judge(one: Evidence, p_holm: float | None, policy: Policy) -> Judgement:
    found, match = one.comparison, one.comparison.match
    names = dict.fromkeys((match.a.model.name, match.b.model.name))
    return Judgement(
        subject=" → ".join(names),
        task=match.b.task,
        metric=found.metric,
        kind="cell",
        reasons=tuple(_reasons(one, p_holm, policy)),
        baseline=found.value_a,
        value=found.value_b,
        difference=found.difference,
        ci=found.ci,
        n=found.n,
        test=found.test if one.rule.test else None,
        p=one.p,
        p_holm=p_holm,
        detectable=found.detectable_at(policy.alpha, two_sided=False),
    )


def _reasons(one: Evidence, p_holm: float | None, policy: Policy) -> Iterator[Reason]:
    found, rule = one.comparison, one.rule
    broken = _broken(found)
    if broken is not None:
        yield broken
        return
    yield from _thresholds(one)
    if rule.test:
        yield _tested(one, p_holm, policy)


def _broken(found: CellComparison) -> Reason | None:
    """A score that is no number: a regression, unless the baseline's was none either."""
    before, after = found.unusable
    before_bad = before > 0 or not math.isfinite(found.value_a)
    after_bad = after > 0 or not math.isfinite(found.value_b)
    if not before_bad and not after_bad:
        return None
    if before_bad:
        verdict, text = Verdict.INCONCLUSIVE, "the baseline's score is no finite number"
    else:
        verdict, text = Verdict.FAIL, "the score is no finite number, and the baseline's was one"
    return Reason(criterion="score", verdict=verdict, text=text)


def _thresholds(one: Evidence) -> Iterator[Reason]:
    rule, found = one.rule, one.comparison
    metric = found.metric
    if rule.worst is not None:
        bad = _loss(metric, rule.worst, one.score.value) > 0
        bound = "at least" if metric.higher_is_better else "at most"
        yield Reason(
            criterion="worst",
            verdict=_fail_if(bad),
            text=f"the score is {one.score.value:.4g}, and must be {bound} {rule.worst:g}",
        )
    loss = _loss(metric, found.value_a, found.value_b)
    if rule.max_drop is not None:
        yield Reason(
            criterion="max_drop",
            verdict=_fail_if(not loss <= rule.max_drop + 1e-9),
            text=f"{_change(loss)}, and may lose at most {rule.max_drop:g}",
        )
    if rule.max_relative_drop is not None:
        allowed = rule.max_relative_drop * abs(found.value_a)
        yield Reason(
            criterion="max_relative_drop",
            verdict=_fail_if(not loss <= allowed + 1e-9),
            text=f"{_change(loss)}, and may lose at most {100 * rule.max_relative_drop:g} % "
            f"({allowed:.4g})",
        )


def _tested(one: Evidence, p_holm: float | None, policy: Policy) -> Reason:
    """FAIL where the loss is significant, PASS where a loss that matters is excluded."""
    found, rule = one.comparison, one.rule
    if one.p is None or p_holm is None or found.largest_loss is None:
        return Reason(criterion="test", verdict=Verdict.INCONCLUSIVE, text=f"no test: {found.note}")
    more = f" by more than {rule.delta:g}" if rule.delta else ""
    unpaired = found.test == stats.UNPAIRED
    p = f"p {_p_text(p_holm)} after Holm" + (", unpaired" if unpaired else "")
    relevant = rule.relevant
    if relevant is None:
        relevant = default_relevant(found.metric, found.value_a)
    relevant = max(relevant, rule.delta)
    negligible = NEGLIGIBLE_SHARE * relevant if rule.negligible is None else rule.negligible
    if p_holm <= policy.alpha:
        loss = _loss(found.metric, found.value_a, found.value_b)
        if loss > negligible:
            return Reason(criterion="test", verdict=Verdict.FAIL, text=f"worse{more} ({p})")
        return Reason(
            criterion="test",
            verdict=Verdict.PASS,
            text=f"worse ({p}), but by {loss:.3g} only, and up to {negligible:.3g} is negligible",
        )
    if found.standard_error == 0 and found.difference == 0:
        text = "the same score" if unpaired else "the same on every sample"
        return Reason(criterion="test", verdict=Verdict.PASS, text=text)
    if found.largest_loss <= relevant:
        return Reason(
            criterion="test",
            verdict=Verdict.PASS,
            text=f"not worse{more} ({p}); a loss above {relevant:.3g} is excluded",
        )
    return Reason(
        criterion="test",
        verdict=Verdict.INCONCLUSIVE,
        text=f"not shown to be worse{more} ({p}), but a loss of up to "
        f"{found.largest_loss:.3g} is possible with {found.n} samples, and {relevant:.3g} "
        "would matter",
    )


def default_relevant(metric: Metric, baseline: float) -> float:
    """The smallest loss that matters where no policy says: 2 % of the range, or of the score."""
    low, high = metric.bounds
    span = high - low if low is not None and high is not None else abs(baseline)
    return RELEVANT_SHARE * span


def _loss(metric: Metric, before: float, after: float) -> float:
    return before - after if metric.higher_is_better else after - before


def _change(loss: float) -> str:
    return f"lost {loss:.4g}" if loss > 0 else f"gained {-loss:.4g}"


def _fail_if(bad: bool) -> Verdict:
    return Verdict.FAIL if bad else Verdict.PASS


def _p_text(p: float) -> str:
    return f"{p:.2g}" if p < 0.01 else f"{p:.3f}"
