"""What Python and PyTorch do beside the model's work: threads, and the search for garbage."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL = 3_000_000
"""Parameters below which handing work to a second thread costs more than it saves."""


@contextmanager
def threads_for(parameters: int | None, device: str) -> Iterator[None]:
    """Compute a small model on a CPU with one thread, and give the others back afterwards."""
    if device != "cpu" or parameters is None or parameters >= SMALL:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for no garbage in rings inside: of the million objects that importing transformers
    makes hardly one is, and going through them again and again takes a sixth of its time."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
