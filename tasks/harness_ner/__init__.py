"""Named-entity recognition over files of CoNLL columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import hookimpl
from harness.types import Option, TaskSettings, TaskSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.types import Task

OPTIONS = (
    Option(name="data", help="the file of columns, plain or gzip; the same as conll:FILE"),
    Option(name="column", help="which column holds the tags, from 1; default: the last"),
    Option(name="encoding", help="utf-8 (default) or latin-1"),
    Option(name="shots_data", help="a file of the same columns with worked examples for --shots"),
)


def _build(settings: TaskSettings) -> Task:
    from harness_ner.task import build

    return build(settings, OPTIONS)


@hookimpl
def harness_tasks() -> Iterator[TaskSpec]:
    """Declare ``conll``."""
    yield TaskSpec(
        name="conll",
        build=_build,
        needs=(frozenset({"tag"}), frozenset({"generate"})),
        category="named entities",
        argument="FILE",
        options=OPTIONS,
        max_shots=32,
        description="named entities in CoNLL columns, IOB1, IOB2 or IOBES (entity F1)",
    )
