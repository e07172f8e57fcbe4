"""How probable a text is: bits per byte and perplexity of any text file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import hookimpl
from harness.types import Option, TaskSettings, TaskSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.types import Task

OPTIONS = (
    Option(name="data", help="the text file, plain or gzip; the same as text:FILE"),
    Option(name="split", help="documents end at: endoftext lines (default), paragraphs or lines"),
    Option(name="max_chars", help="score only the first N characters of each document"),
)


def _build(settings: TaskSettings) -> Task:
    from harness_text.task import build

    return build(settings, OPTIONS)


@hookimpl
def harness_tasks() -> Iterator[TaskSpec]:
    """Declare ``text``."""
    yield TaskSpec(
        name="text",
        build=_build,
        needs=(frozenset({"loglikelihood"}),),
        category="language modelling",
        argument="FILE",
        options=OPTIONS,
        description="any text file, by lines of <|endoftext|> where it has any (bits per byte)",
    )
