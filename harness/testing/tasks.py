"""Checks of a task: each takes a :class:`TaskSubject` and raises CheckFailed."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from numbers import Real

from harness.codec import to_json
from harness.plan import PlannedTask
from harness.testing.oracle import empty_responses, hostile_responses, oracle_responses
from harness.testing.results import CheckFailed, CheckSkipped, round_trip
from harness.types import Generate, Metric, Response, Sample, Stats, Tag, Task

GRADED = 200
"""Samples that the oracle and the empty answers are graded on: enough for a corpus metric."""
HOSTILE_GRADED = 5
UNPARSEABLE = "unparseable"


@dataclass(frozen=True, kw_only=True)
class TaskSubject:
    """A task under test, as ``harness run`` would build it for one alternative of its needs."""

    planned: PlannedTask

    @property
    def label(self) -> str:
        """What results call it; with the alternative where there are several."""
        kinds = "+".join(sorted(self.planned.settings.kinds))
        several = len(self.planned.spec.spec.needs) > 1
        return f"task {self.planned.text}" + f" (asking {kinds})" * several

    @cached_property
    def task(self) -> Task:
        """One instance for all checks."""
        return self.planned.build()

    @cached_property
    def samples(self) -> tuple[Sample, ...]:
        """The first samples."""
        return tuple(itertools.islice(self.task.samples(), GRADED))

    @cached_property
    def metrics(self) -> Mapping[str, Metric]:
        """The metrics by name."""
        return {metric.name: metric for metric in self.task.metrics}

    def grade(self, sample: Sample, responses: Sequence[Response], what: str) -> dict[str, Stats]:
        """Statistics as the contract has them; raises CheckFailed where they are not."""
        try:
            stats = self.task.grade(sample, responses)
        except Exception as error:
            raise CheckFailed(
                f"grade() of {self.label} raised {type(error).__name__} on {what} for sample "
                f"'{sample.id}': {error}\nGive the worst score to an answer that cannot be read, "
                'and add "unparseable": (1.0,).'
            ) from error
        if not isinstance(stats, Mapping):
            raise CheckFailed(
                f"grade() of {self.label} returned {type(stats).__name__}; it must return a "
                "mapping from metric name to statistics."
            )
        for name, values in stats.items():
            self._check_statistics(name, values, sample)
        return {name: values for name, values in stats.items() if name != UNPARSEABLE}

    def _check_statistics(self, name: str, values: object, sample: Sample) -> None:
        if name not in self.metrics and name != UNPARSEABLE:
            raise CheckFailed(
                f"grade() of {self.label} gave statistics for '{name}', which is none of its "
                f"metrics ({', '.join(self.metrics)}).\nDeclare it in `metrics`, or leave it out."
            )
        numbers = isinstance(values, tuple) and all(isinstance(v, Real) for v in values)
        if not numbers or not values:
            raise CheckFailed(
                f"grade() of {self.label} gave {values!r:.80} as statistics of '{name}' for sample "
                f"'{sample.id}'; they must be a tuple of floats, such as (score, 1.0)."
            )


def check_metrics_are_sound(subject: TaskSubject) -> None:
    """At least one Metric, names unique, formulas known, bounds in order."""
    from harness.metrics import formula

    metrics = tuple(subject.task.metrics)
    if not metrics:
        raise CheckFailed(f"{subject.label} has no metrics.\nName at least one, headline first.")
    for metric in metrics:
        if not isinstance(metric, Metric):
            raise CheckFailed(
                f"{subject.label} lists {metric!r:.80} among its metrics; a metric is "
                "harness.types.Metric (of a scorer, take `.metric`)."
            )
        formula(metric.formula)
        low, high = metric.bounds
        if low is not None and high is not None and low >= high:
            raise CheckFailed(f"{metric.name} of {subject.label} has the bounds {metric.bounds}.")
    names = [metric.name for metric in metrics]
    if len(set(names)) < len(names):
        raise CheckFailed(f"{subject.label} has two metrics of one name: {', '.join(names)}.")


def check_sample_ids_are_unique(subject: TaskSubject) -> None:
    """At least one sample, every one a Sample with an id of its own."""
    seen: set[str] = set()
    for sample in subject.task.samples():
        if not isinstance(sample, Sample):
            raise CheckFailed(
                f"samples() of {subject.label} yielded {type(sample).__name__}, not Sample."
            )
        if not isinstance(sample.id, str) or not sample.id:
            raise CheckFailed(f"{subject.label} has the sample id {sample.id!r}; it must be text.")
        if sample.id in seen:
            raise CheckFailed(
                f"{subject.label} has two samples with the id '{sample.id}'.\n"
                "Count samples, or use what identifies them in the data."
            )
        seen.add(sample.id)
    if not seen:
        raise CheckFailed(f"samples() of {subject.label} yielded nothing.\nLook at its data.")


def check_samples_are_the_same_at_each_call(subject: TaskSubject) -> None:
    """Twice from one instance and once from another: equal, in the same order."""
    first = _digests(subject.task.samples())
    for what, task in (("a second call", subject.task), ("a new task", subject.planned.build())):
        again = _digests(task.samples())
        if again != first:
            pairs = itertools.zip_longest(first, again)
            number = next(i for i, (one, other) in enumerate(pairs) if one != other)
            raise CheckFailed(
                f"samples() of {subject.label} is not deterministic: sample number {number} of "
                f"{what} is another one.\nDraw with a generator seeded by TaskSettings.seed, made "
                "inside samples(), and sort what comes from sets and folders."
            )


def check_samples_are_json_safe(subject: TaskSubject) -> None:
    """Each goes through JSON and back without a change."""
    for sample in subject.samples:
        round_trip(sample, f"Sample '{sample.id}' of {subject.label}")


def check_requests_are_of_the_declared_kinds(subject: TaskSubject) -> None:
    """Each sample asks something, and only what the chosen alternative allows."""
    allowed = subject.planned.settings.kinds
    for sample in subject.samples:
        if not isinstance(sample.requests, tuple) or not sample.requests:
            raise CheckFailed(
                f"Sample '{sample.id}' of {subject.label} has the requests {sample.requests!r:.80}."
                "\nGive it a tuple with at least one request."
            )
        for request in sample.requests:
            if getattr(request, "kind", None) not in allowed:
                raise CheckFailed(
                    f"Sample '{sample.id}' of {subject.label} asks {request!r:.80}, and the "
                    f"alternative chosen is {'+'.join(sorted(allowed))}.\n"
                    "Ask what TaskSettings.kinds holds, or declare the kind in TaskSpec.needs."
                )
            if isinstance(request, Generate):
                _check_generate(request, f"Sample '{sample.id}' of {subject.label}")
            if isinstance(request, Tag) and not request.tokens:
                raise CheckFailed(f"Sample '{sample.id}' of {subject.label} has no tokens to tag.")


def _check_generate(request: Generate, who: str) -> None:
    if request.max_tokens < 1:
        raise CheckFailed(f"{who} asks for no tokens.")
    if not 0 <= request.temperature < math.inf or not 0 < request.top_p <= 1:
        raise CheckFailed(
            f"{who} has the temperature {request.temperature} and the top_p {request.top_p}.\n"
            "A temperature is at least 0, a top_p above 0 and at most 1."
        )


def check_worked_examples_change_the_prompts(subject: TaskSubject) -> None:
    """``--shots`` is never ignored in silence, and drops or adds no sample."""
    most = subject.planned.spec.spec.max_shots
    if not most:
        raise CheckSkipped("the task takes no worked examples (max_shots is 0)")
    plain, shot = (_with_shots(subject, shots) for shots in (0, most))
    if [sample.id for sample in plain] != [sample.id for sample in shot]:
        raise CheckFailed(f"{subject.label} has other samples with {most} worked examples.")
    if plain == shot:
        raise CheckFailed(
            f"{subject.label} allows {most} worked examples and asks the same without them.\n"
            "Read TaskSettings.shots, or leave max_shots at 0."
        )


def check_oracle_scores_the_maximum(subject: TaskSubject) -> None:
    """Right answers reach the best end of each metric's bounds."""
    rows = _graded(subject, "the oracle's answer", partial(oracle_responses, subject.task))
    if not any(rows):
        raise CheckFailed(
            f"grade() of {subject.label} gave no statistics for any right answer.\n"
            "Return them by the metrics' names."
        )
    for metric in subject.metrics.values():
        best = metric.bounds[1 if metric.higher_is_better else 0]
        value = _value(metric, rows)
        if value is None:  # a part that none of the first samples has, such as "no answer"
            continue
        if best is not None and not math.isclose(value, best, rel_tol=1e-6, abs_tol=1e-6):
            raise CheckFailed(
                f"Right answers score {value:.6g} on {metric.name} of {subject.label}; the best "
                f"is {best:g}.\nWhere grade() is right, the reference is not the right answer as "
                "text: give the task a method oracle(sample) that returns the right Responses."
            )


def check_empty_answers_are_graded(subject: TaskSubject) -> None:
    """A model that emits nothing: no exception, every value finite."""
    rows = _graded(subject, "an empty answer", empty_responses)
    for metric in subject.metrics.values():
        value = _value(metric, rows)
        if value is not None and not math.isfinite(value):
            raise CheckFailed(
                f"Empty answers score {value} on {metric.name} of {subject.label}.\n"
                "Give them the worst score as a number."
            )


def check_hostile_answers_are_graded(subject: TaskSubject) -> None:
    """Very long answers, control characters, unbalanced brackets: no exception."""
    for sample in subject.samples[:HOSTILE_GRADED]:
        for responses in hostile_responses(sample):
            subject.grade(sample, responses, f"the answer {_shown(responses)}")


def check_statistics_keep_their_width(subject: TaskSubject) -> None:
    """As many numbers per metric, whatever the answer; the same again for the same answer."""
    widths: dict[str, int] = {}
    for sample in subject.samples[:HOSTILE_GRADED]:
        answers = (empty_responses(sample), *hostile_responses(sample))
        for responses in (*answers, *_oracle_if_known(subject, sample)):
            stats = subject.grade(sample, responses, f"the answer {_shown(responses)}")
            for name, values in stats.items():
                if widths.setdefault(name, len(values)) != len(values):
                    raise CheckFailed(
                        f"grade() of {subject.label} gave {len(values)} statistics of '{name}' for "
                        f"sample '{sample.id}' and {widths[name]} before.\nThey are summed over "
                        "samples, so each needs the same number of them."
                    )
            again = subject.grade(sample, responses, "an answer graded before")
            if again != stats:
                raise CheckFailed(
                    f"grade() of {subject.label} gave other statistics when it graded sample "
                    f"'{sample.id}' again.\nLet it depend on its arguments alone."
                )


CHECKS: tuple[Callable[[TaskSubject], None], ...] = (
    check_metrics_are_sound,
    check_sample_ids_are_unique,
    check_samples_are_the_same_at_each_call,
    check_samples_are_json_safe,
    check_requests_are_of_the_declared_kinds,
    check_worked_examples_change_the_prompts,
    check_oracle_scores_the_maximum,
    check_empty_answers_are_graded,
    check_hostile_answers_are_graded,
    check_statistics_keep_their_width,
)


def _digests(samples: Iterable[Sample]) -> list[str]:
    return [
        hashlib.sha256(json.dumps(to_json(s), sort_keys=True, default=repr).encode()).hexdigest()
        for s in samples
    ]


def _with_shots(subject: TaskSubject, shots: int) -> list[Sample]:
    settings = replace(subject.planned.settings, shots=shots)
    task = subject.planned.spec.spec.build(settings)
    return list(itertools.islice(task.samples(), HOSTILE_GRADED))


def _graded(
    subject: TaskSubject, what: str, answer: Callable[[Sample], Sequence[Response]]
) -> list[dict[str, Stats]]:
    if not subject.samples:
        raise CheckFailed(f"samples() of {subject.label} yielded nothing.\nLook at its data.")
    return [subject.grade(sample, answer(sample), what) for sample in subject.samples]


def _value(metric: Metric, rows: Iterable[Mapping[str, Stats]]) -> float | None:
    from harness import metrics

    stats = [row[metric.name] for row in rows if metric.name in row]
    return metrics.value(metric, stats) if stats else None


def _oracle_if_known(subject: TaskSubject, sample: Sample) -> tuple[tuple[Response, ...], ...]:
    """The oracle's answers; where there are none, another check says so."""
    try:
        return (oracle_responses(subject.task, sample),)
    except CheckFailed:
        return ()


def _shown(responses: Sequence[Response]) -> str:
    one = responses[0]
    said = one.text if one.text is not None else one.tags or one.logprob
    return f"{said!r:.60}"
