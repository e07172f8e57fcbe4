"""A task whose samples ask for one text each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.types import Response

if TYPE_CHECKING:
    from harness.metrics.scorer import Scorer
    from harness.types import JSON, Metric, Sample, Stats


@dataclass(frozen=True, kw_only=True)
class Part:
    """A score of some samples only: those whose reference ``applies`` says yes to."""

    scorer: Scorer
    applies: Callable[[JSON], bool]


@dataclass(frozen=True, kw_only=True)
class AnswerTask:
    """Samples already read; each answer's text is cleaned by ``read`` and compared as it is.

    ``read`` returns None for a text that cannot be read as an answer: it is graded as the empty
    answer and counted as unparseable. ``answers`` holds a right one for each sample's id.
    """

    items: Sequence[Sample]
    answers: Mapping[str, str]
    scorers: Sequence[Scorer]
    parts: Sequence[Part] = ()
    read: Callable[[str], str | None] = str.strip

    @property
    def metrics(self) -> Sequence[Metric]:
        """The scorers' metrics, headline first, then those of parts."""
        return tuple(one.metric for one in (*self.scorers, *(part.scorer for part in self.parts)))

    def samples(self) -> Iterator[Sample]:
        """Every sample in the file's order."""
        return iter(self.items)

    def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
        """Each scorer's statistics of the one answer, where it applies."""
        answer = self.read(responses[0].text or "")
        apply = [part.scorer for part in self.parts if part.applies(sample.reference)]
        stats: dict[str, Stats] = {
            scorer.metric.name: scorer.stats(answer or "", sample.reference)
            for scorer in (*self.scorers, *apply)
        }
        if answer is None:
            stats["unparseable"] = (1.0,)
        return stats

    def oracle(self, sample: Sample) -> tuple[Response, ...]:
        """A model that answers right, as the worked examples show it."""
        return (Response(text=self.answers[sample.id]),)
