"""The validation score, and which weights it keeps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness import metrics
from harness_train.finetune.encoding import IGNORED
from harness_train.finetune.examples import OUTSIDE, Tagged

if TYPE_CHECKING:
    from harness.types import RequestKind
    from harness_train.finetune.encoding import Encoded
    from harness_train.finetune.examples import Example

DIVERGED = 1.5
"""A cell has diverged whose validation loss never fell below this many times the untrained
model's; and one with a loss that is not finite."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What decides between epochs: the score called ``name``, the larger the better, and among
    equal ones the smaller loss; or the loss alone."""

    name: str

    def rank(self, scores: Mapping[str, float]) -> tuple[float, float]:
        """Compares greater for better scores; a loss that is not finite is the worst."""
        loss = scores.get("loss", math.nan)
        loss = loss if math.isfinite(loss) else math.inf
        return (0.0 if self.name == "loss" else scores.get(self.name, -math.inf), -loss)


MEASURES: Mapping[str, Measure] = {
    "tag": Measure(name="entity_f1"),
    "classify": Measure(name="macro_f1"),
    "generate": Measure(name="loss"),
}


def scores_of(
    kind: RequestKind,
    examples: Sequence[Example],
    encoded: Encoded,
    labels: Sequence[str],
) -> Callable[[Any], dict[str, float]] | None:
    """What ``Trainer`` calls with predicted label numbers; None where the loss says all.

    ``encoded`` are the ``examples``. Words that were cut off or that the tokenizer left out count
    as ``O``, so that the score is over the whole texts.
    """
    if kind == "generate":
        return None
    if kind == "classify":
        return lambda found: _label_scores(found.predictions, found.label_ids, labels)
    gold = [one.tags if isinstance(one, Tagged) else () for one in examples]

    def tagged(found: Any) -> dict[str, float]:
        ours = [[OUTSIDE] * len(tags) for tags in gold]
        rows = zip(found.predictions, found.label_ids, encoded.places, strict=True)
        for row, right, (index, words) in rows:
            heard = [int(one) for one, label in zip(row, right, strict=True) if label != IGNORED]
            for word, number in zip(words, heard, strict=True):
                ours[index][word] = labels[number]
        pairs = list(zip(ours, gold, strict=True))
        spans = metrics.spans_from_tags
        report = metrics.entity_report((spans(a), spans(b)) for a, b in pairs)
        return {
            "entity_f1": report.micro.f1,
            "acc": metrics.tag_report(pairs).accuracy or 0.0,
        }

    return tagged


def _label_scores(predicted: Any, gold: Any, labels: Sequence[str]) -> dict[str, float]:
    pairs = [([labels[int(a)]], [labels[int(b)]]) for a, b in zip(predicted, gold, strict=True)]
    report = metrics.tag_report(pairs)
    return {"macro_f1": report.macro.f1, "acc": report.accuracy or 0.0}
