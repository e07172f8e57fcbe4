"""Weights of well-known decoders read straight from their files, without transformers.

Importing transformers and the classes of a model takes longer than evaluating a small one, and
more memory. So where configuration and files are exactly those of a plain architecture
(:mod:`harness_hf.plans`), its lean pass is put together from the files; anything else, and what
is wrong with a checkpoint, is transformers' to load and to explain.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import torch

from harness_hf.batching import LOG
from harness_hf.building import put_together
from harness_hf.checkpoint import own_generation
from harness_hf.plans import plan_of
from harness_hf.probe import LENGTHS, agreeing_lean
from harness_hf.products import Linear

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness_hf.checkpoint import Checkpoint, Tensor
    from harness_hf.described import Described
    from harness_hf.lean import LeanNetwork
    from harness_hf.parts import Decoder
    from harness_hf.plans import Plan

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
LEFTOVERS = (".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq")
"""Masks and frequencies that old GPT-NeoX checkpoints hold; they are computed."""
HEADS = ("lm_head", "embed_out")


def read_lean(described: Described) -> LeanNetwork | None:
    """The lean pass over the weights of ``described``, ``None`` where transformers is to load them.

    What it says is compared with itself, one row at a time and together, not with transformers.
    """
    options, checkpoint, most = described.options, described.checkpoint, described.context
    asked = options.scheme != "hf" or options.attention or options.trust_remote_code
    if asked or most is None or not checkpoint.is_safetensors or sys.byteorder != "little":
        return None
    plan = plan_of(checkpoint.config)
    if plan is None:
        return None
    there = {t.name: t for t in described.tensors if not t.name.endswith(LEFTOVERS)}
    if not _is_whole(plan, there) or (plan.window or most) < most:
        return None
    device, dtype = torch.device(described.device), getattr(torch, described.dtype)
    weights = _FileWeights(there, device, dtype)

    def read() -> Decoder:
        turn = plan.rotations(max(most, *LENGTHS), device, dtype)  # enough to try it, too
        return put_together(weights, plan.architecture, plan.shape, turn)

    try:
        network = agreeing_lean(read, device)
    except (RuntimeError, MemoryError, OSError) as error:
        LOG.info("%s: not read straight: %s", options.source, str(error).split("\n")[0])
        return None
    return network


def read_ends(checkpoint: Checkpoint) -> tuple[int, ...] | None:
    """What the settings of generation call the end of a text, as transformers reads them: from
    their own file, else from the configuration; ``None`` where that is for transformers to say."""
    own = own_generation(checkpoint)
    if own is None and "eos_token_id" not in checkpoint.config:
        return None  # the architecture's default
    settings = checkpoint.config if own is None else own
    value = settings.get("eos_token_id")
    found = value if isinstance(value, list) else [] if value is None else [value]
    return tuple(found) if all(type(one) is int for one in found) else None


def _is_whole(plan: Plan, there: Mapping[str, Tensor]) -> bool:
    """Whether the files hold what is expected, no more (as a learnt prefix would be), in number
    types that are read here."""
    shapes = {name: tensor.shape for name, tensor in there.items()}
    return shapes == plan.tensors and all(t.dtype in DTYPES for t in there.values())


class _FileWeights:
    """Tensors of safetensors files, each read when it is asked for."""

    def __init__(
        self, tensors: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype
    ) -> None:
        self._tensors = tensors
        self._device = device
        self._dtype = dtype

    def tensor(self, name: str) -> torch.Tensor | None:
        """See :meth:`harness_hf.building.Weights.tensor`."""
        return self._read(name) if name in self._tensors else None

    def linear(self, *names: str) -> Linear:
        """See :meth:`harness_hf.building.Weights.linear`."""
        weights = [self._read(f"{name}.weight") for name in names]
        biases = [self._read(f"{n}.bias") for n in names if f"{n}.bias" in self._tensors]
        bias = _stacked(biases) if biases else None
        return Linear(weight=_stacked(weights), bias=bias)

    def head(self) -> Linear | None:
        """See :meth:`harness_hf.building.Weights.head`."""
        name = next((name for name in HEADS if f"{name}.weight" in self._tensors), None)
        return None if name is None else self.linear(name)

    def _read(self, name: str) -> torch.Tensor:
        """One tensor. Raises OSError where the file ends before it does."""
        tensor = self._tensors[name]
        found = torch.empty(tensor.shape, dtype=DTYPES[tensor.dtype])
        with tensor.file.open("rb") as file:
            file.seek(tensor.begin)
            if file.readinto(found.view(torch.uint8).numpy().data) != tensor.end - tensor.begin:
                raise OSError(f"{tensor.file} was cut short")
        return found.to(device=self._device, dtype=self._dtype)


def _stacked(parts: list[torch.Tensor]) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
