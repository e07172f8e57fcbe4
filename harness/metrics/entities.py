"""Entity precision, recall and F1: strict match of type, start and end.

Reference implementations: conlleval.pl (CoNLL-2000) and seqeval 1.2.2, which agree.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import UsageError, suggestion
from harness.metrics.scorer import signature
from harness.metrics.spans import Span, as_spans
from harness.types import Metric, Stats

AVERAGES = ("micro", "macro", "weighted")


@dataclass(frozen=True, kw_only=True)
class EntityScorer:
    """Statistics: matched, predicted and gold spans, pooled or for each type."""

    metric: Metric
    types: tuple[str, ...]
    pooled: bool

    def stats(self, prediction: Any, reference: Any, /) -> Stats:
        """``(matched, predicted, gold)``, or that for each type and once more for all others.

        Both sides are lists of ``(type, start, end)``; a span given twice counts once.
        """
        predicted, gold = as_spans(prediction), as_spans(reference)
        if self.pooled and not self.types:
            return _counts(predicted, gold)
        known = set(self.types)
        if self.pooled:
            return _counts(
                {span for span in predicted if span[0] in known},
                {span for span in gold if span[0] in known},
            )
        predicted_by, gold_by = _by_type(predicted, known), _by_type(gold, known)
        empty: set[Span] = set()
        return tuple(
            count
            for kind in (*self.types, None)
            for count in _counts(predicted_by.get(kind, empty), gold_by.get(kind, empty))
        )


def _by_type(spans: Iterable[Span], known: Container[str]) -> dict[str | None, set[Span]]:
    """Spans by type; those of no known type under ``None``."""
    groups: dict[str | None, set[Span]] = {}
    for span in spans:
        groups.setdefault(span[0] if span[0] in known else None, set()).add(span)
    return groups


def _counts(predicted: set[Span], gold: set[Span]) -> tuple[float, float, float]:
    return float(len(predicted & gold)), float(len(predicted)), float(len(gold))


def entity_f1(
    average: str = "micro",
    *,
    types: Sequence[str] = (),
    name: str | None = None,
    scheme: str | None = None,
) -> EntityScorer:
    """Entity F1, 0-100: ``micro`` over all entities (conlleval's FB1), ``macro`` or ``weighted``.

    Macro and weighted need ``types``, the data set's entity types; types outside that list are
    kept together as one more. A type that occurs in neither gold nor prediction has no part in
    the mean, and without any entity on either side the value is 0, both as in seqeval. Micro
    with ``types`` counts these types alone. The name is ``entity_f1``, with the average where it
    is not micro. ``scheme`` only enters the signature: how tags became spans, where that was not
    conlleval's reading. Raises :class:`UsageError`.
    """
    if average not in AVERAGES:
        raise UsageError(f"Unknown average '{average}'. {suggestion(average, AVERAGES)}")
    if average != "micro" and not types:
        raise UsageError(f"The {average} average of entity F1 needs the list of entity types.")
    if average == "micro":
        return _pooled("f1", name or "entity_f1", types, scheme)
    metric = _metric(name or f"entity_f1_{average}", f"{average}-f1", average, types, scheme)
    return EntityScorer(metric=metric, types=tuple(dict.fromkeys(types)), pooled=False)


def entity_precision(
    *, types: Sequence[str] = (), name: str = "entity_precision", scheme: str | None = None
) -> EntityScorer:
    """Percent of predicted entities that are right, over the corpus; or of ``types`` alone."""
    return _pooled("precision", name, types, scheme)


def entity_recall(
    *, types: Sequence[str] = (), name: str = "entity_recall", scheme: str | None = None
) -> EntityScorer:
    """Percent of gold entities that are found, over the corpus; or of ``types`` alone."""
    return _pooled("recall", name, types, scheme)


def _pooled(formula: str, name: str, types: Sequence[str], scheme: str | None) -> EntityScorer:
    metric = _metric(name, formula, "micro", types, scheme)
    return EntityScorer(metric=metric, types=tuple(dict.fromkeys(types)), pooled=True)


def _metric(
    name: str, formula: str, average: str, types: Sequence[str], scheme: str | None
) -> Metric:
    return Metric(
        name=name,
        formula=formula,
        bounds=(0.0, 100.0),
        signature=signature(
            average=average,
            match="strict",
            types=",".join(types) or None,
            scheme=scheme,
            ref="conlleval" if scheme in (None, "auto") else "seqeval-strict",
        ),
    )
