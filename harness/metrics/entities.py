"""Entity F1: strict match of type, start and end, as conlleval and seqeval count it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import UsageError, suggestion
from harness.metrics.scorer import signature
from harness.metrics.spans import Span, as_spans
from harness.types import Metric, Stats

AVERAGES = ("micro", "macro", "weighted")


@dataclass(frozen=True, kw_only=True)
class EntityF1:
    """Statistics: matched, predicted and gold spans, for each type where types are kept."""

    metric: Metric
    types: tuple[str, ...]

    def stats(self, prediction: Any, reference: Any, /) -> Stats:
        """``(matched, predicted, gold)``, or that for each type and once more for all others.

        Both sides are lists of ``(type, start, end)``; a span given twice counts once.
        """
        predicted, gold = as_spans(prediction), as_spans(reference)
        if not self.types:
            return _counts(predicted, gold)
        stats: list[float] = []
        for kind in self.types:
            stats += _counts(
                {s for s in predicted if s[0] == kind}, {s for s in gold if s[0] == kind}
            )
        known = set(self.types)
        stats += _counts(
            {s for s in predicted if s[0] not in known}, {s for s in gold if s[0] not in known}
        )
        return tuple(stats)


def _counts(predicted: set[Span], gold: set[Span]) -> tuple[float, float, float]:
    return float(len(predicted & gold)), float(len(predicted)), float(len(gold))


def entity_f1(
    average: str = "micro", *, types: Sequence[str] = (), name: str | None = None
) -> EntityF1:
    """Entity F1, 0-100: ``micro`` over all entities (conlleval's FB1), ``macro`` or ``weighted``.

    Macro and weighted need ``types``, the data set's entity types; types outside that list are
    kept together as one more. A type that occurs in neither gold nor prediction has no part in
    the mean, and without any entity on either side the value is 0, both as in seqeval. The name
    is ``entity_f1``, with the average where it is not micro. Raises :class:`UsageError`.
    """
    if average not in AVERAGES:
        raise UsageError(f"Unknown average '{average}'. {suggestion(average, AVERAGES)}")
    if average != "micro" and not types:
        raise UsageError(f"The {average} average of entity F1 needs the list of entity types.")
    if average == "micro":
        types = ()
    metric = Metric(
        name=name or ("entity_f1" if average == "micro" else f"entity_f1_{average}"),
        formula="f1" if average == "micro" else f"{average}-f1",
        bounds=(0.0, 100.0),
        signature=signature(
            average=average, match="strict", types=",".join(types) or None, ref="conlleval"
        ),
    )
    return EntityF1(metric=metric, types=tuple(types))
