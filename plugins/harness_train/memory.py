"""Memory that a training may take."""

from __future__ import annotations

import contextlib
import os

from harness_hf.memory import free_bytes


def available_bytes(device: str) -> int | None:
    """Bytes that ``device`` has free, within the limit of a container.

    Where the system does not say what is free, all that the machine has; else None.
    """
    free = free_bytes(device)
    if free is None and not device.startswith("cuda"):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            return int(os.sysconf("SC_PHYS_PAGES")) * int(os.sysconf("SC_PAGE_SIZE"))
    return free
