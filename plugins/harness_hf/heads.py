"""Forward passes of classification heads: texts batched by length, padded on the right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from harness.errors import DataError
from harness_hf.batching import batches, reason_of, split_on_out_of_memory
from harness_hf.budget import budget_of
from harness_hf.network import inference
from harness_hf.probe import HALF_TOLERANCE, TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness_hf.loading import Loaded


PROBED = (12, 7, 3, 9, 2, 4)
"""Lengths of the random texts that are read side by side and alone."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One text as token ids; ``segments`` says which text of a pair each belongs to."""

    ids: tuple[int, ...]
    segments: tuple[int, ...] = ()


class Head:
    """A classification head. ``rows`` fixes how many texts are computed together."""

    def __init__(self, loaded: Loaded, *, rows: int | None) -> None:
        """Wrap the weights. A model that does not tell texts from padding reads them one by one."""
        self.model = loaded.model
        self.device = loaded.device
        pad = getattr(self.model.config.get_text_config(), "pad_token_id", None)
        self.pad = 0 if pad is None else int(pad)
        self.embedded = int(self.model.get_input_embeddings().weight.shape[0])
        self.rows = rows if self._apart() else 1
        self.budget = budget_of(loaded, context=None, chunked=True)

    def _apart(self) -> bool:
        """Whether a text has the same logits beside a longer one as alone: not where padding has
        a part in attention (FNet), convolutions (ConvBERT) or the choice of the last token."""
        draw = torch.Generator().manual_seed(0)
        drawn = [torch.randint(self.embedded, (n,), generator=draw).tolist() for n in PROBED]
        end = self._end()
        kept = [[token for token in ids if token not in {self.pad, *end}] for ids in drawn]
        rows = [Row(ids=(*ids, *end)) for ids in kept]
        try:
            with inference():
                alone = [self._forward([row])[0] for row in rows]
                beside = self._forward(rows)
        except ValueError:  # a head that looks for an end of text, or for a pad id it has not got
            return False
        far = [
            float((other[: len(one)] - one).abs().max() / one.abs().max())
            for one, other in zip(alone, beside, strict=True)
        ]
        return max(far) <= TOLERANCE.get(self.model.dtype, HALF_TOLERANCE)

    def _end(self) -> tuple[int, ...]:
        """What a text of an encoder-decoder ends with: its head reads off there."""
        config = self.model.config
        end = config.eos_token_id if getattr(config, "is_encoder_decoder", False) else None
        return (end,) if isinstance(end, int) and end != self.pad else ()

    def run(self, rows: Sequence[Row]) -> Iterator[tuple[list[int], torch.Tensor | None]]:
        """Yield numbers of rows with their logits [numbers, ...], padded on the right as the rows
        are; ``None``: no memory for the row, even alone.

        Raises :class:`harness.errors.DataError` for a head that refuses a text.
        """
        order = sorted(range(len(rows)), key=lambda number: -len(rows[number].ids))

        def width(number: int) -> int:
            return len(rows[number].ids)

        def compute(part: list[int]) -> torch.Tensor:
            with inference():
                return self._compute([rows[number] for number in part])

        for batch in batches(order, width=width, rows=self.rows, tokens=self.budget.tokens):
            yield from split_on_out_of_memory(batch, compute)

    def _compute(self, rows: Sequence[Row]) -> torch.Tensor:
        """Logits of ``rows``. BART's and T5's heads read off the end of a text, and look for it:
        side by side each text must have as many ends, so those that write of some are read alone.
        """
        try:
            return self._forward(rows)
        except ValueError as error:
            if len(rows) > 1:
                return torch.cat([self._compute([row]) for row in rows])
            raise DataError(
                f"{self.model.name_or_path}: its head refuses a text: {reason_of(error)}\n"
                "Use the tokenizer that it was trained with: this one does not end texts so."
            ) from error

    def _forward(self, rows: Sequence[Row]) -> torch.Tensor:
        width = max(len(row.ids) for row in rows)
        ids = torch.full((len(rows), width), self.pad, dtype=torch.long)
        seen = torch.zeros((len(rows), width), dtype=torch.long)
        segments = torch.zeros((len(rows), width), dtype=torch.long)
        for number, row in enumerate(rows):
            ids[number, : len(row.ids)] = torch.tensor(row.ids)
            seen[number, : len(row.ids)] = 1
            segments[number, : len(row.segments)] = torch.tensor(row.segments, dtype=torch.long)
        inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": seen}
        if any(row.segments for row in rows):
            inputs["token_type_ids"] = segments
        moved = {name: value.to(self.device) for name, value in inputs.items()}
        logits: torch.Tensor = self.model(**moved).logits
        return logits.float().cpu()

    def refusal(self, row: Row) -> str | None:
        """Why the model cannot read ``row``; ``None`` where it can."""
        if not row.ids:
            return "the tokenizer makes no token of this text"
        if max(row.ids) >= self.embedded:
            return f"the tokenizer gives token id {max(row.ids)}, the model knows {self.embedded}"
        return None
