"""From a corpus to clean documents, step by step, each with its counts."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from harness.errors import DataError, UsageError, suggestion
from harness.pretraining import STEPS, CorpusOptions, PretrainRequest, Step, StepCount
from harness_train.pretrain import cleaning
from harness_train.pretrain.contamination import Index, Overlap, index_tasks, matches, overlaps
from harness_train.pretrain.documents import Document, held_out_documents, read_corpus
from harness_train.pretrain.duplicates import without_exact, without_near

CORPUS = "corpus"


@dataclass(frozen=True, kw_only=True)
class Text:
    """Clean documents to learn from, those kept for validation by kind, and how they came about."""

    documents: tuple[Document, ...]
    held_out: dict[str, tuple[Document, ...]]
    steps: tuple[StepCount, ...]
    overlaps: tuple[Overlap, ...]


def check_corpus_options(request: PretrainRequest) -> None:
    """Refuse, before anything is read, what cannot be or makes no sense. Raises UsageError."""
    corpus = request.corpus
    if not corpus.files:
        raise UsageError("There is no text to learn from. Name it: --corpus FILE")
    for step in corpus.steps:
        if step not in STEPS:
            raise UsageError(f"Unknown step '{step}'. {suggestion(step, STEPS)}")
    if "stopwords" in corpus.steps and request.objective == "causal":
        raise UsageError(
            "The step 'stopwords' takes function words out of the text, and a causal model would "
            "learn to write without them.\nLeave it away, or train with --objective mlm."
        )
    known = {"language": cleaning.LANGUAGES, "stopwords": tuple(cleaning.STOP_WORDS)}
    for step in corpus.steps:
        if step in known and corpus.language not in known[step]:
            raise UsageError(
                f"The step '{step}' does not know the language '{corpus.language}'. "
                f"It knows {', '.join(known[step])}."
            )
    if "decontaminate" in corpus.steps and not request.evaluations:
        raise UsageError(
            "The step 'decontaminate' needs tasks to compare with.\nName them: --against TASKS"
        )
    if not 0 < corpus.near <= 1 or not 0 < corpus.held_out < 0.5 or corpus.ngram < 1:
        raise UsageError(
            "A corpus has a Jaccard index in (0, 1] for near duplicates, keeps a share in "
            "(0, 0.5) for validation, and compares n-grams of at least one word."
        )


def prepare(request: PretrainRequest, tell: Callable[[str], None] = lambda _: None) -> Text:
    """Read the corpus and take every step that is asked for.

    Raises DataError where nothing is left, besides what reading raises.
    """
    check_corpus_options(request)
    options = request.corpus
    documents = list(read_corpus(options.files, options.documents))
    counts = [_count("read", documents, documents)]
    thinned = "stopwords" in options.steps
    change = cleaning.without_stop_words(options.language) if thinned else str
    index = index_tasks(request.evaluations, options.ngram, change)
    for name in (step for step in STEPS if step in options.steps):
        tell(f"{name}: {len(documents)} documents")
        kept = list(_step(name, options, index)(documents))
        counts.append(_count(name, documents, kept, _detail(name, options)))
        documents = kept
    found = overlaps(documents, index)
    held_out = {kind: tuple(each) for kind, each in held_out_documents(options.files).items()}
    if not held_out:
        documents, apart = _split(documents, options.held_out)
        held_out = {CORPUS: tuple(apart)}
    if not documents or not all(held_out.values()):
        raise DataError(
            f"{_named(options.files)}: {counts[-1].documents_out} documents are left of "
            f"{counts[0].documents_out}, too few to train and to validate.\n"
            f"{_worst(counts)}"
        )
    return Text(documents=tuple(documents), held_out=held_out, steps=tuple(counts), overlaps=found)


_Stage = Callable[[Iterable[Document]], Iterable[Document]]


def _step(name: Step, options: CorpusOptions, index: Index) -> _Stage:
    stages: dict[Step, Callable[[], _Stage]] = {
        "normalise": lambda: _each(cleaning.normalised),
        "language": lambda: _only(cleaning.in_language(options.language)),
        "symbols": lambda: _each(cleaning.without_symbols),
        "stopwords": lambda: _each(cleaning.stop_word_remover(options.language)),
        "length": lambda: _only(cleaning.of_length(options.least, options.most)),
        "exact": lambda: without_exact,
        "near": lambda: lambda documents: without_near(documents, options.near),
        "decontaminate": lambda: _only(lambda document: not matches(document, index)),
    }
    return stages[name]()


def _each(change: Callable[[Document], Document]) -> _Stage:
    return lambda documents: (new for new in map(change, documents) if new.text)


def _only(keep: Callable[[Document], bool]) -> _Stage:
    return lambda documents: filter(keep, documents)


def _detail(name: Step, options: CorpusOptions) -> str:
    return {
        "normalise": "Unicode NFC, blanks",
        "language": f"{options.language}, or cannot be told",
        "symbols": "pictures, invisible signs, repeated signs",
        "stopwords": f"function words of {options.language}",
        "length": f"{options.least:,} to {options.most:,} characters",
        "exact": "the first is kept",
        "near": f"MinHash of word 5-grams, Jaccard {options.near:g}",
        "decontaminate": f"no {options.ngram}-gram of {', '.join(options.against)}",
    }[name]


def _count(
    name: str, before: Sequence[Document], after: Sequence[Document], detail: str = ""
) -> StepCount:
    return StepCount(
        name=name,
        documents_in=len(before),
        documents_out=len(after),
        bytes_in=sum(document.size for document in before),
        bytes_out=sum(document.size for document in after),
        detail=detail,
    )


def _split(documents: Sequence[Document], share: float) -> tuple[list[Document], list[Document]]:
    """A checksum of the text decides, so that equal texts are on one side, in any order."""
    train: list[Document] = []
    apart: list[Document] = []
    for document in documents:
        place = zlib.crc32(f"{document.prompt}{document.text}".encode()) / 2**32
        (apart if place < share else train).append(document)
    if not apart and len(train) > 1:  # a small corpus; one document is better than none
        apart.append(train.pop())
    return train, apart


def _named(files: Sequence[str]) -> str:
    return files[0] if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"


def _worst(counts: Sequence[StepCount]) -> str:
    worst = max(counts, key=lambda count: count.documents_in - count.documents_out)
    dropped = worst.documents_in - worst.documents_out
    if not dropped:
        return "Documents are separated by blank lines, or are lines of a .jsonl file."
    return (
        f"The step '{worst.name}' ({worst.detail}) dropped {dropped}; --skip {worst.name} leaves "
        "it out."
    )
