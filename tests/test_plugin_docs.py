"""The guide for plugin authors: its code runs, its package is the example, its lists are whole."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import toys
from distributions import pip_install, source_paths

from harness import types
from harness.testing import check_model, check_task, discovery, models, tasks

BLOCK = re.compile(r"(?:<!-- ([^\n]*) -->\n)?```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SOURCE = "source: "
IN_EXAMPLE = "in examples/harness-letters"
WITH_EXAMPLE = "with harness-letters installed"
WRAPPERS = {
    "harness": '-c "from harness.cli import main; main()"',
    "pip": "-c \"import distributions, pathlib, os, sys; assert sys.argv[1] == 'install'; "
    "distributions.pip_install(pathlib.Path('.'), pathlib.Path(os.environ['SITE']))\"",
    "pytest": "-m pytest -q -p no:cacheprovider",
}


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "plugins.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def namespace(page: str) -> dict[str, Any]:
    """What the page's blocks of Python define, run from top to bottom."""
    found: dict[str, Any] = {"__name__": "page"}
    blocks = [code for note, kind, code in BLOCK.findall(page) if kind == "python" and not note]
    assert len(blocks) >= 8
    for code in blocks:
        exec(compile(code, "docs/plugins.md", "exec"), found)
    return found


def environment(site: Path) -> dict[str, str]:
    folder = str(Path(__file__).parent)
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(site), *source_paths(), folder])}


@pytest.mark.parametrize("name", ["pyproject.toml", "harness_letters.py"])
def test_page_prints_the_whole_source_of_the_example(root: Path, page: str, name: str) -> None:
    printed = [code for note, _, code in BLOCK.findall(page) if note == f"{SOURCE}{name}"]
    source = (root / "examples" / "harness-letters" / name).read_text(encoding="utf-8")
    assert lines(source) == lines("\n".join(printed))


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def test_commands_of_the_page_work(root: Path, page: str, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, arguments in WRAPPERS.items():
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (programs / name).chmod(0o755)
    example = shutil.copytree(root / "examples" / "harness-letters", tmp_path / "letters")
    script = ""
    for note, kind, code in BLOCK.findall(page):
        if kind == "sh":
            script += f"cd '{example}'\n" * (note == IN_EXAMPLE) + code
    site = tmp_path / "site"
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=environment(site) | {"PATH": path, "SITE": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    assert "word-endings:hidden=1" in done.stdout


def test_blocks_that_need_the_example_run_with_it(root: Path, page: str, tmp_path: Path) -> None:
    example = shutil.copytree(root / "examples" / "harness-letters", tmp_path / "letters")
    pip_install(example, tmp_path / "site")
    code = "\n".join(code for note, _, code in BLOCK.findall(page) if note == WITH_EXAMPLE)
    assert code
    subprocess.run([sys.executable, "-c", code], env=environment(tmp_path / "site"), check=True)


def test_models_and_tasks_of_the_page_conform(namespace: dict[str, Any]) -> None:
    spec = types.ModelSpec(
        name="parrot",
        build=lambda settings: namespace["Parrot"](),
        kinds=frozenset({"generate"}),
    )
    results = list(check_model("parrot", toys.registry([spec], [])))
    builds: dict[types.RequestKind, Callable[[types.TaskSettings], types.Task]] = {
        "generate": namespace["Capitals"],
        "loglikelihood": lambda settings: namespace["Choice"](),
    }
    for kind, build in builds.items():
        task = types.TaskSpec(name="task", build=build, needs=(frozenset({kind}),))
        results += check_task("task", toys.registry([], [task]))
    assert [result.line for result in results if result.status == "failed"] == []


def test_block_of_observers_takes_real_records(
    namespace: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    info = types.ModelInfo(name="m", family="f", identity="i")
    score = types.Score(
        metric=types.Metric(name="acc"), value=1.0, ci=(0.0, 2.0), n=3, signature="s"
    )
    record = types.CellRecord(model=info, task="t", status="complete", scores=(score,))
    namespace["harness_cell_finished"](record)
    namespace["harness_run_finished"](
        types.RunRecord(directory="d", status="complete", cells=(record,))
    )
    assert capsys.readouterr().err == "m t acc 1.0\nd: complete, 1 cells\n"


@pytest.mark.parametrize(
    "record",
    [
        types.Generate,
        types.Loglikelihood,
        types.Tag,
        types.Classify,
        types.Response,
        types.Parameters,
        types.ModelInfo,
        types.ModelSpec,
        types.ModelSettings,
        types.Metric,
        types.Sample,
        types.TaskSpec,
        types.TaskSettings,
    ],
)
def test_every_field_that_a_plugin_fills_or_reads_is_explained(page: str, record: type) -> None:
    prose = BLOCK.sub("", page)
    for field in dataclasses.fields(record):
        named = re.search(rf"`{field.name}`|\b{field.name}=", prose)
        assert named, f"{record.__name__}.{field.name}"


def test_every_check_is_listed(page: str) -> None:
    for noun, module in (("plugin", discovery), ("model", models), ("task", tasks)):
        for check in module.CHECKS:
            name = check.__name__.removeprefix("check_").replace("_", " ")
            assert f"| {noun} | {name} |" in page
