"""The page about the gate and the ready CI files: valid, and every command in them runs."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import Program
from test_check_outputs import assert_junit

from harness.check import Policy, Rule, read_policy
from harness.plugins import load_registry

# What the page and the files name is large; the toys answer in its place.
STAND_INS = {
    "nano-1k": "adder-10", "nano-9k": "adder-640", "nano": "adder",
    "world-qa,world-ner": "sums", "world-qa": "sums",
}  # fmt: skip
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def with_stand_ins(text: str) -> str:
    for name, other in STAND_INS.items():
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", other, text)
    return text


def shell(program: Program, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script in the toys' folder, with ``harness`` on its path."""
    programs = program.folder / "bin"
    programs.mkdir(exist_ok=True)
    command = [f"'{part}'" for part in program.command()]
    (programs / "harness").write_text(f'#!/bin/sh\nexec {" ".join(command)} "$@"\n')
    (programs / "harness").chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=program.folder,
        env=program.environment | {"PATH": path} | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_every_command_of_the_page_works(root: Path, program: Program) -> None:
    page = (root / "docs" / "gate.md").read_text(encoding="utf-8")
    script = "".join(BLOCK.findall(page))
    assert script.count("harness ") >= 9
    done = shell(program, with_stand_ins(script))
    assert done.returncode == 0, done.stderr + done.stdout
    assert "Scaling curves" in done.stdout
    assert done.stdout.count("PASS: 12 PASS of 12.") == 3
    assert_junit((program.folder / "junit.xml").read_text(encoding="utf-8"))


def test_the_page_and_the_files_name_models_and_tasks_that_exist(root: Path) -> None:
    registry = load_registry()
    files = [root / "docs" / "gate.md", *(root / "examples" / "ci").iterdir()]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    for name in ("nano", "nano-1k", "nano-9k", "world-qa", "world-ner"):
        assert name in text
        assert name in {*registry.models, *registry.tasks, *registry.families()}, name


def test_the_page_explains_every_key_of_a_policy(root: Path) -> None:
    page = (root / "docs" / "gate.md").read_text(encoding="utf-8")
    for key in (*Policy.__dataclass_fields__, *Rule.__dataclass_fields__):
        assert f"`{key}`" in page or f"[{key}]" in page, key
    for test in ("mcnemar", "permutation", "randomization", "bootstrap", "auto"):
        assert f"| `{test}` |" in page


def test_the_example_policy_is_read(root: Path) -> None:
    policy = read_policy(root / "examples" / "ci" / "check.toml")
    rule = policy.rule(task="world-ner", model="nano-9k", metric="entity_f1")
    assert (rule.relevant, rule.max_drop, rule.delta) == (5.0, 10.0, 0.0)
    assert policy.rule(task="world-qa", model="m", metric="f1").relevant == 2.0


def read_yaml(path: Path) -> Any:
    yaml = pytest.importorskip("yaml", reason="skipped: PyYAML is not installed")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def github_commands(root: Path, job: str) -> Iterator[str]:
    workflow = read_yaml(root / "examples" / "ci" / "github-actions.yml")
    for step in workflow["jobs"][job]["steps"]:
        if step.get("run", "").startswith("harness"):
            yield step["run"]


def gitlab_commands(root: Path, job: str) -> Sequence[str]:
    commands: list[str] = read_yaml(root / "examples" / "ci" / "gitlab-ci.yml")[job]["script"]
    return commands


def test_the_github_workflow_has_the_form_of_one(root: Path) -> None:
    workflow = read_yaml(root / "examples" / "ci" / "github-actions.yml")
    # YAML 1.1 reads the key `on` as true.
    assert set(workflow) == {"name", True, "permissions", "env", "jobs"}
    assert set(workflow[True]) == {"pull_request", "workflow_dispatch"}
    for job in workflow["jobs"].values():
        assert job["runs-on"]
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            assert set(step) <= {"name", "uses", "run", "with", "if", "env"}
            # What a stranger's pull request controls must not be pasted into a shell.
            assert "${{" not in step.get("run", "")
            if "uses" in step:
                assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"])


def test_the_gitlab_file_has_the_form_of_one(root: Path) -> None:
    pipeline = read_yaml(root / "examples" / "ci" / "gitlab-ci.yml")
    template = pipeline[".harness"]
    assert template["stage"] in pipeline["stages"] and template["image"]
    for name in ("baseline", "check"):
        job = pipeline[name]
        assert job["extends"] == ".harness"
        assert job["rules"] and all(isinstance(line, str) for line in job["script"])
    assert pipeline["check"]["artifacts"]["reports"]["junit"] == "junit.xml"


@pytest.mark.parametrize("commands", [github_commands, gitlab_commands])
def test_the_commands_of_ci_make_a_baseline_and_check_against_it(
    root: Path, program: Program, commands: Any
) -> None:
    policy = (root / "examples" / "ci" / "check.toml").read_text(encoding="utf-8")
    (program.folder / "check.toml").write_text(policy)
    toys = {"MODELS": "adder", "TASKS": "sums"}
    for job, expected in (("baseline", 2), ("check", 2)):
        lines = list(commands(root, job))
        assert len(lines) == expected
        done = shell(program, "\n".join(lines), **toys)
        assert done.returncode == 0, done.stderr + done.stdout
    assert "PASS: 12 PASS of 12." in done.stdout
    assert_junit((program.folder / "junit.xml").read_text(encoding="utf-8"))
    assert (program.folder / "comment.md").read_text(encoding="utf-8").startswith("### ✅ PASS")
    # The same commands end with 1 once the model behind a name is worse.
    base = program.folder / "baseline.json"
    base.write_text(base.read_text(encoding="utf-8").replace("adder-2560", "swapped"))
    base.write_text(base.read_text(encoding="utf-8").replace("adder-10", "adder-2560"))
    base.write_text(base.read_text(encoding="utf-8").replace("swapped", "adder-10"))
    done = shell(program, "\n".join(commands(root, "check")), **toys)
    assert done.returncode == 1, done.stderr + done.stdout
    assert "FAIL" in (program.folder / "comment.md").read_text(encoding="utf-8")
