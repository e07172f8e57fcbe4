"""What a cell costs: floating-point operations by a stated rule, memory by formula, time by trial.

The rule of C: a token costs 2 operations for each of N parameters going forward, 2·N for the
gradients that pass through the body (none where only a head is trained) and 2 for each of T
trained parameters, where N leaves out embeddings; 6·N·D where all is trained (Kaplan et al. 2020,
arXiv:2001.08361, section 2.1).
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.training import Method

RULE = (
    "tokens read in training, padding not counted, times (2 N forward + 2 N backward through the "
    "body + 2 T for the weights' gradients); N parameters without embeddings, T of them trained; "
    "nothing backward through the body where only the head is trained"
)
FLOAT = 4


def flops_per_token(non_embedding: int, trained: int, method: Method) -> float:
    """Operations for a token read once in training; ``trained`` without embeddings."""
    through = 0 if method == "head" else non_embedding
    return 2.0 * (non_embedding + through + trained)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What decides the memory of activations, read from a configuration."""

    layers: int
    width: int
    heads: int
    vocabulary: int

    @classmethod
    def of(cls, config: Any) -> Shape:
        """Under whatever names the architecture has for them."""

        def first(*names: str) -> int:
            found = (getattr(config, name, None) for name in names)
            return next((int(value) for value in found if isinstance(value, int)), 1)

        layers = first("num_hidden_layers", "n_layer", "num_layers", "n_layers", "encoder_layers")
        both = getattr(config, "is_encoder_decoder", False)
        decoder = first("num_decoder_layers", "decoder_layers") if both else 0
        return cls(
            layers=layers + decoder,
            width=first("hidden_size", "d_model", "n_embd", "dim"),
            heads=first("num_attention_heads", "n_head", "num_heads", "encoder_attention_heads"),
            vocabulary=first("vocab_size"),
        )


def memory_bytes(
    shape: Shape, *, total: int, trained: int, rows: int, length: int, checkpointing: bool
) -> int:
    """Bytes of weights, gradients, AdamW's two moments, the best weights so far and activations.

    A layer keeps s·b·h·(34 + 5·a·s/h) bytes in 16 bits for length s, rows b, width h and heads a,
    twice that in 32 (Korthikanti et al. 2022, arXiv:2205.05198, equation 2); with checkpointing
    its input alone. The logits of a language model's rows are counted three times.
    """
    size = length * rows * shape.width
    layer = size * (34 + 5 * shape.heads * length / shape.width) * 2
    kept = size * FLOAT * shape.layers + layer if checkpointing else layer * shape.layers
    logits = 3 * rows * length * shape.vocabulary * FLOAT
    return int(FLOAT * total + 4 * FLOAT * trained + kept + logits)


class PeakMemory:
    """The most memory used since it was made: of the device, or of the whole process on a CPU."""

    def __init__(self, device: str) -> None:
        """Forget earlier peaks, where the system lets one."""
        self._device = device
        if device.startswith("cuda"):
            import torch

            torch.cuda.reset_peak_memory_stats(device)
        else:
            with contextlib.suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

    def read(self) -> int | None:
        """Bytes, or None where the system does not say."""
        if self._device.startswith("cuda"):
            import torch

            return int(torch.cuda.max_memory_allocated(self._device))
        with contextlib.suppress(OSError):
            found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"))
            if found:
                return int(found[1]) * 1024
        return None
