from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Program

from harness.errors import DataError, SaveError, UsageError
from harness.results import RunDirectory


def test_a_results_directory_that_cannot_be_made_is_a_save_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError, match="cannot be saved"):
        RunDirectory(tmp_path / "file" / "run").prepare()


def test_names_of_any_kind_make_distinct_files(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    names = ["a/b", "a-b", "a:b", "../a", "x" * 300, "x" * 301, "hf:ä"]
    paths = {directory.cell_path(name, "t") for name in names}
    assert len(paths) == len(names)
    assert all(path.parent == tmp_path / "cells" and len(path.name) < 200 for path in paths)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no manifest.json"):
        RunDirectory(tmp_path).read_manifest()


@pytest.mark.parametrize(
    ("text", "words"),
    [("[]", "not a record"), ('{"schema": 9}', "schema 9"), ("{", "not JSON")],
)
def test_a_damaged_manifest_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=words):
        RunDirectory(tmp_path).read_manifest()


def test_samples_that_were_cut_are_noticed_and_made_again_without_a_model(
    program: Program,
) -> None:
    command = ("run", "-m", "slow", "-t", "sums", "-o", "out")
    before = program.json(*command, TOY_DELAY="0")
    asked = program.asked()
    assert asked
    path = program.folder / "out" / "samples" / "slow--sums.jsonl"
    directory = RunDirectory(program.folder / "out")
    (record,) = directory.read_run().cells
    whole = path.read_text(encoding="utf-8")
    lines = whole.splitlines(keepends=True)
    between, together = lines[:-3], [*lines[:3], lines[3][:60], *lines[4:]]
    for cut in ("".join(between), whole[: len(whole) // 2], "", "".join(together)):
        path.write_text(cut, encoding="utf-8")
        for read in (directory.read_stats, lambda cell: list(directory.read_samples(cell))):
            with pytest.raises(DataError, match="damaged|cannot be read|not JSON"):
                read(record)
    done = program("compare", "out", "out")
    assert done.returncode == 4 and "39 can be read, and 40 were graded" in done.stderr
    assert program.json(*command)["scores"] == before["scores"]
    assert program.asked() == asked, "every answer was in the store"
    assert path.read_text(encoding="utf-8") == whole


def test_a_cell_named_twice_is_refused(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    cells = [{"model": "m", "task": "t"}] * 2
    head = {
        "schema": 1, "command": [], "settings": {}, "cells": cells, "versions": {}, "platform": {},
        "git_commit": None, "started": "2026-01-01T00:00:00+00:00", "status": "complete",
        "finished": None, "seconds": None, "errors": [],
    }  # fmt: skip
    (tmp_path / "manifest.json").write_text(json.dumps(head), encoding="utf-8")
    with pytest.raises(DataError, match="names m on t twice"):
        directory.read_run()
