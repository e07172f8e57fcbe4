"""Whatever is printed, written or drawn of a half-finished run says so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from gate_toys import ACC, ToyCell, column, write_run

from harness.cli import invoke

ROWS = 40
SIZES = (1000, 4000, 16000, 64000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``whole``, a run of four sizes on two tasks, and ``half``, which lacks a cell of it."""
    base = tmp_path_factory.mktemp("partial")
    cells = [
        ToyCell(
            stats={ACC: column([100.0 * (i < share) for i in range(ROWS)])},
            model=f"toy-{size}",
            size=size,
            task=task,
        )
        for task in ("one", "two")
        for size, share in zip(SIZES, (8, 16, 24, 30), strict=True)
    ]
    for name in ("whole", "half"):
        write_run(base / name, *cells)
    (base / "half" / "cells" / "toy-64000--two.json").unlink()
    return base


COMMANDS = {
    "show": ["show", "half"],
    "show --samples": ["show", "half", "--samples", "1"],
    "fit": ["fit", "half"],
    "fit, a law of points": ["fit", "half", "--law", "power", "--x", "N"],
    "predict": ["predict", "half", "--size", "1e6"],
    "compare": ["compare", "whole", "half"],
    "leaderboard": ["leaderboard", "half"],
    "leaderboard, html": ["leaderboard", "half", "--format", "html"],
    "leaderboard, latex": ["leaderboard", "half", "--format", "latex"],
    "report": ["report", "half", "-o", "page.html"],
    "plot": ["plot", "half", "-o", "figure.svg"],
    "export": ["export", "lm-eval", "half", "-o", "exported"],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_a_half_finished_run_is_labelled_and_exits_with_4(
    command: list[str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if command[0] == "plot":
        pytest.importorskip("matplotlib")
    monkeypatch.chdir(folder)
    assert invoke(command) == 4
    assert re.search("PARTIAL.*(half|missing)", capsys.readouterr().out)
    whole = ["whole" if word == "half" else word for word in command]
    assert invoke(whole) == 0
    assert "PARTIAL" not in capsys.readouterr().out


JSON = ("show", "show --samples", "fit", "predict", "compare", "leaderboard", "report", "export")


@pytest.mark.parametrize("name", JSON)
def test_so_do_the_documents_for_programs(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert invoke([*COMMANDS[name], "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["status"] == "partial"


def test_files_tell_it_by_themselves(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert invoke(["leaderboard", "half", "whole", "-o", "board.csv"]) == 4
    head, *rows = (folder / "board.csv").read_text(encoding="utf-8").splitlines()
    assert head.endswith(",status")
    assert all(row.endswith(",partial") == (",half," in row) for row in rows)
    pytest.importorskip("matplotlib")
    assert invoke(["plot", "half", "-o", "half.svg"]) == 4
    assert "PARTIAL: half is not complete" in (folder / "half.svg").read_text(encoding="utf-8")


def test_the_gate_says_it_where_it_judges_and_where_it_cannot(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert invoke(["baseline", "half", "-o", "half.json"]) == 4
    assert "half is partial" in capsys.readouterr().err
    assert invoke(["baseline", "whole", "-o", "whole.json"]) == 0
    assert invoke(["check", "half", "--baseline", "whole.json"]) == 5
    assert "half is partial and lacks cells" in capsys.readouterr().err
    (folder / "skip.toml").write_text('missing = "skip"\n', encoding="utf-8")
    done = invoke(["check", "half", "--baseline", "whole.json", "--policy", "skip.toml"])
    assert done == 4 and "half is partial" in capsys.readouterr().out
