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
