"""Summaries and data to text: readers, prompts, and scores equal to published ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import metrics
from harness.errors import DataError, UsageError
from harness.types import Generate, Response, Sample, Task, TaskSettings
from harness_files.pairs import read_pairs
from harness_generation import harness_tasks
from harness_generation.summaries import sentences

SPECS = {spec.name: spec for spec in harness_tasks()}


def task_of(name: str, path: Path | str = "", **options: Path) -> Task:
    given = {key: str(option) for key, option in options.items()}
    return SPECS[name].build(TaskSettings(argument=str(path), options=given))


def prompt(sample: Sample) -> str:
    (request,) = sample.requests
    assert isinstance(request, Generate)
    return request.prompt


def score(task: Task, answers: list[str]) -> dict[str, float]:
    stats = [
        task.grade(sample, [Response(text=answer)])
        for sample, answer in zip(task.samples(), answers, strict=True)
    ]
    return {m.name: metrics.value(m, [one[m.name] for one in stats]) for m in task.metrics}


# --- summaries ------------------------------------------------------------------------------------


def test_sentence_marks_become_lines() -> None:
    assert sentences("<t> A b . </t> <t> C . </t>") == "A b .\nC ."
    assert sentences("<t> <t> A . </t> </t>") == "A ."
    assert sentences(" no marks ") == "no marks"


def test_dialogue_prompt_and_three_references(tmp_path: Path) -> None:
    row = {"fname": "t1", "dialogue": "A: Hi\nB: Bye"}
    row |= {f"summary{n}": f"They met {n}." for n in (1, 2, 3)} | {"topic1": "x"}
    path = tmp_path / "test.jsonl"
    path.write_text(json.dumps(row))
    (sample,) = task_of("dialogsum", path).samples()
    assert prompt(sample) == "A: Hi\nB: Bye\n\nTL;DR:"
    assert sample.reference == ["They met 1.", "They met 2.", "They met 3."]


def test_dialogue_without_summary_is_named(tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    path.write_text('{"fname": "t1", "dialogue": "x"}')
    with pytest.raises(DataError, match="line 1: 'summary' is missing"):
        task_of("dialogsum", path)


def test_dialogsum_file_is_whole(shared: Path) -> None:
    samples = list(task_of("dialogsum", shared / "data/dialogsum/dialogsum.dev.jsonl").samples())
    assert len(samples) == 500
    assert {len(sample.reference) for sample in samples} == {1}


@pytest.mark.parametrize(
    ("system", "reference"),
    [
        ("bart.out.txt", "ref.bart.txt"),
        ("t5.out_small.txt", "ref.t5.txt"),
        ("presumm.out_ext_abs.txt", "ref.presumm.txt"),
        ("ptr_generator.out_pointer_gen_cov.txt", "ref.ptr_generator.txt"),
    ],
)
def test_cnn_dailymail_systems_score_as_rouge_score_says(
    shared: Path, system: str, reference: str
) -> None:
    folder = shared / "data/cnndm"
    expected = json.loads((folder / "expected.rouge_score.json").read_text())[system]["mean"]
    task = task_of("summarization", src=folder / "src.txt", ref=folder / reference)
    answers = [sentences(line) for line in (folder / system).read_text("utf-8").splitlines()]
    assert len(answers) == 50
    scores = score(task, answers)
    for name, share in expected.items():
        assert scores[name] == pytest.approx(100 * share, abs=1e-9)


def test_summarization_needs_its_files() -> None:
    with pytest.raises(UsageError, match="needs src=FILE.\nWrite 'summarization:src=FILE,ref=FILE"):
        task_of("summarization")


# --- data to text ---------------------------------------------------------------------------------


def test_e2e_rows_of_one_meaning_are_its_references(tmp_path: Path) -> None:
    path = tmp_path / "e2e.csv"
    path.write_text('mr,ref\n"name[A], area[b]",One.\nname[C],Two.\n"name[A], area[b]",Three.\n')
    first, second = task_of("e2e", path).samples()
    assert prompt(first) == "Data: name[A], area[b]\nText:"
    assert first.reference == ["One.", "Three."]
    assert second.reference == ["Two."]


def test_e2e_file_is_whole(shared: Path) -> None:
    samples = list(task_of("e2e", shared / "data/e2e_nlg/devset.csv.gz").samples())
    assert len(samples) == 547
    assert sum(len(sample.reference) for sample in samples) == 4672


XML = """<?xml version="1.0" ?>
<benchmark><entries><entry category="Airport" eid="Id1" size="2">
<modifiedtripleset><mtriple>A | b | C</mtriple><mtriple>A | d | E</mtriple></modifiedtripleset>
<lex comment="good" lid="Id1"><text>A is
 C.</text></lex><lex comment="good" lid="Id2">A, C.</lex><lex lid="Id3"><text/></lex>
</entry></entries></benchmark>"""


def test_webnlg_triples_and_lexicalisations(tmp_path: Path) -> None:
    path = tmp_path / "x.xml"
    path.write_text(XML)
    (sample,) = task_of("webnlg", path).samples()
    assert sample.id == "Airport-2-Id1"
    assert prompt(sample) == "Data: A | b | C; A | d | E\nText:"
    assert sample.reference == ["A is C.", "A, C."]


def test_webnlg_entries_whose_texts_are_blank_are_left_out_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As in 3triples/SportsTeam.xml of the development part; tests call triples otriple."""
    path = tmp_path / "x.xml"
    entry = XML[XML.index("<entry ") : XML.index("</entries>")].replace("mtriple>", "otriple>")
    blank = entry.replace("A is\n C.", "").replace("A, C.", " ").replace("Id1", "Id9")
    path.write_text(XML.replace("</entries>", f"{blank}{entry.replace('Id1', 'Id2')}</entries>"))
    samples = list(task_of("webnlg", path).samples())
    assert [sample.id for sample in samples] == ["Airport-2-Id1", "Airport-2-Id2"]
    assert prompt(samples[1]) == "Data: A | b | C; A | d | E\nText:"
    assert "1 entries have no text (first: entry 2 (Airport-2-Id9)), left out" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<benchmark>", "is not XML: no element found"),
        ("<benchmark/>", "holds no items"),
        (XML.replace("modified", "other"), "entry 1 has no <modifiedtripleset/mtriple>"),
        (XML.replace("lex", "lox"), r"entry 1 \(Airport-2-Id1\) has no <lex>"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "declares entities"),
    ],
)
def test_wrong_xml_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.xml"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        task_of("webnlg", path)


@pytest.mark.parametrize(
    ("name", "entries"),
    [("1triples_Airport", 37), ("1triples_Astronaut", 9), ("1triples_Building", 30)],
)
def test_webnlg_files_are_whole(shared: Path, name: str, entries: int) -> None:
    samples = list(task_of("webnlg", shared / f"data/webnlg/xml/{name}.xml").samples())
    assert len(samples) == entries
    assert all(sample.reference for sample in samples)


def test_webnlg_outputs_score_as_sacrebleu_says(shared: Path) -> None:
    """Blank lines of further reference files are no references: BLEU 54.27, chrF++ 68.66."""
    folder = shared / "data/webnlg"
    references = [str(folder / f"reference{number}") for number in range(4)]
    pairs = read_pairs(str(folder / "hypothesis"), references)
    filled = [sum(len(pair.references) > n for pair in pairs) for n in range(4)]
    assert (len(pairs), sum(filled)) == (931, 931 + 867 + 565 + 16)
    task = task_of("webnlg", folder / "xml/1triples_Airport.xml")
    expected = json.loads((folder / "expected.json").read_text())
    assert isinstance(task.metrics, tuple)
    for scorer, wanted in (
        (metrics.bleu(), expected["sacrebleu_bleu"]),
        (metrics.chrf(word_order=2), expected["sacrebleu_chrfpp"]),
    ):
        assert scorer.metric.signature in [metric.signature for metric in task.metrics]
        stats = [scorer.stats(pair.source, list(pair.references)) for pair in pairs]
        assert metrics.value(scorer.metric, stats) == pytest.approx(wanted, abs=1e-9)


def test_a_text_too_long_to_summarise_loses_its_middle(tmp_path: Path) -> None:
    (tmp_path / "a.src").write_text("One. Two.\n")
    (tmp_path / "a.ref").write_text("One.\n")
    options = {"src": str(tmp_path / "a.src"), "ref": str(tmp_path / "a.ref")}
    spec = next(spec for spec in harness_tasks() if spec.name == "summarization")
    (sample,) = spec.build(TaskSettings(options=options)).samples()
    assert [one.cut for one in sample.requests if isinstance(one, Generate)] == ["middle"]
