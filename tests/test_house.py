"""House rules that a program can check: types, lint, format, and no trace of a machine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# Words are put together here so that this file does not hold what it forbids.
FORBIDDEN = re.compile(
    "|".join(
        [
            r"/(?:wo" + "rk|ro" + r"ot)/",
            "py" + r"pi\.org",
            "pythonho" + "sted",
            r"registry\.np" + "mjs",
            r"download\.pyto" + "rch",
        ]
    )
)


def run(root: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_ruff_is_clean(root: Path) -> None:
    pytest.importorskip("ruff")
    run(root, sys.executable, "-m", "ruff", "check", ".")
    run(root, sys.executable, "-m", "ruff", "format", "--check", ".")


def test_mypy_strict_is_clean(root: Path) -> None:
    pytest.importorskip("mypy")
    pytest.importorskip("torch")
    run(root, sys.executable, "-m", "mypy")


def test_no_file_names_a_machine_or_a_registry(root: Path) -> None:
    if shutil.which("git") is None or not (root / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True
    )
    guilty = []
    for name in filter(None, listed.stdout.split("\0")):
        path = root / name
        if not path.is_file() or path.suffix in {".safetensors", ".png"}:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if FORBIDDEN.search(line):
                guilty.append(f"{name}:{number}")
    assert guilty == []
