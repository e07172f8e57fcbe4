"""Retries, pace and account around the attempts: every request is asked until it is answered,
cannot be, or the server is beyond hope."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from harness.errors import HarnessError, ModelError
from harness_openai.faults import (
    ForbiddenError,
    GivenUpError,
    RetryableError,
    Setback,
    TooDearError,
    UnanswerableError,
)

if TYPE_CHECKING:
    from harness.types import JSON
    from harness_openai.account import Account
    from harness_openai.options import Options
    from harness_openai.pace import Pace
    from harness_openai.replies import Spent
    from harness_openai.server import Server


class Reply(Protocol):
    """What was read from a reply, and what that cost."""

    @property
    def spent(self) -> Spent:
        """Tokens, as far as the reply says."""
        ...


T = TypeVar("T", bound=Reply)
AnswerT = TypeVar("AnswerT")
ItemT = TypeVar("ItemT")
logger = logging.getLogger("harness_openai")

MOST_BACKOFF = 60.0
FIRST_RETRIES = 2
"""Retries where nothing listens and nothing was answered yet, since the address is probably wrong,
and for those that follow a request that was given up."""
MOST_GIVEN_UP = 3
MOST_ALIVE = 16
"""Requests given up in a row, after which it is the server rather than they; more of them where it
did answer others and still replies, as many fail for all texts that are too long for them."""
HOPELESS = 8
"""Requests that the server refused, and none answered, after which no more are asked."""
WORTH_SAYING = 10.0
"""Seconds of waiting that the user is told of, and between two times that he is."""


class AbandonedError(Exception):
    """Asking was stopped; this request was not answered."""


@dataclass(frozen=True, kw_only=True)
class Call(Generic[T]):
    """One request: its body, the most it can cost, and how its reply is read.

    ``read`` raises RetryableError for a reply that is none, UnanswerableError where the reply says
    that there is no answer.
    """

    body: Mapping[str, JSON]
    bound: float
    read: Callable[[Mapping[str, JSON]], T]


class Talk:
    """All requests to one server during one ``respond``; belongs to one event loop."""

    def __init__(self, server: Server, options: Options, pace: Pace, account: Account) -> None:
        """Nothing is asked yet."""
        self._server = server
        self._options = options
        self._limits = options.limits
        self._pace = pace
        self._account = account
        self._random = random.Random()
        self._answered_at: float | None = None
        self._hopeless = self._given_up = self._forbidden = 0
        self._last = ""
        self._said_at = float("-inf")
        self._end: Exception | None = None

    async def all(
        self, items: list[ItemT], answer: Callable[[ItemT], Awaitable[AnswerT]]
    ) -> AsyncGenerator[AnswerT]:
        """Yield ``answer(item)`` for every item as soon as it is known, in any order.

        Raises the HarnessError that makes all of them pointless, after those under way have
        ended; ``answer`` raises AbandonedError for the others then.
        """
        results: asyncio.Queue[AnswerT | None] = asyncio.Queue()

        async def one(item: ItemT, admitted: asyncio.Event) -> None:
            async with self._pace.admission():
                admitted.set()
                if self._end is not None:
                    return
                try:
                    results.put_nowait(await answer(item))
                except AbandonedError:
                    return
                except Exception as error:
                    self._end = self._end or error
                    self._pace.end()

        async def feed() -> None:
            try:
                async with asyncio.TaskGroup() as group:
                    for item in items:
                        if self._end is not None:
                            break
                        admitted = asyncio.Event()
                        group.create_task(one(item, admitted))
                        await admitted.wait()
            finally:
                results.put_nowait(None)

        feeding = asyncio.create_task(feed())
        try:
            while (result := await results.get()) is not None:
                yield result
            await feeding
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
        if self._end is not None:
            raise self._end

    async def ask(self, call: Call[T]) -> T:
        """The answer to one call, tried again as often as it takes.

        Raises UnanswerableError when this request has none, AbandonedError when asking was stopped,
        HarnessError when every request would fail the same way.
        """
        if self._answered_at is None and self._hopeless >= HOPELESS:
            raise UnanswerableError(
                f"not asked, as {self._hopeless} others had no answer; the last: {self._last}"
            )
        try:
            return await self._persist(call)
        except TooDearError:
            raise
        except ForbiddenError as error:
            self._forbidden += 1
            if self._answered_at is None or self._forbidden >= HOPELESS:
                raise error.everyone from None
            raise
        except UnanswerableError as error:
            self._hopeless += 1
            self._last = str(error)
            raise

    async def _persist(self, call: Call[T]) -> T:
        started = time.monotonic()
        failures = refusals = 0
        while True:
            if self._end is not None:
                raise AbandonedError
            if not await self._account.reserve(call.bound):
                raise TooDearError(self._too_dear())
            try:
                return await self._attempt(call, again=failures > 0)
            except RetryableError as error:
                setback = error.setback
            refusals += setback.refused
            failures += not setback.refused
            self._give_up(setback, failures, started)
            await self._back_off(setback, max(failures, refusals))

    async def _attempt(self, call: Call[T], *, again: bool) -> T:
        """One attempt, with its cost booked whatever becomes of it.

        Where a request fails ``again``, it is rather that request than a crowd: one that always
        fails must not slow down the others each time.
        """
        cost = 0.0
        try:
            async with self._pace.flight():
                if self._end is not None:
                    raise AbandonedError
                sent_at = time.monotonic()
                cost = call.bound
                try:
                    data = await self._server.post(call.body)
                except RetryableError as error:
                    cost = call.bound if error.setback.billable else 0.0
                    if error.setback.refused or (error.setback.crowded and not again):
                        self._pace.congested(sent_at, refused=error.setback.refused)
                    raise
                except UnanswerableError as error:
                    cost = call.bound if error.billable else 0.0
                    raise
                except HarnessError:
                    cost = 0.0
                    raise
                taken = time.monotonic() - sent_at
            found = call.read(data)
            cost = self._account.cost(found.spent, call.bound)
            self._answered_at = time.monotonic()
            self._given_up = self._forbidden = 0
            self._pace.succeeded(taken, found.spent.generated or 0)
            return found
        finally:
            self._account.settle(call.bound, cost)

    def _give_up(self, setback: Setback, failures: int, started: float) -> None:
        """Raise when another attempt would be one too many."""
        most_wait = self._limits.max_wait
        if (setback.wait or 0.0) > most_wait:
            raise self._silent(f"asks to wait {setback.wait:.6g} s", setback)
        if setback.refused:
            quiet_since = max(started, self._answered_at or started)
            waited = time.monotonic() - quiet_since
            if waited + (setback.wait or 0.0) > most_wait:
                raise self._silent(f"only refuses, for {waited:.0f} s now", setback)
            if waited >= WORTH_SAYING:
                self._say(
                    f"only refuses, for {waited:.0f} of at most {most_wait:g} s: {setback.reason}"
                )
            return
        nobody = setback.absent and self._answered_at is None
        most = self._limits.retries
        if nobody or self._given_up:
            most = min(most, FIRST_RETRIES)
        if failures <= most:
            if self._answered_at is None and failures > FIRST_RETRIES:
                self._say(
                    f"gave no answer yet, attempt {failures + 1} of {most + 1} follows: "
                    f"{setback.reason}"
                )
            return
        self._given_up += 1
        if nobody:
            raise self._silent(f"gave no answer to {failures} attempts", setback)
        alive = setback.replied and self._answered_at is not None
        if self._given_up >= (MOST_ALIVE if alive else MOST_GIVEN_UP):
            raise self._silent(f"gave no answer to {self._given_up} requests in a row", setback)
        raise GivenUpError(f"no answer in {failures} attempts; the last: {setback.reason}")

    def _say(self, what: str) -> None:
        """Tell the user, but not for each of many requests that meet the same."""
        if time.monotonic() - self._said_at >= WORTH_SAYING:
            self._said_at = time.monotonic()
            logger.warning("%s %s", self._options.address.base_url, what)

    def _silent(self, what: str, setback: Setback) -> ModelError:
        return ModelError(
            f"openai: {self._options.address.base_url} {what}: {setback.reason}.\n"
            "Look at the address, the server, and the options max_wait and retries; the same "
            "command then goes on with what is missing."
        )

    async def _back_off(self, setback: Setback, number: int) -> None:
        """Full jitter: any time up to a bound that doubles. Where the server says how long, so long
        and a little longer, so that not all come back at once."""
        most = min(MOST_BACKOFF, self._limits.backoff * 2.0 ** min(number - 1, 30))
        if setback.wait is not None:
            most = min(most, self._limits.backoff + setback.wait / 4)
        jitter = self._random.uniform(0.0, most)
        if setback.wait:
            if setback.wait >= WORTH_SAYING:
                self._say(f"asks to wait {setback.wait:.0f} s")
            self._pace.pause(setback.wait)
        await self._pace.rest((setback.wait or 0.0) + jitter)

    def _too_dear(self) -> str:
        account = self._account
        return (
            f"not asked: it could pass the bound on costs ({account.spent:.6g} of "
            f"{account.limit or 0.0:.6g} spent by this model; --max-cost)"
        )
