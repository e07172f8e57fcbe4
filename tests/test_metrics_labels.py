"""Label F1, Matthews' correlation and tag accuracy equal scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.metrics import interval, label_f1, matthews, replicates, tag_accuracy, value

LABELS = ("a", "b", "c")
PAIRS = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1)


def scored(scorer: Any, pairs: list[tuple[Any, Any]]) -> float:
    return value(scorer.metric, [scorer.stats(ours, theirs) for ours, theirs in pairs])


@pytest.mark.filterwarnings("ignore")
@given(pairs=PAIRS)
def test_label_f1_equals_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    predicted, gold = zip(*pairs, strict=True)
    for average in ("macro", "weighted", "micro"):
        wanted = metrics.f1_score(gold, predicted, average=average, zero_division=0)
        assert scored(label_f1(LABELS, average), pairs) == pytest.approx(100 * wanted)
    wanted = metrics.f1_score(gold, predicted, labels=["a"], average="macro", zero_division=0)
    assert scored(label_f1(LABELS, positive="a"), pairs) == pytest.approx(100 * wanted)


@pytest.mark.filterwarnings("ignore")
@given(pairs=PAIRS)
def test_matthews_equals_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    predicted, gold = zip(*pairs, strict=True)
    wanted = 100 * metrics.matthews_corrcoef(gold, predicted)
    assert scored(matthews(LABELS), pairs) == pytest.approx(wanted, abs=1e-9)
    known = scored(matthews(("a", "b")), pairs)  # an answer that is no label is one label more
    assert known == pytest.approx(wanted, abs=1e-9)


def test_matthews_of_a_table_worked_by_hand() -> None:
    # tp 6, fp 1, fn 2, tn 3: (6*3 - 1*2) / sqrt(7 * 8 * 4 * 5) = .47809
    pairs = [("1", "1")] * 6 + [("1", "0")] + [("0", "1")] * 2 + [("0", "0")] * 3
    scorer = matthews(("0", "1"))
    assert scored(scorer, pairs) == pytest.approx(100 * 16 / 1120**0.5)
    assert scored(scorer, [("1", label) for label in "0101"]) == 0.0
    assert scored(scorer, [("1", "1"), ("0", "0")]) == 100.0
    assert scored(scorer, [("1", "0"), ("0", "1")]) == -100.0


def test_matthews_stays_within_bounds_in_every_resample() -> None:
    rng = np.random.default_rng(0)
    pairs = [("1" if x > 0.2 else "0", "1" if y > 0.3 else "0") for x, y in rng.random((60, 2))]
    scorer = matthews(("0", "1"))
    stats = [scorer.stats(*pair) for pair in pairs]
    values = replicates(scorer.metric, stats, rng.multinomial(60, [1 / 60] * 60, size=50))
    assert (np.abs(values) <= 100).all()
    low, high = interval(scorer.metric, stats)
    assert low < value(scorer.metric, stats) < high


# The examples in the documentation of Hugging Face's evaluate (a7dd3383), metrics/f1.
DOCUMENTED = [
    ("021001", "012012", "macro", 0.27),
    ("021001", "012012", "micro", 0.33),
    ("021001", "012012", "weighted", 0.27),
]


@pytest.mark.parametrize(("predicted", "gold", "average", "wanted"), DOCUMENTED)
def test_documented_f1_examples(predicted: str, gold: str, average: str, wanted: float) -> None:
    pairs = list(zip(predicted, gold, strict=True))
    assert round(scored(label_f1("012", average), pairs) / 100, 2) == wanted


def test_documented_f1_of_one_label() -> None:
    pairs = list(zip("00110", "01010", strict=True))
    assert scored(label_f1("01", positive="1"), pairs) == 50.0
    assert round(scored(label_f1("01", positive="0"), pairs) / 100, 2) == 0.67


def test_an_answer_that_is_no_label_only_costs_recall() -> None:
    scorer = label_f1(("yes", "no"), "micro")
    assert scorer.stats("perhaps", "yes") == (0.0, 0.0, 1.0)
    assert scorer.stats("yes", "yes") == (1.0, 1.0, 1.0)


def test_tags_are_counted_one_by_one() -> None:
    scorer = label_f1(("PER", "LOC"), "macro")
    stats = scorer.stats(["PER", "O"], ["PER", "LOC", "LOC"])
    assert stats == (1.0, 1.0, 1.0, 0.0, 0.0, 2.0)
    assert value(scorer.metric, [stats]) == 50.0
    assert tag_accuracy().stats(["PER", "O"], ["PER", "LOC", "LOC"]) == (100.0, 3.0)
    assert tag_accuracy().stats([], []) == (0.0, 0.0)


def test_names_and_errors() -> None:
    assert label_f1(LABELS).metric.name == "macro_f1"
    assert label_f1(LABELS, "weighted").metric.name == "weighted_f1"
    assert label_f1(LABELS, positive="a").metric.name == "f1"
    assert matthews(LABELS).metric.chance == 0.0
    with pytest.raises(UsageError, match=r"Unknown average 'macr'. Did you mean 'macro'"):
        label_f1(LABELS, "macr")
    with pytest.raises(UsageError, match="Unknown label 'd'"):
        label_f1(LABELS, positive="d")
