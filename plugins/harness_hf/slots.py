"""Key-value slots: keys and values of several rows in buffers that leave room to grow.

transformers' own dynamic cache copies all keys and values at every token; here a token is written
into the next free slot. All rows end at the same slot; a row begins at ``starts[row]``, and what
lies before is to be masked. Rows can be dropped and added between steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

GROWTH = 64


@lru_cache(maxsize=1)
def _layer_class() -> type[Any]:
    """The cache layer class; made on demand, since it derives from transformers' own."""
    from transformers.cache_utils import DynamicLayer

    class SlotLayer(DynamicLayer):  # type: ignore[misc,unused-ignore]
        """One layer's keys and values [rows, heads, capacity, size], ``length`` of them in use."""

        def __init__(self, **_: Any) -> None:
            super().__init__()
            self.length = 0

        def update(
            self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
        ) -> tuple[torch.Tensor, torch.Tensor]:
            end = self.length + key_states.shape[2]
            if self.length == 0:
                self.is_initialized = True
                self.dtype, self.device = key_states.dtype, key_states.device
                self.keys = _room(key_states, key_states.shape[0], end)
                self.values = _room(value_states, value_states.shape[0], end)
            elif end > self.keys.shape[2]:
                self.keys = _regrown(self.keys, self.length, end)
                self.values = _regrown(self.values, self.length, end)
            self.keys[:, :, self.length : end] = key_states
            self.values[:, :, self.length : end] = value_states
            self.length = end
            return self.keys[:, :, :end], self.values[:, :, :end]

        def get_seq_length(self) -> int:
            return self.length

        def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
            return self.length + query_length, 0

    return SlotLayer


def _room(like: torch.Tensor, rows: int, needed: int) -> torch.Tensor:
    """A zeroed buffer for ``rows`` rows of ``needed`` slots and some more.

    Zeros, not garbage: a masked slot counts 0 times its value, which must not be NaN.
    """
    _, heads, _, size = like.shape
    return like.new_zeros((rows, heads, needed + GROWTH, size))


def _regrown(old: torch.Tensor, used: int, needed: int) -> torch.Tensor:
    new = _room(old, old.shape[0], needed)
    new[:, :, :used] = old[:, :, :used]
    return new


@dataclass
class Slots:
    """The slots of all layers. ``starts`` [rows] is where each row's text begins."""

    cache: Any
    starts: torch.Tensor

    @classmethod
    def empty(cls, starts: torch.Tensor) -> Slots:
        """No slots yet, for rows whose text will begin at ``starts``."""
        from transformers.cache_utils import Cache

        return cls(cache=Cache(layer_class_to_replicate=_layer_class()), starts=starts)

    @property
    def end(self) -> int:
        """How many slots are in use."""
        return int(self.cache.layers[0].length) if self.cache.layers else 0

    def keep(self, rows: torch.Tensor) -> None:
        """Keep ``rows`` (indices) only, and drop leading slots that none of them uses."""
        starts = self.starts.index_select(0, rows)
        unused = int(starts.min())
        for layer in self.cache.layers:
            length = layer.length - unused
            for name in ("keys", "values"):
                old = getattr(layer, name)
                new = _room(old, len(rows), length)
                new[:, :, :length] = old[:, :, unused : layer.length].index_select(0, rows)
                setattr(layer, name, new)
            layer.length = length
        self.starts = starts - unused

    def append(self, other: Slots) -> None:
        """Add the rows of ``other``, so that all end at the same slot."""
        end = max(self.end, other.end)
        moves = (end - self.end, end - other.end)
        count = len(self.starts)
        for mine, theirs in zip(self.cache.layers, other.cache.layers, strict=True):
            for name in ("keys", "values"):
                one, two = getattr(mine, name), getattr(theirs, name)
                new = _room(one, count + len(other.starts), end)
                new[:count, :, moves[0] : end] = one[:, :, : mine.length]
                new[count:, :, moves[1] : end] = two[:, :, : theirs.length]
                setattr(mine, name, new)
            mine.length = end
        self.starts = torch.cat([self.starts + moves[0], other.starts + moves[1]])

    def spread(self, starts: torch.Tensor, *, until: int) -> Slots:
        """Copy this single row's slots to rows whose text begins at ``starts`` [rows].

        Each new row holds the beginning of the text in the slots from its start up to ``until``.
        """
        new = Slots.empty(starts)
        places = torch.arange(until, device=starts.device)[None, :] - starts[:, None]
        places = places.clamp_(min=0, max=self.end - 1)
        for layer in self.cache.layers:
            copy = _layer_class()()
            copy.is_initialized = True
            copy.dtype, copy.device = layer.dtype, layer.device
            for name in ("keys", "values"):
                old = getattr(layer, name)
                buffer = _room(old, len(starts), until)
                buffer[:, :, :until] = old[0][:, places].transpose(0, 1)
                setattr(copy, name, buffer)
            copy.length = until
            new.cache.layers.append(copy)
        return new
