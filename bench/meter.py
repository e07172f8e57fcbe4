"""Seconds and memory on a device.

On the CPU the seconds are the process's own, since other work may share the machine; elsewhere
they are of the wall clock, read when the device has done all that it was given. Torch only, so that
either side's environment can import it.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import torch


def now(device: str) -> float:
    """A reading of the device's clock in seconds; only differences mean something."""
    kind = torch.device(device).type
    if kind == "cpu":
        return time.process_time()
    if kind == "cuda":
        torch.cuda.synchronize(device)
    else:
        torch.mps.synchronize()
    return time.perf_counter()


class Meter:
    """Times one work after another, with the memory that each takes above the loaded model."""

    def __init__(self, device: str, weights: int) -> None:
        """``weights``: bytes of the model's weights on the device."""
        self.device, self.weights = device, weights
        self.kind = torch.device(device).type
        self._began, self._before = 0.0, None

    def start(self) -> None:
        """Forget the peak so far, and begin."""
        if self.kind == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        if self.kind == "cpu":
            with contextlib.suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
            self._before = _status("VmRSS")
        self._began = now(self.device)

    def stop(self) -> tuple[float, int | None]:
        """Seconds since the start, and bytes above the model at the peak.

        On the CPU these are resident bytes above those before (Linux alone), on CUDA what torch
        allocated less the weights. Of MPS torch tells no peak: None.
        """
        seconds = now(self.device) - self._began
        if self.kind == "cuda":
            return seconds, max(0, torch.cuda.max_memory_allocated(self.device) - self.weights)
        peak = _status("VmHWM") if self.kind == "cpu" else None
        if self._before is None or peak is None:
            return seconds, None
        return seconds, max(0, peak - self._before)


def _status(field: str) -> int | None:
    """A figure of /proc/self/status in bytes; None where there is no such file."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(s.split()[1]) * 1024 for s in lines if s.startswith(field + ":")), None)


def free_cache(device: str) -> None:
    """Give back what the allocator holds, when memory has run out."""
    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.empty_cache()
    elif kind == "mps":
        torch.mps.empty_cache()
