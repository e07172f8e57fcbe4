"""Attention of the lean pass: by PyTorch's own kernels, in the pieces that they are fast at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness_hf.slots import Pair

BLOCK = 32
"""Queries that are computed together on a CPU; its kernel takes them by as many."""


def plain(
    query: torch.Tensor, own: Pair, mask: torch.Tensor | None, *, scale: float
) -> torch.Tensor:
    """Attention [rows, heads, width, size] to keys and values ``own`` [rows, key heads, slots,
    size]; ``mask`` is added to the scores, ``None``: causal."""
    rows, heads, width, size = query.shape
    key, value = own
    groups = key.shape[1]
    if width == 1 and heads != groups:  # heads that share keys become queries
        query = query.reshape(rows, groups, heads // groups, size)
        mixed = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, scale=scale
        )
        return mixed.reshape(rows, heads, 1, size)
    if mask is not None and heads != groups and query.device.type != "cpu":
        # the kernels of a GPU that take a mask know no shared heads: all scores would be held
        key, value = (part.repeat_interleave(heads // groups, dim=1) for part in own)
        groups = heads
    return functional.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        is_causal=mask is None and width > 1,
        scale=scale,
        enable_gqa=heads != groups,
    )


def by_products(
    query: torch.Tensor, own: Pair, mask: torch.Tensor | None, *, scale: float
) -> torch.Tensor:
    """The same by products of matrices, all scores held; ``mask`` ``None``: all is seen.

    For MPS, whose fused kernel gives wrong numbers in silence: for keys that are no whole block
    (PyTorch issues 163597 and 181133) and for causal half precision (195910).
    """
    rows, heads, width, size = query.shape
    key, value = own
    groups = key.shape[1]
    query = query.reshape(rows, groups, heads // groups * width, size) * scale
    scores = (query @ key.transpose(2, 3)).view(rows, groups, heads // groups, width, -1)
    if mask is not None:
        scores = scores + (mask if mask.dim() == 2 else mask[:, :, None])
    weights = scores.float().softmax(dim=-1).to(value.dtype)
    return (weights.flatten(2, 3) @ value).reshape(rows, heads, width, size)


def causal_strip(total: int, like: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """What to add to the scores of any block of queries: see :func:`in_blocks`.

    [block, total + block]: query ``n`` of a block sees up to column ``total + n``.
    """
    columns = torch.arange(-total, BLOCK, device=like.device)
    hidden = columns[None, :] > torch.arange(BLOCK, device=like.device)[:, None]
    bias = torch.zeros(hidden.shape, dtype=dtype, device=like.device)
    return bias.masked_fill_(hidden, torch.finfo(dtype).min)


def in_blocks(
    query: torch.Tensor,
    own: Pair,
    strip: torch.Tensor,
    mask: torch.Tensor | None = None,
    *,
    scale: float,
) -> torch.Tensor:
    """Causal attention, a block of queries at a time, each to the keys up to its last query.

    ``mask`` [rows, 1, last, all keys] is added to the scores of the last queries instead.

    PyTorch's kernel for CPUs computes the scores of the next 512 keys, hidden or not, which takes
    half as long again for texts of a few hundred tokens.
    """
    rows, heads, width, size = query.shape
    key, value = own
    before = key.shape[2] - width
    causal = width if mask is None else width - mask.shape[2]
    mixed = query.new_empty((rows, width, heads, size)).transpose(1, 2)
    starts = [*range(0, causal, BLOCK), *range(causal, width, BLOCK)]
    for at, end in zip(starts, [*starts[1:], width], strict=True):
        seen = before + end
        if mask is None or at < causal:
            first = strip.shape[1] - BLOCK - before - at
            hidden = strip[: end - at, first : first + seen]
        else:
            hidden = mask[:, :, at - causal : end - causal, :seen]
        mixed[:, :, at:end] = functional.scaled_dot_product_attention(
            query[:, :, at:end],
            key[:, :, :seen],
            value[:, :, :seen],
            attn_mask=hidden,
            scale=scale,
            enable_gqa=heads != key.shape[1],
        )
    return mixed


def beside_header(
    query: torch.Tensor,
    own: Sequence[Pair],
    before: Pair | None,
    mask: torch.Tensor,
    *,
    scale: float,
) -> torch.Tensor:
    """Attention of one query per row to a header, read once for all rows, and to the row's own.

    ``own`` are keys and values [rows, key heads, slots, size] in parts, ``before`` those of the
    header [key heads, length, size]. ``mask`` [rows, 1, 1, slots in use] is added to the scores of
    the row's own; the last part may hold more, which is zero and not seen: PyTorch multiplies by
    very few slots in a slow loop. One softmax goes over the scores of all; two kernels, joined by
    their log-sum-exp, are no faster on a CPU.
    """
    rows, heads, _, size = query.shape
    groups = own[0][0].shape[1]
    each = heads // groups
    query = query.reshape(rows, groups, each, size) * scale
    scores, at = [], 0
    for key, _ in own:
        bias = mask[..., at : at + key.shape[2]]
        at += key.shape[2]
        scores.append((query @ key.transpose(2, 3))[..., : bias.shape[-1]].add_(bias))
    if before is not None:
        together = query.transpose(0, 1).reshape(groups, rows * each, size)
        shared = torch.bmm(together, before[0].transpose(1, 2))
        scores.insert(0, shared.view(groups, rows, each, -1).transpose(0, 1))
    weights = torch.cat(scores, dim=-1).softmax(dim=-1)
    parts = list(torch.split(weights, [part.shape[-1] for part in scores], dim=-1))
    mixed = None
    if before is not None:
        first = parts.pop(0).transpose(0, 1).reshape(groups, rows * each, -1)
        mixed = torch.bmm(first, before[1]).view(groups, rows, each, size).transpose(0, 1)
    for part, (_, value) in zip(parts, own, strict=True):
        unused = value.shape[2] - part.shape[-1]
        new = (functional.pad(part, (0, unused)) if unused else part) @ value
        mixed = new if mixed is None else new.add_(mixed)
    assert mixed is not None
    return mixed.reshape(rows, heads, 1, size)
