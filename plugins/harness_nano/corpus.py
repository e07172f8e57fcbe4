"""From the world's training stream to packed rows of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from harness_nano.shapes import VOCABULARY
from harness_world.examples import Example, training

ROW = 96  # tokens in a row; documents lie in it whole, the few longer ones are left out
BOS, EOS, PAD = "<s>", "</s>", "<pad>"
_OPEN = 32
_TOKENIZER_EXAMPLES = 20_000


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """The id of a token that the tokenizer surely has."""
    number = tokenizer.token_to_id(token)
    if number is None:
        raise ValueError(f"the tokenizer has no token {token!r}")
    return int(number)


def train_tokenizer() -> Tokenizer:
    """A byte-level BPE learnt on the head of the stream: any text comes back exactly."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, BOS, EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    texts = (f"{e.prompt} {e.answer}" for e in islice(training(), _TOKENIZER_EXAMPLES))
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, token_id(tokenizer, BOS))]
    )
    return tokenizer


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Packed documents: tokens, number of the document (0 for padding), and which are learnt.

    Each array is (rows, ``ROW``); ``learnt`` marks the tokens of answers and their ends.
    """

    tokens: NDArray[np.int16]
    documents: NDArray[np.int16]
    learnt: NDArray[np.bool_]


def encoded(tokenizer: Tokenizer, examples: list[Example]) -> list[tuple[list[int], int]]:
    """Each example's tokens and the length of its prompt, the beginning token included."""
    end = token_id(tokenizer, EOS)
    prompts = tokenizer.encode_batch_fast([e.prompt for e in examples])
    answers = tokenizer.encode_batch_fast(
        [f" {e.answer}" for e in examples], add_special_tokens=False
    )
    return [
        (prompt.ids + answer.ids + [end], len(prompt.ids))
        for prompt, answer in zip(prompts, answers, strict=True)
    ]


def _documents(tokenizer: Tokenizer) -> Iterator[tuple[list[int], int]]:
    stream = training()
    while True:
        yield from encoded(tokenizer, list(islice(stream, 4096)))


def packed(tokenizer: Tokenizer, rows: int) -> Rows:
    """The head of the training stream, as much of it as fills ``rows`` rows."""
    return pack(_documents(tokenizer), rows)


def pack(documents: Iterator[tuple[list[int], int]], rows: int) -> Rows:
    """Lay documents (tokens, length of the prompt) into rows, each in the first open one with room.

    At most ``_OPEN`` rows are open at a time, so that the order stays close to the stream's.
    """
    packed = Rows(
        tokens=np.zeros((rows, ROW), np.int16),
        documents=np.zeros((rows, ROW), np.int16),
        learnt=np.zeros((rows, ROW), np.bool_),
    )
    fill = [0] * rows
    first = 0  # rows before it are closed
    for ids, prompt in documents:
        if len(ids) > ROW:
            continue
        window = range(first, min(first + _OPEN, rows))
        row = next((r for r in window if fill[r] + len(ids) <= ROW), None)
        if row is None and first + _OPEN >= rows:
            break  # the last rows are full
        if row is None:
            row = first + _OPEN
            first += 1
        begin, stop = fill[row], fill[row] + len(ids)
        packed.tokens[row, begin:stop] = ids
        packed.documents[row, begin:stop] = packed.documents[row].max() + 1
        packed.learnt[row, begin + prompt : stop] = True
        fill[row] = stop
    return packed
