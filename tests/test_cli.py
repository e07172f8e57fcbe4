from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Program

SCORE_FIELDS = {
    "model", "family", "params", "task", "metric", "value", "ci", "n", "errors", "truncated",
    "higher_is_better", "signature",
}  # fmt: skip
FIT_FIELDS = {
    "family", "task", "metric", "law", "estimates", "n", "r2", "verdict", "note", "forecast",
}  # fmt: skip


def test_run_prints_one_document_with_scores_and_fits(program: Program) -> None:
    document = program.json("run", "-m", "adder", "-t", "sums", "-o", "out")
    assert document["schema"] == 1
    assert document["run"] == "out"
    assert document["status"] == "complete"
    assert document["errors"] == []
    assert len(document["scores"]) == 10
    assert all(set(score) >= SCORE_FIELDS for score in document["scores"])
    assert {fit["metric"] for fit in document["fits"]} == {"exact_match", "bits_per_byte"}
    for fit in document["fits"]:
        assert set(fit) >= FIT_FIELDS
        assert "exponent" in fit["estimates"]
    manifest = json.loads((program.folder / "out" / "manifest.json").read_text())
    assert manifest["status"] == "complete"
    assert manifest["command"][:2] == ["harness", "run"]
    assert manifest["versions"]["toy-box"] == "1.2"
    assert manifest["seconds"] > 0


def test_the_fitted_exponents_are_those_the_models_were_made_with(program: Program) -> None:
    document = program.json("run", "-m", "adder", "-t", "sums")
    fits = {fit["metric"]: fit for fit in document["fits"]}
    # bits per byte = (0.5 + N^-0.3) / ln 2: the floor and the exponent are exact.
    low, high = fits["bits_per_byte"]["estimates"]["exponent"]["ci"]
    assert low <= 0.3 <= high
    assert fits["bits_per_byte"]["estimates"]["exponent"]["value"] == pytest.approx(0.3, abs=0.01)


def test_the_table_orders_models_by_size_and_shows_intervals(program: Program) -> None:
    done = program("run", "-m", "adder-{640,10,40}", "-t", "sums")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    rows = [line.split()[0] for line in lines if line.startswith("adder-")]
    assert rows == ["adder-10", "adder-40", "adder-640"]
    assert "exact_match ↑" in done.stdout and "bits_per_byte ↓" in done.stdout
    assert "Scaling fits" in done.stdout and "exponent [95 %]" in done.stdout
    assert "[1/3] adder-640 sums: exact_match" in done.stderr


def test_show_prints_the_same_tables_without_running(program: Program) -> None:
    ran = program("run", "-m", "adder", "-t", "sums")
    shown = program("show")
    assert shown.stdout == ran.stdout
    assert program("show", shown.stdout.split()[1]).stdout == ran.stdout


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("harness, version ")


def test_show_of_nothing_says_what_to_do(program: Program) -> None:
    done = program("show")
    assert done.returncode == 2
    assert "There is no run under results/runs" in done.stderr
    done = program("show", "nowhere")
    assert done.returncode == 2
    assert "'nowhere' is not a run" in done.stderr


def test_show_prints_samples_to_the_letter(program: Program) -> None:
    program("run", "-m", "adder-{10,40}", "-t", "sums", "--limit", "3")
    done = program("show", "--samples", "2", "-m", "adder-10")
    assert done.returncode == 0
    assert "adder-10 on sums" in done.stdout and "adder-40" not in done.stdout
    assert 'at most 8 tokens, stop at "\\n"; the prompt:\n│ 1+1=\nthe answer:\n│ 2' in done.stdout
    assert "sample sum-2" not in done.stdout
    assert "statistics of exact_match: 100 1" in done.stdout
    document = program.json("show", "--samples", "1")
    assert [s["id"] for s in document["samples"]] == ["sum-0", "sum-0"]
    refused = program("show", "--samples", "1", "-t", "sms")
    assert refused.returncode == 2
    assert "The run has no task 'sms'. Did you mean 'sums'?" in refused.stderr
    assert program("show", "-m", "adder-10").returncode == 2


def test_efficiency_says_what_answers_cost_and_nothing_about_stored_ones(program: Program) -> None:
    arguments = ("run", "-m", "adder-{10,40}", "-t", "sums", "--efficiency")
    done = program(*arguments)
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[2] for row in rows if row[:2] == ["adder-10", "sums"]] == ["80"]
    (cell, _) = program.json("show")["cells"]
    assert cell["efficiency"]["requests"] == 80
    assert cell["efficiency"]["tokens"] == 80
    assert cell["efficiency"]["peak_host_bytes"] > 1e6
    assert cell["efficiency"]["peak_device_bytes"] is None
    again = program.json("run", "-m", "adder-{10,40}", "-t", "sums", "--seed", "1")
    assert [c["efficiency"] for c in again["cells"]] == [None, None]


def test_tasks_prints_what_a_model_is_sent(program: Program) -> None:
    done = program("tasks", "sums", "--sample", "2")
    assert "── sample sum-1" in done.stdout and "sum-2" not in done.stdout
    assert "│ 1+1=" in done.stdout
    document = program.json("tasks", "sums", "--sample", "2")
    assert document["samples"][1]["requests"][0]["prompt"] == "1+1="
    assert "Did you mean 'sums'?" in program("tasks", "sms").stderr
    assert program("tasks", "--sample", "2").returncode == 2


def test_lists_name_distribution_and_version(program: Program) -> None:
    assert "toy-box 1.2" in program("models").stdout
    assert "toy-box 1.2" in program("tasks").stdout
    assert "toy-box 1.2" in program("plugins").stdout
    models = {m["name"]: m for m in program.json("models")["models"]}
    assert models["adder-10"]["distribution"] == "toy-box"
    assert models["adder-10"]["version"] == "1.2"


def test_laws_are_listed_with_their_sources(program: Program) -> None:
    laws = {law["name"]: law for law in program.json("laws")["laws"]}
    assert laws["chinchilla"]["variables"] == ["N", "D"]
    assert "Hoffmann et al. 2022" in laws["chinchilla"]["source"]
    assert "L = E + A·N^-alpha + B·D^-beta" in program("laws").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "-m", "ader-10", "-t", "sums"], "Did you mean 'adder-10'"),
        (["run", "-m", "adder-10", "-t", "sum"], "or 'sums'?"),
        (["run", "-m", "adder-10", "-t", "sums", "--limt", "3"], "Did you mean '--limit'"),
        (["run", "-m", "adder-10", "-t", "sums", "--limit", "0"], "--limit 0 is too small"),
        (["run", "-m", "adder-10", "-t", "sums", "--limit", "x"], "'x' is not a valid integer"),
        (["run", "-m", "adder-10", "-t", "sums", "--batch-size", "x"], "neither 'auto' nor"),
        (["run", "-m", "adder-10", "-t", "sums", "--shots", "2"], "at most 0 worked examples"),
        (["run", "-m", "adder-10,a{b", "-t", "sums"], "Unbalanced '{'"),
        (["run", "-m", "adder-10", "-t", "sums:x"], "takes nothing after a colon"),
        (["rnu"], "Did you mean 'run'"),
    ],
)
def test_a_wrong_command_is_explained_in_a_few_lines(
    program: Program, arguments: list[str], words: str
) -> None:
    done = program(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 3
    assert not (program.folder / "results").exists()


def test_a_cell_that_failed_says_why_once(program: Program) -> None:
    """Where it is the only one, what ends the program is its reason."""
    one = program("run", "-m", "broken", "-t", "sums")
    assert one.returncode == 4
    assert "[1/1] broken sums: failed\n" in one.stderr
    assert one.stderr.count("the fan is missing") == 1
    two = program("run", "-m", "broken,adder-10,broken-too", "-t", "sums")
    assert two.returncode == 4
    assert two.stderr.count("the fan is missing") == 1
    assert "broken-too sums: failed, for the same reason" in two.stderr


def test_an_unwritable_results_directory_is_exit_4(program: Program) -> None:
    (program.folder / "file").write_text("")
    done = program("run", "-m", "adder-10", "-t", "sums", "-o", "file/run")
    assert done.returncode == 4
    assert "cannot be saved at 'file/run'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_that_never_began_leaves_nothing_to_show(program: Program) -> None:
    pytest.importorskip("torch")
    done = program("run", "-m", "adder-10,nano-1k", "-t", "text:nowhere.txt")
    assert done.returncode == 4
    assert not list((program.folder / "results" / "runs").iterdir())
    assert "There is no run under results/runs" in program("show").stderr


def test_a_store_that_is_no_database_is_exit_4(program: Program) -> None:
    (program.folder / "out").mkdir()
    (program.folder / "out" / "responses.sqlite").write_text("no database" * 100)
    done = program("run", "-m", "adder-10", "-t", "sums", "-o", "out")
    assert done.returncode == 4
    assert "cannot be read as a response store" in done.stderr
    assert json.loads((program.folder / "out/manifest.json").read_text())["status"] == "partial"


def test_a_full_disk_is_exit_4(program: Program) -> None:
    # A limit on file size is the nearest a test gets to a full disk without being root.
    script = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); "
        "from harness.cli import main; main()"
    )
    command = program.command("run", "-m", "adder", "-t", "sums", "-o", "out")
    command[2] = script
    program.command = lambda *_: command  # type: ignore[method-assign]
    # A measured process would fail on writing its own coverage, too.
    program.environment = {
        name: value for name, value in program.environment.items() if not name.startswith("COV")
    }
    done = program()
    assert done.returncode == 4
    assert "cannot be" in done.stderr
    assert "Traceback" not in done.stderr


def test_samples_without_an_answer_are_exit_4_unless_allowed(program: Program) -> None:
    arguments = ("run", "-m", "failing", "-t", "sums", "-o", "out")
    done = program(*arguments)
    assert done.returncode == 4
    assert "PARTIAL" in done.stdout and "2 without an answer" in done.stdout
    assert "2 of its samples have no answer; the first: overheated" in done.stdout
    assert program(*arguments, "--max-errors", "1").returncode == 4
    assert program(*arguments, "--max-errors", "2").returncode == 0
    assert program("show", "out").returncode == 4


def wait_for_answers(program: Program, number: int) -> None:
    deadline = time.monotonic() + 60
    while len(program.asked()) < number:
        assert time.monotonic() < deadline, "the slow model never began"
        time.sleep(0.02)


def test_kill_9_loses_at_most_what_is_in_flight_and_nothing_is_asked_twice(
    program: Program,
) -> None:
    whole = program.json("run", "-m", "slow", "-t", "sums", "-o", "whole", TOY_DELAY="0")
    program.log.unlink()
    arguments = ("run", "-m", "slow", "-t", "sums", "-o", "killed")
    first = program.start(*arguments, TOY_DELAY="0.05")
    wait_for_answers(program, 40)
    first.kill()
    first.communicate()
    before = program.asked()
    program.log.unlink()
    again = program.json(*arguments, TOY_DELAY="0")
    repeated = set(before) & set(program.asked())
    assert len(before) < 80
    # Every answer is stored before the next is awaited: only the one under way can be lost.
    assert len(repeated) <= 1
    assert [s["value"] for s in again["scores"]] == [s["value"] for s in whole["scores"]]
    assert [s["ci"] for s in again["scores"]] == [s["ci"] for s in whole["scores"]]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_how_to_go_on_and_exits_130(
    program: Program, how: signal.Signals
) -> None:
    arguments = ("run", "-m", "slow", "-t", "sums", "-o", "out")
    process = program.start(*arguments)
    wait_for_answers(program, 10)
    process.send_signal(how)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on from here: harness run" in errors
    assert "Traceback" not in errors
    manifest = json.loads((program.folder / "out" / "manifest.json").read_text())
    assert manifest["status"] == "interrupted"
    shown = program("show", "out")
    assert shown.returncode == 4
    assert "PARTIAL" in shown.stdout
    before = program.asked()
    program.log.unlink()
    assert program(*arguments, TOY_DELAY="0").returncode == 0
    assert not set(before) & set(program.asked())


def test_a_bug_of_ours_is_one_line_and_exit_70(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from harness.cli import invoke

    def broken(*_: object) -> None:
        raise RuntimeError("two left shoes")

    monkeypatch.delenv("HARNESS_TRACEBACK", raising=False)
    monkeypatch.setattr("harness.cli.show.find_run", broken)
    assert invoke(["show", str(tmp_path)]) == 70
    error = capsys.readouterr().err
    assert "a bug of ours: RuntimeError: two left shoes" in error
    assert "Traceback" not in error
