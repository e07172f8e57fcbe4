"""Which rows are computed together."""

from __future__ import annotations

import gc
import logging
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

LOG = logging.getLogger("harness.hf")
CPU_TOKENS = 1024
"""Tokens that a batch on a CPU has: what passes from layer to layer stays in its caches. Twice as
many took 6 % more time at a million parameters, as much at more, and 45 MB more at ten million."""
CPU_ROWS = 64
CPU_PADDING = 64
"""Tokens of padding that a batch on a CPU may have: about what beginning another one costs a model
of a million parameters."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def batches(
    items: Sequence[Item],
    *,
    width: Callable[[Item], int],
    rows: int | None,
    tokens: int,
    padding: int | None = None,
) -> Iterator[list[Item]]:
    """Group ``items``, which are sorted longest first, for padding to a common width.

    With ``rows`` each batch has that many; without, as many as keep rows times width within
    ``tokens``, and what is added to the shorter ones within ``padding`` (at least one).
    """
    batch: list[Item] = []
    padded = 0
    for item in items:
        widest = width(batch[0]) if batch else width(item)
        padded += widest - width(item)
        full = len(batch) >= rows if rows else (len(batch) + 1) * widest > tokens
        wasteful = not rows and padding is not None and padded > padding
        if batch and (full or wasteful):
            yield batch
            batch, padded = [], 0
        batch.append(item)
    if batch:
        yield batch


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that a device or the host has no memory left."""
    import torch

    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    # CUDA and MPS; PyTorch's allocator for CPUs, in two wordings; cuBLAS; oneDNN; MPS for one
    # tensor beyond what it ever gives
    words = (
        *("out of memory", "can't allocate memory", "not enough memory", "alloc_failed"),
        *("could not create a memory", "invalid buffer size"),
    )
    return isinstance(error, RuntimeError) and any(w in str(error).lower() for w in words)


def reason_of(error: BaseException) -> str:
    """The first line of what ``error`` says; its kind where it says nothing, as Python's own
    MemoryError does."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def free_memory() -> None:
    """Give cached blocks back to the device after a failed allocation."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def split_on_out_of_memory(
    batch: list[Item], compute: Callable[[list[Item]], Result]
) -> Iterator[tuple[list[Item], Result | None]]:
    """Compute ``batch``, in halves where memory does not suffice.

    Yields the parts with their results; ``None`` for a single item that does not fit alone.
    """
    try:
        result = compute(batch)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        reason = reason_of(error)
    else:
        yield batch, result
        return
    free_memory()
    if len(batch) == 1:
        LOG.warning("Out of memory with a single row: %s", reason)
        yield batch, None
        return
    half = (len(batch) + 1) // 2
    LOG.warning("Out of memory with %d rows, going on with %d: %s", len(batch), half, reason)
    for part in (batch[:half], batch[half:]):
        yield from split_on_out_of_memory(part, compute)
