"""Tasks written as small TOML files: where the rows are, how to ask, what to score."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import hookimpl
from harness.types import Option, TaskSettings, TaskSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.types import Task

OPTIONS = (Option(name="data", help="the task's TOML file; the same as toml:FILE"),)


def _build(settings: TaskSettings) -> Task:
    from harness_toml.task import build

    return build(settings, OPTIONS)


@hookimpl
def harness_tasks() -> Iterator[TaskSpec]:
    """Declare ``toml``."""
    yield TaskSpec(
        name="toml",
        build=_build,
        needs=(
            frozenset({"generate", "loglikelihood"}),
            frozenset({"generate"}),
            frozenset({"loglikelihood"}),
        ),
        category="own",
        argument="FILE",
        options=OPTIONS,
        max_shots=32,
        description="a task of your own: rows of any file, a template, metrics",
    )
