"""Slots of a decoder whose rows each look at a text of their own, which an encoder has read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from harness_hf.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, kw_only=True)
class Source:
    """What the encoder made of some texts, of so many tokens each: states [texts, width, size],
    padded on the right, and 1 where there is text [texts, width], else 0."""

    states: torch.Tensor
    seen: torch.Tensor
    lengths: tuple[int, ...]

    def of(self, rows: Sequence[int]) -> Source:
        """Those of some texts, in this order; a text may occur several times."""
        index = torch.tensor(rows, device=self.states.device)
        return Source(
            states=self.states.index_select(0, index),
            seen=self.seen.index_select(0, index),
            lengths=tuple(self.lengths[row] for row in rows),
        )


class SourceSlots(Slots):
    """Slots, and of each row the text that it looks at.

    ``across`` are keys and values [rows, heads, width, size] of the attention to these texts, layer
    by layer: keys, values, keys, and so on.
    """

    def __init__(self, source: Source) -> None:
        """Empty slots of one row for each text of ``source``."""
        device = source.states.device
        super().__init__(starts=torch.zeros(len(source.lengths), dtype=torch.long, device=device))
        self.source = source
        self.across: list[torch.Tensor] = []
        self._buffers: list[torch.Tensor] = []

    def look_at(self, across: Sequence[torch.Tensor]) -> None:
        """Take the keys and values of the attention to the texts."""
        self._buffers = [self.source.states, self.source.seen[..., None], *across]
        self._show(self.source.lengths)

    def drop(self, dead: Sequence[int]) -> list[int]:
        """See :meth:`Slots.drop`."""
        order = super().drop(dead)
        moved = [(place, row) for place, row in enumerate(order) if place != row]
        for buffer in self._buffers:
            for place, row in moved:
                buffer[place] = buffer[row]
        self._show([self.source.lengths[row] for row in order])
        return order

    def append(self, other: Slots, *, room: int = 0) -> None:
        """See :meth:`Slots.append`; ``other`` is of the same kind."""
        assert isinstance(other, SourceSlots)
        new = [part[: other.rows] for part in other._buffers]
        self._buffers = [
            _joined(buffer, self.rows, part, room=room)
            for buffer, part in zip(self._buffers, new, strict=True)
        ]
        super().append(other, room=room)
        self._show(self.source.lengths + other.source.lengths)

    def _show(self, lengths: Sequence[int]) -> None:
        """Of the buffers the first rows, which have so many tokens, no wider than these need."""
        rows, width = len(lengths), max(lengths, default=0)
        states, seen, *self.across = (buffer[:rows, ..., :width, :] for buffer in self._buffers)
        self.source = Source(states=states, seen=seen[..., 0], lengths=tuple(lengths))


def _joined(buffer: torch.Tensor, rows: int, new: torch.Tensor, *, room: int) -> torch.Tensor:
    """``buffer`` [rows or more, ..., width, size] with ``new`` behind its first ``rows``; where it
    is too small another one, with place for ``room``."""
    total, width = rows + len(new), max(buffer.shape[-2], new.shape[-2])
    if total > len(buffer) or width > buffer.shape[-2]:
        held = buffer[:rows]
        buffer = buffer.new_empty((max(total, room), *held.shape[1:-2], width, held.shape[-1]))
        _put(buffer[:rows], held)
    _put(buffer[rows:total], new)
    return buffer


def _put(place: torch.Tensor, rows: torch.Tensor) -> None:
    """Write ``rows`` [n, ..., width, size] to ``place``, which may be wider."""
    place[..., : rows.shape[-2], :] = rows
    place[..., rows.shape[-2] :, :] = 0  # what is masked must not be NaN, which garbage may be
