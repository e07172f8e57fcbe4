"""From rows to what a network takes: positions to predict, masks, corrupted tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness_train.pretrain.rows import Rows

MASKED, BY_MASK, BY_ANY = 0.15, 0.8, 0.9
"""Share of tokens that are predicted; of these, up to which share the mask stands in their place,
and up to which any token (Devlin et al. 2019, section 3.1)."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Tokens (rows, length) with what is asked of them.

    ``mask``: (rows, 1, length, length), added to attention scores, or (rows, length), 1 for tokens
    and 0 for padding, or None where nothing is hidden but what comes later. ``where`` are flat
    positions whose states predict ``targets``.
    """

    tokens: Tensor
    mask: Tensor | None
    where: Tensor
    targets: Tensor
    types: Tensor | None = None
    pairs: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        if device.type == "cpu":
            return self
        moved = {
            name: value.to(device, non_blocking=device.type == "cuda")
            for name, value in vars(self).items()
            if value is not None
        }
        return replace(self, **moved)


@dataclass(frozen=True, kw_only=True)
class Masking:
    """How tokens are corrupted: the mask's id, and the first id that is no special token."""

    mask: int
    first: int
    vocabulary: int


def causal_batch(rows: Rows, which: NDArray[np.intp], *, whole: bool) -> Batch:
    """Every learnt token is predicted from the position before it, which is in the same row."""
    tokens = torch.from_numpy(rows.tokens[which].astype(np.int64))
    targets = torch.from_numpy(np.flatnonzero(rows.learnt[which]))
    mask = None
    if whole:
        mask = document_mask(torch.from_numpy(rows.documents[which].astype(np.int64)))
    return Batch(tokens=tokens, mask=mask, where=targets - 1, targets=tokens.reshape(-1)[targets])


def document_mask(documents: Tensor) -> Tensor:
    """(batch, 1, time, time) to add to scores: 0 where a position may look, minus infinity else.

    It may look at itself and what came before it in its own document.
    """
    time = documents.shape[1]
    same = documents[:, :, None] == documents[:, None, :]
    seen = (same & torch.ones(time, time, dtype=torch.bool).tril())[:, None]
    return torch.zeros(seen.shape).masked_fill_(~seen, float("-inf"))


def masked_batch(
    rows: Rows, which: NDArray[np.intp], masking: Masking, generator: np.random.Generator
) -> Batch:
    """Tokens to be found again: 15 % of the learnt ones, at least one in each row.

    Eight in ten are replaced by the mask, one by any token, one stays as it is.
    """
    length = int((rows.documents[which] > 0).sum(axis=1).max())
    tokens = rows.tokens[which, :length].astype(np.int64)
    learnt = rows.learnt[which, :length]
    draws = np.where(learnt, generator.random(learnt.shape), 2.0)
    chosen = (draws < MASKED) | (draws == draws.min(axis=1, keepdims=True)) & learnt
    how = generator.random(learnt.shape)
    other = generator.integers(masking.first, masking.vocabulary, learnt.shape)
    corrupted = np.where(chosen & (how < BY_MASK), masking.mask, tokens)
    corrupted = np.where(chosen & (how >= BY_MASK) & (how < BY_ANY), other, corrupted)
    where = np.flatnonzero(chosen)
    assert rows.types is not None and rows.pairs is not None
    return Batch(
        tokens=torch.from_numpy(corrupted),
        mask=torch.from_numpy((rows.documents[which, :length] > 0).astype(np.int64)),
        where=torch.from_numpy(where),
        targets=torch.from_numpy(tokens.reshape(-1)[where]),
        types=torch.from_numpy(rows.types[which, :length].astype(np.int64)),
        pairs=torch.from_numpy(rows.pairs[which].astype(np.int64)),
    )
