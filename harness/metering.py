"""What answers cost: time, tokens, memory, energy, measured around a model while it answers."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.types import Efficiency, Model, Response, Usage

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

STATUS = Path("/proc/self/status")
"""Linux: what a process uses, its largest resident memory among it."""


class Meter:
    """Runs from the first request of a cell to its last answer."""

    def __init__(self, model: Model) -> None:
        """Start the clock."""
        self._model = model
        self._before = _usage(model)
        self._started = time.monotonic()
        self._first: float | None = None
        self._requests = 0
        self._prompt_tokens: int | None = None
        self._tokens: int | None = None

    def note(self, response: Response) -> None:
        """Count one answer."""
        if self._first is None:
            self._first = time.monotonic() - self._started
        self._requests += 1
        self._prompt_tokens = _sum(self._prompt_tokens, response.prompt_tokens)
        self._tokens = _sum(self._tokens, response.tokens)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count what happens inside."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._started += time.monotonic() - began

    def read(self) -> Efficiency | None:
        """What the answers so far have cost; None when nothing was asked."""
        if not self._requests:
            return None
        after = _usage(self._model)
        loading = _difference(self._before.load_seconds, after.load_seconds)
        return Efficiency(
            requests=self._requests,
            seconds=max(0.0, time.monotonic() - self._started - (loading or 0.0)),
            load_seconds=loading,
            first_answer_seconds=max(0.0, (self._first or 0.0) - (loading or 0.0)),
            prompt_tokens=self._prompt_tokens,
            tokens=self._tokens,
            peak_host_bytes=_peak_host_bytes(),
            peak_device_bytes=after.peak_device_bytes,
            energy_joules=_difference(self._before.energy_joules, after.energy_joules),
            device=after.device,
            cost=_difference(self._before.cost, after.cost),
        )


def _usage(model: Model) -> Usage:
    usage = getattr(model, "usage", None)
    return usage if isinstance(usage, Usage) else Usage()


def _sum(total: int | None, more: int | None) -> int | None:
    return total if more is None else (total or 0) + more


def _difference(before: float | None, after: float | None) -> float | None:
    return None if after is None else after - (before or 0.0)


def _peak_host_bytes() -> int | None:
    with suppress(OSError, ValueError):
        # getrusage also counts what the process held that started this one
        for line in STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
