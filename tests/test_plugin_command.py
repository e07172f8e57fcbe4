"""`harness plugin`: what `new` writes passes its own tests; `check` says what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from distributions import MODEL, distribution, harness, pip_install, source_paths

from harness.cli import invoke


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a new package in harness-my-words, installed into site."""
    folder = tmp_path_factory.mktemp("new")
    (folder / "site").mkdir()
    made = harness("plugin", "new", "my-words", path=folder, cwd=folder)
    assert made.returncode == 0, made.stderr
    assert "harness plugin check my-words" in made.stdout
    pip_install(folder / "harness-my-words", folder / "site")
    return folder


def test_new_package_has_all_its_files(written: Path) -> None:
    names = {path.name for path in (written / "harness-my-words").iterdir()}
    assert {"pyproject.toml", "README.md", "harness_my_words.py", "test_plugin.py"} <= names
    texts = [path.read_text() for path in (written / "harness-my-words").glob("*.*")]
    assert not any("$plugin" in text or "$module" in text for text in texts)


def test_new_package_passes_its_own_tests(written: Path) -> None:
    path = os.pathsep.join([str(written / "site"), *source_paths()])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=written / "harness-my-words",
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_new_package_conforms(written: Path) -> None:
    done = harness("plugin", "check", "my-words", path=written / "site", cwd=written)
    assert done.returncode == 0, done.stdout
    assert "task my-words-alphabet" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("0 failed, 1 skipped")


def test_new_package_runs_as_a_family(written: Path) -> None:
    arguments = ("run", "--models", "my-words", "--tasks", "my-words-alphabet", "--json")
    done = harness(*arguments, path=written / "site", cwd=written)
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)["scores"]
    exact = [score["value"] for score in scores if score["metric"] == "exact_match"]
    assert exact == [8.0, 20.0, 44.0, 92.0]


def test_new_package_may_be_written_again_elsewhere(written: Path) -> None:
    arguments = ("plugin", "new", "harness-my-words", "-o", "again")
    done = harness(*arguments, path=written / "site", cwd=written)
    assert done.returncode == 0, done.stderr
    assert (written / "again" / "harness_my_words.py").is_file()


@pytest.mark.parametrize("name", ["My-Words", "two words", "1st", "a--b", "-a", "a_b", "", "ä"])
def test_invalid_name_is_refused_with_what_is_allowed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke(["plugin", "new", "--", name]) == 2
    assert "use lower-case letters, digits and single hyphens" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_stands_is_never_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert invoke(["plugin", "new", "fresh", "-o", str(tmp_path)]) == 2
    assert "not an empty directory" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert invoke(["plugin", "new", "fresh", "-o", str(tmp_path / "notes.txt")]) == 2


def test_empty_directory_is_filled(tmp_path: Path) -> None:
    assert invoke(["plugin", "new", "fresh", "-o", str(tmp_path)]) == 0
    assert (tmp_path / "harness_fresh.py").is_file()


def test_unwritable_place_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert invoke(["plugin", "new", "fresh", "-o", str(tmp_path / "file" / "below")]) == 4
    assert "cannot be written: Not a directory" in capsys.readouterr().err


def test_check_of_an_unknown_plugin_suggests_one(written: Path) -> None:
    done = harness("plugin", "check", "my-word", path=written / "site", cwd=written)
    assert done.returncode == 2
    assert "Unknown plugin 'my-word'. Did you mean 'my-words'" in done.stderr


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose distributions this process finds besides the installed ones."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_name_of_another_plugin_is_refused(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    distribution(box, "other-package", MODEL, plugin="taken")
    assert invoke(["plugin", "new", "taken", "-o", str(box / "new")]) == 2
    assert "already, of the distribution other-package" in capsys.readouterr().err


def test_name_of_an_existing_module_is_refused(
    box: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (box / "harness_stays.py").write_text("")
    assert invoke(["plugin", "new", "stays", "-o", str(box / "new")]) == 2
    assert "There is a module harness_stays already" in capsys.readouterr().err


def test_check_of_a_broken_plugin_gives_its_reason_and_exits_3(
    box: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    distribution(box, "culprit", "import no_such_package", version="3.1")
    assert invoke(["plugin", "check", "culprit"]) == 3
    printed = capsys.readouterr().out
    assert "FAILED  it loads" in printed
    assert "(culprit 3.1, " in printed and "'no_such_package'" in printed
    assert printed.splitlines()[-1] == "1 checks: 0 passed, 1 failed, 0 skipped"


def test_check_as_json_tells_each_result(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = "@hookimpl\ndef harness_models():\n    yield model('echo', description='Says it again.')"
    distribution(box, "culprit", MODEL + code)
    assert invoke(["plugin", "check", "culprit", "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["plugin"], document["conforms"]) == (1, "culprit", False)
    failed = {c["check"]: c["reason"] for c in document["checks"] if c["status"] == "failed"}
    assert list(failed) == ["answers have their fields"]
    assert "holds the stop string" in failed["answers have their fields"]


def test_check_takes_names_with_arguments(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = "@hookimpl\ndef harness_models():\n    yield model('echo', argument='VOICE')"
    distribution(box, "culprit", MODEL + code)
    invoke(["plugin", "check", "culprit", "--models", "echo:loud"])
    printed = capsys.readouterr().out
    assert "model echo:loud" in printed
    assert "needs an argument" not in printed
