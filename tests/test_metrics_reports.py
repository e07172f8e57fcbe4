"""Reports by entity type and by tag equal seqeval's and scikit-learn's."""

from __future__ import annotations

import gzip
import json
import re
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.metrics import (
    Report,
    entity_f1,
    entity_report,
    report_from_counts,
    spans_from_tags,
    tag_accuracy,
    tag_report,
    value,
)

if TYPE_CHECKING:
    from pathlib import Path

Pairs = list[tuple[list[str], list[str]]]


def predicted_and_gold(path: Path) -> Pairs:
    opener: Any = gzip.open if path.suffix == ".gz" else open
    pairs: Pairs = [([], [])]
    with opener(path, "rt", encoding="latin-1") as stream:
        for line in stream:
            fields = line.split()
            if not fields or fields[0] == "-DOCSTART-":
                pairs.append(([], []))
                continue
            pairs[-1][0].append(fields[-1])
            pairs[-1][1].append(fields[-2])
    return pairs


def expect(report: Report, wanted: dict[str, Any]) -> None:
    rows = {row.name: row for row in (*report.rows, report.micro, report.macro, report.weighted)}
    for name, numbers in wanted.items():
        if name == "accuracy":
            assert report.accuracy == pytest.approx(100 * numbers)
            continue
        row = rows[name]
        assert row.precision == pytest.approx(100 * numbers["precision"])
        assert row.recall == pytest.approx(100 * numbers["recall"])
        assert row.f1 == pytest.approx(100 * numbers["f1-score"])
        assert row.support == numbers["support"]


def test_conll2003_baseline_by_type_and_by_tag(shared: Path) -> None:
    folder = shared / "data" / "conll2003"
    expected = json.loads((folder / "lexicon_baseline.testa.expected.json").read_text())
    pairs = predicted_and_gold(folder / "lexicon_baseline.testa.5col.gz")
    by_type = entity_report((spans_from_tags(p), spans_from_tags(g)) for p, g in pairs)
    expect(by_type, expected["seqeval_default"])
    for name, numbers in expected["conlleval_pl"]["types"].items():
        row = next(row for row in by_type.rows if row.name == name)
        assert round(row.f1, 2) == numbers["f1"]
        assert row.predicted == numbers["found"]
    expect(tag_report(pairs), expected["sklearn_token_per_tag"])
    expect(tag_report(pairs, leave_out=("O",)), expected["sklearn_token_per_tag_without_O"])
    accuracy = tag_accuracy()
    stats = [accuracy.stats(*pair) for pair in pairs]
    assert round(value(accuracy.metric, stats), 2) == expected["conlleval_pl"]["accuracy"]


def test_the_conlleval_sample_by_type(shared: Path) -> None:
    folder = shared / "data" / "vectors"
    pairs = predicted_and_gold(folder / "conlleval_conll2000_sample.txt")
    text = (folder / "conlleval_conll2000_sample.expected.txt").read_text()
    report = entity_report((spans_from_tags(p), spans_from_tags(g)) for p, g in pairs)
    rows = re.findall(
        r"(\w+): precision: +([\d.]+)%; recall: +([\d.]+)%; FB1: +([\d.]+) +(\d+)", text
    )
    got = [
        (r.name, f"{r.precision:.2f}", f"{r.recall:.2f}", f"{r.f1:.2f}", str(r.predicted))
        for r in report.rows
    ]
    assert got == rows
    accuracy = tag_report(pairs).accuracy
    assert f"accuracy:  {accuracy:.2f}%" in text


def test_seqeval_own_case_of_averages(shared: Path) -> None:
    cases = json.loads((shared / "data" / "vectors" / "seqeval_test_v1.json").read_text())
    case = next(case for case in cases if case["test"] == "test_average_scores")
    (gold,), (ours,) = case["inputs"]["y_true"], case["inputs"]["y_pred"]
    report = entity_report([(spans_from_tags(ours, "iob2"), spans_from_tags(gold, "iob2"))])
    for average, wanted in case["parametrize"][0][1]:
        row = getattr(report, average)
        got = [row.precision, row.recall, row.f1]
        assert [round(x / 100, 2) for x in got] + [row.support] == wanted


def test_stored_statistics_give_the_same_report() -> None:
    gold = [[("PER", 0, 1), ("LOC", 2, 4)], [("PER", 1, 3)]]
    ours = [[("PER", 0, 1), ("LOC", 2, 3)], []]
    scorer = entity_f1("macro", types=["LOC", "PER"])
    sums = [sum(c) for c in zip(*map(scorer.stats, ours, gold), strict=True)]
    counts = {"LOC": (sums[0], sums[1], sums[2]), "PER": (sums[3], sums[4], sums[5])}
    report = report_from_counts(counts)
    assert report == entity_report(zip(ours, gold, strict=True))
    assert report.macro.f1 == pytest.approx(100 / 3)


def test_a_report_of_nothing_is_empty() -> None:
    report = entity_report([])
    assert report.rows == ()
    assert report.micro.f1 == report.macro.f1 == report.weighted.f1 == 0.0
    assert tag_report([]).accuracy == 0.0


TAG = st.sampled_from(["O", "O", *(f"{prefix}-{kind}" for prefix in "BI" for kind in ("A", "BC"))])
SENTENCES = st.lists(st.lists(st.tuples(TAG, TAG), min_size=1, max_size=8), min_size=1, max_size=5)


@settings(max_examples=40, deadline=None)
@given(sentences=SENTENCES)
def test_reports_of_random_tags_equal_seqeval_and_scikit_learn(
    sentences: list[list[tuple[str, str]]],
) -> None:
    seqeval = pytest.importorskip("seqeval.metrics")
    sklearn = pytest.importorskip("sklearn.metrics")
    gold, ours = ([[pair[side] for pair in one] for one in sentences] for side in (0, 1))
    spans = [(spans_from_tags(a), spans_from_tags(b)) for a, b in zip(ours, gold, strict=True)]
    report = entity_report(spans)
    if report.rows:  # of no entities at all, seqeval takes means of nothing
        expect(report, seqeval.classification_report(gold, ours, output_dict=True, zero_division=0))
    stats = [entity_f1().stats(*pair) for pair in spans]
    f1 = seqeval.f1_score(gold, ours, zero_division=0)
    assert value(entity_f1().metric, stats) / 100 == pytest.approx(f1, abs=1e-12)
    single = sklearn.classification_report(
        list(chain(*gold)), list(chain(*ours)), output_dict=True, zero_division=0
    )
    expect(tag_report(zip(ours, gold, strict=True)), single)
