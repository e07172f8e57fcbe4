"""Paired tests of matched cells, every metric of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from harness import stats
from harness.compare.sides import Match, Side
from harness.errors import NotComparableError, UsageError, suggestion
from harness.types import Metric, Score

MOST_BOOTSTRAP = 20_000


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to compare.

    ``metrics`` empty: all; ``tests``, ``curve_tests``: how many p-values Holm will correct;
    ``margin``: the loss that ``p_worse`` allows, for each match and metric (then tested by the
    bootstrap).
    """

    metrics: tuple[str, ...] = ()
    test: str = "auto"
    alpha: float = 0.05
    seed: int = 0
    tests: int = 1
    curve_tests: int = 2
    margin: Callable[[Match, Metric], float] | None = None

    @cached_property
    def curve_resampler(self) -> stats.Resampler:
        """For curves, whose p-values rest on it too."""
        return stats.Resampler(seed=self.seed)

    @cached_property
    def fine_resampler(self) -> stats.Resampler:
        """For those of them that need a smaller p-value, as there are many tests."""
        wanted = 3 * self.curve_tests / self.alpha
        draws = min(MOST_BOOTSTRAP, max(self.curve_resampler.draws, wanted))
        return stats.Resampler(draws=int(draws), seed=self.seed)

    @cached_property
    def resampler(self) -> stats.Resampler:
        """The bootstrap draws that all comparisons share."""
        if self.test != "bootstrap" and self.margin is None:
            return stats.Resampler(seed=self.seed)
        draws = stats.affordable_draws(self.tests, self.alpha)
        return stats.Resampler(draws=min(draws, MOST_BOOTSTRAP), seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class CellComparison:
    """One metric of two matched cells, second against first.

    n, units, only_a, only_b
        samples paired, units they are drawn in, and samples that one side alone has graded
    difference, ci
        second minus first on the metric's own scale, with its paired bootstrap 95 % interval
    p, p_worse, p_holm
        two-sided; one-sided that the second is worse (by more than the settings' margin);
        two-sided after Holm over all cells
    largest_loss
        the largest loss that the data leave open, one-sided at the settings' alpha
    unusable
        samples of each side whose statistics are no finite numbers
    detectable
        the difference that this test would have found 4 times in 5; ``None``: no sample differs
    differing, step
        units that are not the same on both sides; what one right answer more is worth (McNemar)
    test
        ``unpaired z`` where samples are not kept on both sides: from the scores' standard errors
    note
        why there is no test, where ``test`` is ``None``
    """

    match: Match
    metric: Metric
    value_a: float
    value_b: float
    n: int
    units: int = 0
    only_a: int = 0
    only_b: int = 0
    difference: float | None = None
    ci: tuple[float, float] | None = None
    test: str | None = None
    draws: int = 0
    p: float | None = None
    p_worse: float | None = None
    p_holm: float | None = None
    mid_p: float | None = None
    standard_error: float | None = None
    largest_loss: float | None = None
    detectable: float | None = None
    unusable: tuple[int, int] = (0, 0)
    differing: int = 0
    step: float = 0.0
    note: str = ""

    def detectable_at(self, alpha: float, *, two_sided: bool = True) -> float | None:
        """The smallest difference that this test at ``alpha`` finds 4 times in 5."""
        if not self.standard_error:
            return None
        if self.test == "mcnemar":
            net = stats.detectable_mcnemar(self.differing, alpha=alpha, two_sided=two_sided)
            return net * self.step
        return stats.detectable(
            self.standard_error, alpha=alpha, two_sided=two_sided, differing=self.differing
        )

    @property
    def significant(self) -> bool:
        """Whether the two differ at 5 % after Holm's correction."""
        return self.p_holm is not None and self.p_holm <= 0.05


def compare_match(match: Match, a: Side, b: Side, settings: Settings) -> Iterator[CellComparison]:
    """Compare two cells on each wanted metric that both have.

    Raises:
        DataError: a cell's samples cannot be read.
    """
    shared = wanted_scores(match, settings.metrics)
    if not shared:
        return
    rows_a, rows_b = a.read(match.a), b.read(match.b)
    for first, second in shared:
        plain = CellComparison(
            match=match,
            metric=second.metric,
            value_a=first.value,
            value_b=second.value,
            n=min(first.n, second.n),
        )
        try:
            pairs = stats.pair(second.metric, rows_a, rows_b)
        except NotComparableError as error:
            name = second.metric.name
            unkept = not rows_a.graded(name) or not rows_b.graded(name)
            plain = replace(plain, note=str(error).splitlines()[0])
            yield _unpaired(plain, first, second, settings) if unkept else plain
            continue
        yield _tested(plain, pairs, settings)


def _unpaired(
    plain: CellComparison, first: Score, second: Score, settings: Settings
) -> CellComparison:
    """Without samples on both sides: a z-test, where both scores have a standard error."""
    found = stats.unpaired(first, second)
    if not (math.isfinite(first.value) and math.isfinite(second.value)):
        return replace(plain, note="a score is no finite number.")
    if found is None:
        return replace(plain, note=f"{plain.note[:-1]}, and not both have a standard error.")
    known = replace(
        plain,
        difference=found.difference,
        ci=found.interval(),
        standard_error=found.standard_error,
        largest_loss=found.largest_loss(settings.alpha),
    )
    if settings.test != "auto":
        return replace(known, note=f"--test {settings.test} needs samples on both sides.")
    margin = 0.0 if settings.margin is None else settings.margin(plain.match, plain.metric)
    return replace(
        known,
        test=stats.UNPAIRED,
        p=found.p,
        p_worse=found.p_worse(margin),
        detectable=stats.detectable(found.standard_error, alpha=settings.alpha),
        note="",
    )


def wanted_scores(match: Match, names: Sequence[str] = ()) -> list[tuple[Score, Score]]:
    """Scores that both cells have, in the task's order."""
    there = {score.metric.name: score for score in match.b.scores}
    return [
        (score, there[score.metric.name])
        for score in match.a.scores
        if score.metric.name in there and (not names or score.metric.name in names)
    ]


def check_metrics(matches: Sequence[Match], names: Sequence[str]) -> None:
    """Raise UsageError for a metric that no cell has."""
    known = {second.metric.name for match in matches for _, second in wanted_scores(match)}
    for name in names:
        if name not in known:
            raise UsageError(f"No compared cell has the metric '{name}'. {suggestion(name, known)}")


def _tested(plain: CellComparison, pairs: stats.Pairs, settings: Settings) -> CellComparison:
    known = replace(
        plain,
        value_a=pairs.value_a,
        value_b=pairs.value_b,
        n=pairs.n,
        units=pairs.units,
        only_a=pairs.only_a,
        only_b=pairs.only_b,
    )
    if any(pairs.unusable):
        return replace(known, unusable=pairs.unusable, note=_unusable(pairs))
    spread = stats.spread(pairs, settings.resampler)
    error = spread.standard_error
    edge = spread.bound(settings.alpha if pairs.sign > 0 else 1 - settings.alpha)
    known = replace(
        known,
        difference=pairs.difference,
        ci=spread.interval(),
        standard_error=error,
        differing=pairs.differing,
        largest_loss=-pairs.sign * edge,
    )
    known = replace(known, detectable=known.detectable_at(settings.alpha))
    if pairs.units < 2:
        return replace(known, ci=None, note="one sample, or samples of one source, cannot tell.")
    try:
        name = stats.choose(pairs, settings.test)
    except UsageError as refused:
        return replace(known, note=str(refused).splitlines()[0])
    draws = stats.affordable_draws(settings.tests, settings.alpha)
    found = stats.significance(pairs, name, spread, draws=draws, seed=settings.seed)
    margin = 0.0 if settings.margin is None else settings.margin(plain.match, plain.metric)
    if margin > 0:
        beyond = stats.shifted(pairs, spread, margin=margin)
        found = replace(found, test="bootstrap", draws=beyond.draws, p_worse=beyond.p_worse)
    known = replace(known, test=found.test, step=pairs.step)
    return replace(
        known,
        detectable=known.detectable_at(settings.alpha),
        draws=found.draws,
        p=found.p,
        p_worse=found.p_worse,
        mid_p=found.mid_p,
    )


def _unusable(pairs: stats.Pairs) -> str:
    first, second = pairs.unusable
    return (
        f"{first} samples of the first and {second} of the second have statistics that are no "
        "finite numbers."
    )


def with_holm(comparisons: Sequence[CellComparison]) -> tuple[CellComparison, ...]:
    """Holm's correction over every comparison that has a p-value."""
    tested = [i for i, one in enumerate(comparisons) if one.p is not None]
    adjusted = dict(zip(tested, stats.holm([comparisons[i].p or 0.0 for i in tested]), strict=True))
    return tuple(replace(one, p_holm=adjusted.get(i)) for i, one in enumerate(comparisons))
