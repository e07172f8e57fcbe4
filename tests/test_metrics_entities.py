"""Spans and entity F1 equal conlleval and seqeval."""

from __future__ import annotations

import gzip
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.metrics import (
    entity_f1,
    entity_precision,
    entity_recall,
    formula,
    spans_from_tags,
    tags_from_spans,
    value,
)
from harness.metrics.entities import EntityScorer

if TYPE_CHECKING:
    from pathlib import Path

Sentences = list[tuple[list[str], list[str]]]
TYPES = ("LOC", "MISC", "ORG", "PER")
TAGS = st.lists(st.sampled_from(["O", "B-A", "I-A", "B-B", "I-B", "E-A", "S-B", "S-A", "E-B"]))
IOB = st.lists(st.sampled_from(["O", "B-A", "I-A", "B-B", "I-B"]))


def columns(text: str) -> Sentences:
    """Gold and predicted tags, the last two columns, sentence by sentence."""
    sentences: Sentences = [([], [])]
    for line in text.split("\n"):
        fields = line.split()
        if not fields or fields[0] == "-DOCSTART-":
            sentences.append(([], []))
        else:
            sentences[-1][0].append(fields[-2])
            sentences[-1][1].append(fields[-1])
    return [sentence for sentence in sentences if sentence[0]]


def stats_of(scorer: EntityScorer, sentences: Sentences, scheme: str = "auto") -> list[Any]:
    return [
        scorer.stats(spans_from_tags(predicted, scheme), spans_from_tags(gold, scheme))
        for gold, predicted in sentences
    ]


def lexicon_baseline(shared: Path) -> tuple[Sentences, Any]:
    folder = shared / "data" / "conll2003"
    with gzip.open(folder / "lexicon_baseline.testa.5col.gz", "rt", encoding="latin-1") as stream:
        sentences = columns(stream.read())
    return sentences, json.loads((folder / "lexicon_baseline.testa.expected.json").read_text())


@pytest.mark.parametrize("scheme", ["auto", "iob1"])
def test_conll2003_lexicon_baseline_equals_conlleval(shared: Path, scheme: str) -> None:
    sentences, expected = lexicon_baseline(shared)
    wanted = expected["conlleval_pl"]
    stats = stats_of(entity_f1(), sentences, scheme)
    sums = [sum(column) for column in zip(*stats, strict=True)]
    assert sums == [wanted["correct"], wanted["found"], wanted["gold"]]
    assert round(value(entity_f1().metric, stats), 2) == wanted["f1"]


@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
def test_conll2003_lexicon_baseline_equals_seqeval(shared: Path, average: str) -> None:
    sentences, expected = lexicon_baseline(shared)
    scorer = entity_f1(average, types=TYPES)
    wanted = expected["seqeval_default"][f"{average} avg"]["f1-score"]
    assert value(scorer.metric, stats_of(scorer, sentences)) == pytest.approx(100 * wanted)


def test_the_conlleval_sample(shared: Path) -> None:
    folder = shared / "data" / "vectors"
    sentences = columns((folder / "conlleval_conll2000_sample.txt").read_text())
    report = (folder / "conlleval_conll2000_sample.expected.txt").read_text()
    gold, found, correct = map(
        int,
        re.findall(r"with (\d+) phrases; found: (\d+) phrases; correct: (\d+)", report)[0],
    )
    stats = stats_of(entity_f1(), sentences)
    assert [sum(column) for column in zip(*stats, strict=True)] == [correct, found, gold]
    assert f"FB1:  {value(entity_f1().metric, stats):.2f}" in report
    rows = re.findall(r"(\w+): +precision: +([\d.]+)%; recall: +([\d.]+)%; FB1: +([\d.]+)", report)
    for kind, *wanted in rows:
        scorers = [s(types=[kind]) for s in (entity_precision, entity_recall, entity_f1)]
        got = [f"{value(s.metric, stats_of(s, sentences)):.2f}" for s in scorers]
        assert got == wanted
    assert len(rows) == 6


@given(tags=TAGS)
def test_auto_reads_as_seqeval_by_default(tags: list[str]) -> None:
    sequence_labeling = pytest.importorskip("seqeval.metrics.sequence_labeling")
    wanted = [(kind, a, b + 1) for kind, a, b in sequence_labeling.get_entities(tags)]
    assert spans_from_tags(tags) == wanted


@given(tags=TAGS)
def test_iobes_and_bilou_read_as_seqeval_strict(tags: list[str]) -> None:
    scheme = pytest.importorskip("seqeval.scheme")
    wanted = [_order(e.to_tuple()[1:]) for e in scheme.Entities([tags], scheme.IOBES).entities[0]]
    assert spans_from_tags(tags, "iobes") == wanted
    bilou = [tag.replace("E-", "L-").replace("S-", "U-") for tag in tags]
    assert spans_from_tags(bilou, "bilou") == spans_from_tags(tags, "iobes")


def _order(entity: tuple[Any, ...]) -> tuple[str, int, int]:
    kind = next(part for part in entity if isinstance(part, str))
    start, end = (part for part in entity if isinstance(part, int))
    return kind, start, end


@pytest.mark.parametrize("name", ["iob1", "iob2"])
@given(tags=IOB)
def test_iob_reads_as_seqeval_strict(name: str, tags: list[str]) -> None:
    scheme = pytest.importorskip("seqeval.scheme")
    kind = getattr(scheme, name.upper())
    wanted = [_order(e.to_tuple()[1:]) for e in scheme.Entities([tags], kind).entities[0]]
    assert spans_from_tags(tags, name) == wanted


@given(tags=IOB, scheme=st.sampled_from(["iob1", "iob2", "iobes", "bilou"]))
def test_spans_survive_every_scheme(tags: list[str], scheme: str) -> None:
    spans = spans_from_tags(tags)
    assert spans_from_tags(tags_from_spans(spans, len(tags), scheme), scheme) == spans


@given(tags=st.lists(st.text(max_size=6)))
def test_invented_tags_never_raise(tags: list[str]) -> None:
    for scheme in ("auto", "iob1", "iob2", "iobes", "bilou"):
        assert all(0 <= s < e <= len(tags) for _, s, e in spans_from_tags(tags, scheme))


def test_adjacent_entities_of_one_type_in_iob1() -> None:
    tags = ["I-PER", "I-PER", "B-PER", "O", "I-LOC", "I-ORG"]
    assert spans_from_tags(tags, "iob1") == [
        ("PER", 0, 2),
        ("PER", 2, 3),
        ("LOC", 4, 5),
        ("ORG", 5, 6),
    ]


def test_where_spans_overlap_the_first_stands() -> None:
    spans = [("A", 0, 2), ("B", 1, 3), ("C", 3, 9), ("D", 2, 2)]
    assert tags_from_spans(spans, 4) == ["B-A", "I-A", "O", "B-C"]
    with pytest.raises(UsageError, match="Unknown tag scheme 'auto'"):
        tags_from_spans(spans, 4, "auto")


def test_lists_count_as_tuples_and_doubles_once() -> None:
    stats = entity_f1().stats([["PER", 0, 2], ("PER", 0, 2), ["LOC", 3, 4]], [("PER", 0, 2)])
    assert stats == (1.0, 2.0, 1.0)
    assert entity_f1().stats([], [("PER", 0, 2)]) == (0.0, 0.0, 1.0)
    assert entity_f1().stats(["nonsense", 3, ["PER", "x", 1]], []) == (0.0, 0.0, 0.0)


SPANS = st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 3), st.integers(4, 6)))


@given(pairs=st.lists(st.tuples(SPANS, SPANS), min_size=1, max_size=4))
def test_averages_equal_scikit_learn_style_means(pairs: list[tuple[Any, Any]]) -> None:
    for average in ("macro", "weighted"):
        scorer = entity_f1(average, types="ABC")
        got = value(scorer.metric, [scorer.stats(p, g) for p, g in pairs])
        values, supports = [], []
        for kind in "ABC":
            p = {(i, s) for i, (ps, _) in enumerate(pairs) for s in ps if s[0] == kind}
            g = {(i, s) for i, (_, gs) in enumerate(pairs) for s in gs if s[0] == kind}
            if p or g:
                values.append(200 * len(p & g) / (len(p) + len(g)))
                supports.append(len(g) if average == "weighted" else 1)
        total = sum(supports)
        want = sum(v * s for v, s in zip(values, supports, strict=True)) / total if total else 0
        assert got == pytest.approx(want)


def test_entity_metrics_name_their_average() -> None:
    assert entity_f1().metric.name == "entity_f1"
    assert entity_f1("macro", types=TYPES).metric.name == "entity_f1_macro"
    assert formula(entity_f1("weighted", types=TYPES).metric.formula)
    with pytest.raises(UsageError, match="needs the list of entity types"):
        entity_f1("macro")
    with pytest.raises(UsageError, match=r"Unknown average 'mikro'. Did you mean 'micro'"):
        entity_f1("mikro")
    with pytest.raises(UsageError, match="Unknown tag scheme 'iob3'"):
        spans_from_tags([], "iob3")
