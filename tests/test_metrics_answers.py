"""Exact match and F1 equal SQuAD's official script, and CMRC's on worked cases."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.metrics import exact_match, f1, value
from harness.metrics.answers import normalize_answer

if TYPE_CHECKING:
    from pathlib import Path

    from harness.metrics.scorer import Mean

SYSTEMS = (
    "bert_ensemble",
    "logistic_regression",
    "match_lstm_ensemble",
    "slqa_ensemble",
    "rnet_ensemble",
    "v2_bert_single",
    "v2_bidaf_elmo",
    "v2_nlnet_single",
)


def percent(scorer: Mean, pairs: list[tuple[str, list[str]]]) -> float:
    return value(scorer.metric, [scorer.stats(p, r) for p, r in pairs])


def squad_golds(path: Path) -> dict[str, list[str]]:
    document = json.loads(path.read_text(encoding="utf-8-sig"))
    return {
        qa["id"]: [answer["text"] for answer in qa["answers"]]
        for article in document["data"]
        for paragraph in article["paragraphs"]
        for qa in paragraph["qas"]
    }


def sample_golds(path: Path) -> dict[str, list[str]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    return {row["id"]: row["answers"] for row in rows}


@pytest.mark.parametrize("system", SYSTEMS)
def test_leaderboard_predictions_get_the_official_numbers(shared: Path, system: str) -> None:
    folder = shared / "data" / "squad"
    expected = json.loads((folder / "predictions.expected.json").read_text())[system]
    predictions = json.loads((folder / "predictions" / f"{system}.json").read_text())
    golds = {
        "xquad_en": squad_golds(folder / "squad1.1_xquad_en.even_titles.json"),
        "dev_sample": sample_golds(folder / "squad1.1_dev_sample.a.jsonl"),
    }
    for part, wanted in expected.items():
        pairs = [(predictions[i], gold) for i, gold in golds[part].items() if i in predictions]
        assert len(pairs) == wanted["total"]
        assert percent(exact_match(), pairs) == pytest.approx(wanted["exact"], abs=1e-9)
        assert percent(f1(), pairs) == pytest.approx(wanted["f1"], abs=1e-9)


@pytest.mark.parametrize("made", ["rule_predictions", "all_empty"])
def test_unanswerable_questions_get_the_official_numbers(shared: Path, made: str) -> None:
    folder = shared / "data" / "squad"
    expected = json.loads((folder / "squad2.0_rule_predictions.expected.json").read_text())[made]
    predictions = json.loads((folder / "squad2.0_rule_predictions.json").read_text())
    golds = squad_golds(folder / "squad2.0_cs224n_dev.even_articles.json")
    pairs = [("" if made == "all_empty" else predictions[i], gold) for i, gold in golds.items()]
    parts = {
        "": pairs,
        "HasAns_": [pair for pair in pairs if pair[1]],
        "NoAns_": [pair for pair in pairs if not pair[1]],
    }
    for prefix, part in parts.items():
        assert len(part) == expected[f"{prefix}total"]
        assert percent(exact_match(), part) == pytest.approx(expected[f"{prefix}exact"])
        assert percent(f1(), part) == pytest.approx(expected[f"{prefix}f1"])


def test_normalisation_drops_case_articles_punctuation_and_blanks() -> None:
    assert exact_match().stats(" The  Eiffel-Tower! ", "eiffeltower") == (100.0, 1.0)
    assert f1().stats("a big red dog", ["red cat", "the red dog"]) == (80.0, 1.0)


def test_no_answer_is_right_exactly_when_nothing_is_said() -> None:
    for scorer in (exact_match(), f1()):
        assert scorer.stats("", []) == (100.0, 1.0)
        assert scorer.stats("the", []) == (100.0, 1.0)
        assert scorer.stats("Paris", []) == (0.0, 1.0)
        assert scorer.stats("", ["Paris"]) == (0.0, 1.0)


# Worked by hand from cmrc2018_evaluate.py v5: characters for Han, words between them, punctuation
# removed, overlap = longest common run of segments.
CMRC = [
    ("《红楼梦》", ["红楼梦"], 1.0, 1.0),
    ("1998年,在北京", ["1998年"], 0.0, 2 * (2 / 6) * 1 / (2 / 6 + 1)),
    ("作者是曹雪芹", ["曹雪芹", "曹霑"], 0.0, 2 * (3 / 6) * 1 / (3 / 6 + 1)),
    ("Windows 98 系统", ["windows 98"], 0.0, 2 * (2 / 4) * 1 / (2 / 4 + 1)),
    ("甲乙丙丁", ["甲丙"], 0.0, 2 * (1 / 4) * (1 / 2) / (1 / 4 + 1 / 2)),
    ("", ["曹雪芹"], 0.0, 0.0),
]


@pytest.mark.parametrize(("prediction", "golds", "exact", "overlap"), CMRC)
def test_cmrc_mixed_segmentation(
    prediction: str, golds: list[str], exact: float, overlap: float
) -> None:
    assert exact_match("cmrc").stats(prediction, golds) == (100 * exact, 1.0)
    assert f1("cmrc").stats(prediction, golds)[0] == pytest.approx(100 * overlap)


def test_cmrc_trial_questions_get_the_official_numbers(shared: Path) -> None:
    path = shared / "data" / "cmrc2018" / "cmrc2018_trial.squad.json"
    document = json.loads(path.read_text(encoding="utf-8-sig"))
    pairs: list[tuple[str, list[str]]] = []
    for paragraph in (p for article in document["data"] for p in article["paragraphs"]):
        for question in paragraph["qas"]:
            text, golds = paragraph["context"], [a["text"] for a in question["answers"]]
            start, size = text.find(golds[0]), len(golds[0])
            predictions = (
                golds[-1],
                f"《{golds[-1]}。",
                text[max(start - 3, 0) : start + size + 4],
                text[start + 1 : start + 1 + max(1, size // 2)],
            )
            pairs.append((predictions[len(pairs) % 4], golds))
    # The functions of cmrc2018_evaluate.py (v5 - special) on the same predictions, with NLTK
    # 3.10's word_tokenize(preserve_line=True), give 1002 questions, EM 50.0, F1 84.50711208336567.
    assert len(pairs) == 1002
    assert percent(exact_match("cmrc"), pairs) == 50.0
    assert percent(f1("cmrc"), pairs) == pytest.approx(84.50711208336567, abs=1e-9)


@given(prediction=st.text(max_size=40), golds=st.lists(st.text(max_size=20), max_size=3))
def test_any_text_gets_a_share_between_nothing_and_all(prediction: str, golds: list[str]) -> None:
    for manner in ("squad", "cmrc"):
        exact = exact_match(manner).stats(prediction, golds)[0]
        overlap = f1(manner).stats(prediction, golds)[0]
        assert exact in (0.0, 100.0)
        assert 0.0 <= overlap <= 100.0 + 1e-9
        right = next((gold for gold in golds if normalize_answer(gold)), "")
        assert exact_match(manner).stats(right, golds or [""])[0] == 100.0 or right == ""


def test_an_unknown_manner_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="Unknown answer normalisation 'squat'"):
        f1("squat")  # type: ignore[arg-type]
