"""What a loaded model spends on its device: load time, peak memory, energy.

Energy is read from NVML where it is there; nothing is ever set. NVML comes with the driver, its
Python binding with the extra ``energy`` (nvidia-ml-py). The counter is the GPU's own: it counts the
whole GPU, whoever uses it, and GPUs before Volta have none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from harness.types import Usage

MILLI = 1e-3


class Spending:
    """The spendings of one model on ``device``, such as ``cpu`` or ``cuda:1``."""

    def __init__(self, device: str) -> None:
        """Nothing is loaded yet."""
        self._device = device
        self._name: str | None = None
        self._load_seconds: float | None = None
        self._joules: Callable[[], float | None] | None = None
        self._held = 0

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Time the loading; peak memory counts from its beginning, energy from its end."""
        on_gpu = self._device.startswith("cuda")
        if on_gpu:
            import torch

            torch.cuda.reset_peak_memory_stats(self._device)
        started = time.monotonic()
        yield
        self._load_seconds = (self._load_seconds or 0.0) + time.monotonic() - started
        self._name = self._device
        if on_gpu:
            self._name = str(torch.cuda.get_device_name(self._device))
            properties = torch.cuda.get_device_properties(self._device)
            uuid = f"GPU-{getattr(properties, 'uuid', '')}"
            self._joules = self._joules or energy_counter(uuid)

    def usage(self) -> Usage:
        """The totals so far; all unknown before anything is loaded."""
        if self._name is None:
            return Usage()
        return Usage(
            load_seconds=self._load_seconds,
            peak_device_bytes=self._peak_bytes(),
            energy_joules=None if self._joules is None else self._joules(),
            device=self._name,
        )

    def _peak_bytes(self) -> int | None:
        """The most that was allocated. MPS tells no peak: what its driver held at any reading,
        with the blocks that it keeps for reuse."""
        if self._device == "cpu":
            return None
        import torch

        if self._device == "mps":
            self._held = max(self._held, int(torch.mps.driver_allocated_memory()))
            return self._held
        return int(torch.cuda.max_memory_allocated(self._device))


def energy_counter(uuid: str) -> Callable[[], float | None] | None:
    """A function that tells the joules drawn by the GPU since now, or None: nobody can tell.

    ``uuid`` is NVML's name of the GPU, such as ``GPU-5f2c...``.
    """
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        begin = pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError:
        return None

    def joules() -> float | None:
        with suppress(pynvml.NVMLError):
            now = pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
            return drawn(begin, now)
        return None

    return joules


def drawn(begin: int, now: int) -> float | None:
    """Joules between two readings in millijoules; None where the counter began anew."""
    return (now - begin) * MILLI if now >= begin else None
