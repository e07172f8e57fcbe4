"""Precision, recall and F1 for each type of entity and for each tag, from a run's samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.metrics import Report, entity_report, spans_from_tags, tag_report, tags_from_spans
from harness.results import RunDirectory
from harness.types import CellRecord, SampleRecord, Tag


@dataclass(frozen=True, kw_only=True)
class TagReports:
    """One cell's reports: of whole entities, and of single tokens with ``O`` among the tags.

    Gold tags are IOB2, whatever the file wrote; entities are read as conlleval reads them.
    """

    record: CellRecord
    entities: Report
    tokens: Report


def tag_reports(directory: RunDirectory) -> Iterator[TagReports]:
    """The reports of every cell that asked for tags. A sample without an answer is left out."""
    for record in directory.read_run().cells:
        pairs = [pair for sample in directory.read_samples(record) for pair in _tags(sample)]
        if pairs:
            yield TagReports(
                record=record,
                entities=entity_report(
                    (spans_from_tags(ours), spans_from_tags(gold)) for ours, gold in pairs
                ),
                tokens=tag_report(pairs),
            )


def _tags(sample: SampleRecord) -> Iterator[tuple[list[str], list[str]]]:
    reference = sample.reference
    if not isinstance(reference, dict) or "spans" not in reference:
        return
    for request, response in zip(sample.requests, sample.responses, strict=False):
        if not isinstance(request, Tag) or response.error is not None:
            continue
        number = len(request.tokens)
        spans = [(str(kind), int(start), int(end)) for kind, start, end in reference["spans"]]
        answered = [*(response.tags or ()), *["O"] * number][:number]
        yield answered, tags_from_spans(spans, number)
