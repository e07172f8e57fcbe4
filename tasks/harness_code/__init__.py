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
    Option(name="attempts", help="answers to each problem, drawn where several; default 1"),
    Option(name="temperature", help="0: the most probable answer; default 0.8 for several"),
    Option(name="top_p", help="draw from the tokens that make up this probability; default 0.95"),
    Option(name="k", help="a further k of pass@k besides 1, 10 and 100"),
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
        graded_alone=True,  # programs have seconds, which a model at work would take from them
    )
