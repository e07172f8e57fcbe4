"""Choices by log-likelihood: which of several continuations is the most probable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.types import TaskSpec


@hookimpl
def harness_tasks() -> Iterator[TaskSpec]:
    """Declare the choice tasks."""
    from harness_choice.labels import LABELS
    from harness_choice.lambada import LAMBADA
    from harness_choice.sets import SETS
    from harness_choice.truthful import TRUTHFUL

    for choice_set in (*SETS, *LABELS, *TRUTHFUL):
        yield choice_set.spec()
    yield LAMBADA.spec()
