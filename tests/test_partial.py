"""Whatever is printed, written or drawn of a half-finished run says so."""

from __future__ import annotations

import json
import re
from dataclasses import replace
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


def toys(*, value: float | None = None, fingerprint: str = "f00d") -> list[ToyCell]:
    """Four sizes; the largest perhaps with another score or of another fingerprint."""
    cells = []
    for size, share in zip(SIZES, (8, 16, 24, 30), strict=True):
        rows = column([100.0 * (i < share) for i in range(ROWS)])
        last = size == SIZES[-1]
        plain = ToyCell(stats={ACC: rows}, model=f"toy-{size}", size=size)
        fields = {"fingerprint": fingerprint} if last else {}
        if last and value is not None:
            (score,) = plain.record.scores
            fields["scores"] = (replace(score, value=value),)  # type: ignore[assignment]
        cells.append(replace(plain, fields=fields))
    return cells


def test_a_score_that_is_no_number_is_null_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(write_run(tmp_path / "run", *toys(value=float("nan"))))
    assert invoke(["show", run, "--json"]) == 0
    document = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert [score["value"] is None for score in document["scores"]] == [False] * 3 + [True]
    for command in (["fit", run], ["leaderboard", run], ["compare", run, run]):
        assert invoke([*command, "--json"]) == 0
        json.loads(capsys.readouterr().out, parse_constant=pytest.fail)


def test_sizes_of_different_fingerprints_make_no_curve_to_trust(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(write_run(tmp_path / "run", *toys(fingerprint="beef")))
    same = str(write_run(tmp_path / "same", *toys()))
    assert invoke(["fit", run, "--json"]) == 0
    (fit,) = json.loads(capsys.readouterr().out)["fits"]
    assert fit["verdict"] != "ok"
    assert fit["note"].startswith("The sizes were not measured alike: fingerprint f00d of toy-1000")
    assert invoke(["compare", same, run]) == 5
    assert "fingerprint f00d against beef" in capsys.readouterr().out
    assert invoke(["leaderboard", same, run]) == 5
    assert "fingerprint" in capsys.readouterr().err
