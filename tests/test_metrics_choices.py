"""Choices by log-probability: which one is picked, and how sure the model is."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.metrics import Choice, choice_accuracy, choice_probability

if TYPE_CHECKING:
    from pathlib import Path

# Each way of comparing picks another choice: raw 0, token 1, char and byte 2 and 3, and 4.
SPREAD = [
    Choice(logprob=-2.0, tokens=1, text="ab", unconditional=-1.0),
    Choice(logprob=-4.0, tokens=8, text="abc", unconditional=-4.0),
    Choice(logprob=-6.0, tokens=4, text="a" * 10, unconditional=-5.0),
    Choice(logprob=-6.5, tokens=3, text="汉" * 9, unconditional=-4.0),
    Choice(logprob=-9.0, tokens=2, text="ab", unconditional=-20.0),
]


@pytest.mark.parametrize(
    ("by", "picked"), [("raw", 0), ("token", 1), ("char", 2), ("byte", 3), ("unconditional", 4)]
)
def test_each_normalisation_picks_its_own(by: Any, picked: int) -> None:
    scorer = choice_accuracy(by, choices=5)
    assert [scorer.stats(SPREAD, i)[0] for i in range(5)] == [
        100.0 * (i == picked) for i in range(5)
    ]
    assert scorer.stats(SPREAD, [picked, 7]) == (100.0, 1.0)
    assert scorer.metric.chance == 20.0


def test_lighteval_cases(shared: Path) -> None:
    path = shared / "data" / "vectors" / "lighteval" / "loglikelihood_acc.json"
    checked = 0
    for case in json.loads(path.read_text())["test_cases"]:
        logprobs = case["model_response"]["logprobs"]
        if case["metric_params"] or not logprobs or logprobs.count(max(logprobs)) > 1:
            continue
        got = choice_accuracy().stats(
            [Choice(logprob=x) for x in logprobs], case["doc"]["gold_index"]
        )
        assert got[0] / 100 == case["expected_output"]["acc"]
        checked += 1
    assert checked >= 5


def test_names() -> None:
    named = [choice_accuracy(by).metric.name for by in ("raw", "token", "char", "byte")]
    assert named == ["acc", "acc_per_token", "acc_per_char", "acc_per_byte"]
    assert choice_accuracy("unconditional").metric.name == "acc_unconditional"


def test_the_first_of_equals_is_picked_and_nan_never() -> None:
    choices = [Choice(logprob=math.nan), Choice(logprob=-1.0), Choice(logprob=-1.0)]
    assert choice_accuracy().stats(choices, 1) == (100.0, 1.0)
    assert choice_accuracy().stats([], 0) == (0.0, 1.0)


@given(logprobs=st.lists(st.floats(-50, 0), min_size=1, max_size=6))
def test_shares_of_the_choices_add_up(logprobs: list[float]) -> None:
    choices = [Choice(logprob=x) for x in logprobs]
    shares = [choice_probability().stats(choices, i)[0] for i in range(len(choices))]
    assert sum(shares) == pytest.approx(100.0)
    assert shares[logprobs.index(max(logprobs))] == max(shares)


def test_shares_of_impossible_choices_are_equal() -> None:
    impossible = [Choice(logprob=-math.inf)] * 4
    assert choice_probability().stats(impossible, 2) == (25.0, 1.0)
    assert choice_probability().stats([], 0) == (0.0, 1.0)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(UsageError, match="needs each choice's number of tokens"):
        choice_accuracy("token").stats([Choice(logprob=-1.0)], 0)
    with pytest.raises(UsageError, match="needs that of each choice"):
        choice_accuracy("unconditional").stats([Choice(logprob=-1.0)], 0)
    with pytest.raises(UsageError, match=r"Unknown normalisation 'bytes'. Did you mean 'byte'"):
        choice_accuracy("bytes")  # type: ignore[arg-type]
