"""Data sets of the hub, Parquet and Arrow files, and tasks written in TOML."""

from __future__ import annotations

import json
import re
import tempfile
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from conftest import Program
from hypothesis import given, settings
from hypothesis import strategies as st
from test_docs import run_page

from harness.errors import DataError, HarnessError, UsageError
from harness.fetching import check_columns, fetch, fetched, place_of
from harness.plugins import PluginInfo, Registered, Registry, load_registry
from harness.testing import check_task
from harness.types import Generate, HubFile, Loglikelihood, TaskSettings
from harness_files import read_json_lines
from harness_files.hub import HUB
from harness_toml import OPTIONS, harness_tasks
from harness_toml.description import Description
from harness_toml.task import build

SQUAD = HUB["squad"][0]
ROW = {
    "id": "1",
    "title": "Cats",
    "context": "The cat sat on the mat.",
    "question": "Who sat?",
    "answers": {"text": ["The cat"], "answer_start": [0]},
}


def parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as writer

    path.parent.mkdir(parents=True, exist_ok=True)
    writer.write_table(arrow.Table.from_pylist(rows), path)
    return path


# --- the hub --------------------------------------------------------------------------------------


def cached(folder: Path, source: HubFile, rows: list[dict[str, Any]]) -> dict[str, str]:
    """A local cache of the hub that holds one file; the environment that names it."""
    name = "datasets--" + source.repository.replace("/", "--")
    parquet(folder / name / "snapshots" / source.revision / source.path, rows)
    return {"HF_HUB_CACHE": str(folder), "HF_HUB_OFFLINE": "1"}


def test_what_is_fetched_is_kept_listed_and_read(program: Program, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    cached(tmp_path / "hub", HUB["squad"][1], [ROW])
    environment = cached(tmp_path / "hub", SQUAD, [ROW])
    done = program("data", "fetch", "squad", "--offline", **environment)
    assert done.returncode == 0, done.stderr
    assert "squad: data=results/data/squad/7b6d24c440a3/" in done.stdout
    states = {row["path"]: row["state"] for row in program.json("data", "list")["data"]}
    assert [states.pop(file.path) for file in HUB["squad"]] == ["here", "here"]
    assert set(states.values()) == {"not fetched"}
    shown = program("tasks", "squad:hub,shots_data=hub", "--sample", "1")
    assert shown.returncode == 0, shown.stderr
    assert "Question: Who sat?" in shown.stdout


def test_offline_says_what_is_missing_and_how_to_get_it(program: Program, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    done = program("data", "fetch", "boolq", "--offline", HF_HUB_CACHE=str(tmp_path / "none"))
    assert done.returncode == 4
    assert "of google/boolq@35b264d03638 is not in the hub's local cache" in done.stderr
    assert "boolq:data=FILE" in done.stderr


def test_a_run_never_fetches_and_says_what_does(program: Program) -> None:
    done = program("tasks", "gsm8k:hub", "--sample", "1")
    assert done.returncode == 4
    assert "Get it where there is a network: harness data fetch gsm8k" in done.stderr


def test_an_unknown_data_set_is_named(program: Program) -> None:
    done = program("data", "fetch", "squat")
    assert done.returncode == 2 and "Did you mean 'squad'" in done.stderr
    done = program("tasks", "bustm:hub", "--sample", "1")
    assert done.returncode == 2 and "no data on the hub" in done.stderr


def test_a_changed_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    made = parquet(tmp_path / "made.parquet", [ROW])
    monkeypatch.setattr(hub, "hf_hub_download", lambda *args, **options: str(made))
    kept = fetch("squad", SQUAD, tmp_path / "data")
    assert fetched("squad", SQUAD, tmp_path / "data") == kept
    kept.path.write_bytes(kept.path.read_bytes() + b"x")
    with pytest.raises(DataError, match="is not as it was fetched: SHA-256"):
        fetched("squad", SQUAD, tmp_path / "data")


def test_a_data_set_without_its_columns_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    made = parquet(tmp_path / "made.parquet", [{"id": "1", "query": "?"}])
    monkeypatch.setattr(hub, "hf_hub_download", lambda *args, **options: str(made))
    with pytest.raises(DataError, match="has no column 'title'; it has 'id, query'"):
        fetch("squad", SQUAD, tmp_path / "data")
    assert not place_of("squad", SQUAD, tmp_path / "data").exists()
    made.write_bytes(b"no parquet")
    with pytest.raises(DataError, match="is no Parquet file"):
        check_columns(made, SQUAD)


ARC_ROW = {
    "question": "Why?",
    "choices": {"text": ["So.", "Thus."], "label": ["1", "2"]},
    "answerKey": "2",
}
LISTED = "Question: Why?\nChoices:\nA. So.\nB. Thus.\nAnswer:"
HELLASWAG_ROW = {
    "activity_label": "Tea",
    "ctx_a": "Boil it [step] well.",
    "ctx_b": "then",
    "endings": ["[x] drink.", "sleep."],
    "label": "0",
}
WINOGRANDE_ROW = {"sentence": "Ann met Bo so _ left.", "option1": "Ann", "option2": "Bo"}
COPIES: list[tuple[str, dict[str, Any], list[tuple[str, str]], int]] = [
    ("arc_easy", ARC_ROW, [("Question: Why?\nAnswer:", f" {t}") for t in ("So.", "Thus.")], 1),
    ("commonsense_qa", ARC_ROW, [(LISTED, " A"), (LISTED, " B")], 1),
    (
        "openbookqa",
        {**ARC_ROW, "question_stem": "It is so as"},
        [("It is so as", " So."), ("It is so as", " Thus.")],
        1,
    ),
    (
        "hellaswag",
        HELLASWAG_ROW,
        [("Tea: Boil it well. Then", " drink."), ("Tea: Boil it well. Then", " sleep.")],
        0,
    ),
    (
        "winogrande",
        {**WINOGRANDE_ROW, "answer": "1"},
        [("Ann met Bo so Ann", " left."), ("Ann met Bo so Bo", " left.")],
        0,
    ),
    (
        "boolq",
        {"question": "is it", "passage": "It is.", "answer": True},
        [("Passage: It is.\nQuestion: is it?\nAnswer:", end) for end in (" no", " yes")],
        1,
    ),
    (
        "sst2",
        {"sentence": "fine", "label": 1, "idx": 0},
        [
            ("fine\nQuestion: Is this sentence positive or negative?\nAnswer:", f" {word}")
            for word in ("negative", "positive")
        ],
        1,
    ),
]


@pytest.mark.parametrize(("name", "row", "asked", "right"), COPIES, ids=[c[0] for c in COPIES])
def test_the_hubs_columns_are_asked_as_the_usual_files(
    tmp_path: Path, name: str, row: dict[str, Any], asked: list[tuple[str, str]], right: int
) -> None:
    path = parquet(tmp_path / "rows.parquet", [row])
    check_columns(path, HUB[name][0])
    spec = load_registry().tasks[name].spec
    (sample,) = spec.build(TaskSettings(argument=str(path))).samples()
    pairs = [(r.context, r.continuation) for r in sample.requests if isinstance(r, Loglikelihood)]
    assert pairs == asked
    assert sample.reference == [right]


@pytest.mark.parametrize(
    ("name", "row", "words"),
    [
        ("arc_easy", {**ARC_ROW, "answerKey": "C"}, "'answerKey' is 'C', not one of 1, 2"),
        ("winogrande", {**WINOGRANDE_ROW, "answer": "3"}, "'answer' is '3', not 1 or 2"),
        ("hellaswag", {**HELLASWAG_ROW, "label": ""}, "'gold' is '', not a whole number"),
        ("eprstmt", {"input": "很好。", "output": "正面"}, "'sentence' is empty"),
        (
            "eprstmt",
            {"input": "则生成答案“负面”。好", "output": "好"},
            "'label' is '好', not one of",
        ),
    ],
)
def test_a_wrong_row_of_the_hub_is_named(
    tmp_path: Path, name: str, row: dict[str, Any], words: str
) -> None:
    path = parquet(tmp_path / "rows.parquet", [row])
    with pytest.raises(DataError, match=words):
        load_registry().tasks[name].spec.build(TaskSettings(argument=str(path)))


def test_every_data_set_has_a_commit_or_a_branch_and_its_task_offers_it() -> None:
    tasks = load_registry().tasks
    for name, files in HUB.items():
        assert tasks[name].spec.hub == files
        for file in files:
            assert file.pinned == bool(re.fullmatch("[0-9a-f]{40}", file.revision))
            assert file.pinned or file.revision in ("main", "refs/convert/parquet")
            assert file.option in [option.name for option in tasks[name].spec.options]


def test_a_branch_is_locked_by_its_first_fetch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    source = HubFile(repository="a/b", revision="main", path="*dev*", columns=("en", "de"))
    asked = []

    def snapshot(*args: Any, **options: Any) -> str:
        commit = f"{len(asked):040x}"
        asked.append(options["revision"])
        folder = tmp_path / "snapshots" / commit
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "the-dev-part.jsonl").write_text('{"en": "a", "de": "b"}\n', encoding="utf-8")
        return str(folder)

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    first = fetch("pairs", source, tmp_path / "data")
    assert first.revision == "0" * 40 and first.path.suffix == ".jsonl"
    assert fetch("pairs", source, tmp_path / "data") == first
    assert asked == ["main"]


def test_a_pattern_that_names_no_single_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    source = HubFile(repository="a/b", revision="main", path="*dev*", columns=())
    (tmp_path / "other.txt").write_text("x", encoding="utf-8")
    monkeypatch.setattr(hub, "snapshot_download", lambda *args, **options: str(tmp_path))
    with pytest.raises(DataError, match="0 files match it: 'other.txt'"):
        fetch("pairs", source, tmp_path / "data")


HUB_ROWS: list[tuple[str, dict[str, Any], str, Any]] = [
    ("wmt14", {"translation": {"de": "Hallo.", "en": "Hi."}}, "English: Hi.\nGerman:", ["Hallo."]),
    ("multi30k", {"en": "A dog.", "de": "Ein Hund."}, "English: A dog.", ["Ein Hund."]),
    ("ntrex", {"eng_Latn": "Yes.", "deu_Latn": "Ja."}, "English: Yes.\nGerman:", ["Ja."]),
    (
        "tatoeba",
        {"sentence1": "Ja.", "sentence2": "Yes.", "lang": "deu-eng"},
        "German: Ja.\nEnglish:",
        ["Yes."],
    ),
    ("xsum", {"document": "Long.", "summary": "Short.", "id": "7"}, "TL;DR:", ["Short."]),
    ("cnn_dailymail", {"article": "Long.", "highlights": "Short."}, "TL;DR:", ["Short."]),
    (
        "drop",
        {
            "passage": "It was 5.",
            "question": "How many?",
            "query_id": "q",
            "answers_spans": {"spans": ["5"], "types": ["number"]},
        },
        "Question: How many?",
        [["5"]],
    ),
    (
        "triviaqa",
        {"question": "Who?", "answer": {"value": "Ann", "aliases": ["Anna"]}},
        "Question: Who?\nAnswer:",
        ["Ann", "Anna"],
    ),
    ("nq_open", {"question": "who", "answer": ["Ann"]}, "Q: who?\nA:", ["Ann"]),
    (
        "truthfulqa_gen",
        {"question": "Why?", "correct_answers": ["So.", ""], "incorrect_answers": ["No"]},
        "Barcelona, Spain.\n\nQ: Why?\nA:",
        {"true": ["So.", "I have no comment."], "false": ["No."]},
    ),
    ("squad2", ROW, "Question: Who sat?", ["The cat"]),
    ("cmrc2018", ROW, "问题：Who sat?", ["The cat"]),
    (
        "e2e",
        {"meaning_representation": "name[Bo]", "human_reference": "Bo."},
        "Data: name[Bo]",
        ["Bo."],
    ),
    (
        "webnlg",
        {
            "modified_triple_sets": {"mtriple_set": [["Bo | is | big"]]},
            "lex": {"text": ["Bo is big."]},
            "category": "X",
            "size": 1,
            "eid": "Id1",
        },
        "Data: Bo | is | big",
        ["Bo is big."],
    ),
    (
        "conll2003",
        {"tokens": ["Ann", "saw", "Rome"], "ner_tags": [1, 0, 5]},
        "Text: Ann saw Rome",
        {"tokens": ["Ann", "saw", "Rome"], "spans": [["PER", 0, 1], ["LOC", 2, 3]]},
    ),
    (
        "cluener",
        {"text": "去北京", "entities": [{"label": "address", "start_offset": 1, "end_offset": 3}]},
        "Text: 去北京",
        {"tokens": list("去北京"), "spans": [["address", 1, 3]]},
    ),
]


@pytest.mark.parametrize(("name", "row", "asked", "reference"), HUB_ROWS, ids=lambda v: str(v)[:12])
def test_the_hubs_rows_are_asked_and_graded(
    tmp_path: Path, name: str, row: dict[str, Any], asked: str, reference: Any
) -> None:
    path = parquet(tmp_path / "rows.parquet", [row])
    settings = TaskSettings(argument=str(path), kinds=frozenset({"generate"}))
    (sample,) = load_registry().tasks[name].spec.build(settings).samples()
    (request,) = sample.requests
    assert isinstance(request, Generate) and asked in request.prompt
    assert sample.reference == reference


CHOICE_ROWS: list[tuple[str, dict[str, Any], str, list[str], list[int]]] = [
    (
        "mmlu",
        {"question": "2 + 2?", "subject": "sums", "choices": ["1", "2", "3", "4"], "answer": 3},
        "about sums.\n\n2 + 2?\nA. 1",
        [" A", " B", " C", " D"],
        [3],
    ),
    ("piqa", {"goal": "Tea", "sol1": "boil", "sol2": "cut", "label": 0}, "Question: Tea", [], [0]),
    (
        "siqa",
        {
            "context": "C.",
            "question": "Q?",
            **dict(zip(("answerA", "answerB", "answerC"), "xyz", strict=True)),
            "label": "2",
        },
        "Context: C.\nQuestion: Q?\nChoices:\nA. x",
        [" A", " B", " C"],
        [1],
    ),
    (
        "copa",
        {"premise": "It rained.", "choice1": "I", "choice2": "B", "question": "cause", "label": 1},
        "It rained, because",
        [" i", " b"],
        [1],
    ),
    ("lambada", {"text": "one two three"}, "one two", [" three"], []),
    (
        "logiqa",
        {"context": "C. ", "query": "Q?", "options": ["x", "y"], "correct_option": 1},
        "Context: C.\nQuestion: Q?\nChoices: A. x\nB. y\nAnswer:",
        [" A", " B"],
        [1],
    ),
    (
        "eprstmt",
        {"input": "如果不满意，则生成答案“负面”。\n很好。", "output": "正面", "id": 1},
        "内容： “很好。”。情绪分类：",
        ["消极。", "积极。"],
        [1],
    ),
    (
        "truthfulqa_mc1",
        {"question": "Why?", "mc1_targets": {"choices": ["So", "No"], "labels": [1, 0]}},
        "Q: Why?\nA:",
        [" So", " No"],
        [0],
    ),
    ("ag_news", {"text": "Goal!", "label": 1}, "Article: Goal!\nAnswer:", [], [1]),
    ("ocnli", {"sentence1": "甲", "sentence2": "乙", "label": 1}, "阅读文章：甲", [], [0]),
    (
        "blimp",
        {"sentence_good": "A.", "sentence_bad": "B.", "UID": "u", "pair_id": 0},
        "",
        ["A.", "B."],
        [0],
    ),
]


@pytest.mark.parametrize(
    ("name", "row", "asked", "ends", "right"), CHOICE_ROWS, ids=lambda v: str(v)[:12]
)
def test_the_hubs_rows_are_compared(
    tmp_path: Path,
    name: str,
    row: dict[str, Any],
    asked: str,
    ends: list[str],
    right: list[int],
) -> None:
    path = parquet(tmp_path / "rows.parquet", [row])
    settings = TaskSettings(argument=str(path), kinds=frozenset({"loglikelihood"}))
    (sample,) = load_registry().tasks[name].spec.build(settings).samples()
    requests = [one for one in sample.requests if isinstance(one, Loglikelihood)]
    assert asked in requests[0].context
    assert not ends or [one.continuation for one in requests] == ends
    assert not right or sample.reference == right


TRICKY = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 99) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["text", "spans", "value", "aliases", "lang"]), inner)
    ),
    max_leaves=6,
)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_no_row_brings_a_reader_down(data: st.DataObject) -> None:
    """Rows with the right columns and any values: no error other than ours."""
    name = data.draw(st.sampled_from(sorted(HUB)))
    columns = HUB[name][0].columns
    row = {column: data.draw(TRICKY) for column in columns}
    spec = load_registry().tasks[name].spec
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        path.write_text(json.dumps(row) + "\n", encoding="utf-8")
        with suppress(HarnessError):
            spec.build(TaskSettings(argument=str(path), kinds=spec.needs[0]))


# --- Parquet and Arrow ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["parquet", "file", "stream"])
def test_columnar_files_are_rows(tmp_path: Path, kind: str) -> None:
    arrow = pytest.importorskip("pyarrow")
    path = tmp_path / ("a.parquet" if kind == "parquet" else "a.arrow")
    if kind == "parquet":
        parquet(path, [ROW])
    else:
        table = arrow.Table.from_pylist([ROW])
        new = arrow.ipc.new_file if kind == "file" else arrow.ipc.new_stream
        with arrow.OSFile(str(path), "wb") as sink, new(sink, table.schema) as writer:
            writer.write_table(table)
    (row,) = read_json_lines(str(path))
    assert row.fields == ROW and row.place == f"'{path}', row 1"


def test_the_arrow_file_of_mmlu_is_read(shared: Path) -> None:
    pytest.importorskip("pyarrow")
    path = shared / "data" / "mmlu" / "abstract_algebra.test.arrow"
    rows = list(read_json_lines(str(path)))
    assert len(rows) == 100
    assert len(rows[0].texts("choices")) == 4


@pytest.mark.parametrize("content", [b"", b"PAR1 and nothing more", b"ARROW1\0\0", b"plain text"])
def test_a_broken_columnar_file_is_named(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    with pytest.raises(DataError, match="is no whole Parquet or Arrow file"):
        list(read_json_lines(str(path)))
    with pytest.raises(DataError, match="There is no file"):
        list(read_json_lines(str(tmp_path / "b.parquet")))


@settings(max_examples=60, deadline=None)
@given(
    content=st.binary(max_size=60),
    magic=st.sampled_from([b"", b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"]),
    cut=st.integers(0, 3000),
)
def test_no_bytes_bring_the_columnar_reader_down(content: bytes, magic: bytes, cut: int) -> None:
    pytest.importorskip("pyarrow")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.parquet"
        whole = parquet(path, [ROW]).read_bytes()
        for damaged in (magic + content, whole[:cut], whole[:cut] + content + whole[cut + 1 :]):
            path.write_bytes(damaged)
            with suppress(HarnessError):
                list(read_json_lines(str(path)))


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"needs pyarrow. Install it with: .*harness\[data\]"):
        list(read_json_lines(str(tmp_path / "a.parquet")))


# --- tasks in TOML --------------------------------------------------------------------------------

TEXT = """
path = "rows.jsonl"
template = "Q: {question}\\nA:"
answer = "answers"
metrics = ["exact_match", "f1", "rougeL:stemmer=yes"]
shots = "shots.jsonl"
"""
CHOICE = """
kind = "choice"
path = "rows.csv"
template = "{text}\\nIs this good or bad?"
choices = ["bad", "good"]
answer = "label"
shots = "shots.csv"
"""


def written(folder: Path, text: str) -> str:
    path = folder / "task.toml"
    path.write_text(text, encoding="utf-8")
    rows = [{"question": f"{n} + 1?", "answers": [str(n + 1), f"it is {n + 1}"]} for n in range(44)]
    for name, some in (("rows.jsonl", rows[:4]), ("shots.jsonl", rows[4:])):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in some))
    (folder / "rows.csv").write_text("text,label\nWell made.,good\nA bore.,0\n")
    more = "".join(f"Film {n}.,{n % 2}\n" for n in range(40))
    (folder / "shots.csv").write_text(f"text,label\n{more}")
    return str(path)


def test_a_described_text_task(tmp_path: Path) -> None:
    path = written(tmp_path, TEXT)
    task = build(TaskSettings(argument=path, shots=1), OPTIONS)
    assert [metric.name for metric in task.metrics] == ["exact_match", "f1", "rougeL"]
    first = next(iter(task.samples()))
    (request,) = first.requests
    assert isinstance(request, Generate)
    assert request.prompt.endswith("\n\nQ: 0 + 1?\nA:") and request.stop == ("\n",)
    assert first.reference == ["1", "it is 1"]


def test_a_described_choice_task(tmp_path: Path) -> None:
    task = build(TaskSettings(argument=written(tmp_path, CHOICE)), OPTIONS)
    samples = list(task.samples())
    assert [sample.reference for sample in samples] == [[1], [0]]
    assert samples[0].requests[1] == Loglikelihood(
        context="Well made.\nIs this good or bad?", continuation=" good"
    )


SST2 = """
path = "{}"
names = ["sentence", "label"]
kind = "choice"
template = "{{sentence}}\\nSentiment:"
choices = {{0 = "negative", 1 = "positive"}}
answer = "label"
"""
AG_NEWS = """
path = "{}"
names = ["class", "title", "text"]
kind = "choice"
template = "{{title}}\\n{{text}}\\nTopic:"
choices = {{1 = "World", 2 = "Sports", 3 = "Business", 4 = "Technology"}}
answer = "class"
"""
BOOLQ = """
path = "{}"
kind = "choice"
template = "{{passage}}\\nQuestion: {{question}}?\\nAnswer:"
choices = {{false = "no", true = "yes"}}
answer = "answer"
"""


@pytest.mark.parametrize(
    ("text", "file", "content", "right"),
    [
        (SST2, "dev.tsv", 'it is "fine\t1\n\nno\t0\n', [1, 0]),
        (AG_NEWS, "test.csv", '"3","A, ""b""","c"\n"1","d","e"\n', [2, 0]),
        (BOOLQ, "b.jsonl", '{"passage": "P", "question": "q", "answer": false}\n', [0]),
    ],
    ids=["sst2", "ag_news", "boolq"],
)
def test_a_table_of_choices_says_what_the_file_calls_them(
    tmp_path: Path, text: str, file: str, content: str, right: list[int]
) -> None:
    (tmp_path / file).write_text(content, encoding="utf-8")
    (tmp_path / "task.toml").write_text(text.format(file), encoding="utf-8")
    task = build(TaskSettings(argument=str(tmp_path / "task.toml")), OPTIONS)
    assert [sample.reference for sample in task.samples()] == [[one] for one in right]


@pytest.mark.parametrize(
    ("text", "file", "counts"),
    [
        (SST2, "sst2/dev.tsv", [428, 444]),
        (AG_NEWS, "ag_news/test.first1000.csv", [268, 274, 205, 253]),
        (BOOLQ, "boolq/boolq.validation.first500.jsonl", [185, 315]),
    ],
    ids=["sst2", "ag_news", "boolq"],
)
def test_a_few_lines_describe_a_real_data_set(
    tmp_path: Path, shared: Path, text: str, file: str, counts: list[int]
) -> None:
    assert len(text.strip().splitlines()) < 20
    path = tmp_path / "task.toml"
    path.write_text(text.format(shared / "data" / file), encoding="utf-8")
    right = [one.reference[0] for one in build(TaskSettings(argument=str(path)), OPTIONS).samples()]
    assert [right.count(number) for number in range(len(counts))] == counts


@pytest.mark.parametrize("text", [TEXT, CHOICE], ids=["text", "choice"])
def test_described_tasks_keep_the_contract(tmp_path: Path, text: str) -> None:
    plugin = PluginInfo(name="toml", target="", distribution="harness", version="0")
    (spec,) = harness_tasks()
    tasks = {spec.name: Registered(spec=spec, plugin=plugin)}
    registry = Registry(plugins=(plugin,), models={}, tasks=tasks, clashes={})
    results = check_task(f"toml:{written(tmp_path, text)}", registry)
    failed = [result.line for result in results if result.status == "failed"]
    # A description is of one kind: for a model of the other alone it is refused.
    assert results and not [line for line in failed if "this model does not answer" not in line]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path = ", "is not TOML"),
        (TEXT + 'metric = "f1"', "sets 'metric'. Did you mean 'metrics'?"),
        (TEXT.replace('"answers"', "3"), "answer is 3, not a text"),
        (TEXT.replace('answer = "answers"', ""), "has no answer"),
        (TEXT.replace("{question}", "{query}"), "row|line 1: there is no column 'query'"),
        (TEXT + 'columns = ["title"]', "there is no column 'title'"),
        (TEXT + 'kind = "chose"', "kind is 'chose'"),
        (TEXT + 'kind = "choice"', "choices belong to kind"),
        (CHOICE + "max_tokens = 3", 'are for kind = "text" alone'),
        (CHOICE.replace('"bad", "good"', '"only"'), "two choices or more"),
        (CHOICE.replace('"bad", "good"', '"yes", "no"'), "not a choice or its number"),
        (TEXT.replace("rows.jsonl", "rows2.jsonl"), "There is no file"),
        (TEXT + "max_tokens = 0", "not a whole number from 1"),
        (TEXT + 'names = ["a"]', "is no CSV or TSV file"),
        (CHOICE + 'names = ["text", "label", "more"]', "line 1: 2 columns, not 3"),
        (CHOICE.replace('["bad", "good"]', '{ 0 = "bad", 1 = "good" }'), "'good', not one of 0, 1"),
        (
            CHOICE.replace('["bad", "good"]', "{ 0 = 1 }"),
            "not a text or a list of texts or a table",
        ),
    ],
)
def test_a_wrong_description_is_answered_in_words(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as raised:
        build(TaskSettings(argument=written(tmp_path, text)), OPTIONS)
    assert len(str(raised.value).splitlines()) <= 3


def test_worked_examples_need_a_file_of_their_own(tmp_path: Path) -> None:
    path = written(tmp_path, TEXT.replace('shots = "shots.jsonl"', ""))
    with pytest.raises(UsageError, match=r"names no worked examples for --shots 2.\n.*shots = "):
        build(TaskSettings(argument=path, shots=2), OPTIONS)


def toml(value: object) -> str:
    """A table inline; everything else is in TOML as it is in JSON."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {json.dumps(v)}" for k, v in value.items()) + "}"
    return json.dumps(value)


VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.just("rows.jsonl")
VALUES = VALUES | st.lists(st.text(max_size=3), max_size=3)
VALUES = VALUES | st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3)


@settings(max_examples=100, deadline=None)
@given(
    values=st.dictionaries(
        st.sampled_from([field.name for field in fields(Description)]), VALUES, max_size=6
    ),
    broken=st.text(max_size=10),
)
def test_no_description_brings_the_task_down(values: dict[str, Any], broken: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lines = [f"{k} = {toml(v)}" for k, v in values.items() if v is not None]
        path = written(Path(folder), "\n".join([*lines, f"# {broken}"]))
        with suppress(HarnessError):
            build(TaskSettings(argument=path), OPTIONS)


def test_a_description_for_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    settings = TaskSettings(argument=written(tmp_path, CHOICE), kinds=frozenset({"generate"}))
    with pytest.raises(UsageError, match="needs loglikelihood, which this model does not answer"):
        build(settings, OPTIONS)


def test_the_page_of_tasks_works(root: Path, tmp_path: Path) -> None:
    run_page(root / "docs" / "tasks.md", tmp_path)
