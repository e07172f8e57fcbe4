"""Variety, repetition and length of answers, and pass@k."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.metrics import (
    corpus_distinct,
    distinct,
    length,
    length_ratio,
    pass_at_k,
    repetition,
    value,
)
from harness.metrics.attempts import estimate_pass_at_k

if TYPE_CHECKING:
    from pathlib import Path


def test_distinct_and_repeated_ngrams_worked_by_hand() -> None:
    text = "a b a b a"  # bigrams ab ba ab ba: 2 of 4 distinct
    assert distinct(2).stats(text) == (50.0, 1.0)
    assert repetition(2).stats(text) == (50.0, 1.0)
    assert distinct(1).stats(text) == (40.0, 1.0)
    assert repetition().stats("no no") == (0.0, 0.0)
    assert not repetition().metric.higher_is_better
    assert (distinct(1).metric.name, repetition(4).metric.name) == ("distinct_1", "repetition_4")


def test_chinese_varies_by_characters() -> None:
    assert distinct(1, tokenizer="cjk").stats("好好学习") == (75.0, 1.0)
    assert distinct(1).stats("好好学习") == (100.0, 1.0)


def test_distinct_over_all_answers_counts_each_ngram_once() -> None:
    # Li et al. 2016: 4 unigrams a b b c, 3 distinct.
    answers = ["a b", "b c"]
    scorer = corpus_distinct(answers, 1)
    assert value(scorer.metric, [scorer.stats(one) for one in answers]) == 75.0
    assert scorer.stats("") == (0.0, 0.0)


@given(st.text(max_size=60))
def test_any_text_has_shares_within_bounds(text: str) -> None:
    for scorer in (distinct(1), distinct(3, tokenizer="cjk"), repetition(2)):
        assert 0.0 <= scorer.stats(text)[0] <= 100.0
    assert length("char").stats(text)[0] == len(text)


def test_lengths() -> None:
    assert length().stats("two words") == (2.0, 1.0)
    assert length("byte").stats("né") == (3.0, 1.0)
    ratio = length_ratio()
    stats = [ratio.stats("a b c", ["a", "a b"]), ratio.stats("", "a b")]
    assert stats == [(3.0, 2.0), (0.0, 2.0)]
    assert value(ratio.metric, stats) == 0.75


@given(outcomes=st.lists(st.booleans(), min_size=1, max_size=9), k=st.integers(1, 9))
def test_pass_at_k_is_the_share_of_subsets_with_a_success(outcomes: list[bool], k: int) -> None:
    if k > len(outcomes):
        with pytest.raises(UsageError, match=f"pass@{k} needs at least {k} attempts"):
            pass_at_k(k).stats(outcomes)
        return
    subsets = list(itertools.combinations(outcomes, k))
    wanted = sum(map(any, subsets)) / len(subsets)
    assert pass_at_k(k).stats(outcomes)[0] == pytest.approx(100 * wanted)


def test_pass_at_k_of_many_attempts_equals_the_paper_code() -> None:
    # Chen et al. 2021, figure 3: 1 - prod(1 - k / arange(n - c + 1, n + 1)), n=200, c=17, k=10.
    wanted = 1.0
    for i in range(200 - 17 + 1, 201):
        wanted *= 1 - 10 / i
    assert estimate_pass_at_k(200, 17, 10) == pytest.approx(1 - wanted)


def test_lighteval_pass_at_k_cases(shared: Path) -> None:
    path = shared / "data" / "vectors" / "lighteval" / "pass_at_k.json"
    for case in json.loads(path.read_text())["test_cases"]:
        answers = case["model_response"]["text"]
        gold = case["doc"]["choices"][case["doc"]["gold_index"]]
        k = case["metric_params"]["k"]
        got = pass_at_k(k).stats([answer == gold for answer in answers])[0] / 100
        (wanted,) = case["expected_output"].values()
        assert got == pytest.approx(wanted, abs=case["tolerance"])


def test_bad_settings_are_named() -> None:
    with pytest.raises(UsageError, match="at least one word"):
        distinct(0)
    with pytest.raises(UsageError, match="Unknown tokenizer 'word'"):
        repetition(tokenizer="word")
    with pytest.raises(UsageError, match=r"Unknown unit 'words'. Did you mean 'word'"):
        length("words")
    with pytest.raises(UsageError, match="Unknown unit 'line'"):
        length_ratio("line")
    with pytest.raises(UsageError, match="at least 1, not 0"):
        pass_at_k(0)
