"""How many requests may be under way, and how far apart they are sent: additive increase,
multiplicative decrease.

The limit starts at one and doubles with every round of answers until the first sign of congestion
(a 429, a timeout, a server error), then grows by one a round. A sign halves it, once for all
requests that were sent before the last cut (Chiu and Jain 1989; TCP does the same); once a limit
was found, a 429 takes a quarter only, since what the server allows lies close below (RFC 9438 has
TCP do so). Latency counts too: when a round takes more than twice the best round's time a token,
the limit stays, and more than four times, it shrinks by a fifth: the requests are only queueing.
The best is forgotten slowly, since a server's load changes.

Many servers count requests a second, and refuse of two at once the second. So the first 429 also
has requests sent one by one, as far apart as answers take by the limit. While that is what they
wait for, answers bring them nearer, soon at first, slowly once a 429 told where the rate lies, and
the limit stays. Of several 429 with hardly an answer between them each takes a tenth of the rate;
one alone, which a crowd of others may have caused, takes nothing, and requests are never sent
farther apart than four answers take: else a few percent of 429 at random would stop everything. A
429 with no answer since the last one says that the server is closed for all: nothing is sent for a
time that doubles up to two seconds.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

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
RECENT = 16
"""Answers whose median time counts."""
FASTER, FASTER_LATER = 1 + 1 / 8, 1 + 1 / 200
"""What an answer makes of the rate, before and after the server's was found."""
SLOWER = 0.9
CLOSE = 2
"""Answers between two refusals that have one cause, or fewer."""
FARTHEST = 4
"""The most that two requests are apart, in times of an answer."""
FIRST_CLOSED, MOST_CLOSED = 0.1, 2.0
"""Seconds."""


class Pace:
    """The limit of one server; belongs to one event loop.

    A request is *admitted* from its first attempt to its end, and *flies* while an attempt is
    under way, so that requests waiting for a retry keep new ones out. ``limit`` is how many may
    fly, ``gap`` the seconds between two of them.
    """

    def __init__(self, most: int, *, start: float = 1.0, gap: float = 0.0) -> None:
        """Never more than ``most`` at once; ``start`` and ``gap`` are what was found earlier."""
        self._most = float(most)
        self.limit = min(max(1.0, start), self._most)
        self.gap = gap
        self._threshold = self._most
        self._admitted = 0
        self._flying = 0
        self._cut_at = float("-inf")
        self._resume_at = float("-inf")
        self._next_at = float("-inf")
        self._changed = asyncio.Event()
        self._over = asyncio.Event()
        self._round: list[float] = []
        self._round_size = LEAST_ROUND
        self._best: float | None = None
        self._crowded = False
        self._faster = FASTER_LATER if gap else FASTER
        self._spaced = False
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._answers = 0
        self._closed = 0

    @asynccontextmanager
    async def admission(self) -> AsyncIterator[None]:
        """A place for one request, taken as soon as there is one."""
        while self._admitted >= int(self.limit) and not self._over.is_set():
            await self._wait()
        self._admitted += 1
        try:
            yield
        finally:
            self._admitted -= 1
            self._changed.set()

    @asynccontextmanager
    async def flight(self) -> AsyncIterator[None]:
        """A place for one attempt; not while the server asks to be left alone, nor too soon after
        the last one."""
        while not self._over.is_set():
            now = time.monotonic()
            if now < self._resume_at:
                await self.rest(self._resume_at - now)
            elif self._flying >= int(self.limit):
                self._spaced = False
                await self._wait()
            elif now < self._next_at:
                self._spaced = True
                await self.rest(self._next_at - now)
            else:
                break
        self._flying += 1
        self._next_at = time.monotonic() + self.gap
        try:
            yield
        finally:
            self._flying -= 1
            self._changed.set()

    def succeeded(self, seconds: float, tokens: int) -> None:
        """An answer of ``tokens`` tokens came after ``seconds``."""
        self._recent.append(seconds)
        self._answers += 1
        if self._spaced:
            self.gap /= self._faster
        self._round.append(seconds / (tokens + OVERHEAD_TOKENS))
        if len(self._round) >= self._round_size:
            self._judge()
        if not self._crowded:
            step = 1.0 if self.limit < self._threshold else 1.0 / max(self.limit, LEAST_ROUND)
            self.limit = min(self._most, self.limit + step)
            self._changed.set()

    def congested(self, sent_at: float, *, refused: bool = False) -> None:
        """An attempt sent at ``sent_at`` (monotonic seconds) met congestion; ``refused``: a 429."""
        if sent_at < self._cut_at:
            return
        self._cut_at = time.monotonic()
        if refused and self._spread():
            return
        found = self._threshold < self._most
        share = AFTER_REFUSAL if refused and found else AFTER_FAILURE
        self.limit = max(1.0, min(self.limit - 1.0, self.limit * share))
        self._threshold = self.limit

    def _spread(self) -> bool:
        """After a refusal: send further apart, or not at all; whether that is what it asks for."""
        answers, self._answers = self._answers, 0
        if not answers:
            self.pause(min(MOST_CLOSED, FIRST_CLOSED * 2.0**self._closed))
            self._closed = min(self._closed + 1, 30)
            return False
        self._closed = 0
        usual = statistics.median(self._recent)
        if not self.gap:
            self.gap = usual / int(self.limit)
        elif self._spaced and self.gap < FARTHEST * usual:
            if answers <= CLOSE or self._faster == FASTER:
                self.gap = min(self.gap / SLOWER, FARTHEST * usual)
            self._faster = FASTER_LATER
            return True
        return False

    def pause(self, seconds: float) -> None:
        """Send nothing for so long."""
        self._resume_at = max(self._resume_at, time.monotonic() + seconds)

    async def rest(self, seconds: float) -> None:
        """Wait so long, unless the asking ends before."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()

    def end(self) -> None:
        """The asking is over: whoever waits may go."""
        self._over.set()
        self._changed.set()

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
