from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from gate_toys import ACC, F1, ToyCell, column, write_run
from hypothesis import given
from hypothesis import strategies as st

from harness import cellstats
from harness.cellstats import CellStats, made_stats, read_stats, side_by_side
from harness.codec import to_json
from harness.errors import DataError
from harness.results import RunDirectory
from harness.statsindex import load_index, save_index
from harness.types import CellRecord, Response, SampleRecord

TEXT = st.text(max_size=30) | st.sampled_from(
    ['"stats": {', '", "stats": {"a": [1]}, "group": null, "unparseable": false}', "{", '\\"']
)
NUMBER = st.floats() | st.integers(0, 70000).map(float)


@given(name=TEXT, text=TEXT, group=st.none() | TEXT, key=TEXT)
def test_the_quick_reader_agrees_with_a_json_parser(
    name: str, text: str, group: str | None, key: str
) -> None:
    record = SampleRecord(
        id=name,
        requests=(),
        responses=(Response(text=text),),
        reference={"stats": {"trap": text}, key: [text]},
        stats={key: (1.0, 2.0), "m": (0.5,)},
        group=group,
    )
    line = json.dumps(to_json(record), ensure_ascii=False) + "\n"
    whole = json.loads(line)
    assert cellstats._sample(line) == (whole["id"], whole["group"], whole["stats"])


def same(a: CellStats, b: CellStats) -> bool:
    return (
        (a.ids, a.groups, list(a.tables)) == (b.ids, b.groups, list(b.tables))
        and all(a.graded(name) == b.graded(name) for name in a.tables)
        and all(
            np.array_equal(a.tables[name].rows, b.tables[name].rows, equal_nan=True)
            for name in a.tables
        )
    )


@given(
    rows=st.lists(
        st.tuples(st.none() | TEXT, st.booleans(), NUMBER, st.sampled_from([0.0, 1.0])), max_size=8
    )
)
def test_an_index_gives_back_what_it_was_made_of(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str | None, bool, float, float]],
) -> None:
    graded = [i for i, row in enumerate(rows) if row[1]]
    stats = made_stats(
        [f"s{i}" for i in range(len(rows))],
        [row[0] for row in rows],
        {
            **({"some": (graded, [[rows[i][2]] for i in graded])} if graded else {}),
            **({"all": (range(len(rows)), [[row[3], 1.0] for row in rows])} if rows else {}),
        },
    )
    path = tmp_path_factory.mktemp("index") / "cell.stats"
    save_index(path, stats, [5, 7])
    again = load_index(path, [5, 7])
    assert again is not None and same(stats, again)
    assert load_index(path, [5, 8]) is None
    content = path.read_bytes()
    for at in (0, len(content) // 3, len(content) // 2, -5, -1):
        path.write_bytes(
            bytes(byte ^ (16 * (i == at % len(content))) for i, byte in enumerate(content))
        )
        assert load_index(path, [5, 7]) is None, "a changed byte is seen"
    path.write_bytes(content[:-9])
    assert load_index(path, [5, 7]) is None, "and so is a cut"


def made(path: Path) -> tuple[RunDirectory, CellRecord]:
    cell = ToyCell(
        stats={ACC: column([0.0, 100.0, 100.0]), F1: np.arange(9.0).reshape(3, 3)},
        groups=["a", "a", None],
    )
    write_run(path, cell)
    return RunDirectory(path), cell.record


def plain(directory: RunDirectory, record: CellRecord) -> CellStats:
    """What the samples file itself holds."""
    with directory.samples_path(record.model.name, record.task).open() as lines:
        return read_stats(lines)


def test_the_index_is_written_with_the_cell_and_made_again_when_it_is_lost(tmp_path: Path) -> None:
    directory, record = made(tmp_path)
    index = directory.index_path(record)
    assert index.is_file() and same(directory.read_stats(record), plain(directory, record))
    index.unlink()
    assert same(directory.read_stats(record), plain(directory, record))
    assert index.is_file()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY", b"no index at all" * 99])
def test_a_damaged_index_is_made_anew(tmp_path: Path, content: bytes) -> None:
    directory, record = made(tmp_path)
    directory.index_path(record).write_bytes(content)
    assert same(directory.read_stats(record), plain(directory, record))
    assert directory.index_path(record).read_bytes() != content


def test_an_index_cut_short_is_made_anew(tmp_path: Path) -> None:
    directory, record = made(tmp_path)
    whole = directory.index_path(record).read_bytes()
    for end in range(0, len(whole), 97):
        directory.index_path(record).write_bytes(whole[:end])
        assert same(directory.read_stats(record), plain(directory, record))


def test_changed_samples_are_never_read_from_an_old_index(tmp_path: Path) -> None:
    directory, record = made(tmp_path)
    path = directory.samples_path(record.model.name, record.task)
    path.write_text(path.read_text().replace("[100.0, 1.0]", "[000.0, 1.0]".replace("000", "  0")))
    assert directory.read_stats(record).by_sample("acc") == dict.fromkeys(
        ("s0", "s1", "s2"), (0.0, 1.0)
    )


def test_without_a_place_for_an_index_everything_is_read_all_the_same(tmp_path: Path) -> None:
    directory, record = made(tmp_path)
    directory.index_path(record).unlink()
    (tmp_path / "index").rmdir()
    (tmp_path / "index").write_text("in the way")
    assert same(directory.read_stats(record), plain(directory, record))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 4"),
        ("[]", "line 4"),
        ('{"id": "s9", "group": null}', "stats"),
        ('{"id": "s9", "group": null, "stats": {"acc": [1.0]}}', "rows of one width"),
        ('{"id": "s9", "group": null, "stats": {"acc": ["x", 1.0]}}', "acc"),
        ('{"id": "s9", "group": null, "stats": {"acc": 1.0}}', "acc"),
        ('{"id": ["s9"], "group": null, "stats": {}}', "no text"),
        ('{"id": "s9", "group": [1], "stats": {}}', "no text"),
        ('{"id": "s1", "group": null, "stats": {}}', "'s1' is there twice"),
        ("\x00\ud800", "line 4"),
    ],
)
def test_a_damaged_line_is_told(tmp_path: Path, line: str, words: str) -> None:
    directory, record = made(tmp_path)
    path = directory.samples_path(record.model.name, record.task)
    with path.open("a", encoding="utf-8", errors="surrogatepass") as file:
        file.write(line + "\n")
    with pytest.raises(DataError) as caught:
        directory.read_stats(record)
    assert str(path) in str(caught.value)
    assert words in str(caught.value) or "codec" in str(caught.value)


def test_side_by_side_keeps_what_all_have_in_the_first_ones_order() -> None:
    a = made_stats("abcd", ["x", None, "x", None], {"m": ([0, 1, 2, 3], [[1], [2], [3], [4]])})
    b = made_stats("dcxa", None, {"m": ([0, 1, 3], [[40], [30], [10]])})
    found = side_by_side("m", [a, b])
    assert found is not None
    assert found.rows[:, :, 0].tolist() == [[1, 3, 4], [10, 30, 40]]
    assert found.groups == ("x", "x", None) and found.unit.tolist() == [0, 0, 1]
    assert found.alone == (1, 0)
    assert side_by_side("m", [a, made_stats("z", None, {"m": ([0], [[1]])})]) is None
    assert side_by_side("other", [a, b]) is None
    with pytest.raises(ValueError, match="different statistics"):
        side_by_side("m", [a, made_stats("a", None, {"m": ([0], [[1, 2]])})])
