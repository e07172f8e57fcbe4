"""Does the corpus hold what the evaluation tasks ask? Overlap of word n-grams.

As Brown et al. 2020 (arXiv:2005.14165, appendix C) counted it: texts in lower case without
punctuation, n-grams of 13 words. Words that all samples of a task begin or end with are its
wording, not its content, and are left out; so are n-grams that many samples share. A sample shorter
than an n-gram is looked for whole, if it has at least 6 words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile

from harness.pretraining import Evaluation
from harness.types import Generate, Loglikelihood, Sample, Tag
from harness_train.pretrain.documents import Document

LEAST = 6
WORDING = 0.05  # an n-gram in more than this share of a task's samples is its wording
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """One task: how many of its samples could be looked for, and how many the corpus holds."""

    task: str
    samples: int
    checked: int
    found: int


@dataclass(frozen=True, kw_only=True)
class Index:
    """The n-grams of all samples: ``owners[n-gram]`` are (task, number of the sample).

    ``change`` is done to samples and documents alike before their words are taken.
    """

    owners: Mapping[str, tuple[tuple[str, int], ...]]
    lengths: tuple[int, ...]
    samples: Mapping[str, int]
    checked: Mapping[str, int]
    change: Callable[[str], str] = str


def words_of(text: str) -> list[str]:
    """Words in lower case, punctuation left out."""
    return _WORD.findall(text.lower())


def index_tasks(
    evaluations: Iterable[Evaluation], n: int, change: Callable[[str], str] = str
) -> Index:
    """The n-grams of every task's requests and of those references that are texts.

    ``change`` is what was done to the words of the corpus, such as leaving function words out:
    a sample that keeps them would share no n-gram with a text that lost them.
    """
    owners: dict[str, list[tuple[str, int]]] = {}
    samples, checked = {}, {}
    for evaluation in evaluations:
        grams = [
            set(_grams_of_texts(texts, n)) for texts in _contents(evaluation.samples(), change)
        ]
        shares = Counter(gram for each in grams for gram in each)
        most = max(2, WORDING * len(grams))
        own = [{gram for gram in each if shares[gram] <= most} for each in grams]
        samples[evaluation.name] = len(grams)
        checked[evaluation.name] = sum(bool(each) for each in own)
        for number, each in enumerate(own):
            for gram in each:
                owners.setdefault(gram, []).append((evaluation.name, number))
    lengths = sorted({gram.count(" ") + 1 for gram in owners})
    return Index(
        owners={gram: tuple(each) for gram, each in owners.items()},
        lengths=tuple(lengths),
        samples=samples,
        checked=checked,
        change=change,
    )


def matches(document: Document, index: Index) -> set[tuple[str, int]]:
    """The samples that share an n-gram with the document."""
    words = words_of(index.change(f"{document.prompt} {document.text}"))
    return {
        owner
        for length in index.lengths
        for gram in _grams(words, length)
        for owner in index.owners.get(gram, ())
    }


def overlaps(documents: Iterable[Document], index: Index) -> tuple[Overlap, ...]:
    """How many samples of each task share an n-gram with any document."""
    found: set[tuple[str, int]] = set()
    for document in documents:
        found |= matches(document, index)
    counts = Counter(task for task, _ in found)
    return tuple(
        Overlap(task=task, samples=number, checked=index.checked[task], found=counts[task])
        for task, number in index.samples.items()
    )


def note_of(found: Iterable[Overlap], n: int) -> str:
    """One sentence for the tables."""
    parts = [f"{one.found} of {one.checked} samples of {one.task}" for one in found]
    if not parts:
        return "its training text was not checked against any task"
    return f"its training text shares {n}-grams of words with {', '.join(parts)}"


def _contents(samples: Iterable[Sample], change: Callable[[str], str]) -> list[list[list[str]]]:
    """Words of every text of every sample, without what all samples begin or end with."""
    words = [[words_of(change(text)) for text in _texts(sample)] for sample in samples]
    for place in range(max(map(len, words), default=0)):
        column = [texts[place] for texts in words if place < len(texts)]
        if len(column) < 2:
            continue
        head = _shared(column)
        tail = _shared([text[head:][::-1] for text in column])
        for text in column:
            text[:] = text[head : len(text) - tail]
    return words


def _shared(texts: list[list[str]]) -> int:
    """How many words all texts begin with."""
    same = takewhile(lambda each: len(set(each)) == 1, zip(*texts, strict=False))
    return sum(1 for _ in same)


def _grams_of_texts(texts: list[list[str]], n: int) -> Iterator[str]:
    for words in texts:
        if len(words) >= LEAST:
            yield from _grams(words, min(n, len(words)))


def _grams(words: list[str], length: int) -> Iterator[str]:
    return (" ".join(words[start : start + length]) for start in range(len(words) - length + 1))


def _texts(sample: Sample) -> Iterator[str]:
    for request in sample.requests:
        if isinstance(request, Generate):
            yield request.prompt
        elif isinstance(request, Loglikelihood):
            yield request.context + request.continuation
        elif isinstance(request, Tag):
            yield " ".join(request.tokens)
        else:
            yield from request.texts
    if isinstance(sample.reference, str):
        yield sample.reference
