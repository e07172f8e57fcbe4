"""The same forward pass with less overhead, for decoders built of the usual parts.

A step of a small model takes less time in arithmetic than in the calls around it: transformers'
modules spend some hundred microseconds per layer on hooks, masks and cache objects. For the
architectures known here the weights are taken out of the modules (not copied, but for joining
those that multiply the same input) and applied directly. Attention to a common header happens
without a copy of its keys per row. Whether the results are those of the modules is tried before
use, see :mod:`harness_hf.probe`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from harness_hf.attention import (
    beside_header,
    by_products,
    causal_strip,
    in_blocks,
    plain,
)
from harness_hf.logits import Logits
from harness_hf.network import branch_mask, causal_mask
from harness_hf.slots import Slots

if TYPE_CHECKING:
    from harness_hf.parts import Decoder, Layer, Turn
    from harness_hf.slots import Header


@dataclass(frozen=True, kw_only=True)
class _Picked:
    """The few tokens whose last layer is computed: beyond its keys and values nobody reads the
    others'.

    ``index`` [n] are their flat positions. On a CPU only they ask: as queries [rows, most], ``at``
    their places in the row (short rows repeat the first), ``mask`` [rows, 1, most, before + width]
    what they see and ``places`` [n] where each of them is among rows times most.
    """

    index: torch.Tensor
    at: torch.Tensor | None = None
    mask: torch.Tensor | None = None
    places: torch.Tensor | None = None

    @classmethod
    def of(
        cls,
        index: torch.Tensor,
        shape: tuple[int, int],
        before: int,
        dtype: torch.dtype,
        seen: torch.Tensor | None = None,
    ) -> _Picked:
        """``index`` counts tokens of a ``shape`` of rows times width, row by row. What they see of
        them is what comes before, or, of the last tokens, ``seen`` [rows, last, width]."""
        rows, width = shape
        if index.device.type != "cpu":
            return cls(index=index)
        row = index // width
        counts = torch.bincount(row, minlength=rows)
        most = int(counts.max())
        if 4 * most > width:
            return cls(index=index)
        places = row * most + torch.arange(len(index)) - (counts.cumsum(0) - counts)[row]
        at = torch.zeros(rows * most, dtype=torch.long)
        at[places] = index % width
        at = at.view(rows, most)
        own = torch.arange(width) <= at[:, :, None]
        if seen is not None:
            late = at - (width - seen.shape[1])
            told = seen[torch.arange(rows)[:, None], late.clamp(min=0)]
            own = torch.where(late[:, :, None] >= 0, told, own)
        return cls(index=index, at=at, mask=branch_mask(own, before, dtype), places=places)


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """One pass: where tokens stand, how queries and keys turn, what is hidden from them, where keys
    and values go.

    ``mask`` is added to attention scores; ``None``: causal. It covers the header too, but in a
    ``step``. Where there is a ``strip`` attention goes block by block, causal but for the last
    tokens, which the mask is of. Without ``keep`` nothing is written to
    the slots. The last layer is computed for ``picked`` alone; ``None``: for all.
    """

    positions: torch.Tensor
    turn: Turn | None
    mask: torch.Tensor | None
    slots: Slots
    keep: bool
    step: bool
    strip: torch.Tensor | None = None
    picked: _Picked | None = None


class LeanNetwork:
    """A :class:`harness_hf.parts.Decoder` behind :class:`harness_hf.network.Network`."""

    shares = True
    keeps = True

    @property
    def joins(self) -> bool:
        """Whether ``together`` is faster than ``trunk`` and ``branch``: the kernels of a GPU know
        no masks of which only the end is not causal."""
        return self.device.type == "cpu"

    def __init__(self, decoder: Decoder, device: torch.device) -> None:
        """Wrap weights that are on ``device`` already."""
        self.decoder = decoder
        self.device = device

    @property
    def embedded(self) -> int:
        """How many token ids the model can read."""
        return int(self.decoder.embedding.shape[0])

    def trunk(
        self, ids: torch.Tensor, index: torch.Tensor, *, header: Header | None, keep: bool
    ) -> tuple[Logits, Slots | None]:
        """See :meth:`harness_hf.network.Network.trunk`."""
        rows, width = ids.shape
        slots = Slots.over(header, rows, self.device, apart=True)
        before = slots.header_length
        positions = torch.arange(before, before + width, device=self.device)[None, :]
        reading = self._reading(positions, None, slots, keep=keep)
        if self.device.type == "cpu":
            strip = causal_strip(before + width, ids, self.decoder.dtype)
            reading = replace(reading, strip=strip)
        elif header is not None or self.device.type == "mps":
            mask = causal_mask(before, width, ids, self.decoder.dtype)
            reading = replace(reading, mask=mask)
        found = self._chosen(ids, index, reading)
        slots.advance(width)
        return found, slots if keep else None

    def together(
        self,
        ids: torch.Tensor,
        index: torch.Tensor,
        *,
        positions: torch.Tensor,
        seen: torch.Tensor,
        header: Header | None,
    ) -> Logits:
        """Read ``ids`` [rows, width], texts and several continuations of each, after ``header``.

        ``positions`` [rows, width] count from the beginning of the text; ``seen`` [rows, last,
        width] says what the last tokens attend to besides the header, those before them to all up
        to themselves. Fastest where these are a whole number of ``BLOCK``.
        """
        slots = Slots.over(header, len(ids), self.device, apart=True)
        before, dtype = slots.header_length, self.decoder.dtype
        mask = branch_mask(seen, before, dtype)
        reading = self._reading(positions, mask, slots, keep=False)
        reading = replace(reading, strip=causal_strip(before + ids.shape[1], ids, dtype))
        return self._chosen(ids, index, reading, seen)

    def step(self, ids: torch.Tensor, slots: Slots) -> Logits:
        """See :meth:`harness_hf.network.Network.step`."""
        mask = slots.bias(slots.length + 1, self.decoder.dtype)
        positions = slots.next_positions()[:, None]
        hidden = self._run(ids, self._reading(positions, mask, slots, step=True))
        slots.advance(1)
        return self._logits(hidden, None)

    def branch(
        self,
        ids: torch.Tensor,
        index: torch.Tensor,
        *,
        positions: torch.Tensor,
        seen: torch.Tensor,
        slots: Slots,
    ) -> Logits:
        """See :meth:`harness_hf.network.Network.branch`."""
        mask = branch_mask(seen, slots.header_length, self.decoder.dtype)
        return self._logits(self._run(ids, self._reading(positions, mask, slots)), index)

    def _reading(
        self,
        positions: torch.Tensor,
        mask: torch.Tensor | None,
        slots: Slots,
        *,
        keep: bool = True,
        step: bool = False,
    ) -> _Reading:
        turn = self.decoder.rotation(positions)
        return _Reading(
            positions=positions, turn=turn, mask=mask, slots=slots, keep=keep, step=step
        )

    def _chosen(
        self,
        ids: torch.Tensor,
        index: torch.Tensor,
        reading: _Reading,
        seen: torch.Tensor | None = None,
    ) -> Logits:
        """Logits at ``index``; where that is few tokens, the last layer is computed for them
        alone."""
        if 2 * len(index) > ids.numel():
            return self._logits(self._run(ids, reading), index)
        # where only keys and values are needed one token goes on: few products take none at all
        some = index if len(index) else index.new_zeros(1)
        before, shape = reading.slots.header_length, (ids.shape[0], ids.shape[1])
        picked = _Picked.of(some, shape, before, self.decoder.dtype, seen)
        hidden = self._run(ids, replace(reading, picked=picked))
        return self._logits(hidden, None if len(index) else index)

    def _logits(self, hidden: torch.Tensor, index: torch.Tensor | None) -> Logits:
        flat = hidden.reshape(-1, hidden.shape[-1])
        if index is not None:
            flat = flat.index_select(0, index)
        rows = self.decoder.final_norm(flat)
        return Logits(rows=rows, head=self.decoder.head, vocabulary=self.decoder.vocabulary)

    def _run(self, ids: torch.Tensor, reading: _Reading) -> torch.Tensor:
        """Hidden states [rows, width, size] before the final norm, or [n, size] of those picked."""
        x = self.decoder.embed(ids, reading.positions)
        last = len(self.decoder.layers) - 1
        for number, layer in enumerate(self.decoder.layers):
            picked = reading.picked if number == last else None
            mixed = self._mix(layer, number, layer.norm1(x), reading, picked)
            if picked is not None:
                x = x.reshape(-1, x.shape[-1]).index_select(0, picked.index)
            attended = layer.output.plus(mixed, x)
            x = layer.feed(layer.norm2(x if layer.parallel else attended), attended)
        return x

    def _mix(
        self,
        layer: Layer,
        number: int,
        h: torch.Tensor,
        reading: _Reading,
        picked: _Picked | None,
    ) -> torch.Tensor:
        """What attention gathers for each token [rows, width, heads times size], or for those
        picked [n, heads times size]."""
        rows = len(h)
        query, key, value = layer.project(h, reading.turn)
        slots = reading.slots
        header = slots.header
        if reading.step and (header is not None or slots.dense):
            own = slots.add(number, key, value)
            before = (header.keys[number], header.values[number]) if header else None
            assert reading.mask is not None
            mixed = beside_header(query, own, before, reading.mask, scale=layer.scale)
        else:
            if reading.keep:
                key, value = slots.write(number, key, value)
            if header is not None:
                key = torch.cat([header.keys[number].expand(rows, -1, -1, -1), key], dim=2)
                value = torch.cat([header.values[number].expand(rows, -1, -1, -1), value], dim=2)
            if picked is not None and picked.at is not None:
                index = picked.at[:, None, :, None].expand(-1, query.shape[1], -1, query.shape[3])
                mixed = plain(query.gather(2, index), (key, value), picked.mask, scale=layer.scale)
            elif reading.strip is not None:
                mixed = in_blocks(
                    query, (key, value), reading.strip, reading.mask, scale=layer.scale
                )
            elif self.device.type == "mps":
                mixed = by_products(query, (key, value), reading.mask, scale=layer.scale)
            else:
                mixed = plain(query, (key, value), reading.mask, scale=layer.scale)
        mixed = mixed.transpose(1, 2).reshape(rows, mixed.shape[2], -1)
        if picked is None:
            return mixed
        chosen = picked.index if picked.places is None else picked.places
        return mixed.view(-1, mixed.shape[2]).index_select(0, chosen)
