"""Key-value slots: keys and values of several rows in buffers that leave room to grow.

transformers' own dynamic cache copies all keys and values at every token; here a token is written
into the next free slot. All rows end at the same slot; the text of a row begins at
``starts[row]``, and what lies before is to be masked. Rows leave and join between steps.

Rows may go on from one common header (the worked examples of a task), whose keys and values were
computed once. It lies either in the first ``base`` slots of every row, or apart (``header``, with
``base`` 0) for a network that can attend to it without a copy per row.

A CPU reads keys and values from memory at every step, and twice as fast where nothing lies between
those of one row and of the next. So there, apart from a header, buffers have no room to grow: new
tokens go to a short tail, and when that is full both become one again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

GROWTH = 64
TAIL = 16

Pair = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Header:
    """Keys and values [heads, length, size] of a text that rows go on from, layer by layer."""

    ids: tuple[int, ...]
    keys: tuple[torch.Tensor, ...]
    values: tuple[torch.Tensor, ...]


@dataclass
class Slots:
    """Buffers [rows, heads, capacity, size] per layer, of which ``length`` slots are in use.

    A buffer may hold more rows than there are: the first ``len(starts)`` count. Where slots are
    ``dense`` the last ``tail`` of them are in ``new_keys`` and ``new_values`` [rows, heads, TAIL,
    size].
    """

    starts: torch.Tensor
    header: Header | None = None
    base: int = 0
    length: int = 0
    keys: list[torch.Tensor] = field(default_factory=list)
    values: list[torch.Tensor] = field(default_factory=list)
    dense: bool = False
    tail: int = 0
    new_keys: list[torch.Tensor] = field(default_factory=list)
    new_values: list[torch.Tensor] = field(default_factory=list)
    _bias: torch.Tensor | None = None

    @classmethod
    def over(cls, header: Header | None, rows: int, device: torch.device, *, apart: bool) -> Slots:
        """Slots for ``rows`` rows that go on from ``header``, kept apart or copied to each."""
        if header is None or apart:
            starts = torch.zeros(rows, dtype=torch.long, device=device)
            return cls(starts=starts, header=header, dense=apart and device.type == "cpu")
        base = len(header.ids)
        slots = cls(
            starts=torch.full((rows,), base, dtype=torch.long, device=device),
            header=header,
            base=base,
            length=base,
        )
        for mine, theirs in ((slots.keys, header.keys), (slots.values, header.values)):
            for part in theirs:
                buffer = _room(part[None], rows, base)
                buffer[:, :, :base] = part
                mine.append(buffer)
        return slots

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.starts)

    @property
    def header_length(self) -> int:
        """How many tokens come before the first own slot."""
        return len(self.header.ids) if self.header else 0

    def next_positions(self) -> torch.Tensor:
        """The position in its text [rows] of the token that each row reads next."""
        return self.length - self.starts + self.header_length

    def write(
        self, layer: int, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Put new keys and values [rows, heads, new, size] behind the slots in use.

        Returns those of all slots, the new ones included. ``length`` moves when all layers have
        written: see :meth:`advance`.
        """
        self._seal()
        end = self.length + keys.shape[2]
        rows = self.rows
        for buffers, new in ((self.keys, keys), (self.values, values)):
            if layer == len(buffers):
                buffers.append(_room(new, rows, end))
            elif end > buffers[layer].shape[2]:
                buffers[layer] = _regrown(buffers[layer][:rows], self.length, end)
            buffers[layer][:rows, :, self.length : end] = new
        return self.keys[layer][:rows, :, :end], self.values[layer][:rows, :, :end]

    def add(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> list[Pair]:
        """The same for one token of each row; those of all slots come in parts, in their order,
        and behind them, where they are dense, zeros for what is left of the tail."""
        if not self.dense:
            return [self.write(layer, keys, values)]
        rows = self.rows
        for buffers, new in ((self.new_keys, keys), (self.new_values, values)):
            if layer == len(buffers):
                buffers.append(new.new_zeros((rows, new.shape[1], TAIL, new.shape[3])))
            buffers[layer][:rows, :, self.tail : self.tail + 1] = new
        old = self.length - self.tail
        return [
            (self.keys[layer][:rows, :, :old], self.values[layer][:rows, :, :old]),
            (self.new_keys[layer][:rows], self.new_values[layer][:rows]),
        ]

    def advance(self, count: int) -> None:
        """Say that all layers have written ``count`` more slots."""
        self.length += count
        if self.new_keys:
            self.tail += count
            if self.tail == TAIL:
                self._seal()

    def _seal(self) -> None:
        """Put the tail behind the other slots, in buffers that hold these and no more."""
        if not self.tail:
            return
        rows, old = self.rows, self.length - self.tail
        for buffers, tails in ((self.keys, self.new_keys), (self.values, self.new_values)):
            for layer, tail in enumerate(tails):
                parts = [buffers[layer][:rows, :, :old], tail[:rows, :, : self.tail]]
                buffers[layer] = torch.cat(parts, dim=2)
            tails.clear()
        self.tail = 0

    def bias(self, width: int, dtype: torch.dtype) -> torch.Tensor:
        """What to add to attention scores [rows, 1, 1, width]: very little where a row has no
        text yet, else nothing."""
        if self._bias is None or self._bias.shape[-1] < width:
            places = torch.arange(width + GROWTH, device=self.starts.device)[None, :]
            hidden = (places >= self.base) & (places < self.starts[:, None])
            bias = torch.zeros(hidden.shape, dtype=dtype, device=self.starts.device)
            self._bias = bias.masked_fill_(hidden, torch.finfo(dtype).min)[:, None, None, :]
        return self._bias[..., :width]

    def align(self, lengths: Sequence[int]) -> None:
        """Move rows that were padded on the right so that all end at the last slot."""
        width = max(lengths)
        if min(lengths) == width:
            self.length = self.base + width
            return
        gaps = torch.tensor([width - n for n in lengths], device=self.starts.device)
        places = torch.arange(width, device=self.starts.device)[None, :] - gaps[:, None]
        places = places.clamp_(min=0) + self.base
        for buffers in (self.keys, self.values):
            for layer, buffer in enumerate(buffers):
                _, heads, _, size = buffer.shape
                index = places[:, None, :, None].expand(-1, heads, -1, size)
                moved = buffer[: self.rows].gather(2, index)
                if self.dense:
                    buffers[layer] = moved
                else:
                    buffer[: self.rows, :, self.base : self.base + width] = moved
        self.starts = self.base + gaps
        self.length = self.base + width
        self._bias = None

    def drop(self, dead: Sequence[int]) -> list[int]:
        """Drop the rows ``dead``; rows from the end take their places.

        Returns which row (by its old index) each place holds now. Leading slots that no row uses
        any more are given up when they are many.
        """
        left = self.rows - len(dead)
        order = list(range(left))
        holes = [row for row in dead if row < left]
        movers = sorted(set(range(left, self.rows)) - set(dead))
        for hole, mover in zip(holes, movers, strict=True):
            order[hole] = mover
        self._copy_rows(holes, movers)
        self.starts = self.starts[torch.tensor(order, dtype=torch.long, device=self.starts.device)]
        self._bias = None
        if order:
            self._give_up(int(self.starts.min()) - self.base)
        return order

    def _copy_rows(self, to: list[int], come: list[int]) -> None:
        if not to:
            return
        if self.starts.device.type == "cpu":  # a few plain copies beat one indexed copy threefold
            for end, buffers in (
                (self.length - self.tail, (*self.keys, *self.values)),
                (self.tail, (*self.new_keys, *self.new_values)),
            ):
                for buffer in buffers:
                    for hole, mover in zip(to, come, strict=True):
                        buffer[hole, :, :end] = buffer[mover, :, :end]
            return
        holes = torch.tensor(to, device=self.starts.device)
        movers = torch.tensor(come, device=self.starts.device)
        for buffer in (*self.keys, *self.values):
            buffer[holes, :, : self.length] = buffer[movers, :, : self.length]

    def within(self, most: int) -> None:
        """Give up leading slots that no row uses where another token would make more than ``most``
        slots: a model's table of positions or of biases may hold no more, whoever sees them."""
        unused = int(self.starts.min()) - self.base if self.length >= most else 0
        if unused:
            self._shorten(unused)
            self._bias = None

    def _give_up(self, unused: int) -> None:
        own = self.length - self.base
        if unused >= GROWTH and unused * 3 >= own:
            self._shorten(unused)

    def _shorten(self, unused: int) -> None:
        self._seal()
        for buffers in (self.keys, self.values):
            for layer, buffer in enumerate(buffers):
                kept = buffer[: self.rows, :, self.base + unused : self.length].clone()
                if self.dense:
                    buffers[layer] = kept
                else:
                    buffer[: self.rows, :, self.base : self.length - unused] = kept
        self.starts = self.starts - unused
        self.length -= unused

    def append(self, other: Slots, *, room: int = 0) -> None:
        """Add the rows of ``other``, which go on from the same header, so that all end together.

        Buffers that are too small get place for ``room`` rows.
        """
        self._seal()
        end = max(self.length, other.length)
        shift = end - self.length
        count, total = self.rows, self.rows + other.rows
        for mine, theirs in ((self.keys, other.keys), (self.values, other.values)):
            for layer, (one, two) in enumerate(zip(mine, theirs, strict=True)):
                if shift or total > one.shape[0] or end > one.shape[2]:
                    mine[layer] = self._moved(one, max(total, room), end)
                place = mine[layer][count:total]
                own = two[: other.rows, :, self.base : other.length]
                # what is masked must not be NaN, which garbage may be
                place[:, :, self.base : end - own.shape[2]] = 0
                place[:, :, end - own.shape[2] : end] = own
                if self.base:
                    place[:, :, : self.base] = two[:1, :, : self.base]
        self.starts = torch.cat([self.starts + shift, other.starts + (end - other.length)])
        self.length = end
        self._bias = None

    def _moved(self, old: torch.Tensor, total: int, end: int) -> torch.Tensor:
        """A larger buffer whose rows end at slot ``end``."""
        new = _room(old, total, end, spare=0 if self.dense else GROWTH)
        own = old[: self.rows, :, self.base : self.length]
        new[: self.rows, :, self.base : end - own.shape[2]] = 0
        new[: self.rows, :, end - own.shape[2] : end] = own
        new[: self.rows, :, : self.base] = old[: self.rows, :, : self.base]
        return new


def _room(like: torch.Tensor, rows: int, needed: int, *, spare: int = GROWTH) -> torch.Tensor:
    """A buffer for ``rows`` rows of ``needed`` slots and ``spare`` more."""
    _, heads, _, size = like.shape
    return like.new_empty((rows, heads, needed + spare, size))


def _regrown(old: torch.Tensor, used: int, needed: int) -> torch.Tensor:
    new = _room(old, old.shape[0], needed)
    new[:, :, :used] = old[:, :, :used]
    return new
