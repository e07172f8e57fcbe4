"""Throw-away distributions: a module and its metadata, found through importlib.metadata."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import textwrap
from importlib.metadata import EntryPoint, distributions
from importlib.util import find_spec
from pathlib import Path

_NUMBERS = itertools.count()

MODEL = """
from harness import hookimpl
from harness.types import *

class Echo:
    info = ModelInfo(name="echo", family="echo", identity="echo-1")

    def respond(self, requests):
        for index, request in enumerate(requests):
            yield index, Response(text=request.prompt)

def model(name, **fields):
    kinds = frozenset({"generate"})
    return ModelSpec(**({"name": name, "build": lambda s: Echo(), "kinds": kinds} | fields))

def task(name, **fields):
    needs = (frozenset({"generate"}),)
    return TaskSpec(**({"name": name, "build": lambda s: None, "needs": needs} | fields))
"""
"""What most test plugins begin with."""


def distribution(
    folder: Path, name: str, code: str, *, plugin: str = "", version: str = "1"
) -> str:
    """Install ``code`` into ``folder`` as distribution ``name``; returns the module's name."""
    module = f"throwaway_{name.replace('-', '_')}_{next(_NUMBERS)}"
    (folder / f"{module}.py").write_text(textwrap.dedent(code), encoding="utf-8")
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (info / "METADATA").write_text(metadata, encoding="utf-8")
    points = f"[harness]\n{plugin or name} = {module}\n"
    (info / "entry_points.txt").write_text(points, encoding="utf-8")
    return module


def points(folder: Path) -> list[EntryPoint]:
    """The plugins of the distributions in ``folder``, and no others."""
    found = distributions(path=[str(folder)])
    return [point for one in found for point in one.entry_points if point.group == "harness"]


def harness(*arguments: str, path: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the program with the distributions of ``path`` installed besides the built-in ones."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(path), *source_paths()])}
    return subprocess.run(
        [sys.executable, "-c", "from harness.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        check=False,
    )


def source_paths() -> list[str]:
    """What PYTHONPATH held before, made absolute."""
    before = os.environ.get("PYTHONPATH", "")
    return [str(Path(part).resolve()) for part in before.split(os.pathsep) if part]


def pip_install(package: Path, site: Path) -> None:
    """Install ``package`` into the folder ``site``.

    Without a network where the build backend is installed; else pip has to fetch it.
    """
    arguments: list[str | Path] = ["--quiet", "--no-deps", "--target", site]
    if find_spec("hatchling") is not None:
        arguments += ["--no-index", "--no-build-isolation"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *map(str, arguments), str(package)],
        check=True,
        capture_output=True,
        text=True,
    )
