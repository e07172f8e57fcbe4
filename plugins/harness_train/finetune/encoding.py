"""Examples as token ids and labels, and as padded batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.errors import DataError
from harness_train.finetune.examples import Example, Labelled, Prompted, Tagged

if TYPE_CHECKING:
    from harness_hf.tokens import Codec

IGNORED = -100
"""The label of a position that is not learnt; torch's cross-entropy leaves it out."""

Row: TypeAlias = Mapping[str, Any]
"""``input_ids`` and ``labels``, each a list (``labels`` an int for a whole text)."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Rows in the examples' order, and what happened to them.

    ``tokens`` counts what the model reads in one pass (both sides of an encoder-decoder), special
    tokens included, padding not. ``cut`` texts lost a part to the model's context, ``left`` ones
    were left out because of it. ``unread`` words or texts have no piece of their own.
    ``places`` hold, for each row of tags, the example's number and the words that bear a label.
    """

    rows: tuple[Row, ...]
    tokens: int
    cut: int = 0
    left: int = 0
    unread: int = 0
    places: tuple[tuple[int, tuple[int, ...]], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """Turns examples into rows for one model. ``labels`` are in the order of its outputs;
    ``before`` are the ids with which an encoder-decoder begins, none for other models."""

    tokenizer: Any
    length: int
    labels: Sequence[str] = ()
    codec: Codec | None = None
    before: Sequence[int] = ()

    def encode(self, examples: Sequence[Example], what: str) -> Encoded:
        """Rows of the examples. Raises DataError where the tokenizer leaves nothing of them."""
        first = examples[0]
        if isinstance(first, Tagged):
            found = self._tagged([one for one in examples if isinstance(one, Tagged)])
        elif isinstance(first, Labelled):
            found = self._labelled([one for one in examples if isinstance(one, Labelled)])
        elif not self.before:
            found = self._continued([one for one in examples if isinstance(one, Prompted)])
        else:
            found = self._answered([one for one in examples if isinstance(one, Prompted)])
        if not found.rows:
            raise DataError(
                f"No example of {what} can be learnt: each is longer than the {self.length} tokens "
                "that the model takes, or the tokenizer leaves nothing of it."
            )
        return found

    def _tagged(self, examples: Sequence[Tagged]) -> Encoded:
        """The tag at each word's first piece, nothing at the others."""
        number = {label: i for i, label in enumerate(self.labels)}
        rows, places, tokens, cut, unread = [], [], 0, 0, 0
        for index, example in enumerate(examples):
            found = self.tokenizer(
                list(example.tokens),
                is_split_into_words=True,
                truncation=True,
                max_length=self.length,
            )
            words = found.word_ids()
            seen = {word for word in words if word is not None}
            last = max(seen, default=-1)
            cut += last + 1 < len(example.tokens)
            unread += sum(word not in seen for word in range(last + 1))
            if not seen:
                continue
            labels = [
                number[example.tags[word]] if word is not None and word != before else IGNORED
                for word, before in zip(words, [None, *words], strict=False)
            ]
            places.append((index, tuple(sorted(seen))))
            rows.append({"input_ids": list(found["input_ids"]), "labels": labels})
            tokens += len(words)
        return Encoded(
            rows=tuple(rows), tokens=tokens, cut=cut, unread=unread, places=tuple(places)
        )

    def _labelled(self, examples: Sequence[Labelled]) -> Encoded:
        rows, tokens, cut, unread = [], 0, 0, 0
        for example in examples:
            whole = self.tokenizer(*example.texts)["input_ids"]
            ids = self.tokenizer(*example.texts, truncation=True, max_length=self.length)
            unread += not self.tokenizer(*example.texts, add_special_tokens=False)["input_ids"]
            if not ids["input_ids"]:
                continue
            label = self.labels.index(example.label)
            row = {key: list(value) for key, value in ids.items() if key != "attention_mask"}
            rows.append(row | {"labels": label})
            cut += len(row["input_ids"]) < len(whole)
            tokens += len(row["input_ids"])
        if unread == len(examples):  # what remains stands around every text alike
            rows = []
        return Encoded(rows=tuple(rows), tokens=tokens, cut=cut, unread=unread)

    def _continued(self, examples: Sequence[Prompted]) -> Encoded:
        """Prompt and answer in one row, the loss on the answer and the token that ends it."""
        assert self.codec is not None
        end = self.tokenizer.eos_token_id
        rows, tokens, left = [], 0, 0
        for example in examples:
            pair = self.codec.pair(example.prompt, example.answer)
            answer = [*pair.continuation, *([] if end is None else [end])]
            before = pair.context.ids
            if len(before) + len(answer) > self.length or not pair.continuation:
                left += 1
                continue
            labels = [IGNORED] * len(before) + answer
            rows.append({"input_ids": [*before, *answer], "labels": labels})
            tokens += len(labels)
        return Encoded(rows=tuple(rows), tokens=tokens, left=left)

    def _answered(self, examples: Sequence[Prompted]) -> Encoded:
        """The prompt for the encoder, cut as in an evaluation; the answer for the decoder."""
        assert self.codec is not None
        rows, tokens, cut, left = [], 0, 0, 0
        for example in examples:
            prompt = self.codec.whole(example.prompt).within(self.length, example.cut)
            answer = self._written(example.answer.strip())
            if not prompt.ids or not answer or len(answer) + 1 > self.length:
                left += 1
                continue
            cut += prompt.cut > 0
            rows.append({"input_ids": list(prompt.ids), "labels": answer})
            tokens += len(prompt.ids) + len(answer)
        return Encoded(rows=tuple(rows), tokens=tokens, cut=cut, left=left)

    def _written(self, text: str) -> list[int]:
        """What a decoder shall write behind its first token: what is forced there, the text and
        the end, though the tokenizer may put neither."""
        ids = list(self.tokenizer(text_target=text)["input_ids"])
        forced, end = self.before[1:], self.tokenizer.eos_token_id
        if ids[: len(forced)] != list(forced):
            ids = [*forced, *ids]
        ended = ids == [end] or end in ids[1:]  # in front it may stand for the beginning
        return ids if end is None or ended else [*ids, end]


def collator(pad: int) -> Callable[[Sequence[Row]], dict[str, Any]]:
    """Pads rows on the right to the longest: ids by ``pad``, labels by what is not learnt.

    Returns tensors (rows, tokens), with ``attention_mask``; a label of a whole text stays (rows,).
    """
    import torch

    fill = {"input_ids": pad, "token_type_ids": 0, "labels": IGNORED, "attention_mask": 0}

    def padded(values: Sequence[Sequence[int]], with_: int) -> Any:
        longest = max(len(value) for value in values)
        return torch.tensor([[*value, *[with_] * (longest - len(value))] for value in values])

    def collate(rows: Sequence[Row]) -> dict[str, Any]:
        columns: dict[str, Any] = {}
        for key in rows[0]:
            values = [row[key] for row in rows]
            whole = isinstance(values[0], int)
            columns[key] = torch.tensor(values) if whole else padded(values, fill[key])
        columns["attention_mask"] = padded([[1] * len(row["input_ids"]) for row in rows], 0)
        return columns

    return collate
