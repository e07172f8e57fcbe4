"""Whether a model's weights fit, before they are loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import ModelError

if TYPE_CHECKING:
    from harness_hf.described import Described
    from harness_hf.options import Options

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
CGROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")
SURELY = 1 << 30
"""Bytes that any machine has; fewer are not worth asking a GPU for its size, which loads torch."""


def check_memory(described: Described) -> None:
    """Raise :class:`harness.errors.ModelError`, with the numbers, for weights that cannot fit.

    Only the weights count: what is computed with them is kept within what is left.
    """
    numbers = sum(t.numel for t in described.tensors)
    free = free_bytes(described.device)
    _require(described.options, numbers, described.dtype, described.device, free, "free")


def check_capacity(described: Described) -> None:
    """Raise the same for weights that could not fit if nothing else were there.

    For before the files are read at all: a digest of more than a memory holds takes minutes.
    """
    numbers = sum(t.numel for t in described.tensors)
    require_capacity(described.options, numbers, described.dtype, described.device)


def require_capacity(options: Options, numbers: int, dtype: str, device: str) -> None:
    """Raise :class:`harness.errors.ModelError` where ``device`` never holds so many ``numbers``."""
    if numbers * BYTES[dtype] > SURELY:
        _require(options, numbers, dtype, device, whole_bytes(device), "in all")


def _require(
    options: Options, numbers: int, dtype: str, device: str, free: int | None, which: str
) -> None:
    needed = numbers * BYTES[dtype]
    if free is None or needed <= free:
        return
    half = numbers * BYTES["bfloat16"]
    smaller = f"dtype=bfloat16 ({_size(half)}), " if half <= free and half < needed else ""
    raise ModelError(
        f"{options.scheme}: the weights of {options.source} take {_size(needed)} in {dtype} "
        f"({numbers:,} numbers), and {device} has {_size(free)} {which}.\n"
        f"Use {smaller}another device or a smaller model."
    )


def free_bytes(device: str) -> int | None:
    """How much memory ``device`` has left; ``None`` where that cannot be told."""
    if device.startswith("cuda"):
        import torch

        # blocks that torch keeps for itself between uses are free, too
        spare = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0] + spare)
    if device == "mps":
        import torch

        # what Metal advises for one process, less what tensors hold of it
        free = torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
        return max(0, int(free))
    found = [n for n in (_host_bytes("MemAvailable:"), _cgroup_bytes()) if n is not None]
    return min(found, default=None)


def whole_bytes(device: str) -> int | None:
    """How much memory ``device`` has, used or not; ``None`` where that cannot be told."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.get_device_properties(device).total_memory)
    if device == "mps":
        import torch

        return int(torch.mps.recommended_max_memory())
    found = [n for n in (_host_bytes("MemTotal:"), _cgroup_limit()) if n is not None]
    return min(found, default=None)


def _host_bytes(field: str) -> int | None:
    try:
        lines = MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:  # not on Linux
        return None
    words = next((line.split() for line in lines if line.startswith(field)), None)
    return int(words[1]) * 1024 if words else None


def _cgroup_bytes() -> int | None:
    """What a container may still take; file pages that can be given back count as free."""
    limit = _cgroup_limit()
    if limit is None:
        return None
    try:
        used = int((CGROUP / "memory.current").read_text(encoding="ascii"))
        stat = (CGROUP / "memory.stat").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return None
    cached = next((int(line.split()[1]) for line in stat if line.startswith("inactive_file ")), 0)
    return max(0, limit - used + cached)


def _cgroup_limit() -> int | None:
    try:
        limit = (CGROUP / "memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(limit) if limit.isdecimal() else None


def _size(number: int) -> str:
    return f"{number / 1e9:,.1f} GB" if number >= 1e8 else f"{number / 1e6:,.1f} MB"
