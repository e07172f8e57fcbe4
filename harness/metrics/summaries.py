"""ROUGE-N, ROUGE-L and ROUGE-Lsum, equal to the rouge-score package and faster.

Reference implementation: https://github.com/google-research/google-research/tree/master/rouge
(Lin 2004). Tokens and stems are rouge-score's and NLTK's; the longest common subsequence is
found bit-parallel (Hyyrö 2004) instead of in a table of Python lists.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import import_module
from typing import Literal, TypeAlias

from harness.errors import UsageError, suggestion
from harness.metrics.scorer import matches, package_version, signature, texts
from harness.types import Metric, Stats

Measure: TypeAlias = Literal["fmeasure", "precision", "recall"]
Tokens: TypeAlias = list[str]

TOKENIZERS = ("default", "cjk")
MEASURES = ("precision", "recall", "fmeasure")

_CJK = (
    "\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
_CJK_TOKEN = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")


def cjk_tokens(text: str) -> Tokens:
    """Chinese, Japanese and Korean characters one by one, other letters and digits by words.

    rouge-score's own tokenizer drops all but a-z and 0-9, so every Chinese text scores 0 with it.
    """
    return _CJK_TOKEN.findall(text.lower())


class _MemoStemmer:
    """NLTK's Porter stemmer, each word once: texts repeat words, and stemming is slow."""

    def __init__(self) -> None:
        # NLTK comes with rouge-score and has no types.
        porter = import_module("nltk.stem.porter").PorterStemmer()
        self.stem = lru_cache(maxsize=1 << 16)(porter.stem)


def _tokenizer(name: str, stemmer: bool) -> Callable[[str], Tokens]:
    if name == "cjk":
        return cjk_tokens
    from rouge_score.tokenize import tokenize

    porter = _MemoStemmer() if stemmer else None

    def default_tokens(text: str) -> Tokens:
        tokens: Tokens = tokenize(text, porter)
        return tokens

    return default_tokens


@lru_cache(maxsize=8)
def _shared_tokenizer(name: str, stemmer: bool) -> Callable[[str], Tokens]:
    """One tokenizer for all kinds of ROUGE of a task, which see the same texts in turn."""
    return lru_cache(maxsize=256)(_tokenizer(name, stemmer))


def _positions(tokens: Sequence[Hashable]) -> dict[Hashable, int]:
    """For each distinct token, the bits of the positions where it stands."""
    masks: dict[Hashable, int] = {}
    for i, token in enumerate(tokens):
        masks[token] = masks.get(token, 0) | (1 << i)
    return masks


def lcs_length(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """Length of the longest common subsequence of ``a`` and ``b``."""
    masks, full = _positions(a), (1 << len(a)) - 1
    row = full
    for token in b:
        matched = row & masks.get(token, 0)
        row = ((row + matched) | (row - matched)) & full
    return len(a) - row.bit_count()


def _lcs_positions(reference: Sequence[str], candidate: Sequence[str]) -> list[int]:
    """Positions in ``reference`` of one longest common subsequence, latest match first.

    Of several, rouge-score's table walk picks one; ROUGE-Lsum depends on which, so the walk is
    the same here. Row ``i`` of the table is kept as bits over the candidate: a cleared bit is a
    step of one, so a cell is a count of cleared bits.
    """
    masks, full = _positions(candidate), (1 << len(candidate)) - 1
    rows = [full]
    for token in reference:
        row = rows[-1]
        matched = row & masks.get(token, 0)
        rows.append(((row + matched) | (row - matched)) & full)
    i, j, found = len(reference), len(candidate), []
    while i > 0 and j > 0:
        if reference[i - 1] == candidate[j - 1]:
            i, j = i - 1, j - 1
            found.append(i)
            continue
        left = j - 1 - (rows[i] & ((1 << (j - 1)) - 1)).bit_count()
        above = j - (rows[i - 1] & ((1 << j) - 1)).bit_count()
        if left > above:
            j -= 1
        else:
            i -= 1
    return found


Score: TypeAlias = tuple[float, float, float]
"""Precision, recall, F-measure, each 0-1."""


def _score(matched: int, predicted: int, gold: int) -> Score:
    precision, recall = matched / max(predicted, 1), matched / max(gold, 1)
    total = precision + recall
    return precision, recall, 2 * precision * recall / total if total > 0 else 0.0


def _ngrams(tokens: Sequence[str], n: int) -> Iterable[Hashable]:
    if n == 1:
        return tokens
    return zip(*(tokens[i:] for i in range(n)), strict=False)


def _score_ngrams(gold: Tokens, predicted: Tokens, n: int) -> Score:
    bag, other = Counter(_ngrams(gold, n)), Counter(_ngrams(predicted, n))
    return _score(matches(bag, other), other.total(), bag.total())


def _score_summary(gold: Sequence[Tokens], predicted: Sequence[Tokens]) -> Score:
    """Union LCS over sentences (Lin 2004, section 3.2), each token counted once as in 1.5.5."""
    left_gold = Counter(token for sentence in gold for token in sentence)
    left_predicted = Counter(token for sentence in predicted for token in sentence)
    sizes = left_predicted.total(), left_gold.total()
    hits = 0
    for sentence in gold:
        union = {i for other in predicted for i in _lcs_positions(sentence, other)}
        for i in sorted(union):
            token = sentence[i]
            if left_predicted[token] > 0 and left_gold[token] > 0:
                hits += 1
                left_predicted[token] -= 1
                left_gold[token] -= 1
    return _score(hits, *sizes)


@dataclass(frozen=True, kw_only=True)
class Rouge:
    """Statistics: 100 times the score of one sample, and 1; the corpus value is the mean."""

    metric: Metric
    kind: str
    stemmer: bool
    tokenizer: str
    measure: Measure

    @cached_property
    def _tokenize(self) -> Callable[[str], Tokens]:
        return _shared_tokenizer(self.tokenizer, self.stemmer)

    def stats(self, prediction: str, reference: str | Sequence[str], /) -> Stats:
        """``(100 · score, 1)``, against the reference with the best F-measure."""
        scores = [self._compare(one, prediction) for one in texts(reference)]
        best = max(scores, key=lambda score: score[2])
        column = MEASURES.index(self.measure)
        return 100.0 * best[column], 1.0

    def _compare(self, gold: str, predicted: str) -> Score:
        if self.kind == "rougeLsum":
            return _score_summary(self._sentences(gold), self._sentences(predicted))
        gold_tokens, predicted_tokens = self._tokenize(gold), self._tokenize(predicted)
        if self.kind == "rougeL":
            matched = lcs_length(gold_tokens, predicted_tokens)
            return _score(matched, len(predicted_tokens), len(gold_tokens))
        return _score_ngrams(gold_tokens, predicted_tokens, int(self.kind[5:]))

    def _sentences(self, text: str) -> list[Tokens]:
        return [self._tokenize(line) for line in text.split("\n") if line]


def rouge(
    kind: str = "rougeL",
    stemmer: bool = False,
    tokenizer: str = "default",
    *,
    measure: Measure = "fmeasure",
    name: str | None = None,
) -> Rouge:
    """ROUGE (Lin 2004) as rouge-score computes it, mean over samples, 0-100.

    ``kind`` is ``rouge1`` to ``rouge9``, ``rougeL``, or ``rougeLsum`` (sentences on lines of their
    own). ``tokenizer="cjk"`` makes it meaningful for Chinese and Japanese. The metric's name is
    the kind, with the measure where it is not the F-measure. Raises :class:`UsageError`.
    """
    if not re.fullmatch(r"rouge([1-9]|L|Lsum)", kind):
        kinds = ("rouge1", "rouge2", "rouge3", "rougeL", "rougeLsum")
        raise UsageError(f"Unknown kind of ROUGE '{kind}'. {suggestion(kind, kinds)}")
    if tokenizer not in TOKENIZERS:
        raise UsageError(f"Unknown tokenizer '{tokenizer}'. {suggestion(tokenizer, TOKENIZERS)}")
    if measure not in MEASURES:
        raise UsageError(f"Unknown measure '{measure}'. {suggestion(measure, MEASURES)}")
    suffix = "" if measure == "fmeasure" else f"_{measure}"
    metric = Metric(
        name=name or kind + suffix,
        formula="mean",
        bounds=(0.0, 100.0),
        signature=signature(
            measure=measure,
            refs="best-f",
            tok=tokenizer,
            stemmer=stemmer and tokenizer == "default",
            ref="rouge-score",
            version=package_version("rouge-score"),
        ),
    )
    return Rouge(metric=metric, kind=kind, stemmer=stemmer, tokenizer=tokenizer, measure=measure)
