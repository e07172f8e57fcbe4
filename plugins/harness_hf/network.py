"""What scoring and generation need of a causal model: three calls over token ids.

``trunk`` reads rows from their beginning (or from a common header), ``step`` reads one more token
of each, ``branch`` reads several independent continuations of each row at once.
:class:`harness_hf.modules.ModuleNetwork` does them with any causal model of transformers;
:class:`harness_hf.lean.LeanNetwork` with less overhead for some architectures.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

import torch

from harness_hf.slots import Header, Slots

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness_hf.logits import Logits


class Network(Protocol):
    """A causal language model behind the calls that scoring and generation need."""

    device: torch.device

    @property
    def shares(self) -> bool:
        """Whether ``header`` and ``branch`` work."""
        ...

    @property
    def keeps(self) -> bool:
        """Whether key-value slots work at all; without, only ``trunk`` is to be used, without
        ``keep``."""
        ...

    @property
    def embedded(self) -> int:
        """How many token ids the model can read."""
        ...

    def trunk(
        self, ids: torch.Tensor, index: torch.Tensor, *, header: Header | None, keep: bool
    ) -> tuple[Logits, Slots | None]:
        """Read ``ids`` [rows, width], padded on the right, after ``header``.

        Returns logits at the flat positions ``index`` [n], counted row by row, and with ``keep``
        the slots, padded on the right too.
        """
        ...

    def step(self, ids: torch.Tensor, slots: Slots) -> Logits:
        """Read one token of each row, ``ids`` [rows, 1], behind ``slots`` that end together."""
        ...

    def branch(
        self,
        ids: torch.Tensor,
        index: torch.Tensor,
        *,
        positions: torch.Tensor,
        seen: torch.Tensor,
        slots: Slots,
    ) -> Logits:
        """Read ``ids`` [rows, width] behind ``slots`` padded on the right.

        ``positions`` [rows, width] count from the beginning of the text; ``seen`` [rows, width,
        own slots + width] says what each token attends to besides the header.
        """
        ...


@contextlib.contextmanager
def inference() -> Iterator[None]:
    """No gradients inside, on any device."""
    with torch.inference_mode():
        yield


def read_header(network: Network, ids: tuple[int, ...]) -> Header:
    """Read a text that many rows begin with, once."""
    row = torch.tensor([ids], device=network.device)
    last = torch.tensor([len(ids) - 1], device=network.device)
    _, slots = network.trunk(row, last, header=None, keep=True)
    assert slots is not None
    return Header(
        ids=ids,
        keys=tuple(k[0, :, : slots.length].contiguous() for k in slots.keys),
        values=tuple(v[0, :, : slots.length].contiguous() for v in slots.values),
    )


def additive(seen: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """What to add to attention scores: nothing where ``seen``, else very little."""
    bias = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return bias.masked_fill_(~seen, torch.finfo(dtype).min)


def causal_mask(before: int, width: int, like: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """What to add to scores [width, before + width] so that each token sees all up to itself."""
    keys = torch.arange(before + width, device=like.device)
    return additive(keys[None, :] <= keys[before:, None], dtype)


def branch_mask(seen: torch.Tensor, before: int, dtype: torch.dtype) -> torch.Tensor:
    """What to add to scores [rows, 1, width, before + slots]: a header of ``before`` tokens is seen
    by all, the slots behind it as ``seen`` [rows, width, slots] says."""
    if before:
        seen = torch.cat([seen.new_ones((*seen.shape[:2], before)), seen], dim=2)
    return additive(seen, dtype)[:, None]
