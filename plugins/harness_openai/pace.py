"""How many requests may be under way: additive increase, multiplicative decrease.

The limit starts at one and doubles with every round of answers until the first sign of congestion
(a 429, a timeout, a server error), then grows by one a round. A sign halves it, once for all
requests that were sent before the last cut (Chiu and Jain 1989; TCP does the same); once a limit
was found, a 429 takes a quarter only, since what the server allows lies close below (RFC 9438 has
TCP do so). Latency counts too: when a round takes more than twice the best round's time a token,
the limit stays, and more than four times, it shrinks by a fifth: the requests are only queueing.
The best is forgotten slowly, since a server's load changes.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CROWDED = 2.0
OVERFULL = 4.0
AFTER_FAILURE = 0.5
AFTER_REFUSAL = 0.75
SHRINK = 0.8
FORGET = 1.05
"""How much slower the best round is taken to be after each round."""
LEAST_ROUND = 4
OVERHEAD_TOKENS = 16
"""What a request costs beside its answer, in tokens; keeps short answers comparable."""


class Pace:
    """The limit of one server; belongs to one event loop.

    A request is *admitted* from its first attempt to its end, and *flies* while an attempt is
    under way, so that requests waiting for a retry keep new ones out.
    """

    def __init__(self, most: int, *, start: float = 1.0) -> None:
        """Never more than ``most`` at once; ``start`` is a limit found earlier."""
        self._most = float(most)
        self.limit = min(max(1.0, start), self._most)
        self._threshold = self._most
        self._admitted = 0
        self._flying = 0
        self._cut_at = float("-inf")
        self._resume_at = float("-inf")
        self._changed = asyncio.Event()
        self._round: list[float] = []
        self._round_size = LEAST_ROUND
        self._best: float | None = None
        self._crowded = False

    @asynccontextmanager
    async def admission(self) -> AsyncIterator[None]:
        """A place for one request, taken as soon as there is one."""
        while self._admitted >= int(self.limit):
            await self._wait()
        self._admitted += 1
        try:
            yield
        finally:
            self._admitted -= 1
            self._changed.set()

    @asynccontextmanager
    async def flight(self) -> AsyncIterator[None]:
        """A place for one attempt; not while the server asks to be left alone."""
        while True:
            pause = self._resume_at - time.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
            elif self._flying >= int(self.limit):
                await self._wait()
            else:
                break
        self._flying += 1
        try:
            yield
        finally:
            self._flying -= 1
            self._changed.set()

    def succeeded(self, seconds: float, tokens: int) -> None:
        """An answer of ``tokens`` tokens came after ``seconds``."""
        self._round.append(seconds / (tokens + OVERHEAD_TOKENS))
        if len(self._round) >= self._round_size:
            self._judge()
        if not self._crowded:
            step = 1.0 if self.limit < self._threshold else 1.0 / max(self.limit, LEAST_ROUND)
            self.limit = min(self._most, self.limit + step)
            self._changed.set()

    def congested(self, sent_at: float, *, refused: bool = False) -> None:
        """An attempt sent at ``sent_at`` (monotonic seconds) met congestion; ``refused``: a 429."""
        if sent_at >= self._cut_at:
            self._cut_at = time.monotonic()
            found = self._threshold < self._most
            share = AFTER_REFUSAL if refused and found else AFTER_FAILURE
            self.limit = max(1.0, min(self.limit - 1.0, self.limit * share))
            self._threshold = self.limit

    def pause(self, seconds: float) -> None:
        """Send nothing for so long."""
        self._resume_at = max(self._resume_at, time.monotonic() + seconds)

    def _judge(self) -> None:
        """Compare the round just ended with the best one."""
        median = statistics.median(self._round)
        self._round.clear()
        self._round_size = max(LEAST_ROUND, int(self.limit))
        self._best = median if self._best is None else min(self._best * FORGET, median)
        self._crowded = median > CROWDED * self._best
        if median > OVERFULL * self._best:
            self.limit = max(1.0, self.limit * SHRINK)
            self._threshold = min(self._threshold, self.limit)

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()
