"""How fast a server is asked: against servers that count, on a clock that does not wait."""

from __future__ import annotations

import asyncio
import random
import selectors
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import harness_openai.pace
import harness_openai.talk
from harness.errors import ModelError
from harness.types import ModelSettings
from harness_openai.account import Account
from harness_openai.faults import RetryableError, Setback
from harness_openai.options import read_options
from harness_openai.pace import Pace
from harness_openai.replies import Spent
from harness_openai.talk import Call, Talk

LATENCY = 0.2
REPLY = SimpleNamespace(spent=Spent(prompt=10, generated=8))


class Selector(selectors.SelectSelector):
    """Moves a clock on instead of waiting."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> Any:
        assert timeout is not None, "everybody waits for somebody"
        self.now += max(0.0, timeout)
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose time passes at once."""

    def __init__(self) -> None:
        self.clock = Selector()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    made = Loop()
    for module in (harness_openai.pace, harness_openai.talk):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=made.time))
    yield made
    made.close()


class Counting:
    """A server that refuses what ``allows`` does not let in at that second."""

    def __init__(self, loop: Loop, allows: Callable[[float], bool], wait: float | None) -> None:
        self.loop, self.allows, self.wait = loop, allows, wait
        self.refused = 0
        self.draws = random.Random(1)

    async def post(self, body: Any) -> Any:
        await asyncio.sleep(0.01)
        if not self.allows(self.loop.time()):
            self.refused += 1
            raise RetryableError(Setback(reason="429", wait=self.wait, refused=True))
        await asyncio.sleep(LATENCY * self.draws.uniform(0.7, 1.5))
        return {}


def strictly(rate: float) -> Callable[[float], bool]:
    """So many a second, and of two at once but one."""
    free = [0.0]

    def allows(now: float) -> bool:
        if now < free[0] - 1e-9:
            return False
        free[0] = now + 1 / rate
        return True

    return allows


def at_once(number: int) -> Callable[[float], bool]:
    """So many in each second of the clock, whenever they come."""
    second = [0, 0]

    def allows(now: float) -> bool:
        second[:] = [int(now), second[1] + 1] if second[0] == int(now) else [int(now), 1]
        return second[1] <= number

    return allows


def now_and_then(share: float) -> Callable[[float], bool]:
    """As a server does that others crowd: nothing this client does changes it."""
    draws = random.Random(5)
    return lambda now: draws.random() >= share


def stormy(now: float) -> bool:
    """Five seconds out of twenty it takes nothing."""
    return now % 20 >= 5


def talk_to(server: Any, pace: Pace) -> Talk:
    address = "m@http://127.0.0.1:1/v1"
    options = read_options(ModelSettings(argument=address, options={"max_wait": "3600"}))
    account = Account(None)
    account.begin()
    talk = Talk(server, options, pace, account)
    talk._random = random.Random(3)
    return talk


def ask(loop: Loop, server: Any, number: int, pace: Pace | None = None) -> float:
    """The seconds that ``number`` answers took."""

    async def everything() -> float:
        talk, began = talk_to(server, pace or Pace(32)), loop.time()
        call: Call[Any] = Call(body={}, bound=0.0, read=lambda data: REPLY)
        answers = [one async for one in talk.all([call] * number, talk.ask)]
        assert len(answers) == number
        return loop.time() - began

    return loop.run_until_complete(everything())


@pytest.mark.parametrize(
    ("allows", "wait", "rate", "refusals"),
    [
        (strictly(10), None, 8.0, 0.12),
        (strictly(10), 1.0, 4.5, 0.12),
        (strictly(50), None, 32.0, 0.18),
        (strictly(2), None, 1.5, 0.28),
        (at_once(10), None, 9.0, 0.28),
        (now_and_then(0.03), None, 60.0, 0.06),
        (now_and_then(0.12), None, 15.5, 0.18),
        (stormy, None, 38.0, 0.04),
        (stormy, 2.0, 38.0, 0.04),
        (lambda now: True, None, 110.0, 0.0),
    ],
)
def test_what_a_server_allows_is_used_and_it_seldom_refuses(
    loop: Loop, allows: Any, wait: float | None, rate: float, refusals: float
) -> None:
    server, number = Counting(loop, allows, wait), 800
    assert ask(loop, server, number) <= number / rate
    assert server.refused <= number * refusals


def test_what_was_found_of_a_server_serves_the_next_requests(loop: Loop) -> None:
    server, first = Counting(loop, strictly(10), None), Pace(32)
    ask(loop, server, 400, first)
    before = server.refused
    assert ask(loop, server, 100, Pace(32, start=first.limit, gap=first.gap)) < 100 / 8
    assert server.refused - before <= 12


def test_a_server_that_is_closed_for_all_is_asked_now_and_then(loop: Loop) -> None:
    minutes: dict[int, int] = {}

    def sixty(now: float) -> bool:
        minutes[int(now // 60)] = minutes.get(int(now // 60), 0) + 1
        return minutes[int(now // 60)] <= 60

    server = Counting(loop, sixty, None)
    ask(loop, server, 300)
    assert server.refused <= 160


def test_who_waits_to_ask_again_does_not_wait_when_the_asking_is_over(loop: Loop) -> None:
    class Leaving:
        """Refuses one request for an hour, and then, of the other, the key."""

        asked = 0

        async def post(self, body: Any) -> Any:
            self.asked += 1
            mine = self.asked
            await asyncio.sleep(1)
            if mine <= 4:
                return {}
            if mine == 5:
                raise RetryableError(Setback(reason="429", wait=3000.0, refused=True))
            await asyncio.sleep(5)
            raise ModelError("no such key")

    began = loop.time()
    with pytest.raises(ModelError, match="no such key"):
        ask(loop, Leaving(), 50)
    assert loop.time() - began < 60


def test_the_limit_doubles_then_halves_once_a_round_then_creeps() -> None:
    pace = Pace(64)
    for _ in range(15):
        pace.succeeded(1.0, 4)
    assert pace.limit == 16
    sent = time.monotonic()
    for _ in range(5):  # all sent before the first sign of congestion: one cut
        pace.congested(sent)
    assert pace.limit == 8
    for _ in range(8):
        pace.succeeded(1.0, 4)
    assert 8.9 < pace.limit <= 9


def test_once_a_limit_was_found_a_refusal_takes_less_than_a_failure() -> None:
    pace = Pace(64, start=40)
    pace.congested(time.monotonic(), refused=True)
    assert pace.limit == 20
    pace.congested(time.monotonic(), refused=True)
    assert pace.limit == 15
    pace.congested(time.monotonic())
    assert pace.limit == 7.5
    for _ in range(9):
        pace.congested(time.monotonic(), refused=True)
    assert pace.limit == 1


def test_latency_alone_stops_the_growth_and_then_cuts() -> None:
    pace = Pace(64, start=8)
    for _ in range(8):
        pace.succeeded(1.0, 4)
    before = pace.limit
    for _ in range(40):
        pace.succeeded(3.0, 4)
    held = pace.limit
    assert before <= held <= before + 16  # the round that found out was under way
    for _ in range(held := int(held)):
        pace.succeeded(3.0, 4)
    assert int(pace.limit) == held
    for _ in range(64):
        pace.succeeded(9.0, 4)
    assert pace.limit < held
