"""Code generation: HumanEval, graded by running what a model wrote, in confinement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import hookimpl
from harness.types import Option, TaskSettings, TaskSpec
from harness_files.hub import HUB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.types import Task

PERMISSION = "allow_code_execution"

OPTIONS = (
    Option(name="data", help="the problems, JSON lines, plain or gzip; the same as humaneval:FILE"),
    Option(name=PERMISSION, help="yes: run code that a model wrote; nothing is graded without it"),
    Option(name="attempts", help="answers to each problem, for pass@10 and pass@100; default 1"),
    Option(name="timeout", help="seconds that one program may run; default 3"),
)


def _build(settings: TaskSettings) -> Task:
    from harness_code.task import build

    return build(settings, OPTIONS)


@hookimpl
def harness_tasks() -> Iterator[TaskSpec]:
    """Declare ``humaneval``."""
    yield TaskSpec(
        name="humaneval",
        build=_build,
        needs=(frozenset({"generate"}),),
        category="code",
        argument="FILE",
        options=OPTIONS,
        description="HumanEval: functions from their docstrings, run against tests (pass@k)",
        hub=HUB["humaneval"],
    )
