"""Labelled texts for classifiers: asked as they are, without a prompt's words around them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import metrics
from harness.types import Classify, Metric, Response, Sample, Stats

if TYPE_CHECKING:
    from harness.metrics.scorer import Scorer
    from harness_choice.choices import Choice


@dataclass(frozen=True, kw_only=True)
class ClassifyTask:
    """Samples with one classify request each, and the right labels' indices."""

    items: Sequence[Sample]
    scorers: Sequence[Scorer]

    @classmethod
    def of(cls, choices: Sequence[Choice], labels: Sequence[Sequence[str]]) -> ClassifyTask:
        """Ask which of ``labels`` the texts of each choice bear."""
        names = tuple(tuple(label) for label in labels)
        items = tuple(
            Sample(
                id=choice.id,
                requests=(Classify(texts=choice.texts, labels=names),),
                reference=list(choice.right),
                group=choice.group,
            )
            for choice in choices
        )
        number = len(names)
        scorers = (
            metrics.choice_accuracy("raw", choices=number),
            metrics.choice_probability(choices=number),
        )
        return cls(items=items, scorers=scorers)

    @property
    def metrics(self) -> Sequence[Metric]:
        """Accuracy first."""
        return tuple(one.metric for one in self.scorers)

    def samples(self) -> Iterator[Sample]:
        """The items in the file's order."""
        return iter(self.items)

    def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
        """What each scorer says of the labels."""
        (request,) = sample.requests
        assert isinstance(request, Classify)
        given = responses[0].logprobs or (0.0,) * len(request.labels)
        options = [
            metrics.Choice(logprob=logprob, text=names[0])
            for logprob, names in zip(given, request.labels, strict=True)
        ]
        return {one.metric.name: one.stats(options, sample.reference) for one in self.scorers}

    def oracle(self, sample: Sample) -> tuple[Response, ...]:
        """A model that is certain of the right labels."""
        (request,) = sample.requests
        assert isinstance(request, Classify)
        right = [-1000.0 * (i not in sample.reference) for i in range(len(request.labels))]
        return (Response(logprobs=tuple(right)),)
