"""Find out, before the first request, how an architecture wants to be told of padding.

Architectures differ in what they do with masks and positions, and remote code may do anything.
So each way is tried on a few random tokens against a plain pass over one row without cache, mask
or padding, and the fastest way that agrees is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from harness_hf.batching import LOG
from harness_hf.network import inference
from harness_hf.slots import Slots

if TYPE_CHECKING:
    from harness_hf.network import MaskStyle, Network

LENGTHS = (9, 4, 7)
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6}
HALF_TOLERANCE = 0.15
WINDOWED = {"sliding_attention", "chunked_attention"}


def choose_mask_style(network: Network) -> None:
    """Set ``network.mask_style`` to the first way that agrees with plain passes.

    ``none`` is left where none does: rows are then recomputed from their beginning at each token.
    """
    with inference():
        rows = _random_rows(network)
        expected = torch.cat([_plain(network, row) for row in rows])
        styles: tuple[MaskStyle, ...] = ("dense", "padding")
        if _has_window(network.model.config):
            styles = ("padding",)
        for style in styles:
            network.mask_style = style
            if _agrees(network, rows, expected):
                return
    network.mask_style = "none"
    LOG.info("%s takes no key-value slots: generation recomputes", type(network.model).__name__)


def _has_window(config: Any) -> bool:
    """Whether some layers see a window only; their masks are the architecture's own business."""
    text = config.get_text_config()
    kinds = getattr(text, "layer_types", None)
    if kinds:
        return not WINDOWED.isdisjoint(kinds)
    return bool(getattr(text, "sliding_window", None) or getattr(text, "attention_types", None))


def _random_rows(network: Network) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    rows = [torch.randint(network.vocabulary, (n,), generator=draw) for n in LENGTHS]
    return [row.to(network.device) for row in rows]


def _plain(network: Network, row: torch.Tensor) -> torch.Tensor:
    last = torch.tensor([len(row) - 1], device=network.device)
    return network.select_logits(row[None, :], last, use_cache=False)


def _agrees(network: Network, rows: list[torch.Tensor], expected: torch.Tensor) -> bool:
    """Read all but the last token of each row padded on the left, then the last from slots."""
    width = max(len(row) for row in rows) - 1
    ids = torch.zeros((len(rows), width), dtype=torch.long, device=network.device)
    for place, row in enumerate(rows):
        ids[place, width - len(row) + 1 :] = row[:-1]
    starts = torch.tensor([width - len(row) + 1 for row in rows], device=network.device)
    slots = Slots.empty(starts)
    last = torch.stack([row[-1:] for row in rows])
    try:
        network.extend(ids, slots)
        found = network.extend(last, slots)
    except Exception:  # a way that an architecture does not know fails in any manner
        return False
    if slots.end != width + 1:
        return False
    scale = float(expected.std())
    tolerance = TOLERANCE.get(network.dtype, HALF_TOLERANCE) * max(scale, 1e-6)
    return bool((found - expected).abs().max() <= tolerance)
