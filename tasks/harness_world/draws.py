"""Draws that come out the same on every Python version.

Only ``random.Random.random`` is promised to keep its sequence from one version to the next, so
choice, shuffle and weighted choice are built on it here, with whole-number weights.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Generic, TypeVar

T = TypeVar("T")


class Draws:
    """A seeded source of choices."""

    def __init__(self, seed: int) -> None:
        """Start the sequence of ``seed``."""
        self.unit = random.Random(seed).random

    def below(self, count: int) -> int:
        """A whole number from 0 to ``count - 1``."""
        return int(self.unit() * count)

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.unit() < probability

    def choice(self, items: Sequence[T]) -> T:
        """One of the items, each as likely."""
        return items[int(self.unit() * len(items))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in random order (Fisher and Yates)."""
        result = list(items)
        for last in range(len(result) - 1, 0, -1):
            other = self.below(last + 1)
            result[last], result[other] = result[other], result[last]
        return result


class Weighted(Generic[T]):
    """Items with whole-number weights, to draw from."""

    def __init__(self, items: Sequence[T], weights: Sequence[int]) -> None:
        """Item and weight at the same position belong together."""
        self.items = tuple(items)
        self._edges = list(accumulate(weights))
        self._total = self._edges[-1]

    def draw(self, draws: Draws) -> T:
        """One item, as likely as its share of the weights."""
        return self.items[bisect_right(self._edges, int(draws.unit() * self._total))]


def zipf(items: Sequence[T], *, shift: float = 2.0, exponent: float = 1.4) -> Weighted[T]:
    """Items weighted by rank after Zipf and Mandelbrot: (rank + shift) ** -exponent."""
    scale = 10**9  # rounded, so that a last-digit difference between maths libraries is harmless
    weights = [round(scale * (rank + shift) ** -exponent) for rank in range(len(items))]
    return Weighted(items, weights)
