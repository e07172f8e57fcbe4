"""The nouns of ``harness pretrain``: what is asked for, and what was done to the text.

A recipe file holds the same: its tables ``corpus``, ``family`` and ``training`` are
:class:`CorpusOptions`, :class:`FamilyOptions` and :class:`TrainingOptions`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, get_args

from harness.training import TrainingJob, Watch, unwatched
from harness.types import Sample

Objective: TypeAlias = Literal["causal", "mlm", "mlm+nsp"]
Number: TypeAlias = Literal["float32", "bfloat16", "float16"]
Step: TypeAlias = Literal[
    "normalise", "language", "symbols", "stopwords", "length", "exact", "near", "decontaminate"
]
"""What can be done to the text, in the order in which it is done."""

STEPS: tuple[Step, ...] = get_args(Step)
USUAL_STEPS: tuple[Step, ...] = ("normalise", "length", "exact", "near")


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A task that the corpus is checked against; ``samples`` may be called once."""

    name: str
    samples: Callable[[], Iterable[Sample]]


@dataclass(frozen=True, kw_only=True)
class CorpusOptions:
    """The text and what is done to it before training.

    files
        text, JSON lines, or a corpus that comes with the program
    documents
        take at most so many
    steps
        which of :data:`STEPS`; done in that order, whatever the order here
    language
        ISO 639-1, for ``language`` and ``stopwords``
    least, most
        characters of a document, for ``length``
    near
        Jaccard index from which on two documents are duplicates
    against
        tasks, by name, that the corpus is checked against
    ngram
        words of the n-grams of that check
    held_out
        share of the documents kept for validation
    vocabulary
        pieces of the tokenizer
    tokenizer
        a ``tokenizer.json`` to take in place of learning one
    tokenizer_documents
        learn the tokenizer from the first so many documents; None: from all
    """

    files: tuple[str, ...] = ()
    documents: int | None = None
    steps: tuple[Step, ...] = USUAL_STEPS
    language: str = "en"
    least: int = 20
    most: int = 1_000_000
    near: float = 0.8
    against: tuple[str, ...] = ()
    ngram: int = 13
    held_out: float = 0.02
    vocabulary: int = 2048
    tokenizer: str = ""
    tokenizer_documents: int | None = None


@dataclass(frozen=True, kw_only=True)
class SizeOptions:
    """One size given in full.

    ``hidden`` is the width of the MLP, ``rates`` are the peak learning rates of matrices and of
    all else; ``batch_rows`` and ``dtype`` count before those of the training.
    """

    name: str
    width: int
    layers: int
    heads: int
    hidden: int
    batch_rows: int | None = None
    rates: tuple[float, ...] = ()
    dtype: Number | None = None


@dataclass(frozen=True, kw_only=True)
class FamilyOptions:
    """The sizes. ``least`` and ``most`` count parameters outside the embeddings.

    ``shapes``, where given, are the sizes; else ``sizes`` of them are found by rule.
    """

    name: str = "model"
    sizes: int = 6
    least: float | None = None
    most: float = 1e6
    context: int = 128
    shapes: tuple[SizeOptions, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How every size is trained.

    tokens
        D, the same for every size; None: one pass over the corpus
    rows
        the same in rows of ``row`` tokens, in place of ``tokens``
    checkpoints
        how many, at token counts that each double the one before, the last one ``tokens``
    row
        tokens of a row; None: the family's context
    packing
        ``joined``: documents follow each other, cut where a row ends; ``whole``: no document is
        cut and none sees another
    network
        ``transformers``: that library's own class; ``stacked``: a lean Llama for sizes that are
        small enough for its overhead to matter, written as an ordinary one
    optimizer
        ``adamw``, or ``muon`` for matrices with AdamW for the rest
    rate
        peak learning rate of every size; None: by rule from the compute
    warmup, decay
        shares of the steps
    average
        keep a running mean of the weights over this share of the steps; 0: the last weights
    clip
        largest norm of the gradient; 0: any
    shuffle
        draw the order of documents and rows anew from the seed in each pass
    dtype, saved_dtype
        in which to compute (weights stay float32) and to write the checkpoints
    """

    tokens: int | None = None
    rows: int | None = None
    checkpoints: int = 1
    row: int | None = None
    batch_tokens: int = 2048
    packing: Literal["joined", "whole"] = "joined"
    network: Literal["transformers", "stacked"] = "transformers"
    optimizer: Literal["adamw", "muon"] = "adamw"
    rate: float | None = None
    warmup: float = 0.03
    decay: float = 0.2
    average: float = 0.0
    weight_decay: float = 0.0
    clip: float = 1.0
    shuffle: bool = True
    dtype: Number = "float32"
    saved_dtype: Number = "float32"
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class PretrainRequest:
    """Train every size of ``family`` on ``corpus`` by ``objective``; checkpoints into ``output``.

    ``evaluations`` are the tasks of ``corpus.against``, ready to be read. ``only`` names the
    sizes to train, all if empty. ``mark`` ends the names of the models, so that several seeds of
    a size can be told apart. ``watch`` is told of every line of the log.
    """

    objective: Objective
    output: Path
    corpus: CorpusOptions = CorpusOptions()
    family: FamilyOptions = FamilyOptions()
    training: TrainingOptions = TrainingOptions()
    evaluations: tuple[Evaluation, ...] = ()
    only: tuple[str, ...] = ()
    mark: str = ""
    device: str = "auto"
    watch: Watch = unwatched


@dataclass(frozen=True, kw_only=True)
class StepCount:
    """What one step of the preparation did; bytes are those of UTF-8."""

    name: str
    documents_in: int
    documents_out: int
    bytes_in: int
    bytes_out: int
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """The text as it will be learnt: ``tokens`` of one pass over ``documents``, by kind."""

    steps: tuple[StepCount, ...]
    documents: int
    held_out_documents: int
    tokens: int
    vocabulary: int
    notes: tuple[str, ...] = field(default=())


class PretrainJob(TrainingJob, Protocol):
    """A training job that says what it did to the text."""

    def prepared(self) -> Prepared:
        """Read and clean the corpus, learn the tokenizer, check against the tasks; once."""
        ...

    def checkpoints(self) -> Sequence[int]:
        """Training tokens of every checkpoint, the same for each size."""
        ...
