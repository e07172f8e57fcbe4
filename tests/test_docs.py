"""The pages tell the truth: their commands run, and every command and task is explained."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def run_page(page: Path, folder: Path) -> None:
    """Run every ``sh`` block of a page in one shell, in an empty folder; stop at a failure."""
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    assert blocks, f"{page} has no commands"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(blocks)],
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["usage.md", "scaling.md", "training.md", "pretraining.md"])
def test_the_commands_of_a_page_work(root: Path, tmp_path: Path, name: str) -> None:
    pytest.importorskip("torch")
    run_page(root / "docs" / name, tmp_path)


def test_the_readme_prints_two_commands_and_ci_runs_the_second(root: Path) -> None:
    readme = (root / "README.md").read_text(encoding="utf-8")
    run, test = BLOCK.findall(readme)[:2]
    assert run.strip().endswith(".venv/bin/harness run")
    assert test.strip().endswith(".venv/bin/python -m pytest -n auto")
    script = (root / ".ci" / "run").read_text(encoding="utf-8")
    assert "README.md" in script and "<!-- test command -->" in script
    assert "<!-- test command -->\n```sh\n" + test in readme


def test_every_command_is_in_the_docs(root: Path) -> None:
    from harness.cli import COMMANDS

    pages = "\n".join(p.read_text(encoding="utf-8") for p in (root / "docs").glob("*.md"))
    for command in COMMANDS:
        assert f"harness {command}" in pages, command


def test_the_recipe_on_the_page_is_one(root: Path, tmp_path: Path) -> None:
    from harness.recipes import make_recipe, read_recipe

    page = (root / "docs" / "pretraining.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "toy.toml").write_text(block, encoding="utf-8")
    made = make_recipe(read_recipe(tmp_path / "toy.toml"), where="toy.toml")
    assert made.objective == "mlm+nsp" and made.family.shapes[0].rates == (0.02, 0.01)


def test_every_law_is_in_the_docs(root: Path) -> None:
    from harness.laws.registry import BUILTIN

    page = (root / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert [name for name in BUILTIN if f"`{name}`" not in page] == []


def test_every_link_between_pages_leads_somewhere(root: Path) -> None:
    pages = [*root.glob("*.md"), *(root / "docs").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
