"""``harness doctor``: what it asks, what it compares, how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import Adder, Sums, model_spec, registry, task_spec

import harness.cli.doctor
from harness.cli import invoke
from harness.doctor import diagnose, spread
from harness.types import Generate, Loglikelihood, Request, Response


@dataclass
class Moody(Adder):
    """Answers otherwise in company: ``drift`` nats more, or ``word`` behind its text."""

    drift: float = 0.0
    word: str = ""
    silent: bool = False

    def respond(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        company = len(requests) > 1
        for index, request in enumerate(requests):
            answer = self.answer(request)
            if self.silent and isinstance(request, Generate):
                answer = Response(error="overheated")
            elif answer.logprob is not None:
                answer = Response(logprob=answer.logprob - self.drift * company)
            elif self.word and company:
                answer = Response(text=f"{answer.text}{self.word}")
            yield index, answer


REQUESTS = (Generate(prompt="1+1="), Loglikelihood(context="1+1=", continuation="2"))


def test_both_ways_of_asking_are_compared() -> None:
    found = diagnose(Moody(10, drift=0.25, word="!").respond, REQUESTS)
    assert found.largest == pytest.approx(0.25)
    assert (found.scored, len(found.changed)) == (1, 1)
    (one,) = found.changed
    assert (one.together.text, one.alone.text) == ("2!", "2")
    calm = diagnose(Moody(10).respond, REQUESTS)
    assert (calm.largest, calm.changed, calm.failed) == (0.0, (), ())


def test_an_answer_that_is_missing_is_no_agreement() -> None:
    class Half(Adder):
        def respond(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
            if len(requests) == 1:
                yield 0, self.answer(requests[0])

    found = diagnose(Half(10).respond, REQUESTS)
    assert len(found.changed) == 2
    assert found.largest == float("inf")


@given(st.lists(st.lists(st.integers(0, 5), max_size=6), max_size=4), st.integers(1, 9))
def test_requests_are_taken_in_turn_and_each_once(groups: list[list[int]], most: int) -> None:
    asked = [[Generate(prompt=str(n)) for n in group] for group in groups]
    found = spread(asked, most)
    every = {request for group in asked for request in group}
    assert len(found) == len(set(found)) == min(most, len(every))
    first = {group[0] for group in asked if group}
    assert set(found) <= every and (first <= set(found) or len(found) == most)


@pytest.mark.parametrize(
    ("model", "code", "words"),
    [
        (Moody(10), 0, "healthy: no answer depends"),
        (Moody(10, drift=0.01), 1, "the largest difference 1.00e-02 nats (tolerance 0.001)"),
        (Moody(10, word="!"), 1, "together: text '0!'"),
        (Moody(10, silent=True), 4, "without an answer: 4: overheated"),
    ],
    ids=["healthy", "drifts", "writes", "silent"],
)
def test_the_command_says_it_and_ends_with_it(
    model: Adder,
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    toys = registry([model_spec("moody", model)], [task_spec("sums", Sums())])
    monkeypatch.setattr(harness.cli.doctor, "load_registry", lambda: toys)
    assert invoke(["doctor", "moody", "--requests", "8"]) == code
    assert words in capsys.readouterr().out
    assert invoke(["doctor", "moody", "--requests", "8", "--json"]) == code
    document: Any = json.loads(capsys.readouterr().out)
    assert document["healthy"] == (code != 1)
    assert (document["requests"], document["loglikelihoods"]) == (8, 4)


def test_a_model_that_breaks_its_contract_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(Adder):
        def respond(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
            yield 99, self.answer(requests[0])

    class Raising(Adder):
        def respond(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
            raise ValueError("boom")

    for model, words in ((Broken(10), "the index 99"), (Raising(10), "raised ValueError")):
        toys = registry([model_spec("moody", model)], [task_spec("sums", Sums())])
        monkeypatch.setattr(harness.cli.doctor, "load_registry", lambda toys=toys: toys)
        assert invoke(["doctor", "moody", "--requests", "4"]) == 3
        assert words in capsys.readouterr().err


def test_a_tolerance_is_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["doctor", "nano-1k", "--tolerance", "nan"]) == 2
    assert "--tolerance nan is no number of nats" in capsys.readouterr().err


def test_only_tasks_that_the_model_can_be_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["doctor", "hf-classifier:x"]) == 2
    assert "No embedded task asks what hf-classifier answers (classify)" in capsys.readouterr().err


def test_one_model_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["doctor", "nano"]) == 2
    assert "stands for 8 models; name one" in capsys.readouterr().err
