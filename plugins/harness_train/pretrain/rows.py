"""Documents as rows of tokens, all of one length: what a batch is cut from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from harness_train.pretrain.documents import Document
from harness_train.pretrain.vocabulary import BOS, EOS, token_id

OPEN = 32
_CHUNK = 4096
NO_PAIR = -100  # as in torch's cross-entropy: no label


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Each array is (rows, length) but ``pairs``, which is (rows,).

    ``documents`` numbers the document within the row (0: padding), ``learnt`` marks tokens that
    may be predicted, ``types`` the second text of a pair, ``pairs`` whether the second text is
    another document's (1), the next one (0), or there is none (``NO_PAIR``).
    """

    tokens: NDArray[np.integer]
    documents: NDArray[np.int16]
    learnt: NDArray[np.bool_]
    types: NDArray[np.int8] | None = None
    pairs: NDArray[np.int16] | None = None

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.tokens)

    @property
    def used(self) -> int:
        """Tokens, padding left out."""
        return int((self.documents > 0).sum())

    def head(self, count: int) -> Rows:
        """The first ``count`` rows."""
        return Rows(
            tokens=self.tokens[:count],
            documents=self.documents[:count],
            learnt=self.learnt[:count],
            types=None if self.types is None else self.types[:count],
            pairs=None if self.pairs is None else self.pairs[:count],
        )


def digest(rows: Rows) -> str:
    """SHA-256 over the rows, so that a changed text or tokenizer shows."""
    whole = hashlib.sha256()
    for array in (rows.tokens, rows.documents, rows.learnt, rows.types, rows.pairs):
        if array is not None:
            whole.update(np.ascontiguousarray(array).tobytes())
    return whole.hexdigest()


def empty(count: int, length: int, vocabulary: int) -> Rows:
    """Rows of padding."""
    return Rows(
        tokens=np.zeros((count, length), np.int16 if vocabulary < 2**15 else np.int32),
        documents=np.zeros((count, length), np.int16),
        learnt=np.zeros((count, length), np.bool_),
    )


def encoded(tokenizer: Tokenizer, documents: Sequence[Document]) -> Iterator[tuple[list[int], int]]:
    """Each document's tokens and the length of its prompt, the beginning token included."""
    end = token_id(tokenizer, EOS)
    for start in range(0, len(documents), _CHUNK):
        chunk = documents[start : start + _CHUNK]
        prompts = tokenizer.encode_batch_fast([document.prompt for document in chunk])
        texts = tokenizer.encode_batch_fast(
            [document.text for document in chunk], add_special_tokens=False
        )
        for prompt, text in zip(prompts, texts, strict=True):
            yield prompt.ids + text.ids + [end], len(prompt.ids)


def pack(documents: Iterable[tuple[list[int], int]], rows: Rows) -> Rows:
    """Lay documents (tokens, length of the prompt) whole into ``rows``, which are empty.

    Each goes into the first open row with room; at most ``OPEN`` rows are open at a time, so that
    the order stays close to the documents'. Longer ones than a row are left out. Returns the rows
    up to the last that is used.
    """
    count, length = rows.tokens.shape
    fill = [0] * count
    first = 0  # rows before it are closed
    for ids, prompt in documents:
        if len(ids) > length:
            continue
        window = range(first, min(first + OPEN, count))
        row = next((r for r in window if fill[r] + len(ids) <= length), None)
        if row is None and first + OPEN >= count:
            break  # the last rows are full
        if row is None:
            row = first + OPEN
            first += 1
        begin, stop = fill[row], fill[row] + len(ids)
        rows.tokens[row, begin:stop] = ids
        rows.documents[row, begin:stop] = rows.documents[row].max() + 1
        rows.learnt[row, begin + prompt : stop] = True
        fill[row] = stop
    return rows.head(max((row + 1 for row in range(count) if fill[row]), default=0))


def join(
    documents: Iterable[tuple[list[int], int]], length: int, vocabulary: int, begin: int
) -> Rows:
    """Documents one after the other, cut into full rows; what is left at the end is dropped.

    ``begin`` is the beginning token, which is never predicted; neither is a row's first token.
    """
    tokens: list[int] = []
    learnt: list[bool] = []
    for ids, prompt in documents:
        tokens += ids
        learnt += [False] * prompt + [True] * (len(ids) - prompt)
    count = len(tokens) // length
    rows = empty(count, length, vocabulary)
    rows.tokens[:] = np.asarray(tokens[: count * length]).reshape(count, length)
    rows.documents[:] = 1
    rows.learnt[:] = np.asarray(learnt[: count * length], np.bool_).reshape(count, length)
    rows.learnt[:, 0] = False
    rows.learnt[rows.tokens == begin] = False
    return rows


def causal_rows(
    tokenizer: Tokenizer,
    documents: Sequence[Document],
    *,
    length: int,
    whole: bool,
    most: int | None = None,
) -> Rows:
    """Rows for a causal model, ``whole`` documents or joined ones; at most ``most`` whole ones."""
    vocabulary = tokenizer.get_vocab_size()
    pieces = encoded(tokenizer, documents)
    if not whole:
        return join(pieces, length, vocabulary, token_id(tokenizer, BOS))
    if most is None:
        pieces = iter(list(pieces))
        kept = [each for each in pieces if len(each[0]) <= length]
        # At worst every row but the open ones is half empty.
        most = 2 * sum(len(ids) for ids, _ in kept) // length + 1 + OPEN
        pieces = iter(kept)
    return pack(pieces, empty(most, length, vocabulary))


def with_types(rows: Rows) -> Rows:
    """The same with room for the texts of a pair."""
    return replace(
        rows,
        types=np.zeros(rows.tokens.shape, np.int8),
        pairs=np.full(len(rows), NO_PAIR, np.int16),
    )
