"""Readers of files: each failure names the file, the line or byte, and the next step."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from harness.errors import DataError, UsageError
from harness.types import TaskSettings
from harness_files import (
    FewShot,
    Row,
    Shot,
    check_ids,
    few_shot,
    number_option,
    read_json,
    read_json_lines,
    read_lines,
    read_table,
    read_text,
)


def written(folder: Path, content: bytes | str, name: str = "data.txt") -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def test_missing_file_suggests_a_sibling(tmp_path: Path) -> None:
    written(tmp_path, "x", "val.en.gz")
    with pytest.raises(DataError, match=r"no file '.*val\.en'.\nDid you mean 'val\.en\.gz'"):
        read_text(str(tmp_path / "val.en"))


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no readable folder"):
        read_text(str(tmp_path / "nowhere" / "file"))


@pytest.mark.parametrize("path", ["", "bad\0name"])
def test_impossible_path_is_our_error(path: str) -> None:
    with pytest.raises(DataError):
        read_text(path)


def test_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a directory"):
        read_text(str(tmp_path))


@pytest.mark.parametrize("content", [b"", b" \n\t\n", gzip.compress(b"", mtime=0), b"\xef\xbb\xbf"])
def test_empty_file_is_said_to_be_empty(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match="is empty"):
        read_text(written(tmp_path, content))


def test_gzip_is_told_by_content_not_name(tmp_path: Path) -> None:
    assert read_text(written(tmp_path, gzip.compress(b"hello"), "plain.txt")) == "hello"
    assert read_text(written(tmp_path, b"hello", "misnamed.gz")) == "hello"


def test_truncated_gzip_is_named(tmp_path: Path) -> None:
    whole = gzip.compress(b"a line\n" * 1000)
    with pytest.raises(DataError, match=r"cut short: its gzip data stops after 20 bytes"):
        read_text(written(tmp_path, whole[:20]))


def test_damaged_gzip_is_named(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(bytes(range(256)) * 40))
    whole[30] ^= 0xFF
    with pytest.raises(DataError, match="damaged gzip data"):
        read_text(written(tmp_path, bytes(whole)))


def test_bad_encoding_names_line_and_byte_offset(tmp_path: Path) -> None:
    content = "grün\n".encode() + "grün\n".encode("latin-1")
    with pytest.raises(DataError, match="line 2 is not UTF-8: byte 0xfc at byte offset 8"):
        read_text(written(tmp_path, content))


def test_utf16_is_recognised_with_and_without_mark(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="UTF-16"):
        read_text(written(tmp_path, "hello".encode("utf-16")))
    with pytest.raises(DataError, match="zero byte at byte offset 1"):
        read_text(written(tmp_path, "hello".encode("utf-16-le")))


def test_foreign_format_is_recognised(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="zip archive"):
        read_text(written(tmp_path, b"PK\x03\x04rest"))


def test_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    assert read_lines(written(tmp_path, b"\xef\xbb\xbfone\ntwo")) == ("one", "two")


def test_lines_are_cut_at_newlines_alone(tmp_path: Path) -> None:
    path = written(tmp_path, "a\u2028b\x0cc\x85d\r\n\ne\n")
    assert read_lines(path) == ("a\u2028b\x0cc\x85d", "", "e")


def test_broken_json_names_line_and_column(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is not JSON: .* at line 2, column"):
        read_json(written(tmp_path, '{"a":\n1, }'))


@pytest.mark.parametrize("content", ["[" * 100_000, "1" * 5000])
def test_json_beyond_the_parser_is_our_error(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_json(written(tmp_path, content))


def test_json_lines_name_the_line(tmp_path: Path) -> None:
    path = written(tmp_path, '{"a": 1}\n\n{"a": \n')
    with pytest.raises(DataError, match="line 3 is not JSON"):
        list(read_json_lines(path))
    with pytest.raises(DataError, match="line 1 is 3, not an object"):
        list(read_json_lines(written(tmp_path, "3\n")))


def test_missing_key_suggests_what_is_there(tmp_path: Path) -> None:
    (row,) = read_json_lines(written(tmp_path, '{"questions": "?"}'))
    with pytest.raises(
        DataError, match=r"line 1: 'question' is missing.\nDid you mean 'questions'"
    ):
        row.text("question")


def test_null_counts_as_missing() -> None:
    with pytest.raises(DataError, match="'a' is missing"):
        Row(fields={"a": None}, place="here").text("a")


def test_wrong_types_are_shown() -> None:
    row = Row(fields={"a": 3, "b": "x", "c": [1], "d": " ", "e": True}, place="here")
    for get, words in (
        (lambda: row.text("a"), "'a' is 3, not a text"),
        (lambda: row.items("b"), "'b' is 'x', not a list"),
        (lambda: row.texts("c"), r"'c\[0\]' is 1, not a text"),
        (lambda: row.filled("d"), "'d' is empty"),
        (lambda: row.number("e"), "'e' is True, not a whole number"),
        (lambda: row.truth("a"), "'a' is 3, not true or false"),
        (lambda: row.row("a"), "'a' is 3, not an object"),
    ):
        with pytest.raises(DataError, match=f"here: {words}"):
            get()


def test_half_a_surrogate_pair_is_refused() -> None:
    row = Row(fields=json.loads(r'{"a": "x\ud800"}'), place="here")
    with pytest.raises(DataError, match="surrogate pair at character 1"):
        row.text("a")


def test_table_reads_quoted_newlines_and_checks_columns(tmp_path: Path) -> None:
    path = written(tmp_path, 'mr,ref\n"a, b","two\nlines"\n')
    (row,) = read_table(path, columns=("mr", "ref"))
    assert dict(row.fields) == {"mr": "a, b", "ref": "two\nlines"}
    with pytest.raises(DataError, match="no column 'summary'; its first line holds: 'mr, ref'"):
        list(read_table(path, columns=("mr", "summary")))


def test_table_row_of_wrong_width_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "a,b\n1,2\n1,2,3\n")
    with pytest.raises(DataError, match="line 3: 3 columns, not 2"):
        list(read_table(path, columns=("a", "b")))


def test_duplicate_ids_name_both_items() -> None:
    with pytest.raises(DataError, match="id 'x' is given to items 1 and 3"):
        check_ids("file", ["x", "y", "x"])
    with pytest.raises(DataError, match="holds no items"):
        check_ids("file", [])


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", "", "²", "1" * 20])
def test_number_option_takes_whole_numbers_from_one(text: str) -> None:
    with pytest.raises(UsageError, match="whole number from 1"):
        number_option("task", TaskSettings(options={"column": text}), "column")


POOL = [Shot(question=f"q{number}?", answer=f" a{number}") for number in range(20)]


def test_examples_never_hold_the_question_itself() -> None:
    shots = FewShot(pool=POOL, count=19, seed=1)
    for shot in POOL:
        drawn = shots.drawn("id", [shot.question])
        assert len(set(drawn)) == 19 and shot not in drawn


def test_examples_depend_on_seed_and_item_alone() -> None:
    def drawn(seed: int, identity: str) -> list[Shot]:
        return FewShot(pool=POOL, count=3, seed=seed).drawn(identity, [])

    assert drawn(1, "x") == drawn(1, "x")
    assert drawn(1, "x") != drawn(2, "x")
    assert drawn(1, "x") != drawn(1, "y")


def test_examples_stand_in_the_order_of_the_pool() -> None:
    drawn = FewShot(pool=POOL, count=6, seed=3).drawn("id", [])
    assert sorted(drawn, key=POOL.index) == drawn
    assert FewShot(pool=POOL, count=20).drawn("id", []) == POOL


def test_prompt_of_examples() -> None:
    shots = FewShot(pool=POOL[:1], count=1, introduction="Answer.")
    assert shots.prompt("1", "Now?") == "Answer.\n\nq0? a0\n\nNow?"


def test_too_small_or_missing_pool_is_named() -> None:
    with pytest.raises(DataError, match=r"has 19 besides item 'id', not 20.\n.*--shots"):
        FewShot(pool=POOL, count=20).drawn("id", ["q3?"])
    with pytest.raises(UsageError, match=r"needs a pool for --shots 2.*\n.*shots_data=FILE"):
        few_shot("squad", TaskSettings(shots=2), [], needs="shots_data=FILE")
