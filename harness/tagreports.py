"""Precision, recall and F1 for each type of entity and for each tag, from a run's samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.metrics import EntityReports, entity_reports, spans_from_tags, tags_from_spans
from harness.metrics.spans import WORD, Span, as_spans, spans_in_words
from harness.results import RunDirectory
from harness.types import CellRecord, Entity, SampleRecord, Tag


@dataclass(frozen=True, kw_only=True)
class TagReports:
    """One cell's reports. Gold tags are IOB2, whatever the file wrote.

    A tagger's own tags are compared with them token by token. Entities that a model wrote down are
    turned into tags first; one at no place of the text marks no token. ``reports`` is None where
    the samples were graded by a version that stored no entities: grading anew stores them.
    """

    record: CellRecord
    reports: EntityReports | None


def tag_reports(directory: RunDirectory, cells: Iterable[CellRecord]) -> Iterator[TagReports]:
    """The reports of every cell that names entities. A sample without an answer is left out."""
    for record in cells:
        marked = [one for one in map(_marked, directory.read_samples(record)) if one is not None]
        known = [one for one in marked if one.found is not None]
        if marked:
            reports = entity_reports(
                ((one.found, one.gold) for one in known),
                ((one.tags, one.gold_tags) for one in known),
            )
            yield TagReports(record=record, reports=reports if known else None)


@dataclass(frozen=True, kw_only=True)
class _Marked:
    """A sample's entities and tags on both sides; ``found`` is None where they are not known."""

    found: Sequence[Entity] | None
    gold: Sequence[Entity]
    tags: Sequence[str] = ()
    gold_tags: Sequence[str] = ()


def _marked(sample: SampleRecord) -> _Marked | None:
    """None for a sample without gold entities, or without an answer."""
    reference = sample.reference
    failed = any(response.error is not None for response in sample.responses)
    if not isinstance(reference, dict) or "spans" not in reference or failed:
        return None
    gold = sorted(as_spans(reference["spans"]), key=lambda span: span[1:])
    tags = _answered_tags(sample)
    found = sample.entities
    if found is None:
        if tags is None:
            return _Marked(found=None, gold=gold)
        found = tuple(spans_from_tags(tags))
    gold_spans, found_spans, number = _in_tokens(reference, gold, found)
    if tags is None:
        tags = tags_from_spans(found_spans, number)
    return _Marked(
        found=found,
        gold=gold,
        tags=[*tags, *["O"] * number][:number],
        gold_tags=tags_from_spans(gold_spans, number),
    )


def _answered_tags(sample: SampleRecord) -> Sequence[str] | None:
    for request, response in zip(sample.requests, sample.responses, strict=False):
        if isinstance(request, Tag):
            return response.tags or ()
    return None


def _in_tokens(
    reference: Mapping[str, Any], gold: Sequence[Span], found: Sequence[Span]
) -> tuple[Sequence[Span], Sequence[Span], int]:
    """Both sides in tokens, and how many there are: the reference's own, or its text's words."""
    if "tokens" in reference:
        return gold, found, len(reference["tokens"])
    words = list(WORD.finditer(str(reference.get("text", ""))))
    return spans_in_words(gold, words), spans_in_words(found, words), len(words)
