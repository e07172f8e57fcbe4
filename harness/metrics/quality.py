"""Generated text without a reference: variety, repetition and length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.errors import UsageError, suggestion
from harness.metrics.scorer import Mean, mean, signature, texts
from harness.metrics.summaries import cjk_tokens
from harness.types import Metric, Stats

_UNITS: dict[str, Callable[[str], int]] = {
    "word": lambda text: len(text.split()),
    "char": len,
    "byte": lambda text: len(text.encode("utf-8", "surrogatepass")),
}


def _tokens(text: str, tokenizer: str) -> list[str]:
    return cjk_tokens(text) if tokenizer == "cjk" else text.split()


def _ngrams(tokens: list[str], n: int) -> list[tuple[str, ...]]:
    return list(zip(*[tokens[i:] for i in range(n)], strict=False))


@dataclass(frozen=True, kw_only=True)
class Variety:
    """Statistics: percent of an answer's n-grams that are distinct (or repeated), and 1."""

    metric: Metric
    n: int
    tokenizer: str
    repeated: bool

    def stats(self, prediction: str, reference: Any = None, /) -> Stats:
        """``(percent, 1)``; ``(0, 0)`` for an answer too short to hold an n-gram."""
        grams = _ngrams(_tokens(prediction, self.tokenizer), self.n)
        if not grams:
            return 0.0, 0.0
        distinct = 100.0 * len(set(grams)) / len(grams)
        return 100.0 - distinct if self.repeated else distinct, 1.0


def _variety(name: str, n: int, tokenizer: str, repeated: bool) -> Variety:
    if n < 1:
        raise UsageError(f"n-grams have at least one word, not {n}.")
    if tokenizer not in ("words", "cjk"):
        known = ("words", "cjk")
        raise UsageError(f"Unknown tokenizer '{tokenizer}'. {suggestion(tokenizer, known)}")
    metric = Metric(
        name=f"{name}_{n}",
        higher_is_better=not repeated,
        bounds=(0.0, 100.0),
        signature=signature(n=n, tok=tokenizer, average="answer"),
    )
    return Variety(metric=metric, n=n, tokenizer=tokenizer, repeated=repeated)


def distinct(n: int = 2, *, tokenizer: str = "words") -> Variety:
    """Percent of distinct n-grams within an answer, mean over answers; named ``distinct_2``.

    Li et al. 2016 count over all answers at once: that is :func:`corpus_distinct`.
    ``tokenizer="cjk"`` takes Chinese and Japanese by characters.
    """
    return _variety("distinct", n, tokenizer, repeated=False)


def repetition(n: int = 4, *, tokenizer: str = "words") -> Variety:
    """Percent of repeated n-grams within an answer, mean over answers; named ``repetition_4``.

    seq-rep-n of Welleck et al. 2020 and rep-n of Su et al. 2022: 1 - distinct / all n-grams.
    """
    return _variety("repetition", n, tokenizer, repeated=True)


@dataclass(frozen=True, kw_only=True)
class CorpusVariety:
    """Statistics: an answer's share of the distinct n-grams in percent, and its n-grams.

    An n-gram that occurs k times in all answers counts 1/k each time, so the shares add up to the
    number of distinct ones, whatever the order.
    """

    metric: Metric
    n: int
    tokenizer: str
    counts: Mapping[tuple[str, ...], int]

    def stats(self, prediction: str, reference: Any = None, /) -> Stats:
        """``(100 · shares, n-grams)``; an n-gram of no counted answer is distinct."""
        grams = _ngrams(_tokens(prediction, self.tokenizer), self.n)
        return 100.0 * sum(1 / self.counts.get(gram, 1) for gram in grams), float(len(grams))


def corpus_distinct(
    answers: Iterable[str], n: int = 2, *, tokenizer: str = "words"
) -> CorpusVariety:
    """Percent of distinct n-grams over all ``answers`` (Li et al. 2016): ``corpus_distinct_2``.

    It falls as answers are added, so only equal numbers of answers can be compared. For that
    reason answers drawn again are no new answers: intervals resample the shares of these ones.
    Raises :class:`UsageError`.
    """
    like = _variety("corpus_distinct", n, tokenizer, repeated=False)
    grams = (gram for one in answers for gram in _ngrams(_tokens(one, tokenizer), n))
    settled = signature(n=n, tok=tokenizer, average="corpus")
    return CorpusVariety(
        metric=replace(like.metric, formula="ratio", signature=settled),
        n=n,
        tokenizer=tokenizer,
        counts=Counter(grams),
    )


def length(unit: str = "word", *, name: str = "length") -> Mean:
    """Mean length of answers in words, characters or UTF-8 bytes; neither high nor low is good."""
    if unit not in _UNITS:
        raise UsageError(f"Unknown unit '{unit}'. {suggestion(unit, _UNITS)}")
    return mean(
        name,
        lambda prediction, _: float(_UNITS[unit](prediction)),
        bounds=(0.0, None),
        settings=signature(unit=unit, average="answer"),
    )


@dataclass(frozen=True, kw_only=True)
class LengthRatio:
    """Statistics: the answer's length, and that of the reference nearest to it."""

    metric: Metric
    unit: str

    def stats(self, prediction: str, reference: Any, /) -> Stats:
        """``(answer, reference)`` in units."""
        count = _UNITS[self.unit]
        ours = count(prediction)
        lengths = [count(one) for one in texts(reference)]
        nearest = min(lengths, key=lambda theirs: (abs(theirs - ours), theirs))
        return float(ours), float(nearest)


def length_ratio(unit: str = "word", *, name: str = "length_ratio") -> LengthRatio:
    """Length of all answers over that of all references; 1 is even, below 1 short."""
    if unit not in _UNITS:
        raise UsageError(f"Unknown unit '{unit}'. {suggestion(unit, _UNITS)}")
    metric = Metric(
        name=name,
        formula="ratio",
        bounds=(0.0, None),
        signature=signature(unit=unit, refs="nearest", average="corpus"),
    )
    return LengthRatio(metric=metric, unit=unit)
