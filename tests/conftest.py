"""Fixtures that several test files share."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Timings decide no test, and a failure found in CI must be found again.
settings.register_profile("harness", deadline=None, derandomize="CI" in os.environ)
settings.register_profile("thorough", settings.get_profile("harness"), max_examples=1000)
settings.load_profile("harness")


def examples(usual: int) -> int:
    """``usual`` many under the usual profile, in proportion more under a more thorough one."""
    return usual * settings.default.max_examples // 100


ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared evaluation data; tests that need it are skipped without it."""
    folder = Path(os.environ.get("HARNESS_SHARED", ROOT.parent / "shared")).resolve()
    if not (folder / "data").is_dir():
        pytest.skip("skipped: no shared data")
    return folder


class Program:
    """The ``harness`` command in a process of its own, with the toy plugin installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        site = folder / "site" / "toy_box-1.2.dist-info"
        site.mkdir(parents=True)
        (site / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-box\nVersion: 1.2\n")
        (site / "entry_points.txt").write_text("[harness]\ntoys = toybox\n")
        paths = [str(site.parent), str(ROOT / "tests")]
        paths += [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
        self.log = folder / "asked.log"
        self.environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(paths),
            "TOY_LOG": str(self.log),
        }

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-c", "from harness.cli import main; main()", *arguments]

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A suite that runs in the background has Ctrl-C switched off, and hands that down.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def json(self, *arguments: str, **environment: str) -> Any:
        done = self(*arguments, "--json", **environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def asked(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Runs ``harness`` in an empty folder."""
    return Program(tmp_path)
