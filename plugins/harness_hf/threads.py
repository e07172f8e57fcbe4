"""What Python and PyTorch do beside the model's work: threads, and the search for garbage."""

from __future__ import annotations

import gc
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

SPINS = 5_000
"""How often a thread of PyTorch's looks for work before it sleeps, by GNU's OpenMP, which looks
300,000 times: on a CPU that others use it then keeps the very thread that it waits for from
running. Ten million parameters take 3 % longer for it on two idle cores, and a half to a fifth of
the time beside two busy programs."""

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL = 3_000_000
"""Parameters below which handing work to a second thread costs more than it saves."""


def wait_briefly() -> None:
    """Let threads sleep soon; only before PyTorch is imported, and unless the user says."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))


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
