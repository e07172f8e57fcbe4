"""What answers cost, and a bound that is never passed.

Before an attempt is sent, the most that it can cost is set aside; afterwards what it did cost is
booked. A prompt has at most as many tokens as bytes (every tokenizer in use has a token for each
byte at worst) plus what the server puts around it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness_openai.options import Endpoint

if TYPE_CHECKING:
    from harness_openai.options import Prices
    from harness_openai.replies import Spent

AROUND: Mapping[Endpoint, int] = MappingProxyType({"chat": 256, "completions": 8})
"""Tokens around a prompt: more than a chat template adds to it, or than special ones there are."""


class Account:
    """The costs of one model; without prices nothing is counted or bounded."""

    def __init__(self, prices: Prices | None) -> None:
        """Nothing is spent yet."""
        self.prices = prices
        self.spent = 0.0
        self.limit: float | None = None
        self.exhausted = False
        self._reserved = 0.0
        self._settled: asyncio.Event | None = None

    def begin(self) -> None:
        """Make ready for the event loop that runs now."""
        self._settled = asyncio.Event()
        self._reserved = 0.0
        self.exhausted = False

    def bound(self, prompt: str, tokens: int, endpoint: Endpoint) -> float:
        """The most that ``prompt`` and an answer of ``tokens`` tokens can cost."""
        if self.prices is None:
            return 0.0
        read = len(prompt.encode("utf-8", errors="replace")) + AROUND[endpoint]
        return (read * self.prices.prompt + tokens * self.prices.generated) / 1e6

    async def reserve(self, bound: float) -> bool:
        """Set ``bound`` aside; False when the limit does not allow it, whatever is given back.

        After the first False every later call gets one: what is left is not spent on the shortest
        questions.
        """
        while self.limit is not None and not self.exhausted:
            if self.spent + self._reserved + bound <= self.limit:
                break
            if self._reserved <= 0.0:
                self.exhausted = True
            elif self._settled is not None:
                self._settled.clear()
                await self._settled.wait()
        if self.exhausted:
            return False
        self._reserved += bound
        return True

    def settle(self, bound: float, cost: float) -> None:
        """Book ``cost`` instead of the ``bound`` that was set aside."""
        self._reserved = max(0.0, self._reserved - bound)
        if self._reserved < 1e-12:  # sums of floats do not come back to zero
            self._reserved = 0.0
        self.spent += cost
        if self._settled is not None:
            self._settled.set()

    def cost(self, spent: Spent, bound: float) -> float:
        """What a reply cost; the bound where it does not say."""
        if self.prices is None or spent.prompt is None or spent.generated is None:
            return bound
        return (spent.prompt * self.prices.prompt + spent.generated * self.prices.generated) / 1e6
