from __future__ import annotations

from pathlib import Path

import pytest
import toys
from conftest import Program

from harness.errors import NotComparableError
from harness.plan import RunRequest, plan_task
from harness.rescore import rescore
from harness.results import RunDirectory


def test_rescoring_an_unchanged_task_changes_no_score(program: Program) -> None:
    before = program.json("run", "-m", "adder", "-t", "sums", "-o", "out")
    after = program.json("rescore", "out")
    assert after["scores"] == before["scores"]
    assert after["fits"] == before["fits"]


class Lenient(toys.Sums):
    """The same questions, every answer right."""

    def grade(self, sample, responses):  # type: ignore[no-untyped-def]
        return super().grade(sample, responses) | {"exact_match": (100.0, 1.0)}


def test_a_mended_grader_changes_the_scores_without_a_model(program: Program) -> None:
    program("run", "-m", "adder-10", "-t", "sums", "-o", "out")
    directory = RunDirectory(program.folder / "out")
    (record,) = directory.read_run().cells
    registry = toys.registry([], [toys.task_spec("sums", Lenient())])
    planned = plan_task(registry, "sums", toys.BOTH, RunRequest())
    assert rescore(directory, record, planned).scores[0].value == 100
    assert directory.read_run().cells[0].scores[0].value == 100


def test_other_questions_are_refused(program: Program) -> None:
    program("run", "-m", "adder-10", "-t", "sums", "-o", "out")
    directory = RunDirectory(program.folder / "out")
    (record,) = directory.read_run().cells
    registry = toys.registry([], [toys.task_spec("sums", toys.Sums(50))])
    planned = plan_task(registry, "sums", toys.BOTH, RunRequest())
    with pytest.raises(NotComparableError, match="now asks other questions"):
        rescore(directory, record, planned)


def test_a_run_that_is_none_is_refused(program: Program, tmp_path: Path) -> None:
    assert program("rescore", "nowhere").returncode == 2


def test_further_metrics_of_texts_are_added_and_taken_out_again(program: Program) -> None:
    before = program.json("run", "-m", "adder-10", "-t", "sums", "-o", "out")
    more = program.json("rescore", "out", "--metrics", "ter,bleu:tokenize=char,lowercase=yes")
    names = [score["metric"] for score in more["scores"]]
    assert names[-2:] == ["ter", "bleu:tokenize=char,lowercase=yes"]
    assert more["scores"][: len(before["scores"])] == before["scores"]
    # TER of one-word answers is the share of wrong ones, so it is known from exact match.
    by_name = {score["metric"]: score["value"] for score in more["scores"]}
    assert by_name["ter"] == pytest.approx(100 - by_name["exact_match"])
    assert program.json("run", "-m", "adder-10", "-t", "sums", "-o", "out") == more
    assert program.json("rescore", "out")["scores"] == before["scores"]


def test_a_further_metric_that_is_none_is_refused(program: Program) -> None:
    program("run", "-m", "adder-10", "-t", "sums", "-o", "out")
    done = program("rescore", "out", "--metrics", "terr")
    assert done.returncode == 2 and "Did you mean 'ter'?" in done.stderr
