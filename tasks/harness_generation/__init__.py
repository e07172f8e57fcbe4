"""Summaries and texts from data, over files in the data sets' own formats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.types import TaskSpec


@hookimpl
def harness_tasks() -> Iterator[TaskSpec]:
    """Declare the summarisation and data-to-text tasks."""
    from harness_generation.data_to_text import E2E, WEBNLG
    from harness_generation.summaries import DIALOGSUM, SUMMARIES

    for data_set in (DIALOGSUM, E2E, WEBNLG):
        yield data_set.spec()
    yield from SUMMARIES
