"""Whether a model of the hub can fit, by what the hub says of it, before its files are fetched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness_hf.checkpoint import Tensor
from harness_hf.devices import resolve_device, resolve_dtype
from harness_hf.memory import require_capacity
from harness_hf.quiet import quiet

if TYPE_CHECKING:
    from harness_hf.options import Options

PLAIN = frozenset({"F64", "F32", "F16", "BF16"})
"""Types of which each number is a weight; others pack several, or are no weights."""


def check_before_fetching(hub_id: str, options: Options) -> None:
    """Raise :class:`harness.errors.ModelError`, with the numbers, for weights that no memory here
    could hold, before any of them comes down a line.

    A hub that says nothing, or cannot be reached, raises nothing: fetching tells why.
    """
    tensors = _said(hub_id, options.revision)
    if tensors:
        device = resolve_device(options.device, scheme=options.scheme)
        dtype = resolve_dtype(options.dtype, device, tensors)
        require_capacity(options, sum(t.numel for t in tensors), dtype, device)


def _said(hub_id: str, revision: str | None) -> list[Tensor]:
    """One tensor for all numbers of a type; none where the hub counts none, or where several are
    packed in one."""
    from huggingface_hub import HfApi

    try:
        with quiet():
            counted = HfApi().model_info(hub_id, revision=revision).safetensors
    except Exception:  # the hub client raises errors of a dozen libraries
        return []
    sizes = counted.parameters if counted is not None else {}
    if not set(sizes) <= PLAIN:
        return []
    place = Path(hub_id)
    return [Tensor(name=kind, dtype=kind, shape=(n,), file=place) for kind, n in sizes.items()]
