"""Named-entity recognition over files of CoNLL columns and of JSON lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.types import TaskSpec


@hookimpl
def harness_tasks() -> Iterator[TaskSpec]:
    """Declare the named-entity tasks."""
    from harness_ner.sets import CLUENER, COLUMN_SETS

    for entity_set in (*COLUMN_SETS, CLUENER):
        yield entity_set.spec()
