from __future__ import annotations

import sqlite3

from conftest import Program


def test_info_prune_and_verify(program: Program) -> None:
    program("run", "-m", "adder-{10,40}", "-t", "sums")
    document = program.json("cache", "info")
    assert [(m["name"], m["answers"]) for m in document["models"]] == [
        ("adder-10", 80),
        ("adder-40", 80),
    ]
    assert "160 answers" in program("cache", "info").stdout
    assert "160 answers checked, 0 of them wrong" in program("cache", "verify").stdout
    assert "80 answers forgotten" in program("cache", "prune", "-m", "adder-10").stdout
    assert "0 answers forgotten" in program("cache", "prune", "--older-than", "1").stdout
    assert "80 answers forgotten" in program("cache", "prune", "--all").stdout


def test_verify_exits_4_when_a_row_was_changed(program: Program) -> None:
    program("run", "-m", "adder-10", "-t", "sums")
    with sqlite3.connect(program.folder / "results" / "responses.sqlite") as connection:
        connection.execute("UPDATE responses SET response = 'x' WHERE kind = 'generate'")
    done = program("cache", "verify")
    assert done.returncode == 4
    assert "80 answers checked, 40 of them wrong" in done.stdout


def test_wrong_use_is_explained(program: Program) -> None:
    done = program("cache", "info")
    assert done.returncode == 2
    assert "There is no response store at 'results/responses.sqlite'" in done.stderr
    program("run", "-m", "adder-10", "-t", "sums")
    assert "Say what to forget" in program("cache", "prune").stderr
    assert "Did you mean 'adder-10'?" in program("cache", "prune", "-m", "adder-1").stderr
