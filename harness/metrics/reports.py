"""Precision, recall and F1 by type or tag, with support and the three usual averages.

Reference implementations: conlleval.pl, seqeval's ``classification_report`` for entities and
scikit-learn's for tags, with ``zero_division=0``. Numbers are on 0-100, as conlleval prints them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.metrics.spans import as_spans


@dataclass(frozen=True, kw_only=True)
class ReportRow:
    """One type, tag or average. ``support`` counts gold items, ``predicted`` answers."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int
    predicted: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """A row for each type or tag in alphabetical order, then the averages.

    ``accuracy`` is the percent of tokens with the right tag, for reports of tags.
    """

    rows: tuple[ReportRow, ...]
    micro: ReportRow
    macro: ReportRow
    weighted: ReportRow
    accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class EntityReports:
    """Of whole entities, of single tokens, and of single tokens with O left out of the averages."""

    entities: Report
    tokens: Report
    tokens_without_o: Report


def _percent(part: float, whole: float) -> float:
    return 100.0 * part / whole if whole else 0.0


def _row(name: str, matched: float, predicted: float, gold: float) -> ReportRow:
    return ReportRow(
        name=name,
        precision=_percent(matched, predicted),
        recall=_percent(matched, gold),
        f1=_percent(2 * matched, predicted + gold),
        support=int(gold),
        predicted=int(predicted),
    )


def _average(name: str, rows: Sequence[ReportRow], weights: Sequence[float]) -> ReportRow:
    total = sum(weights)

    def over(values: Iterable[float]) -> float:
        weighted = sum(v * w for v, w in zip(values, weights, strict=True))
        return weighted / total if total else 0.0

    return ReportRow(
        name=name,
        precision=over(row.precision for row in rows),
        recall=over(row.recall for row in rows),
        f1=over(row.f1 for row in rows),
        support=sum(row.support for row in rows),
        predicted=sum(row.predicted for row in rows),
    )


def report_from_counts(
    counts: Mapping[str, tuple[float, float, float]], accuracy: float | None = None
) -> Report:
    """A report from ``(matched, predicted, gold)`` by name, such as sums of stored statistics."""
    rows = tuple(_row(name, *counts[name]) for name in sorted(counts))
    sums = [sum(triple[i] for triple in counts.values()) for i in range(3)]
    return Report(
        rows=rows,
        micro=_row("micro avg", *sums),
        macro=_average("macro avg", rows, [1.0] * len(rows)),
        weighted=_average("weighted avg", rows, [row.support for row in rows]),
        accuracy=accuracy,
    )


def entity_report(pairs: Iterable[tuple[Any, Any]]) -> Report:
    """A report by entity type from ``(predicted spans, gold spans)`` of each sentence."""
    matched, predicted, gold = Counter[str](), Counter[str](), Counter[str]()
    for ours, theirs in pairs:
        a, b = as_spans(ours), as_spans(theirs)
        matched.update(span[0] for span in a & b)
        predicted.update(span[0] for span in a)
        gold.update(span[0] for span in b)
    return report_from_counts(
        {name: (matched[name], predicted[name], gold[name]) for name in {*predicted, *gold}}
    )


def tag_report(
    pairs: Iterable[tuple[Sequence[str], Sequence[str]]], *, leave_out: Sequence[str] = ()
) -> Report:
    """A report by tag from ``(predicted tags, gold tags)`` of each sentence.

    This is the per-token report of fine-tuning tutorials; it counts every token of an entity
    alone, so it is no entity score. ``leave_out=("O",)`` keeps the many O from the averages; the
    accuracy is of all tokens. Raises :class:`ValueError` where a pair's lengths differ.
    """
    matched, predicted, gold = Counter[str](), Counter[str](), Counter[str]()
    for ours, theirs in pairs:
        matched.update(a for a, b in zip(ours, theirs, strict=True) if a == b)
        predicted.update(ours)
        gold.update(theirs)
    names = {*predicted, *gold} - set(leave_out)
    return report_from_counts(
        {name: (matched[name], predicted[name], gold[name]) for name in names},
        accuracy=_percent(matched.total(), gold.total()),
    )


def entity_reports(
    spans: Iterable[tuple[Any, Any]], tags: Iterable[tuple[Sequence[str], Sequence[str]]]
) -> EntityReports:
    """The reports by type and by tag of the same sentences, predicted side first."""
    tagged = list(tags)
    return EntityReports(
        entities=entity_report(spans),
        tokens=tag_report(tagged),
        tokens_without_o=tag_report(tagged, leave_out=("O",)),
    )
