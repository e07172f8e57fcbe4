"""Whatever a file holds, a reader returns or raises an error of ours."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from conftest import examples
from hypothesis import given, settings
from hypothesis import strategies as st

import harness_choice
import harness_code
import harness_generation
import harness_ner
import harness_qa
import harness_text
import harness_toml
import harness_translation
from harness.columns import read_columns
from harness.errors import HarnessError
from harness.types import TaskSettings
from harness_files import read_json_lines, read_table, read_text
from harness_files.pairs import read_pairs
from harness_qa.squad import read_squad
from harness_text.task import cut_documents

READERS: dict[str, Callable[[str], Any]] = {
    "columns": read_columns,
    "json lines": lambda path: list(read_json_lines(path)),
    "pairs": lambda path: read_pairs(path, [path]),
    "squad": read_squad,
    "table": lambda path: list(read_table(path, columns=("a",))),
    "text": lambda path: cut_documents(read_text(path)),
}

TOKENS = st.sampled_from(["a", " ", "\t", "\n", "O", "B-X", "I-X", "-DOCSTART-", "é", "\u2028"])
KEYS = st.sampled_from(
    ["data", "paragraphs", "qas", "id", "question", "context", "answers", "text", "answer_start"]
)
LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner), max_leaves=12
)


@st.composite
def squad_like(draw: st.DrawFn) -> dict[str, Any]:
    """A SQuAD file in which any one level may be something else."""
    answer = draw(st.fixed_dictionaries({"text": LEAVES}, optional={"answer_start": LEAVES}))
    question = {
        "id": draw(LEAVES),
        "question": draw(LEAVES),
        "answers": draw(st.just([answer]) | st.just(answer) | JSON),
        "is_impossible": draw(st.booleans() | LEAVES),
    }
    paragraph = {"context": draw(LEAVES), "qas": draw(st.just([question]) | JSON)}
    flat = {**question, "context": draw(LEAVES)}
    article = {"title": draw(LEAVES), "paragraphs": draw(st.just([paragraph]) | JSON)}
    return draw(st.just({"data": [article]}) | st.just(flat))


ROWS: tuple[dict[str, Any], ...] = (
    {"query": "q", "choices": ["a", "b"], "gold": 1},
    {"context_options": ["a", "b"], "continuation": "c", "gold": 0},
    {"context": "a", "continuation": "b"},
    {"question": "q", "passage": "p", "answer": True},
    {"question": "q", "answer": "#### 1"},
    {"question": "q", "answer": ["a"]},
    {"context": "c", "answer": "a", "aliases": ["b"]},
    {"query_id": "1", "passage": "p", "question": "q", "answers": [["a"], ["b", "c"]]},
    {"fname": "f", "dialogue": "d", "summary": "s"},
    {"sentence_good": "a", "sentence_bad": "b", "UID": "u", "pairID": "1"},
    {"sentence": "s", "label": 1},
    {"sentence1": "s", "sentence2": "t", "label": "1"},
    {"text": "ab", "label": {"X": {"a": [[0, 0]]}}},
    {"text": "ab", "entities": [{"label": "X", "start_offset": 0, "end_offset": 1}]},
    {"id": 1, "input": "则生成答案“负面”。好", "output": "正面"},
    {"context": "c", "query": "q", "options": ["a", "b"], "correct_option": 1},
    {"question": "q", "correct_answers": ["a"], "incorrect_answers": ["b"]},
    {"question": "q", "mc1_targets": {"choices": ["a", "b"], "labels": [1, 0]}},
    {"question": "q", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "B"},
    {"task_id": "t", "prompt": "def f():", "entry_point": "f", "test": "pass"},
    {"translation": {"en": "a", "de": "b", "zh": "c"}},
    {"eng_Latn": "a", "deu_Latn": "b"},
    {"sentence1": "a", "sentence2": "b", "lang": "deu-eng"},
    {"article": "a", "highlights": "b", "document": "a", "summary": "b"},
    {"tokens": ["a"], "ner_tags": [0]},
)
VALUES = LEAVES | st.lists(LEAVES | st.lists(LEAVES, max_size=2), max_size=2) | JSON


@st.composite
def nearly_right_row(draw: st.DrawFn) -> dict[str, Any]:
    """A row of some data set in which one value may be something else, or gone."""
    row = dict(draw(st.sampled_from(ROWS)))
    key = draw(st.sampled_from(sorted(row)))
    match draw(st.sampled_from(["keep", "change", "drop"])):
        case "change":
            row[key] = draw(VALUES)
        case "drop":
            del row[key]
    return row


TABLE = st.lists(st.sampled_from(["a", ",", '"', "\n", "question,", "mr,ref\n", "A"]), max_size=30)
ENTRIES = st.builds(
    "<b><entries>{}</entries></b>".format,
    st.lists(
        st.builds(
            "<entry {}><{set}><mtriple>{}</mtriple></{set}>{}</entry>".format,
            st.sampled_from(["", 'eid="1"', 'category="A" eid="é" size="1"']),
            st.sampled_from(["", "a | b | c", " ", "&amp;", "<x/>"]),
            st.sampled_from(["", "<lex/>", "<lex>t</lex>", "<lex><text>t</text></lex>"]),
            set=st.sampled_from(["modifiedtripleset", "originaltripleset"]),
        ),
        max_size=3,
    ).map("".join),
)
DESCRIPTIONS = st.lists(
    st.sampled_from(
        [
            'path = "file"',
            'path = "."',
            "path = 3",
            'template = "{a} {b"',
            'template = "{path}"',
            'answer = "path"',
            'kind = "choice"',
            'choices = ["a", "b"]',
            'choices = "path"',
            'metrics = ["bleu", "x"]',
            "max_tokens = 0",
            "[path]",
        ]
    ),
    max_size=6,
).map("\n".join)
XML = st.lists(
    st.sampled_from(["<entry>", "</entry>", "<lex>", "</lex>", "<text/>", "x", "<a", "&b;", "<?"]),
    max_size=12,
)
TASK_CONTENT = (
    st.lists(nearly_right_row(), max_size=2).map(
        lambda rows: "\n".join(map(json.dumps, rows)).encode()
    )
    | TABLE.map(lambda parts: "".join(parts).encode())
    | XML.map(lambda parts: "".join(parts).encode())
    | ENTRIES.map(str.encode)
    | DESCRIPTIONS.map(str.encode)
)

CONTENT = (
    st.binary(max_size=60)
    | st.lists(TOKENS, max_size=30).map(lambda parts: "".join(parts).encode())
    | JSON.map(lambda value: json.dumps(value).encode())
    | squad_like().map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=40).map(gzip.compress)
    | st.builds(lambda raw, cut: gzip.compress(raw)[:cut], st.binary(), st.integers(1, 40))
)


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=examples(150))
@given(content=CONTENT)
def test_reader_raises_nothing_but_ours(name: str, content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(content)
        try:
            READERS[name](str(path))
        except HarnessError as error:
            assert str(path) in str(error)
            assert 1 <= len(str(error).splitlines()) <= 3


PACKAGES = (
    harness_choice,
    harness_code,
    harness_generation,
    harness_ner,
    harness_qa,
    harness_text,
    harness_toml,
    harness_translation,
)
SPECS = [spec for package in PACKAGES for spec in package.harness_tasks() if spec.argument]
NAMES = st.sampled_from(["file", "file.json", "file.jsonl.gz", "file.csv", "file.tsv"])
OPTIONS = {"humaneval": {"allow_code_execution": "yes"}}


def build_all(path: Path) -> None:
    """Every task of one file takes this one, or says what is wrong with it."""
    for spec in SPECS:
        options = OPTIONS.get(spec.name, {})
        settings = TaskSettings(argument=str(path), kinds=spec.needs[0], options=options)
        try:
            task = spec.build(settings)
        except HarnessError as error:
            assert str(path) in str(error)
            assert 1 <= len(str(error).splitlines()) <= 3
        else:
            assert list(task.samples())


@settings(max_examples=examples(200))
@given(content=TASK_CONTENT | CONTENT, name=NAMES)
def test_every_task_raises_nothing_but_ours(content: bytes, name: str) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        build_all(path)


@settings(max_examples=examples(60))
@given(data=st.data(), suffix=st.sampled_from(["parquet", "arrow"]))
def test_every_task_survives_damaged_columns(data: st.DataObject, suffix: str) -> None:
    """Whole Parquet and Arrow files of nearly right rows, and such with bytes changed or gone."""
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = arrow.Table.from_pylist([data.draw(st.sampled_from(ROWS))] * 2)
    sink = arrow.BufferOutputStream()
    if suffix == "parquet":
        parquet.write_table(table, sink)
    else:
        with arrow.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    raw = bytearray(sink.getvalue().to_pybytes())
    for position in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=2)):
        raw[position] = data.draw(st.integers(0, 255))
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"file.{suffix}"
        path.write_bytes(bytes(raw[: data.draw(st.integers(0, len(raw)) | st.just(len(raw)))]))
        build_all(path)
