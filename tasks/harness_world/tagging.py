"""The names of ``world-ner`` asked for as tags, one for each word or mark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.metrics.spans import WORD, spans_from_tags, spans_in_words, tags_from_spans
from harness.types import Entity, Metric, Response, Sample, Stats, Tag

if TYPE_CHECKING:
    from harness.metrics.scorer import Scorer
    from harness_world.records import Item

TYPES = ("LOC", "ORG", "PER")


@dataclass(frozen=True, kw_only=True)
class TaggingTask:
    """Texts of the world as words with tags. References hold ``tokens`` and ``spans``."""

    texts: Sequence[Item]
    scorer: Scorer

    @property
    def metrics(self) -> Sequence[Metric]:
        """Entity F1."""
        return (self.scorer.metric,)

    def samples(self) -> Iterator[Sample]:
        """Every text, in the file's order."""
        return (_sample(item) for item in self.texts)

    def oracle(self, sample: Sample) -> tuple[Response, ...]:
        """Tags in IOB2 that mark every name."""
        spans = [(str(kind), int(a), int(b)) for kind, a, b in sample.reference["spans"]]
        return (Response(tags=tuple(tags_from_spans(spans, len(sample.reference["tokens"])))),)

    def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
        """Counts of names; unparseable: other than one tag per word."""
        found = self.entities(sample, responses)
        name = self.scorer.metric.name
        stats: dict[str, Stats] = {name: self.scorer.stats(found, sample.reference["spans"])}
        if len(responses[0].tags or ()) != len(sample.reference["tokens"]):
            stats["unparseable"] = (1.0,)
        return stats

    def entities(self, sample: Sample, responses: Sequence[Response]) -> Sequence[Entity]:
        """The names that the tags mark."""
        return spans_from_tags(responses[0].tags or ())


def _sample(item: Item) -> Sample:
    words = list(WORD.finditer(item.source))
    tokens = [word.group() for word in words]
    spans = [list(span) for span in spans_in_words(item.spans, words)]
    return Sample(
        id=item.id,
        requests=(Tag(tokens=tuple(tokens), types=TYPES),),
        reference={"tokens": tokens, "spans": spans},
    )
