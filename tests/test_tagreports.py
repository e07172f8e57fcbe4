"""Reports by entity type and by tag, for every cell that names entities, however it was asked."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import toys

from harness.cli import invoke
from harness.codec import from_json, to_json
from harness.columns import read_columns
from harness.errors import PluginError
from harness.grading import Subject, draw_samples, grade
from harness.metrics import spans_from_tags
from harness.metrics.spans import WORD, spans_in_words
from harness.results import RunDirectory
from harness.types import Response, Sample, SampleRecord, TaskSettings
from harness_ner.sets import CONLL

TEXT = "Ann B-PER\nLee I-PER\nsaw O\nRome B-LOC\n\nBob B-PER\nran O\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A small model that writes names down, on two tasks; most of what it writes is wrong."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("tagreports")
    (folder / "gold").write_text(TEXT)
    tasks = f"world-ner,conll:{folder / 'gold'}"
    command = ["run", "-m", "nano-9k", "-t", tasks, "--limit", "12", "--device", "cpu"]
    assert invoke([*command, "-o", str(folder / "run")]) == 0
    return RunDirectory(folder / "run")


def document(capsys: pytest.CaptureFixture[str], directory: RunDirectory, *more: str) -> Any:
    assert invoke(["show", str(directory.path), "--tags", "--json", *more]) == 0
    return json.loads(capsys.readouterr().out)["reports"]


def test_generated_names_are_reported_by_type_and_by_tag(
    run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    world, columns = document(capsys, run)
    scores = {cell.task: cell.scores[0].value for cell in run.read_run().cells}
    for report in (world, columns):
        assert report["entities"]["micro"]["f1"] == pytest.approx(scores[report["task"]])
    cell = next(one for one in run.read_run().cells if one.task == "world-ner")
    samples = list(run.read_samples(cell))
    assert world["entities"]["micro"]["support"] == sum(len(s.reference["spans"]) for s in samples)
    words = sum(len(WORD.findall(s.reference["text"])) for s in samples)
    assert world["tokens"]["micro"]["support"] == words
    assert {row["name"] for row in columns["entities"]["rows"]} >= {"LOC", "PER"}
    assert columns["tokens"]["micro"]["support"] == 6
    assert columns["tokens_without_o"]["micro"]["support"] == 4


def test_an_oracle_is_right_in_every_row(tmp_path: Path) -> None:
    (tmp_path / "gold").write_text(TEXT)
    subject, samples = _subject(tmp_path / "gold", "generate")
    answers = [subject.task.oracle(sample)[0] for sample in samples]  # type: ignore[attr-defined]
    for record in grade(subject, samples, answers):
        assert [list(span) for span in record.entities or ()] == record.reference["spans"]
        assert from_json(SampleRecord, to_json(record), where="it") == record


def test_unplaced_names_stand_before_the_text(tmp_path: Path) -> None:
    (tmp_path / "gold").write_text(TEXT)
    subject, samples = _subject(tmp_path / "gold", "generate")
    answers = [Response(text="PER: Zoe; LOC: Rome"), Response(error="no answer")]
    first, second = grade(subject, samples, answers)
    assert first.entities == (("LOC", 3, 4), ("PER", -1, -1))
    assert second.entities is None


def _subject(path: Path, kind: Any) -> tuple[Subject, Sequence[Sample]]:
    task = CONLL.build(TaskSettings(argument=str(path), kinds=frozenset({kind})))
    subject = Subject(task=task, name="conll", plugin=toys.PLUGIN)
    return subject, draw_samples(subject, None)


def test_models_and_tasks_can_be_chosen(
    run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    (only,) = document(capsys, run, "-t", "conll", "-m", "nano-9k")
    assert only["task"].startswith("conll:")
    assert invoke(["show", str(run.path), "--tags", "-t", "squad"]) == 2
    assert "no task 'squad'" in capsys.readouterr().err
    assert invoke(["show", str(run.path), "--tags", "--tokens"]) == 2


def test_a_run_of_an_earlier_version_is_graded_anew(
    run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = document(capsys, run)
    for path in run.path.rglob("*.jsonl"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line in lines:
            del line["entities"]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert invoke(["show", str(run.path), "--tags"]) == 0
    told = capsys.readouterr()
    assert not told.out and "nano-9k on world-ner" in told.err
    assert told.err.count("harness rescore") == 2
    assert invoke(["rescore", str(run.path)]) == 0
    capsys.readouterr()
    assert document(capsys, run) == before


class Naming(toys.Sums):
    """Sums whose answers are said to name entities."""

    def __init__(self, entities: Any) -> None:
        super().__init__()
        self.given = entities

    def entities(self, sample: Sample, responses: Sequence[Response]) -> Any:
        if isinstance(self.given, Exception):
            raise self.given
        return self.given


@pytest.mark.parametrize(
    ("entities", "words"),
    [
        ([("PER", 0)], "raised ValueError in entities() for sample"),
        ([("PER", 0, "1")], r"entities() gave ('PER', 0, '1') for sample"),
        (KeyError("x"), "raised KeyError in entities() for sample"),
    ],
)
def test_entities_that_are_none_blame_the_plugin(entities: Any, words: str) -> None:
    subject = Subject(task=Naming(entities), name="sums", plugin=toys.PLUGIN)
    samples = draw_samples(subject, 1)
    answers = [Response(text="1", logprob=-1.0)] * len(samples[0].requests)
    with pytest.raises(PluginError, match=re.escape(words)):
        grade(subject, samples, answers)


def test_spans_in_characters_become_spans_in_words() -> None:
    words = list(WORD.finditer("Ann Lee's cat."))
    spans = [("PER", 0, 7), ("X", 9, 9), ("X", -1, -1), ("ANIMAL", 10, 13)]
    assert spans_in_words(spans, words) == [("PER", 0, 2), ("ANIMAL", 4, 5)]


def test_score_reports_what_seqeval_and_scikit_learn_do(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reports of the CoNLL-2003 baseline, whose tags are IOB1."""
    folder = shared / "data" / "conll2003"
    tagged = folder / "lexicon_baseline.testa.5col.gz"
    expected = json.loads((folder / "lexicon_baseline.testa.expected.json").read_text())
    assert invoke(["score", "entity_f1:scheme=iob1", "--hyp", str(tagged), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    for report, wanted in (
        ("entities", "seqeval_strict_IOB1"),
        ("tokens", "sklearn_token_per_tag"),
        ("tokens_without_o", "sklearn_token_per_tag_without_O"),
    ):
        parts = found[report]
        rows = (*parts["rows"], parts["micro"], parts["macro"], parts["weighted"])
        ours = {row["name"]: row for row in rows}
        for name, numbers in expected[wanted].items():
            if name == "accuracy":
                assert parts["accuracy"] / 100 == pytest.approx(numbers, abs=1e-12)
                continue
            assert ours[name]["support"] == numbers["support"]
            for column, key in (("precision",) * 2, ("recall",) * 2, ("f1", "f1-score")):
                assert ours[name][column] / 100 == pytest.approx(numbers[key], abs=1e-12)
    assert "|scheme:iob1|ref:seqeval-strict|" in found["signature"]


@pytest.mark.parametrize("scheme", ["auto", "iob1", "iob2", "iobes"])
def test_score_reads_every_scheme_as_seqeval_does(
    scheme: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seqeval = pytest.importorskip("seqeval.metrics")
    schemes = pytest.importorskip("seqeval.scheme")
    text = (
        "a I-PER B-PER\nb I-PER I-PER\nc O I-LOC\n\nd B-LOC B-LOC\ne B-LOC I-LOC\nf I-LOC O\n\n"
        "g B-PER B-PER\nh E-PER E-PER\ni S-LOC B-LOC\n"
    )
    if not scheme.startswith("iobes"):
        text = text.replace("E-", "I-").replace("S-", "B-")
    path = tmp_path / "tagged"
    path.write_text(text)
    assert invoke(["score", f"entity_f1:scheme={scheme}", "--hyp", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    gold, ours = ([s.tags for s in read_columns(str(path), column=c)] for c in (2, 3))
    strict = (
        {} if scheme == "auto" else {"mode": "strict", "scheme": getattr(schemes, scheme.upper())}
    )
    gold, ours = list(map(list, gold)), list(map(list, ours))
    assert found["value"] / 100 == pytest.approx(seqeval.f1_score(gold, ours, **strict))
    assert found["entities"]["micro"]["support"] == len(
        list(chain(*(spans_from_tags(tags, scheme) for tags in gold)))
    )
