"""Rows for masked language models, with or without the prediction of the next sentence.

After Devlin et al. 2019 (arXiv:1810.04805, appendix A): a row is ``[CLS] A [SEP] B [SEP]``; half
of the times B is what follows A, else the beginning of another document.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from harness_train.pretrain.documents import Document
from harness_train.pretrain.rows import NO_PAIR, Rows, empty, with_types
from harness_train.pretrain.vocabulary import token_id

_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")
_CHUNK = 4096


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Token ids of one row's texts without special tokens. ``label`` as in :class:`Rows`."""

    first: list[int]
    second: list[int]
    label: int = NO_PAIR


def sentences(text: str) -> list[str]:
    """The text cut after full stops, question and exclamation marks, and at line ends."""
    return [part.strip() for part in _SENTENCE.split(text) if part and part.strip()]


def masked_rows(
    tokenizer: Tokenizer,
    documents: Sequence[Document],
    *,
    length: int,
    pairs: bool,
    generator: np.random.Generator,
) -> Rows:
    """Rows of ``length`` tokens; ``generator`` draws where a pair is cut and what its B is."""
    texts = [_encoded(tokenizer, chunk) for chunk in _chunks(documents)]
    tokenised = [each for chunk in texts for each in chunk if each]
    room = length - (3 if pairs else 2)
    maker = _paired(tokenised, room, generator) if pairs else _single(tokenised, room)
    made = list(maker)
    rows = with_types(empty(len(made), length, tokenizer.get_vocab_size()))
    begin, end = token_id(tokenizer, "[CLS]"), token_id(tokenizer, "[SEP]")
    for number, pair in enumerate(made):
        _lay(rows, number, pair, (begin, end))
    return rows


def _chunks(documents: Sequence[Document]) -> Iterator[Sequence[Document]]:
    for start in range(0, len(documents), _CHUNK):
        yield documents[start : start + _CHUNK]


def _encoded(tokenizer: Tokenizer, documents: Sequence[Document]) -> list[list[list[int]]]:
    """By document, by sentence: token ids."""
    parts = [sentences(f"{document.prompt}{document.text}") for document in documents]
    flat = [sentence for each in parts for sentence in each]
    found = iter(tokenizer.encode_batch_fast(flat, add_special_tokens=False))
    ids = [[next(found).ids for _ in each] for each in parts]
    return [[sentence for sentence in each if sentence] for each in ids]


def _single(documents: Sequence[list[list[int]]], room: int) -> Iterator[Pair]:
    for sentences_ in documents:
        ids = [token for sentence in sentences_ for token in sentence]
        for start in range(0, len(ids), room):
            yield Pair(first=ids[start : start + room], second=[])


def _paired(
    documents: Sequence[list[list[int]]], room: int, generator: np.random.Generator
) -> Iterator[Pair]:
    for number, sentences_ in enumerate(documents):
        for chunk in _filled(sentences_, room):
            if len(chunk) == 1:  # nothing follows: it is learnt by masks alone
                yield Pair(first=chunk[0][:room], second=[])
                continue
            cut = int(generator.integers(1, len(chunk)))
            first = [token for sentence in chunk[:cut] for token in sentence]
            label = int(generator.integers(2)) if len(documents) > 1 else 0
            rest = chunk[cut:] if not label else _other(documents, number, generator)
            second = [token for sentence in rest for token in sentence]
            if len(first) + len(second) > room:  # the longer one loses what is too much
                keep = max(room // 2, room - len(second))
                first = first[-keep:]
                second = second[: room - len(first)]
            yield Pair(first=first, second=second, label=label)


def _filled(sentences_: list[list[int]], room: int) -> Iterator[list[list[int]]]:
    """Consecutive sentences, as many as fit into a row."""
    chunk: list[list[int]] = []
    size = 0
    for sentence in sentences_:
        if chunk and size + len(sentence) > room:
            yield chunk
            chunk, size = [], 0
        chunk.append(sentence)
        size += len(sentence)
    if chunk:
        yield chunk


def _other(
    documents: Sequence[list[list[int]]], number: int, generator: np.random.Generator
) -> list[list[int]]:
    """The sentences of another document, from one of them on."""
    drawn = int(generator.integers(len(documents) - 1))
    chosen = documents[drawn + (drawn >= number)]
    return chosen[int(generator.integers(len(chosen))) :]


def _lay(rows: Rows, number: int, pair: Pair, special: tuple[int, int]) -> None:
    assert rows.types is not None and rows.pairs is not None
    begin, end = special
    ids = [begin, *pair.first, end]
    head = len(ids)
    if pair.second:
        ids += [*pair.second, end]
    rows.tokens[number, : len(ids)] = ids
    rows.documents[number, : len(ids)] = 1
    rows.types[number, head : len(ids)] = 1
    rows.learnt[number, : len(ids)] = True
    rows.learnt[number, [0, head - 1, len(ids) - 1]] = False
    rows.pairs[number] = pair.label
