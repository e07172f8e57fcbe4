"""Whatever a file holds, a reader returns or raises an error of ours."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness_files import read_json_lines, read_table, read_text
from harness_files.pairs import read_pairs
from harness_ner.columns import read_columns
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


CONTENT = (
    st.binary(max_size=60)
    | st.lists(TOKENS, max_size=30).map(lambda parts: "".join(parts).encode())
    | JSON.map(lambda value: json.dumps(value).encode())
    | squad_like().map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=40).map(gzip.compress)
    | st.builds(lambda raw, cut: gzip.compress(raw)[:cut], st.binary(), st.integers(1, 40))
)


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=150, deadline=None)
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
