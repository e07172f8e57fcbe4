"""Exact match and F1 of answers, as the SQuAD and CMRC 2018 evaluation scripts give them.

Reference implementations: ``evaluate-v2.0.py`` of https://rajpurkar.github.io/SQuAD-explorer
(equal to v1.1 wherever an answer exists) and ``cmrc2018_evaluate.py`` of
https://github.com/ymcui/cmrc2018.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Literal, TypeAlias

from harness.errors import UsageError, suggestion
from harness.metrics.scorer import Mean, as_list, mean, signature

Manner: TypeAlias = Literal["squad", "cmrc"]

_ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """Lower case, no punctuation, no English articles, single blanks (Rajpurkar et al. 2016)."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_WITHOUT_PUNCTUATION)).split())


def _gold_answers(reference: str | Sequence[str]) -> list[str]:
    """The answers that count: those not blank once normalised; none left means "no answer"."""
    return [one for one in as_list(reference) if normalize_answer(one)] or [""]


def squad_exact_match(prediction: str, reference: str | Sequence[str]) -> float:
    """1 where the normalised prediction equals a normalised answer, else 0."""
    answer = normalize_answer(prediction)
    return float(any(normalize_answer(gold) == answer for gold in _gold_answers(reference)))


def squad_f1(prediction: str, reference: str | Sequence[str]) -> float:
    """The best F1, 0-1, of the bags of normalised words; two empty bags agree."""
    words = normalize_answer(prediction).split()
    return max(_bag_f1(normalize_answer(gold).split(), words) for gold in _gold_answers(reference))


def _bag_f1(gold: list[str], predicted: list[str]) -> float:
    if not gold or not predicted:
        return float(gold == predicted)
    common = sum((Counter(gold) & Counter(predicted)).values())
    return _f1(common, len(predicted), len(gold))


def _f1(common: int, predicted: int, gold: int) -> float:
    if common == 0:
        return 0.0
    precision, recall = common / predicted, common / gold
    return 2 * precision * recall / (precision + recall)


_CMRC_PUNCTUATION = frozenset("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
_CMRC_HAN = re.compile("[\u4e00-\u9fa5]")


@lru_cache(maxsize=4096)
def mixed_segmentation(text: str) -> tuple[str, ...]:
    """Chinese characters one by one, what stands between them in words, CMRC punctuation gone.

    The words are NLTK's, as in the original, but without its sentence splitter, which needs a
    downloaded model and matters only where a Latin passage holds several sentences.
    """
    segments: list[str] = []
    between = ""
    for character in text.lower().strip():
        if character in _CMRC_PUNCTUATION:
            continue
        if _CMRC_HAN.match(character):
            segments += [*_nltk_words(between), character]
            between = ""
        else:
            between += character
    return (*segments, *_nltk_words(between))


def _nltk_words(text: str) -> list[str]:
    if not text.strip():
        return []
    # NLTK comes with rouge-score and has no types.
    tokenizer = import_module("nltk.tokenize").NLTKWordTokenizer()
    words: list[str] = tokenizer.tokenize(text)
    return words


def _without_cmrc_punctuation(text: str) -> str:
    return "".join(c for c in text.lower().strip() if c not in _CMRC_PUNCTUATION)


def _longest_common_run(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest run of segments that ``a`` and ``b`` share (a substring)."""
    best, previous = 0, [0] * (len(b) + 1)
    for x in a:
        row = [0] * (len(b) + 1)
        for j, y in enumerate(b):
            if x == y:
                row[j + 1] = previous[j] + 1
        best = max(best, *row)
        previous = row
    return best


def cmrc_exact_match(prediction: str, reference: str | Sequence[str]) -> float:
    """1 where prediction and an answer agree once punctuation is gone, else 0."""
    answer = _without_cmrc_punctuation(prediction)
    answers = as_list(reference) or [""]
    return float(any(_without_cmrc_punctuation(gold) == answer for gold in answers))


def cmrc_f1(prediction: str, reference: str | Sequence[str]) -> float:
    """The best F1, 0-1, of the longest common run of mixed segments."""
    segments = mixed_segmentation(prediction)
    golds = [mixed_segmentation(gold) for gold in as_list(reference) or [""]]
    return max(
        float(gold == segments)
        if not gold
        else _f1(_longest_common_run(gold, segments), len(segments), len(gold))
        for gold in golds
    )


_EXACT: dict[str, Callable[[str, str | Sequence[str]], float]] = {
    "squad": squad_exact_match,
    "cmrc": cmrc_exact_match,
}
_F1: dict[str, Callable[[str, str | Sequence[str]], float]] = {"squad": squad_f1, "cmrc": cmrc_f1}
_REFERENCE = {"squad": "evaluate-v2.0.py", "cmrc": "cmrc2018_evaluate.py-v5"}


def _scorer(name: str, manner: str, score: Callable[[str, str | Sequence[str]], float]) -> Mean:
    return mean(
        name,
        lambda prediction, reference: 100.0 * score(prediction, reference),
        bounds=(0.0, 100.0),
        settings=signature(norm=manner, refs="best", ref=_REFERENCE[manner]),
    )


def _check(manner: str) -> None:
    if manner not in _F1:
        raise UsageError(f"Unknown answer normalisation '{manner}'. {suggestion(manner, _F1)}")


def exact_match(manner: Manner = "squad", *, name: str = "exact_match") -> Mean:
    """Percent of answers equal to a reference after normalisation; several references: any.

    An empty list of references means "no answer" (SQuAD v2.0): right is a prediction that
    normalises to nothing. ``name`` serves parts such as ``has_answer_exact_match``.
    """
    _check(manner)
    return _scorer(name, manner, _EXACT[manner])


def f1(manner: Manner = "squad", *, name: str = "f1") -> Mean:
    """Mean word F1 of answers, 0-100; several references: the best. See :func:`exact_match`.

    ``manner="cmrc"`` is for Chinese: characters for Han, words for the rest, and the overlap is
    the longest common run instead of a bag.
    """
    _check(manner)
    return _scorer(name, manner, _F1[manner])
