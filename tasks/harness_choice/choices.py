"""A choice as requests, and the model's choice from their log-likelihoods."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import metrics
from harness.types import Loglikelihood, Metric, Response, Sample, Stats, TaskSettings, TaskSpec
from harness_files import Shot, check_ids, check_options, data_file, few_shot
from harness_files.dataset import MAX_SHOTS, ONE_FILE

if TYPE_CHECKING:
    from harness.metrics.scorer import Scorer
    from harness.types import Option
    from harness_files import FewShot


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One item: continuations of one context, or one continuation of several contexts.

    ``options`` holds (context, continuation) pairs, ``right`` the right ones' indices. A blank
    before a continuation is no part of what is counted in bytes.
    """

    id: str
    options: tuple[tuple[str, str], ...]
    right: tuple[int, ...]
    group: str | None = None


@dataclass(frozen=True, kw_only=True)
class ChoiceTask:
    """Samples with one log-likelihood request per option, and the right options' indices.

    ``loss`` is that of the first right continuation, in bits per byte; like the probability of the
    right choice it moves smoothly with size where accuracy still stands at chance.
    """

    items: Sequence[Sample]
    scorers: Sequence[Scorer]
    loss: Scorer

    @property
    def metrics(self) -> Sequence[Metric]:
        """Accuracy first."""
        return tuple(one.metric for one in (*self.scorers, self.loss))

    def samples(self) -> Iterator[Sample]:
        """The items in the file's order."""
        return iter(self.items)

    def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
        """What each scorer says of the options, and the right one's loss."""
        right = sample.reference
        texts = [_text(one) for one in sample.requests if isinstance(one, Loglikelihood)]
        options = [
            metrics.Choice(logprob=response.logprob or 0.0, text=text)
            for response, text in zip(responses, texts, strict=True)
        ]
        stats = {one.metric.name: one.stats(options, right) for one in self.scorers}
        first = right[0]
        size = len(texts[first].encode())
        stats[self.loss.metric.name] = self.loss.stats(options[first].logprob, size)
        return stats

    def oracle(self, sample: Sample) -> tuple[Response, ...]:
        """A model that is certain of the right options."""
        return tuple(
            Response(logprob=0.0 if index in sample.reference else -1000.0)
            for index in range(len(sample.requests))
        )


def accuracies(choices: Sequence[Choice], number: int | None) -> tuple[Scorer, ...]:
    """Accuracy and probability; accuracy per byte where dividing by bytes may change the pick."""
    raw = metrics.choice_accuracy("raw", choices=number)
    probability = metrics.choice_probability(choices=number)
    if all(_of_one_size(choice) for choice in choices):
        return (raw, probability)
    return (raw, metrics.choice_accuracy("byte", choices=number), probability)


def _of_one_size(choice: Choice) -> bool:
    return len({len(text.strip().encode()) for _, text in choice.options}) == 1


@dataclass(frozen=True, kw_only=True)
class ChoiceSet:
    """A data set of choices in one file; ``read`` turns its path into choices.

    ``scorers`` makes the metrics of given choices and of their number, None where it differs.
    ``max_shots`` is 0 for sets whose items have no context that an example could be put before.
    """

    name: str
    description: str
    read: Callable[[str], Iterable[Choice]]
    introduction: Callable[[str], str] = lambda path: ""
    max_shots: int = MAX_SHOTS
    category: str = "choice"
    scorers: Callable[[Sequence[Choice], int | None], Sequence[Scorer]] = accuracies

    @property
    def options(self) -> tuple[Option, ...]:
        """The file, and that of worked examples where there may be any."""
        return ONE_FILE if self.max_shots else ONE_FILE[:1]

    def spec(self) -> TaskSpec:
        """The task as a plugin declares it; nothing is read before it is built."""
        return TaskSpec(
            name=self.name,
            build=self.build,
            needs=(frozenset({"loglikelihood"}),),
            category=self.category,
            argument="FILE",
            options=self.options,
            max_shots=self.max_shots,
            description=self.description,
        )

    def build(self, settings: TaskSettings) -> ChoiceTask:
        """Read the file that the settings name; every option becomes a request."""
        check_options(self.name, settings, self.options)
        path = data_file(self.name, settings)
        choices = tuple(self.read(path))
        check_ids(path, (choice.id for choice in choices))
        pool = settings.options.get("shots_data", "")
        shots = few_shot(
            self.name,
            settings,
            [_shot(choice) for choice in self.read(pool)] if pool else [],
            needs="shots_data=FILE",
            introduction=self.introduction(path),
        )
        counts = {len(choice.options) for choice in choices}
        number = counts.pop() if len(counts) == 1 else None
        return ChoiceTask(
            items=tuple(_sample(choice, shots) for choice in choices),
            scorers=self.scorers(choices, number),
            loss=metrics.bits_per_byte(),
        )


def _shot(choice: Choice) -> Shot:
    context, continuation = choice.options[choice.right[0]]
    return Shot(question=context, answer=continuation)


def _sample(choice: Choice, shots: FewShot) -> Sample:
    contexts = {context for context, _ in choice.options}
    return Sample(
        id=choice.id,
        requests=tuple(
            Loglikelihood(
                context=shots.prompt(choice.id, context, variants=contexts),
                continuation=continuation,
            )
            for context, continuation in choice.options
        ),
        reference=list(choice.right),
        group=choice.group,
    )


def _text(request: Loglikelihood) -> str:
    return request.continuation.removeprefix(" ")
