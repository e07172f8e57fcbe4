"""What a device can do at best, and the least time that a work takes by it (a roofline).

Arithmetic: 2 x parameters of the layers' matrices x tokens that must be read or written once, over
the rate of one large product in the same dtype. Memory: the bytes that must be read, over the rate
of a large map or sum, whichever moves more. Either is a bound; the larger one is the floor
(Williams, Waterman & Patterson 2009). The head is left out of the arithmetic.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from meter import now
from shapes import Shape
from works import Work

from harness.types import Generate

PRODUCT = {"cpu": 1024, "cuda": 8192, "mps": 4096}
"""Rows and columns of the product, so that starting it costs nothing beside it."""
BUFFER = {"cpu": 1 << 28, "cuda": 1 << 30, "mps": 1 << 29}
"""Bytes of what is read, beyond any cache."""
ROUNDS = 8


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What was measured: operations and bytes a second."""

    operations: float
    moved: float

    def __str__(self) -> str:
        return f"{self.operations / 1e9:,.0f} GFLOP/s, {self.moved / 1e9:,.1f} GB/s"


@dataclass(frozen=True, kw_only=True)
class Floor:
    """The least seconds, and which of the two bounds gives them."""

    seconds: float
    bound: str


def matrix_rate(device: str, dtype: str, side: int | None = None) -> float:
    """Floating-point operations per second of a large product."""
    side = side or PRODUCT[torch.device(device).type]
    a, b = (torch.randn(side, side).to(device, getattr(torch, dtype)) for _ in range(2))
    took = 0.0
    for _ in range(2):  # a GPU's clock has to rise first
        began = now(device)
        for _ in range(ROUNDS):
            torch.mm(a, b)
        took = now(device) - began
    return ROUNDS * 2 * side**3 / took


def memory_rate(device: str, size: int | None = None) -> float:
    """Bytes per second: read and written number by number, or read for their sum."""
    size = size or BUFFER[torch.device(device).type]
    source = torch.zeros(size // 4).to(device)
    target = torch.empty_like(source)
    best = 0.0
    for moved, work in (
        (2 * size, lambda: torch.neg(source, out=target)),
        (size, lambda: torch.sum(source)),
    ):
        work()
        for _ in range(ROUNDS):
            began = now(device)
            work()
            best = max(best, moved / (now(device) - began))
    return best


def measured_rates(device: str, dtype: str) -> Rates:
    return Rates(operations=matrix_rate(device, dtype), moved=memory_rate(device))


def distinct_tokens(work: Work) -> tuple[int, int]:
    """Words that a perfect evaluation reads once, prefixes of the prompts' tree, and writes."""
    nodes: set[tuple[str, ...]] = set()
    written = 0
    for request in work.requests:
        if isinstance(request, Generate):
            text, written = request.prompt, written + request.max_tokens
        else:
            text = request.context + request.continuation
        words = text.replace("\n", " \n ").split(" ")
        nodes.update(tuple(words[:end]) for end in range(1, len(words) + 1))
    return len(nodes), written


def bytes_read(work: Work, shape: Shape, itemsize: int) -> int:
    """Weights once, and again at every step of generation with all keys and values before it.

    All rows are continued together, and a common beginning's keys and values are read once for all
    of them: what any other way of batching reads is more.
    """
    weights = shape.matrices + shape.head
    lengths = Counter(r.max_tokens for r in work.requests if isinstance(r, Generate))
    nodes, _ = distinct_tokens(work)
    numbers = weights
    for step in range(1, max(lengths, default=0)):  # the first token comes from the reading
        rows = sum(many for most, many in lengths.items() if most > step)
        numbers += weights + (nodes + rows * step) * shape.kept
    return numbers * itemsize


def floor(work: Work, shape: Shape, itemsize: int, rates: Rates) -> Floor:
    """The larger bound."""
    arithmetic = 2 * shape.matrices * sum(distinct_tokens(work)) / rates.operations
    memory = bytes_read(work, shape, itemsize) / rates.moved
    if arithmetic >= memory:
        return Floor(seconds=arithmetic, bound="arithmetic")
    return Floor(seconds=memory, bound="memory")
