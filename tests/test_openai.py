"""Models behind a server: what is asked, what goes wrong, what it costs, and what stays secret."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from api_server import (
    EMPTY_CHOICES,
    GARBAGE,
    HALF,
    RESET,
    STALL,
    UNFINISHED,
    WEB_PAGE,
    ApiServer,
    Body,
    Fault,
    parrot,
    parroting,
    prompt_of,
    too_many,
)
from conftest import Program
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("openai")

import harness_openai
import harness_openai.model
from harness.cli import invoke
from harness.errors import ModelError, UsageError
from harness.types import (
    Generate,
    ModelSettings,
    Response,
    Tag,
)
from harness.wording import family_of
from harness_openai.account import Account
from harness_openai.address import read_address
from harness_openai.bridge import _Pump, drain
from harness_openai.options import Prices
from harness_openai.pace import Pace
from harness_openai.server import retry_after

KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def model(server: ApiServer, **options: str) -> Any:
    quick = {"backoff": "0.01", "timeout": "20", "endpoint": "completions"}
    return harness_openai.build(
        ModelSettings(argument=f"parrot@{server.url}", options=quick | options)
    )


def prompts(number: int) -> list[Generate]:
    return [Generate(prompt=f"prompt {i}", max_tokens=8) for i in range(number)]


def ask(asked: Any, requests: list[Any]) -> list[Response]:
    answers = dict(asked.respond(requests))
    assert sorted(answers) == list(range(len(requests)))
    return [answers[i] for i in range(len(requests))]


# --- what is asked and answered -------------------------------------------------------------------


def test_declaring_the_scheme_loads_no_sdk() -> None:
    code = (
        "import sys, harness_openai\n"
        "(spec,) = harness_openai.harness_models()\n"
        "assert not {'openai', 'httpx', 'httpx2', 'pydantic', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_the_sdk_it_is_said_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['openai'] = None\n"
        "from harness.cli import main\n"
        "main(['run', '-m', 'openai:m@http://127.0.0.1:9/v1', '-t', 'world-qa', '--limit', '1'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "pip install 'harness[openai]'" in done.stderr


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
def test_every_prompt_gets_its_own_answer(endpoint: str) -> None:
    with ApiServer() as server:
        answers = ask(model(server, endpoint=endpoint), prompts(40))
        assert [a.text for a in answers] == [parrot(f"prompt {i}") for i in range(40)]
        assert {(a.prompt_tokens, a.tokens, a.truncated) for a in answers} == {(2, 3, False)}
        assert set(server.keys) == {f"Bearer {KEY}"}
        body = server.bodies[0]
        assert (body["model"], body["max_tokens"], body["temperature"]) == ("parrot", 8, 0)
        assert ("messages" in body) == (endpoint == "chat")


def test_a_system_message_comes_first_and_belongs_to_the_identity() -> None:
    with ApiServer() as server:
        asked = model(server, endpoint="chat", system="Be brief.")
        ask(asked, prompts(1))
        assert [m["role"] for m in server.bodies[0]["messages"]] == ["system", "user"]
        assert asked.info.settings["system"] == "Be brief."


def test_answers_are_cut_at_any_stop_string_whatever_the_server_does() -> None:
    def rambling(body: Body) -> Mapping[str, Any]:
        text = "first\nsecond; third"
        return {"choices": [{"text": text, "finish_reason": "length"}]}

    stops = ("!", "?", "#", "%", ";", "\n")
    with ApiServer(answer=rambling) as server:
        (answer,) = ask(model(server), [Generate(prompt="x", stop=stops)])
        assert (answer.text, answer.truncated) == ("first", False)
        assert len(server.bodies[0]["stop"]) == 4
        (whole,) = ask(model(server), [Generate(prompt="x")])
        assert whole.truncated


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
def test_a_drawn_answer_is_asked_with_its_temperature_and_a_seed_of_its_own(endpoint: str) -> None:
    drawn = Generate(prompt="x", temperature=0.8, top_p=0.95)
    requests = [replace(drawn, attempt=n, seed=seed) for n in range(3) for seed in (0, 1)]
    with ApiServer() as server:
        asked = model(server, endpoint=endpoint, temperature="0.3")
        ask(asked, [*requests, Generate(prompt="x")])
        seeds = {body.get("seed") for body in server.bodies}
        assert len(seeds) == 7 and all(0 <= s < 1 << 31 for s in seeds - {None})
        settings = Counter((b["temperature"], b.get("top_p")) for b in server.bodies)
        assert settings == {(0.8, 0.95): 6, (0.3, None): 1}
        asked.check_drawing()
        with pytest.raises(UsageError, match="is sent no temperature"):
            model(server, temperature="none").check_drawing()


def test_the_limit_on_tokens_takes_the_name_that_the_server_wants() -> None:
    said = b'{"error": {"message": "Unsupported: use \'max_completion_tokens\' instead."}}'
    nor = b'{"error": {"message": "Unsupported parameter: \'stop\' is not supported here."}}'

    def fault(attempt: int, body: Body) -> Fault | None:
        if "max_tokens" in body:
            return Fault(status=400, content=said)
        return Fault(status=400, content=nor) if "stop" in body else None

    requests = [replace(request, stop=("b",)) for request in prompts(12)]
    with ApiServer(fault=fault) as server:
        answers = ask(model(server, endpoint="chat"), requests)
        # Stop strings that the server does not take are cut at on this side, as always.
        assert [a.text for a in answers] == [parrot(r.prompt).split("b")[0] for r in requests]
        assert sum("max_tokens" in body for body in server.bodies) < 12
        assert sum("stop" in body for body in server.bodies) < 24


def test_a_model_that_takes_no_temperature_is_told_how_to_be_asked() -> None:
    said = b'{"error": {"message": "Unsupported value: \'temperature\' does not support 0."}}'

    def fault(attempt: int, body: Body) -> Fault | None:
        return Fault(status=400, content=said) if "temperature" in body else None

    with ApiServer(fault=fault) as server:
        (answer,) = ask(model(server), prompts(1))
        assert "(400: Unsupported value" in str(answer.error)
        assert "temperature=none sends none" in str(answer.error)
        assert ask(model(server, temperature="none"), prompts(1))[0].error is None


def test_a_refusal_and_an_empty_message_are_answers_a_withheld_one_or_a_tool_call_is_none() -> None:
    messages: dict[str, dict[str, Any]] = {
        "refused": {"message": {"content": None, "refusal": "No."}, "finish_reason": "stop"},
        "empty": {"message": {"content": None}, "finish_reason": "length"},
        "withheld": {"message": {"content": ""}, "finish_reason": "content_filter"},
        "calling": {
            "message": {"content": None, "tool_calls": [{"type": "function"}]},
            "finish_reason": "tool_calls",
        },
    }
    with ApiServer(answer=lambda body: {"choices": [messages[prompt_of(body)]]}) as server:
        answers = ask(model(server, endpoint="chat"), [Generate(prompt=p) for p in messages])
        assert [a.text for a in answers] == ["No.", "", None, None]
        assert "calls a tool" in str(answers[3].error)
        assert answers[1].truncated and "content_filter" in str(answers[2].error)


def test_a_tag_request_is_an_error_of_its_own() -> None:
    with ApiServer() as server:
        tagged, told = ask(model(server), [Tag(tokens=("a",)), *prompts(1)])
        assert "tag" in str(tagged.error) and told.error is None


# --- what goes wrong ------------------------------------------------------------------------------

STATUS = [Fault(status=s) for s in (408, 409, 500, 502, 503, 504, 529)]
FAULTS = [RESET, HALF, GARBAGE, WEB_PAGE, EMPTY_CHOICES, UNFINISHED, too_many(), *STATUS]


def test_under_every_fault_no_answer_is_lost_asked_twice_or_invented() -> None:
    draws = random.Random(7)
    planned = {r.prompt: draws.choices(FAULTS, k=draws.randrange(4)) for r in prompts(60)}

    def fault(attempt: int, body: Body) -> Fault | None:
        mine = planned[prompt_of(body)]
        return mine[attempt] if attempt < len(mine) else None

    with ApiServer(fault=fault) as server:
        answers = ask(model(server), prompts(60))
        assert [a.text for a in answers] == [parrot(r.prompt) for r in prompts(60)]
        assert server.served == Counter(list(planned))
        assert server.attempts == {p: 1 + len(faults) for p, faults in planned.items()}


def test_a_storm_of_429_is_sat_out_and_retry_after_obeyed() -> None:
    wait, times = 0.1, []
    stormy = threading.Semaphore(6)

    def fault(attempt: int, body: Body) -> Fault | None:
        times.append(time.monotonic())
        return too_many(str(wait)) if stormy.acquire(blocking=False) else None

    with ApiServer(fault=fault) as server:
        answers = ask(model(server, retries="0"), prompts(20))
        assert [a.text for a in answers] == [parrot(r.prompt) for r in prompts(20)]
        assert set(server.served.values()) == {1}
        # One at a time is asked at first, so each of the first refusals is followed by its wait.
        assert all(later - sooner >= wait for sooner, later in pairwise(times[:7]))


def test_a_stalled_request_is_given_up_and_asked_again() -> None:
    def fault(attempt: int, body: Body) -> Fault | None:
        return STALL if attempt == 0 and prompt_of(body) in ("prompt 3", "prompt 4") else None

    with ApiServer(fault=fault) as server:
        answers = ask(model(server, timeout="0.5"), prompts(8))
        assert [a.text for a in answers] == [parrot(r.prompt) for r in prompts(8)]


def test_a_request_that_always_fails_is_an_error_and_leaves_the_others_alone() -> None:
    def fault(attempt: int, body: Body) -> Fault | None:
        return Fault() if prompt_of(body) == "prompt 5" else None

    with ApiServer(fault=fault) as server:
        answers = ask(model(server, retries="2", concurrency="3"), prompts(30))
        assert [i for i, a in enumerate(answers) if a.error is not None] == [5]
        assert "500: overheated" in str(answers[5].error)
        assert server.attempts["prompt 5"] == 3


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(status=401), "refuses the key in OPENAI_API_KEY"),
        (Fault(status=404), "knows no model 'parrot'"),
        (Fault(status=501), "has no endpoint"),
        (Fault(status=429, content=b'{"error": {"code": "insufficient_quota"}}'), "quota"),
        (too_many("7200"), "asks to wait 7200 s"),
        (Fault(status=503, headers={"Retry-After": "86400"}), "asks to wait 86400 s"),
        (GARBAGE, "no JSON"),
        (Fault(), "no answer to 3 requests in a row: 500: overheated"),
        (Fault(status=403), "refuses the key in OPENAI_API_KEY"),
    ],
)
def test_what_every_request_would_meet_ends_the_asking_soon(fault: Fault, words: str) -> None:
    with ApiServer(fault=lambda attempt, body: fault) as server:
        with pytest.raises(ModelError, match=words) as caught:
            list(model(server, retries="2").respond(prompts(50)))
        assert len(str(caught.value).splitlines()) <= 3
        assert sum(server.attempts.values()) <= 10


@pytest.mark.parametrize("status", [302, 307, 308])
def test_a_server_that_was_not_named_is_not_asked(status: int) -> None:
    with ApiServer() as other:
        place = f"{other.url}/chat/completions"
        moved = Fault(status=status, headers={"Location": place})
        said = pytest.raises(ModelError, match=f"elsewhere .{status}: {place}")
        with ApiServer(fault=lambda attempt, body: moved) as server, said as caught:
            list(model(server).respond(prompts(5)))
        assert len(str(caught.value).splitlines()) == 2
        assert other.bodies == []


def test_when_every_request_is_refused_most_are_not_even_asked() -> None:
    with ApiServer(fault=lambda attempt, body: Fault(status=400)) as server:
        answers = ask(model(server), prompts(50))
        assert all("400: overheated" in str(answer.error) for answer in answers)
        assert sum(server.attempts.values()) <= 10


def test_requests_that_are_too_long_do_not_keep_the_others_from_being_asked() -> None:
    said = b'{"error": {"code": "context_length_exceeded", "message": "too long"}}'
    long = [Generate(prompt=f"{'word ' * 99}{i}", max_tokens=8) for i in range(20)]

    def fault(attempt: int, body: Body) -> Fault | None:
        return Fault(status=400, content=said) if len(prompt_of(body)) > 99 else None

    with ApiServer(fault=fault) as server:
        answers = ask(model(server), [*long, *prompts(20)])
        assert [a.error is None for a in answers] == [False] * 20 + [True] * 20
        assert all("400: too long" in str(a.error) for a in answers[:20])


def test_many_that_fail_in_a_row_do_not_keep_the_others_from_being_asked() -> None:
    def fault(attempt: int, body: Body) -> Fault | None:
        return Fault() if 3 <= int(prompt_of(body).split()[-1]) < 13 else None

    with ApiServer(fault=fault) as server:
        answers = ask(model(server, retries="1", concurrency="1"), prompts(16))
        assert [i for i, a in enumerate(answers) if a.error is not None] == list(range(3, 13))


def test_a_server_that_answers_nobody_any_more_is_left_alone() -> None:
    def fault(attempt: int, body: Body) -> Fault | None:
        return Fault() if int(prompt_of(body).split()[-1]) >= 20 else None

    with ApiServer(fault=fault) as server:
        with pytest.raises(ModelError, match="gave no answer to 16 requests in a row: 500"):
            list(model(server, retries="1").respond(prompts(200)))
        assert len(server.served) == 20 and len(server.attempts) < 100


def test_a_request_that_fails_again_and_again_slows_the_others_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    signs: list[float] = []
    monkeypatch.setattr(Pace, "congested", lambda pace, sent_at, **_: signs.append(sent_at))

    def fault(attempt: int, body: Body) -> Fault | None:
        return Fault() if prompt_of(body) == "prompt 3" else None

    with ApiServer(fault=fault) as server:
        ask(model(server, retries="6"), prompts(9))
        assert (server.attempts["prompt 3"], len(signs)) == (7, 1)


def test_a_forbidden_request_is_an_error_of_its_own_until_all_are_forbidden() -> None:
    forbidden = {5}

    def fault(attempt: int, body: Body) -> Fault | None:
        flagged = int(prompt_of(body).split()[-1]) in forbidden
        return Fault(status=403, content=b'{"error": {"message": "flagged"}}') if flagged else None

    with ApiServer(fault=fault) as server:
        answers = ask(model(server), prompts(20))
        assert [i for i, a in enumerate(answers) if a.error is not None] == [5]
        assert "403: flagged" in str(answers[5].error)
        forbidden.update(range(20, 200))
        with pytest.raises(ModelError, match="refuses the key"):
            list(model(server).respond(prompts(200)))
        assert len(server.attempts) < 100


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("SSL_CERT_FILE", "/no/such/file", "cannot be asked: FileNotFoundError"),
        ("HTTP_PROXY", "ftp://me:hunter2@host", "cannot be asked: ValueError"),
        ("HTTP_PROXY", "http://me:hunter2@127.0.0.1:99999", "port must be 0-65535"),
        ("OPENAI_ORG_ID", "a\nb", "Illegal header value"),
    ],
)
def test_an_environment_that_lets_nothing_out_is_said_soon(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with ApiServer() as server, pytest.raises(ModelError, match=words) as caught:
        list(model(server).respond(prompts(9)))
    assert len(str(caught.value).splitlines()) <= 3 and "hunter2" not in str(caught.value)


def test_nobody_there_is_said_soon() -> None:
    with ApiServer() as server:
        gone = model(server)
    with pytest.raises(ModelError, match="gave no answer to 3 attempts"):
        list(gone.respond(prompts(3)))


def test_without_a_key_only_openai_itself_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(UsageError, match="OPENAI_API_KEY is not set"):
        list(harness_openai.build(ModelSettings(argument="gpt-x")).respond(prompts(1)))
    with ApiServer() as server:
        assert ask(model(server), prompts(1))[0].error is None
        with pytest.raises(UsageError, match="MY_KEY is not set"):  # named, so it is meant
            model(server, key="MY_KEY").prepare(frozenset({"generate"}))


@pytest.mark.parametrize("secret", ["sk-abc-0123456789", "gsk_abc0123456789", "hf_ABCdef0123"])
def test_a_key_on_the_command_line_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(UsageError, match="names an environment variable in capitals") as caught:
        harness_openai.build(ModelSettings(argument="m", options={"key": secret}))
    assert secret not in str(caught.value)


@pytest.mark.parametrize(
    ("argument", "options", "words"),
    [
        ("m@localhost:8000", {}, "does not begin with http"),
        ("m@http://", {}, "is no base URL"),
        ("m@http://host:99999/v1", {}, "is no base URL"),
        ("m@https://host/v1?api-key=abc", {}, r"holds '\?'"),
        ("@http://host/v1", {}, "no model is named"),
        ("m@http://host/v1/chat/completions", {}, "Write http://host/v1; the option endpoint"),
        ("m@http://host/v1/completions/", {}, "Write http://host/v1; the option endpoint"),
        ("m", {"endpoint": "responses"}, "neither chat nor completions"),
        ("m", {"price_in": "1"}, "belong together"),
        ("m", {"retries": "-1"}, "retries=-1"),
        ("m", {"timeout": "soon"}, "timeout=soon"),
        ("m", {"timeout": "nan"}, "timeout=nan"),
        ("m", {"endpoint": "completions", "system": "x"}, "know no messages"),
    ],
)
def test_a_bad_address_or_option_is_refused_in_words(
    argument: str, options: dict[str, str], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        harness_openai.build(ModelSettings(argument=argument, options=options))


def test_identity_says_where_what_and_how_and_never_who() -> None:
    built = harness_openai.build(
        ModelSettings(argument="org/m-7b@HTTPS://Host:8/v1/", options={"revision": "june"})
    )
    assert built.info.identity == "org/m-7b@https://host:8/v1#june"
    assert built.info.settings["endpoint"] == "chat"
    assert (built.info.family, family_of("gpt-4o-mini")) == ("m", "gpt-4o-mini")
    assert read_address("gpt-x").base_url == "https://api.openai.com/v1"


# --- pace -----------------------------------------------------------------------------------------


def test_requests_overlap_but_never_more_than_allowed() -> None:
    both = threading.Barrier(2)

    def fault(attempt: int, body: Body) -> Fault | None:
        if prompt_of(body) in ("prompt 1", "prompt 2"):
            both.wait(30)  # each answered only while the other is asked
        return None

    with ApiServer(fault=fault) as server:
        ask(model(server, concurrency="3"), prompts(40))
        assert 2 <= server.most <= 3


def test_the_next_cell_is_begun_with_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []

    class Noted(Pace):
        def __init__(self, most: int, **found: float) -> None:
            begun.append(found)
            super().__init__(most, **found)
            self.gap = 1e-9  # so short that no request ever waits for it

    monkeypatch.setattr(harness_openai.model, "Pace", Noted)
    with ApiServer() as server:
        asked = model(server)
        ask(asked, prompts(3))
        ask(asked, prompts(2))
    assert begun[0] == {"start": 1.0, "gap": 0.0}
    assert begun[1]["start"] > 1 and begun[1]["gap"] == 1e-9


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after-ms": "350", "retry-after": "1"}, 0.35),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, 0.0),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


# --- costs ----------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 1)), max_size=30), st.floats(0, 20))
def test_the_bound_on_costs_is_never_passed(jobs: list[tuple[float, float]], most: float) -> None:
    account = Account(Prices(prompt=1.0, generated=1.0))

    async def one(bound: float, share: float) -> None:
        if await account.reserve(bound):
            await asyncio.sleep(0)
            account.settle(bound, bound * share)

    async def all_at_once() -> None:
        account.begin()
        account.limit = most
        await asyncio.gather(*(one(*job) for job in jobs))

    asyncio.run(all_at_once())
    assert account.spent <= most + 1e-9


def test_costs_are_counted_from_the_tokens_that_the_server_tells() -> None:
    with ApiServer() as server:
        asked = model(server, price_in="1000000", price_out="10")
        ask(asked, prompts(10))
        assert asked.usage.cost == pytest.approx(10 * (2 + 3e-5))


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        "free",
        {"prompt_tokens": -5, "completion_tokens": 3},
        {"prompt_tokens": 2, "completion_tokens": "3"},
        {"prompt_tokens": 0, "completion_tokens": 3},
        {"prompt_tokens": 2, "completion_tokens": 0},
        {"prompt_tokens": 2, "completion_tokens": True},
        {"prompt_tokens": 1e300, "completion_tokens": 3},
        {"prompt_tokens": 10**12, "completion_tokens": 3},
    ],
)
def test_an_answer_without_a_count_of_tokens_is_counted_at_its_bound(usage: Any) -> None:
    with ApiServer(answer=lambda body: {**parroting(body), "usage": usage}) as server:
        asked = model(server, price_in="1000000", price_out="1000000")
        ask(asked, prompts(1))
        assert asked.usage.cost == len("prompt 0") + 8 + 8


def test_an_answer_that_repeats_the_key_was_paid_for() -> None:
    def telling(body: Body) -> Mapping[str, Any]:
        return {"choices": [{"text": KEY, "finish_reason": "stop"}]}

    with ApiServer(answer=telling) as server:
        asked = model(server, price_in="0", price_out="1000000")
        ask(asked, prompts(1))
        assert asked.usage.cost == 8


def test_garbage_that_was_paid_for_is_counted_at_its_bound() -> None:
    with ApiServer(fault=lambda attempt, body: GARBAGE if attempt == 0 else None) as server:
        asked = model(server, price_in="0", price_out="1000000")
        ask(asked, prompts(1))
        assert asked.usage.cost == 8 + 3


# --- the bridge -----------------------------------------------------------------------------------


def test_a_stream_works_within_a_running_event_loop_and_raises_what_it_raises() -> None:
    async def stream() -> Any:
        for i in range(3):
            await asyncio.sleep(0)
            yield i
        raise ModelError("enough")

    async def outer() -> list[int]:
        found = []
        with pytest.raises(ModelError, match="enough"):
            for i in drain(stream):
                found.append(i)
        return found

    assert asyncio.run(outer()) == [0, 1, 2]


def test_what_had_come_when_ctrl_c_came_is_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stream() -> Any:
        for number in range(3):
            yield number
        await asyncio.sleep(3600)

    take, got = _Pump.take, []

    def interrupted(pump: Any) -> Any:
        if not got:
            return take(pump)
        while pump._box.qsize() < 2:
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(_Pump, "take", interrupted)
    with pytest.raises(KeyboardInterrupt):
        for number in drain(stream):
            got.append(number)
    assert got == [0, 1, 2]


def test_closing_early_ends_the_stream() -> None:
    ended = threading.Event()

    async def endless() -> Any:
        try:
            while True:
                yield 1
                await asyncio.sleep(0.01)
        finally:
            ended.set()

    taken = drain(endless)
    assert next(taken) == 1
    taken.close()  # type: ignore[attr-defined]
    assert ended.wait(10)


# --- whole runs -----------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A task of forty lines, in the folder that runs go to."""
    (tmp_path / "a").write_text("".join(f"line number {i}\n" for i in range(40)))
    monkeypatch.chdir(tmp_path)
    return "translation:src=a,ref=a"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Any, str]]:
    """Runs ``harness run``; gives exit code, JSON document and stderr."""

    def invoked(name: str, *arguments: str) -> tuple[int, Any, str]:
        code = invoke(["run", "-m", name, *arguments, "-o", "out", "--json"])
        printed = capsys.readouterr()
        return code, json.loads(printed.out) if printed.out else None, printed.err

    return invoked


def test_one_request_that_always_fails_never_hides_the_scores_of_the_others(
    data: str, run: Callable[..., tuple[int, Any, str]]
) -> None:
    def fault(attempt: int, body: Body) -> Fault | None:
        return Fault() if "number 7" in prompt_of(body) else None

    with ApiServer(fault=fault) as server:
        name = f"openai:m@{server.url},concurrency=1,retries=1,backoff=0.01"
        for reused in (0, 39):  # among the others, then alone
            code, document, said = run(name, "-t", data)
            (cell,) = document["cells"]
            assert (code, cell["status"], cell["reused"]) == (4, "partial", reused)
            assert (document["scores"][0]["n"], document["scores"][0]["errors"]) == (39, 1)
            assert "no answer in 2 attempts; the last: 500" in document["errors"][0]
            assert "1 without an answer" in said
        assert set(server.served.values()) == {1}


def test_a_storm_of_refusals_leaves_what_was_answered_and_is_gone_on_from(
    data: str, run: Callable[..., tuple[int, Any, str]]
) -> None:
    patient, over = threading.Semaphore(12), threading.Event()

    def fault(attempt: int, body: Body) -> Fault | None:
        calm = over.is_set() or patient.acquire(blocking=False)
        return None if calm else too_many()

    with ApiServer(fault=fault) as server:
        name = f"openai:m@{server.url},max_wait=0.3"
        for reused in (0, 12):
            code, document, _ = run(name, "-t", data)
            (cell,) = document["cells"]
            assert (code, cell["status"], cell["reused"]) == (4, "partial", reused)
            assert document["scores"][0]["errors"] == 28
            assert "28 of its samples have no answer" in document["errors"][0]
            assert "only refuses" in document["errors"][0]
        over.set()
        code, document, _ = run(name, "-t", data)
        assert (code, document["cells"][0]["reused"]) == (0, 12)
        assert set(server.served.values()) == {1}


def test_interrupted_in_mid_request_it_goes_on_where_it_stopped(
    program: Program, data: str
) -> None:
    patient, stuck, resumed = threading.Semaphore(12), threading.Event(), threading.Event()

    def fault(attempt: int, body: Body) -> Fault | None:
        if resumed.is_set() or patient.acquire(blocking=False):
            return None
        stuck.set()
        return STALL

    with ApiServer(fault=fault) as server:
        # One at a time, so that all that was served was received when the next one is asked.
        name = f"openai:m@{server.url},concurrency=1"
        command = ("run", "-m", name, "-t", data, "-o", "out")
        process = program.start(*command)
        assert stuck.wait(60)
        time.sleep(0.5)  # what was received is stored
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130, said
        assert "Traceback" not in said
        assert sum(server.served.values()) == 12
        resumed.set()
        done = program.json(*command)
        assert done["status"] == "complete"
        assert done["cells"][0]["reused"] == 12
        assert len(server.served) == 40 and set(server.served.values()) == {1}


def test_max_cost_stops_before_it_is_passed_and_more_money_goes_on(
    data: str, run: Callable[..., tuple[int, Any, str]]
) -> None:
    with ApiServer() as server:
        # One for a token of the prompt, nothing for the answer: a run of 40 costs 200.
        name = f"openai:m@{server.url},endpoint=completions,price_in=1000000,price_out=0"
        code, document, _ = run(name, "-t", data, "--max-cost", "150")
        (cell,) = document["cells"]
        assert (code, document["status"], cell["status"]) == (4, "partial", "partial")
        assert "--max-cost" in document["errors"][0]
        served = sum(server.served.values())
        assert 0 < served < 40
        assert cell["efficiency"]["cost"] == 5 * served <= 150
        assert document["scores"][0]["errors"] == 40 - served
        code, more, said = run(name, "-t", data, "--max-cost", "1000")
        assert (code, more["status"], more["cells"][0]["reused"]) == (0, "complete", served)
        assert set(server.served.values()) == {1}
        assert f"cost {200 - 5 * served}" in said


def test_models_of_one_run_share_the_bound_on_costs(
    data: str, run: Callable[..., tuple[int, Any, str]]
) -> None:
    with ApiServer() as server:
        options = f"@{server.url},endpoint=completions,price_in=1000000,price_out=0"
        names = f"openai:a{options},openai:b{options}"
        code, document, _ = run(names, "-t", data, "--max-cost", "300")
        assert code == 4
        costs = [cell["efficiency"]["cost"] for cell in document["cells"]]
        assert costs[0] == 200 and 0 < costs[1] <= 100


def test_what_cannot_be_run_asks_nothing_and_leaves_no_run(
    data: str, run: Callable[..., tuple[int, Any, str]], tmp_path: Path
) -> None:
    with ApiServer() as server:
        name = f"openai:m@{server.url},endpoint=completions"
        code, _, said = run(name, "-t", data, "--max-cost", "1")
        assert code == 2 and "price_in" in said and server.bodies == []
        code, _, said = run(name, "-t", f"{data},text:a")
        assert code == 2 and "no log-probabilities" in said
        assert len(server.bodies) == 2  # the probes alone
        code, _, said = run(f"openai:m,key={KEY}", "-t", data)
        assert code == 2 and "names an environment variable" in said and KEY not in said
        code, _, said = run("openai:m@http://me:hunter2@host/v1", "-t", data)
        assert code == 2 and "user name or a password" in said and "hunter2" not in said
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert [path.name for path in files] == ["responses.sqlite"]


def test_a_dead_server_fails_its_cells_and_no_others_and_answers_are_shared(
    data: str, run: Callable[..., tuple[int, Any, str]]
) -> None:
    with ApiServer() as dead:
        gone = dead.url
    with ApiServer() as server:
        name = f"openai:m@{server.url}"
        code, document, _ = run(f"openai:m@{gone},backoff=0.01,{name}", "-t", data)
        assert (code, [c["status"] for c in document["cells"]]) == (4, ["failed", "complete"])
        _, document, _ = run(f"{name},concurrency=2,timeout=9", "-t", data)
        assert document["cells"][-1]["reused"] == 40
        assert set(server.served.values()) == {1}


def test_a_key_is_recognised_however_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = 'sk-"q\\uote/k+y'
    monkeypatch.setenv("OPENAI_API_KEY", odd)
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in odd)
    plain = json.dumps(odd)[1:-1]
    texts = [plain, plain.replace("/", "\\/"), escaped]

    def fault(attempt: int, body: Body) -> Fault | None:
        number = int(prompt_of(body).split()[-1])
        text = texts[number % 3]
        if number < 3:
            content = f'{{"choices": [{{"text": "{text}", "finish_reason": "stop"}}]}}'
            return Fault(kind="other", content=content.encode())
        content = f'{{"error": {{"message": ["{text}"], "more": "{text}"}}}}'
        return Fault(status=400, content=content.encode()) if number < 6 else None

    with ApiServer(fault=fault) as server:
        answers = ask(model(server), prompts(7))
    assert all("repeats the key" in str(a.error) for a in answers[:3])
    assert all("***" in str(a.error) for a in answers[3:6])
    shown = "".join(map(repr, answers))
    assert "uote" not in shown and "\\u0075" not in shown


def test_the_key_is_nowhere_but_in_the_request(program: Program, data: str) -> None:
    """Not in answers, errors, logs, tracebacks or files, though the server repeats it all over."""

    def telling(body: Body) -> Mapping[str, Any]:
        text = KEY if "number 7" in prompt_of(body) else "fine"
        return {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}

    said = json.dumps({"error": {"message": f"Invalid key {KEY}", "key": KEY}}).encode()
    refusing = threading.Event()

    def fault(attempt: int, body: Body) -> Fault | None:
        prompt = prompt_of(body)
        if "number 3" in prompt:
            return Fault(status=400, content=said)
        if "number 5" in prompt and attempt < 2:
            return Fault(status=503, content=said, headers={"X-Key": KEY})
        if "number 9" in prompt:
            return Fault(kind="other", content=KEY.encode())
        return Fault(status=401, content=said) if refusing.is_set() else None

    seen = []
    with ApiServer(answer=telling, fault=fault) as server:
        named = {"MY_KEY": KEY, "HARNESS_TRACEBACK": "1"}
        options = "key=MY_KEY,backoff=0.01,retries=1"
        command = ("run", "-m", f"openai:m@{server.url},{options}", "-t", data, "-o", "out")
        done = program(*command, **named, OPENAI_LOG="debug")
        assert done.returncode == 4, done.stderr
        assert set(server.keys) == {f"Bearer {KEY}"}
        seen += [done.stdout, done.stderr]
        refusing.set()
        done = program(*command[:-1], "out2", **named)
        assert done.returncode == 4 and "refuses the key in MY_KEY" in done.stderr
        assert "Traceback" not in done.stderr
        seen += [done.stdout, done.stderr]
    files = [path for path in program.folder.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert [text for text in seen if KEY in text] == []
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
