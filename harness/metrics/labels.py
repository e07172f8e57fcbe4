"""Labels: F1 by class, Matthews' correlation, and accuracy and F1 of tag sequences.

Reference implementation: scikit-learn's ``f1_score``, ``matthews_corrcoef`` and
``classification_report`` with ``zero_division=0``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import UsageError, suggestion
from harness.metrics.scorer import signature
from harness.types import Metric, Stats

AVERAGES = ("macro", "micro", "weighted")


def _sequence(labels: Any) -> list[str]:
    """One label or a sequence of them, as a list of strings."""
    if labels is None or isinstance(labels, str) or not hasattr(labels, "__iter__"):
        return [str(labels)]
    return [str(label) for label in labels]


@dataclass(frozen=True, kw_only=True)
class LabelF1:
    """Statistics: how often matched, predicted and gold, for each label or for all together."""

    metric: Metric
    labels: tuple[str, ...]
    pooled: bool

    def stats(self, prediction: Any, reference: Any, /) -> Stats:
        """``(matched, predicted, gold)`` per label, or summed where the average is micro.

        Both sides are one label, or one per token. Where the prediction has fewer, the missing
        ones count as predictions of nothing; a surplus is ignored.
        """
        gold = _sequence(reference)
        predicted = (_sequence(prediction) + [""] * len(gold))[: len(gold)]
        counts = {label: [0.0, 0.0, 0.0] for label in self.labels}
        for ours, theirs in zip(predicted, gold, strict=True):
            if ours in counts:
                counts[ours][1] += 1
                counts[ours][0] += ours == theirs
            if theirs in counts:
                counts[theirs][2] += 1
        if self.pooled:
            return tuple(map(sum, zip(*counts.values(), strict=True)))
        return tuple(count for triple in counts.values() for count in triple)


def label_f1(
    labels: Sequence[str],
    average: str = "macro",
    *,
    positive: str | None = None,
    name: str | None = None,
) -> LabelF1:
    """F1 of labels, of single samples or of each sample's tokens, 0-100.

    ``average`` is ``macro``, ``weighted`` by gold counts or ``micro`` over ``labels`` (leave out
    ``O`` for tags); ``positive`` asks for the F1 of that one label instead. A prediction outside
    ``labels`` is right for none. A label that occurs on neither side has no part in the macro
    mean. The name is ``f1`` for one label, else ``macro_f1`` and so on. Raises
    :class:`UsageError`.
    """
    if average not in AVERAGES:
        raise UsageError(f"Unknown average '{average}'. {suggestion(average, AVERAGES)}")
    if positive is not None and positive not in labels:
        raise UsageError(f"Unknown label '{positive}'. {suggestion(positive, labels)}")
    pooled = positive is not None or average == "micro"
    metric = Metric(
        name=name or ("f1" if positive is not None else f"{average}_f1"),
        formula="f1" if pooled else f"{average}-f1",
        bounds=(0.0, 100.0),
        signature=signature(
            average=None if positive is not None else average,
            positive=positive,
            labels=",".join(labels),
            zero="0",
        ),
    )
    kept = labels if positive is None else (positive,)
    return LabelF1(metric=metric, labels=tuple(dict.fromkeys(kept)), pooled=pooled)


@dataclass(frozen=True, kw_only=True)
class Matthews:
    """Statistics: correct, samples, and how often each label is predicted and is gold."""

    metric: Metric
    labels: tuple[str, ...]

    def stats(self, prediction: Any, reference: Any, /) -> Stats:
        """``(correct, 1, predicted..., gold...)``; the last of each is "any other label"."""
        ours, theirs = str(prediction), str(reference)
        return (float(ours == theirs), 1.0, *self._one_hot(ours), *self._one_hot(theirs))

    def _one_hot(self, label: str) -> list[float]:
        row = [float(label == known) for known in self.labels]
        return [*row, 1.0 - sum(row)]


def matthews(labels: Sequence[str], *, name: str = "matthews") -> Matthews:
    """Matthews' correlation times 100 (Matthews 1975; Gorodkin 2004 for more than two labels).

    -100 to 100, 0 for a constant or a random guess, as GLUE reports CoLA.
    """
    metric = Metric(
        name=name,
        formula="matthews",
        bounds=(-100.0, 100.0),
        chance=0.0,
        signature=signature(labels=",".join(labels), scale="100"),
    )
    return Matthews(metric=metric, labels=tuple(dict.fromkeys(labels)))


@dataclass(frozen=True, kw_only=True)
class TagAccuracy:
    """Statistics: 100 times the number of right tags, and the number of tokens."""

    metric: Metric

    def stats(self, prediction: Any, reference: Any, /) -> Stats:
        """``(100 · right, tokens)``; tags missing at the end of the prediction are wrong."""
        gold = _sequence(reference)
        right = sum(a == b for a, b in zip(_sequence(prediction), gold, strict=False))
        return 100.0 * right, float(len(gold))


def tag_accuracy(*, name: str = "acc") -> TagAccuracy:
    """Percent of tokens whose tag is right, over the whole corpus (conlleval's accuracy)."""
    metric = Metric(
        name=name,
        bounds=(0.0, 100.0),
        signature=signature(match="tag", average="token", ref="conlleval"),
    )
    return TagAccuracy(metric=metric)
