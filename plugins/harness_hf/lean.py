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

from harness_hf.attention import beside_header, causal_strip, in_blocks, plain
from harness_hf.logits import Logits
from harness_hf.network import branch_mask, causal_mask
from harness_hf.slots import Slots

if TYPE_CHECKING:
    from harness_hf.parts import Decoder, Layer
    from harness_hf.slots import Header


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """One pass: how queries and keys turn, what is hidden from them, where keys and values go.

    ``mask`` is added to attention scores; ``None``: causal, block by block where there is a
    ``strip``. It covers the header too, but in a ``step``. Without ``keep`` nothing is written to
    the slots.
    """

    turn: tuple[torch.Tensor, torch.Tensor]
    mask: torch.Tensor | None
    slots: Slots
    keep: bool
    step: bool
    strip: torch.Tensor | None = None


class LeanNetwork:
    """A :class:`harness_hf.parts.Decoder` behind :class:`harness_hf.network.Network`."""

    shares = True
    keeps = True

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
        elif header is not None:
            mask = causal_mask(before, width, ids, self.decoder.dtype)
            reading = replace(reading, mask=mask)
        hidden = self._run(ids, reading)
        slots.advance(width)
        return self._logits(hidden, index), slots if keep else None

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
        return _Reading(turn=turn, mask=mask, slots=slots, keep=keep, step=step)

    def _logits(self, hidden: torch.Tensor, index: torch.Tensor | None) -> Logits:
        flat = hidden.reshape(-1, hidden.shape[-1])
        if index is not None:
            flat = flat.index_select(0, index)
        rows = self.decoder.final_norm(flat)
        return Logits(rows=rows, head=self.decoder.head, vocabulary=self.decoder.vocabulary)

    def _run(self, ids: torch.Tensor, reading: _Reading) -> torch.Tensor:
        """Hidden states [rows, width, size] before the final norm."""
        x = self.decoder.embed(ids)
        for number, layer in enumerate(self.decoder.layers):
            mixed = self._mix(layer, number, layer.norm1(x), reading)
            attended = layer.output.plus(mixed, x)
            x = layer.feed(layer.norm2(x if layer.parallel else attended), attended)
        return x

    def _mix(self, layer: Layer, number: int, h: torch.Tensor, reading: _Reading) -> torch.Tensor:
        """What attention gathers for each token [rows, width, heads times size]."""
        rows, width, _ = h.shape
        query, key, value = layer.project(h, reading.turn)
        slots = reading.slots
        if reading.keep:
            key, value = slots.write(number, key, value)
        header = slots.header
        if header is not None and reading.step:
            before = (header.keys[number], header.values[number])
            mixed = beside_header(query, (key, value), before, reading.mask, scale=layer.scale)
        else:
            if header is not None:
                key = torch.cat([header.keys[number].expand(rows, -1, -1, -1), key], dim=2)
                value = torch.cat([header.values[number].expand(rows, -1, -1, -1), value], dim=2)
            if reading.strip is not None:
                mixed = in_blocks(query, (key, value), reading.strip, scale=layer.scale)
            else:
                mixed = plain(query, (key, value), reading.mask, scale=layer.scale)
        return mixed.transpose(1, 2).reshape(rows, width, -1)
