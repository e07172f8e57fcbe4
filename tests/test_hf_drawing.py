"""Drawn answers: by the model's probabilities, and by nothing but the request."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from hf_tiny import write_checkpoint, write_seq2seq  # noqa: E402
from test_hf_adapter import refuse_more_than, watch  # noqa: E402
from test_hf_models import ask, model_at  # noqa: E402

from harness.types import Generate  # noqa: E402
from harness_hf.drawing import Draw, draw_tokens  # noqa: E402

LOGITS = (2.0, 1.0, 0.0, -1.0)
PROMPTS = ("Once upon a time", "The keeper", "a")


def shares(request: Generate, number: int = 20_000) -> list[float]:
    """How often each of four tokens is drawn in as many attempts."""
    draws = [Draw.of(replace(request, attempt=attempt)) for attempt in range(number)]
    rows = [(draw, 3) for draw in draws if draw is not None]
    found = Counter(draw_tokens(torch.tensor([LOGITS]).expand(len(rows), -1), rows))
    return [found[token] / number for token in range(len(LOGITS))]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_come_as_often_as_they_are_probable(temperature: float) -> None:
    weights = [math.exp(logit / temperature) for logit in LOGITS]
    expected = [weight / sum(weights) for weight in weights]
    # four standard errors of a share of one half; the draws are always the same
    assert shares(Generate(prompt="x", temperature=temperature)) == pytest.approx(
        expected, abs=0.015
    )


@pytest.mark.parametrize(("top_p", "kept"), [(0.5, 1), (0.8, 2), (0.9, 3), (0.99, 4), (1e-9, 1)])
def test_a_nucleus_is_the_fewest_tokens_that_reach_its_probability(top_p: float, kept: int) -> None:
    weights = [math.exp(logit) for logit in LOGITS[:kept]]
    expected = [weight / sum(weights) for weight in weights] + [0.0] * (4 - kept)
    found = shares(Generate(prompt="x", temperature=1.0, top_p=top_p))
    assert found == pytest.approx(expected, abs=0.015)
    assert found[kept:] == [0.0] * (4 - kept)


def test_noise_is_that_of_splitmix64() -> None:
    # The generator's published steps, in Python's whole numbers, against int64 that wraps round.
    draw = Draw(temperature=1.0, top_p=1.0, key=b"key")
    mask, state, noise = (1 << 64) - 1, draw.start(5) & ((1 << 64) - 1), []
    for _ in range(1000):
        state = (state + 0x9E3779B97F4A7C15) & mask
        bits = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & mask
        bits ^= bits >> 31
        noise.append(-math.log(-math.log(((bits >> 11) + 0.5) / 2**53)))
    expected = max(range(1000), key=noise.__getitem__)
    assert draw_tokens(torch.zeros(1, 1000), [(draw, 5)]) == [expected]


@pytest.fixture(scope="module", params=["llama", "gpt2", "mamba", "t5"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp(request.param)
    if request.param == "t5":
        write_seq2seq(made, request.param)
    else:
        write_checkpoint(made, request.param)
    return made


def drawn(**changes: Any) -> list[Generate]:
    """Six attempts at each prompt, and one greedy request between them."""
    one = Generate(prompt="", max_tokens=8, temperature=1.0, top_p=0.95)
    attempts = [replace(one, prompt=p, attempt=n, **changes) for p in PROMPTS for n in range(6)]
    return [*attempts[:9], Generate(prompt="Once", max_tokens=8), *attempts[9:]]


def texts(model: Any, requests: Sequence[Generate]) -> list[str | None]:
    answers = ask(model, requests)
    assert all(answer.error is None for answer in answers)
    return [answer.text for answer in answers]


def test_an_answer_depends_on_its_request_alone(folder: Path) -> None:
    requests = drawn()
    expected = texts(model_at(folder), requests)
    assert len({*expected[:6]}) > 3, "attempts at one prompt are not all the same"
    for batch_size in (1, 4):
        assert texts(model_at(folder, batch_size), requests) == expected
    assert texts(model_at(folder), requests[::-1])[::-1] == expected
    assert texts(model_at(folder), requests[3:5]) == expected[3:5]
    other = texts(model_at(folder), drawn(seed=1))
    assert other[9] == expected[9], "the greedy one has no seed"
    assert sum(a != b for a, b in zip(other, expected, strict=True)) > 9


def test_a_low_temperature_comes_to_the_greedy_answer(folder: Path) -> None:
    greedy = [Generate(prompt=prompt, max_tokens=8) for prompt in PROMPTS]
    cold = [replace(request, temperature=1e-9, attempt=7) for request in greedy]
    assert texts(model_at(folder), cold) == texts(model_at(folder), greedy)


def test_rows_put_back_for_lack_of_memory_draw_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_checkpoint(tmp_path)
    requests = drawn()
    expected = texts(model_at(tmp_path), requests)
    model = model_at(tmp_path)
    watch(model, refuse_more_than(3))
    with caplog.at_level(logging.WARNING, logger="harness.hf"):
        assert texts(model, requests) == expected
    assert "going on with" in caplog.text
