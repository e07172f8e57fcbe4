"""Question answering over files in the data sets' own formats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.types import TaskSpec


@hookimpl
def harness_tasks() -> Iterator[TaskSpec]:
    """Declare the question answering tasks."""
    from harness_qa.arithmetic import GSM8K
    from harness_qa.drop import DROP
    from harness_qa.open import NQ_OPEN, TRIVIAQA
    from harness_qa.passages import CMRC2018, SQUAD, SQUAD2
    from harness_qa.truthful import TRUTHFULQA

    for data_set in (SQUAD, SQUAD2, CMRC2018, DROP, NQ_OPEN, TRIVIAQA, TRUTHFULQA, GSM8K):
        yield data_set.spec()
