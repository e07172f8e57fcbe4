"""A choice as requests, and the model's choice from their log-likelihoods."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import metrics
from harness.errors import UsageError, suggestion
from harness.types import (
    Loglikelihood,
    Metric,
    Option,
    Response,
    Sample,
    Stats,
    TaskSettings,
    TaskSpec,
)
from harness_choice.heads import ClassifyTask
from harness_files import (
    Shot,
    check_ids,
    check_options,
    choice_option,
    data_file,
    few_shot,
)
from harness_files.dataset import MAX_SHOTS, ONE_FILE
from harness_files.hub import HUB
from harness_files.options import SUBSET, pool_file

if TYPE_CHECKING:
    from harness.metrics.scorer import Scorer
    from harness_files import FewShot

UNCONDITIONAL = Option(
    name="unconditional",
    help="yes: accuracy by unconditional probability, too, for twice the requests",
)
PER_TOKEN = Option(
    name="per_token",
    help="yes: accuracy by probability per token, too; it depends on the tokenizer",
)
NEUTRAL = "Answer:"
"""What stands before an option when its probability without the question is asked (OLMES)."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One item: continuations of one context, or one continuation of several contexts.

    ``options`` holds (context, continuation) pairs, ``right`` the right ones' indices. A blank
    before a continuation is no part of what is counted in bytes. ``texts`` are what a classifier
    reads, where the options are labels. ``topic`` is that of the item where a file has several:
    only examples of the same topic stand before it.
    """

    id: str
    options: tuple[tuple[str, str], ...]
    right: tuple[int, ...]
    group: str | None = None
    texts: tuple[str, ...] = ()
    topic: str = ""


@dataclass(frozen=True, kw_only=True)
class ChoiceTask:
    """Samples with one log-likelihood request per option, and the right options' indices.

    With ``unconditional`` as many requests follow, for the same continuations after ``Answer:``.

    ``per_token``, where it is asked for, is left out for samples whose tokens are not known.

    ``loss`` is that of the first right continuation, in bits per byte; like the probability of the
    right choice it moves smoothly with size where accuracy still stands at chance.
    """

    items: Sequence[Sample]
    scorers: Sequence[Scorer]
    loss: Scorer
    unconditional: bool = False
    per_token: Scorer | None = None

    @property
    def metrics(self) -> Sequence[Metric]:
        """Accuracy first."""
        more = () if self.per_token is None else (self.per_token,)
        return tuple(one.metric for one in (*self.scorers, *more, self.loss))

    def samples(self) -> Iterator[Sample]:
        """The items in the file's order."""
        return iter(self.items)

    def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
        """What each scorer says of the options, and the right one's loss."""
        right = sample.reference
        texts = [_text(one) for one in sample.requests if isinstance(one, Loglikelihood)]
        logprobs = [response.logprob or 0.0 for response in responses]
        number = self._number(sample)
        neutral = logprobs[number:] if self.unconditional else [None] * number
        options = [
            metrics.Choice(
                logprob=logprobs[i],
                text=texts[i],
                tokens=responses[i].tokens,
                unconditional=neutral[i],
            )
            for i in range(number)
        ]
        stats = {one.metric.name: one.stats(options, right) for one in self.scorers}
        if self.per_token is not None and all(one.tokens for one in options):
            stats[self.per_token.metric.name] = self.per_token.stats(options, right)
        first = right[0]
        size = len(texts[first].encode())
        stats[self.loss.metric.name] = self.loss.stats(options[first].logprob, size)
        return stats

    def oracle(self, sample: Sample) -> tuple[Response, ...]:
        """A model that is certain of the right options, and of none without the question."""
        number = self._number(sample)
        right = [
            Response(logprob=-1000.0 * (i not in sample.reference), tokens=1) for i in range(number)
        ]
        return (*right, *[Response(logprob=-500.0)] * (len(sample.requests) - number))

    def _number(self, sample: Sample) -> int:
        """How many options a sample has."""
        return len(sample.requests) // (2 if self.unconditional else 1)


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
    ``labels`` are each label's names, where all items have the same ones. With ``subsets`` the
    option of that name says which part of the hub's data set, or which topic of a file, is asked;
    ``introduction`` makes the first line of a prompt of the topic, or of the path.
    """

    name: str
    description: str
    read: Callable[[str], Iterable[Choice]]
    introduction: Callable[[str], str] = lambda path: ""
    max_shots: int = MAX_SHOTS
    category: str = "choice"
    scorers: Callable[[Sequence[Choice], int | None], Sequence[Scorer]] = accuracies
    labels: tuple[tuple[str, ...], ...] = ()
    subsets: bool = False

    @property
    def options(self) -> tuple[Option, ...]:
        """The file, that of worked examples where there may be any, and more accuracies."""
        files = ONE_FILE if self.max_shots else ONE_FILE[:1]
        return (*files, *([SUBSET] if self.subsets else []), UNCONDITIONAL, PER_TOKEN)

    def spec(self) -> TaskSpec:
        """The task as a plugin declares it; nothing is read before it is built."""
        return TaskSpec(
            name=self.name,
            build=self.build,
            needs=(
                (frozenset({"loglikelihood"}), frozenset({"classify"}))
                if self.labels
                else (frozenset({"loglikelihood"}),)
            ),
            category=self.category,
            argument="FILE",
            options=self.options,
            max_shots=self.max_shots,
            description=self.description,
            hub=HUB.get(self.name, ()),
        )

    def build(self, settings: TaskSettings) -> ChoiceTask | ClassifyTask:
        """Read the file that the settings name; every option becomes a request, or for a
        classifier every item one."""
        check_options(self.name, settings, self.options)
        path = data_file(self.name, settings)
        choices = _of_topic(self.name, tuple(self.read(path)), settings.options.get("subset", ""))
        check_ids(path, (choice.id for choice in choices))
        if "classify" in settings.kinds:
            self._refuse_prompting(settings)
            return ClassifyTask.of(choices, self.labels)
        shots = self._shots(settings, path, {choice.topic for choice in choices})
        counts = {len(choice.options) for choice in choices}
        number = counts.pop() if len(counts) == 1 else None
        twice, by_token = (
            choice_option(self.name, settings, one.name, ("no", "yes"), "no") == "yes"
            for one in (UNCONDITIONAL, PER_TOKEN)
        )
        more = (metrics.choice_accuracy("unconditional", choices=number),) if twice else ()
        return ChoiceTask(
            items=tuple(_sample(one, shots[one.topic], twice=twice) for one in choices),
            scorers=(*self.scorers(choices, number), *more),
            loss=metrics.bits_per_byte(),
            unconditional=twice,
            per_token=metrics.choice_accuracy("token", choices=number) if by_token else None,
        )

    def _shots(
        self, settings: TaskSettings, path: str, topics: Iterable[str]
    ) -> Mapping[str, FewShot]:
        """The worked examples of each topic: those of the same one, or of a pool without topics."""
        pool_path = pool_file(self.name, settings)
        pool = tuple(self.read(pool_path)) if pool_path else ()
        return {
            topic: few_shot(
                self.name,
                settings,
                [_shot(choice) for choice in pool if choice.topic in ("", topic)],
                needs="shots_data=FILE",
                introduction=self.introduction(topic or path),
            )
            for topic in sorted(topics)
        }

    def _refuse_prompting(self, settings: TaskSettings) -> None:
        """What is said about prompts does not hold for a model that reads the text alone."""
        for flag, given in (
            ("worked examples (--shots)", settings.shots),
            ("unconditional=yes", settings.options.get("unconditional") == "yes"),
            ("per_token=yes", settings.options.get("per_token") == "yes"),
        ):
            if given:
                raise UsageError(
                    f"Task '{self.name}' asks this model for labels, which take no {flag}.\n"
                    "Leave it out, or run it apart from models that continue a prompt."
                )


def _of_topic(name: str, choices: tuple[Choice, ...], topic: str) -> tuple[Choice, ...]:
    """The choices of one topic, where a file has any and one is asked for."""
    topics = sorted({choice.topic for choice in choices} - {""})
    if not topic or not topics:
        return choices
    if topic not in topics:
        raise UsageError(
            f"Task '{name}' has no subset '{topic}' in this file. {suggestion(topic, topics)}"
        )
    return tuple(choice for choice in choices if choice.topic == topic)


def _shot(choice: Choice) -> Shot:
    context, continuation = choice.options[choice.right[0]]
    return Shot(question=context, answer=continuation)


def _sample(choice: Choice, shots: FewShot, *, twice: bool) -> Sample:
    contexts = {context for context, _ in choice.options}
    requests = [
        Loglikelihood(
            context=shots.prompt(choice.id, context, variants=contexts), continuation=continuation
        )
        for context, continuation in choice.options
    ]
    if twice:
        requests += [
            Loglikelihood(context=NEUTRAL, continuation=text) for _, text in choice.options
        ]
    return Sample(
        id=choice.id,
        requests=tuple(requests),
        reference=list(choice.right),
        group=choice.group,
    )


def _text(request: Loglikelihood) -> str:
    return request.continuation.removeprefix(" ")
