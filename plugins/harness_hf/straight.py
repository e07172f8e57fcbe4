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
from harness_hf.checkpoint import LEFTOVERS, own_generation
from harness_hf.counts import same_bytes
from harness_hf.plans import plan_of
from harness_hf.probe import LENGTHS, agreeing_lean
from harness_hf.products import Linear

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from harness_hf.checkpoint import Checkpoint, Tensor
    from harness_hf.described import Described
    from harness_hf.lean import LeanNetwork
    from harness_hf.parts import Decoder
    from harness_hf.planning import Plan

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
HEADS = ("lm_head", "embed_out")
HEAD_NAMES = {f"{name}.weight" for name in HEADS}
TIED = "lm_head.weight"
"""A head that may be there besides the embeddings, and be the same."""


def read_lean(described: Described) -> LeanNetwork | None:
    """The lean pass over the weights of ``described``, ``None`` where transformers is to load them.

    What it says is compared with itself, one row at a time and together, not with transformers.
    """
    options, checkpoint, most = described.options, described.checkpoint, described.context
    asked = options.scheme != "hf" or options.attention or options.trust_remote_code
    if asked or most is None or sys.byteorder != "little":
        return None
    plan = plan_of(checkpoint.config)
    if plan is None:
        return None
    there = _under_names(plan, described.tensors)
    if not _is_whole(plan, there) or (plan.window or most) < most:
        return None
    if plan.places is not None and plan.places < max(LENGTHS):  # too few to try it
        return None
    device, dtype = torch.device(described.device), getattr(torch, described.dtype)

    def read() -> Decoder:
        weights = _FileWeights(there, device, dtype, sideways=plan.architecture.sideways)
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


def _under_names(plan: Plan, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    """The ``tensors`` that are weights by the names that ``plan`` gives them.

    Files of the body alone, such as those of GPT-2 and OPT on the hub, leave the first part of the
    names out. A head is left out that repeats the embeddings, to which it is tied.
    """
    kept = [t for t in tensors if not t.name.endswith(LEFTOVERS)]
    embedding = f"{plan.architecture.embedding}.weight"
    first = embedding.split(".")[0] + "."
    bare = not any(t.name.startswith(first) for t in kept)
    there = {first * (bare and t.name not in HEAD_NAMES) + t.name: t for t in kept}
    tied = embedding in there and TIED in there and TIED not in plan.tensors
    if len(there) == len(kept) and tied and same_bytes(there[TIED], there[embedding]):
        del there[TIED]
    return there


def _is_whole(plan: Plan, there: Mapping[str, Tensor]) -> bool:
    """Whether the files hold what is expected, no more (as a learnt prefix would be), in number
    types that are read here."""
    shapes = {name: tensor.shape for name, tensor in there.items()}
    return shapes == plan.tensors and all(t.dtype in DTYPES for t in there.values())


class _FileWeights:
    """Tensors of weight files, each read when it is asked for.

    ``sideways``: the matrices of layers are stored the other way around.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        device: torch.device,
        dtype: torch.dtype,
        *,
        sideways: bool,
    ) -> None:
        self._tensors = tensors
        self._device = device
        self._dtype = dtype
        self._sideways = sideways
        self._pickled: dict[Path, Mapping[str, torch.Tensor]] = {}

    def tensor(self, name: str) -> torch.Tensor | None:
        """See :meth:`harness_hf.building.Weights.tensor`."""
        return self._read(name) if name in self._tensors else None

    def linear(self, *names: str) -> Linear:
        """See :meth:`harness_hf.building.Weights.linear`."""
        weights = [self._read(f"{name}.weight") for name in names]
        biases = [self._read(f"{n}.bias") for n in names if f"{n}.bias" in self._tensors]
        bias = _stacked(biases) if biases else None
        weight = _stacked(weights)
        return Linear(weight=weight.t() if self._sideways else weight, bias=bias)

    def head(self) -> Linear | None:
        """See :meth:`harness_hf.building.Weights.head`."""
        name = next((name for name in HEADS if f"{name}.weight" in self._tensors), None)
        return None if name is None else Linear(weight=self._read(f"{name}.weight"), bias=None)

    def _read(self, name: str) -> torch.Tensor:
        """One tensor. Raises OSError where the file ends before it does."""
        tensor = self._tensors[name]
        if tensor.file.suffix != ".safetensors":
            return self._unpickled(tensor).to(device=self._device, dtype=self._dtype, copy=True)
        found = torch.empty(tensor.shape, dtype=DTYPES[tensor.dtype])
        with tensor.file.open("rb") as file:
            file.seek(tensor.begin)
            if file.readinto(found.view(torch.uint8).numpy().data) != tensor.end - tensor.begin:
                raise OSError(f"{tensor.file} was cut short")
        return found.to(device=self._device, dtype=self._dtype)

    def _unpickled(self, tensor: Tensor) -> torch.Tensor:
        """One tensor of a file of PyTorch's, mapped, with only tensors allowed in it."""
        if tensor.file not in self._pickled:
            state = torch.load(tensor.file, map_location="cpu", weights_only=True, mmap=True)
            self._pickled[tensor.file] = state
        return self._pickled[tensor.file][tensor.name]


def _stacked(parts: list[torch.Tensor]) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
