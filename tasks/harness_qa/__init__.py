"""Question answering over files in the data sets' own formats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import hookimpl
from harness.types import Option, TaskSettings, TaskSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.types import Task

OPTIONS = (
    Option(name="data", help="the data set's file, plain or gzip; the same as NAME:FILE"),
    Option(name="shots_data", help="a file of the same format with worked examples for --shots"),
)


def _build_squad(settings: TaskSettings) -> Task:
    from harness_qa.passages import build_squad

    return build_squad(settings, OPTIONS)


@hookimpl
def harness_tasks() -> Iterator[TaskSpec]:
    """Declare ``squad``."""
    yield TaskSpec(
        name="squad",
        build=_build_squad,
        needs=(frozenset({"generate"}),),
        category="question answering",
        argument="FILE",
        options=OPTIONS,
        max_shots=32,
        description="SQuAD v1.1 and v2.0, JSON or flat JSON lines (exact match, F1)",
    )
