"""Where a model computes, and in which type of numbers."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness_hf.checkpoint import Tensor

AMPERE = 8
"""NVIDIA's compute capability from which bfloat16 is computed; before, it is emulated slowly."""


def resolve_device(asked: str, *, scheme: str = "hf") -> str:
    """Return ``cuda:0``, ``mps`` or ``cpu`` for ``auto``, else ``asked`` if it is there.

    torch is imported only where the machine may have such a device. Raises
    :class:`harness.errors.UsageError` for a device that is not there, in the name of ``scheme``.
    """
    if asked == "cpu" or (asked == "auto" and not _may_have_accelerator()):
        return "cpu"
    import torch

    if asked in ("auto", "cuda") and torch.cuda.is_available():
        return "cuda:0"
    if asked in ("auto", "mps") and torch.backends.mps.is_available():
        return "mps"
    if asked == "auto":
        return "cpu"
    if asked.startswith("cuda:"):
        number = int(asked.removeprefix("cuda:"))
        there = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if number < there:
            return asked
        raise UsageError(
            f"{scheme}: {asked} asked for, but torch sees {there} CUDA devices. Use cpu."
        )
    built = " (it is built without CUDA)" if asked == "cuda" and not torch.version.cuda else ""
    raise UsageError(
        f"{scheme}: device {asked} asked for, but torch {torch.__version__} finds none{built}.\n"
        "Use device=cpu, or install a torch that supports this machine's device."
    )


def _may_have_accelerator() -> bool:
    """Whether it is worth importing torch (a second) to look for a GPU."""
    if sys.platform == "darwin":
        return True
    try:
        if importlib.metadata.version("torch").endswith("+cpu"):
            return False
    except importlib.metadata.PackageNotFoundError:
        return False
    signs = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
    return sys.platform != "linux" or any(Path(sign).exists() for sign in signs)


def resolve_dtype(asked: str, device: str, tensors: Sequence[Tensor]) -> str:
    """Return the number type to compute in.

    ``auto`` is bfloat16 on a GPU that computes in it. An older one takes float16 for weights that
    are stored so, else float32: what was trained in a wider range may overflow float16. A CPU
    computes in float32, and so does MPS, where half precision has been wrong in silence
    (PyTorch issues 174861 and 195910).
    """
    if asked != "auto":
        return asked
    if not device.startswith("cuda"):
        return "float32"
    if has_bfloat16(device):
        return "bfloat16"
    sizes: dict[str, int] = {}
    for tensor in tensors:
        sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + tensor.numel
    most = max(sizes, key=lambda dtype: sizes[dtype], default="F32")
    return "float16" if most == "F16" else "float32"


def has_bfloat16(device: str) -> bool:
    """Whether the GPU ``device`` computes in bfloat16 rather than imitating it."""
    import torch

    return bool(torch.version.hip) or torch.cuda.get_device_capability(device)[0] >= AMPERE
