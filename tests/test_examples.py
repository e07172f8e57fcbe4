"""The example distribution, installed with pip and run as its reader would run it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from distributions import harness, pip_install, source_paths

SIZES = (25, 233, 805, 1770, 3160)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """The example in a site folder of its own; the developer's environment is left alone."""
    folder = tmp_path_factory.mktemp("letters")
    # Built from a copy, so that building can leave nothing behind in the repository.
    copy = shutil.copytree(root / "examples" / "harness-letters", folder / "harness-letters")
    pip_install(copy, folder / "site")
    return folder


@pytest.fixture(scope="module")
def document(installed: Path) -> dict[str, Any]:
    arguments = ("run", "--models", "letters", "--tasks", "word-endings", "--json")
    done = harness(*arguments, path=installed / "site", cwd=installed)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_every_size_is_scored_with_its_real_count(document: dict[str, Any]) -> None:
    assert document["status"] == "complete"
    for metric in ("exact_match", "bits_per_byte"):
        scores = [score for score in document["scores"] if score["metric"] == metric]
        assert tuple(score["params"] for score in scores) == SIZES
        assert all(score["n"] == 130 and score["errors"] == 0 for score in scores)


def test_larger_models_need_fewer_bits(document: dict[str, Any]) -> None:
    bits = [s["value"] for s in document["scores"] if s["metric"] == "bits_per_byte"]
    assert bits == sorted(bits, reverse=True)
    assert bits[0] > 3.5 and bits[-1] < 1


def test_both_metrics_get_a_fit_over_all_sizes(document: dict[str, Any]) -> None:
    fits = {fit["metric"]: fit for fit in document["fits"]}
    assert set(fits) == {"exact_match", "bits_per_byte"}
    for fit in fits.values():
        assert (fit["family"], fit["task"], fit["n"]) == ("letters", "word-endings", len(SIZES))
        assert fit["verdict"] in {"ok", "weak", "not-identifiable"}


def test_option_and_worked_examples_reach_the_task(installed: Path) -> None:
    arguments = ("run", "-m", "letters-4", "-t", "word-endings:hidden=1", "--shots", "2", "--json")
    done = harness(*arguments, path=installed / "site", cwd=installed)
    scores = json.loads(done.stdout)["scores"]
    assert {score["task"] for score in scores} == {"word-endings:hidden=1"}
    assert next(s["value"] for s in scores if s["metric"] == "exact_match") > 80


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("word-endings:hidden=9", "word-endings: hidden=9 is not 1, 2, 3 or 4."),
        ("word-endings:hiden=2", "Unknown option 'hiden' for task 'word-endings'. Did you mean"),
    ],
)
def test_wrong_option_is_refused(installed: Path, task: str, words: str) -> None:
    done = harness("run", "-m", "letters-1", "-t", task, path=installed / "site", cwd=installed)
    assert done.returncode == 2
    assert words in done.stderr


def test_example_passes_its_own_tests(installed: Path) -> None:
    path = os.pathsep.join([str(installed / "site"), *source_paths()])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=installed / "harness-letters",
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
