"""How probable a text is: bits per byte and perplexity of any text file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import hookimpl
from harness.types import Option, TaskSettings, TaskSpec
from harness_files.hub import HUB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.types import Task

OPTIONS = (
    Option(name="data", help="the text file, plain or gzip; the same as text:FILE"),
    Option(name="split", help="documents end at: endoftext lines (default), paragraphs or lines"),
    Option(name="max_chars", help="score only the first N characters of each document"),
)
SCORED = (*OPTIONS, Option(name="perplexity", help="per token (default), word or byte"))


SETS = (
    ("text", "any text file, by lines of <|endoftext|> where it has any (bits per byte)"),
    ("tinyshakespeare", "TinyShakespeare, its text or the hub's rows (bits per byte)"),
    ("wikitext", "WikiText-2, its text or the hub's rows (bits per byte)"),
)

CONTINUATION = (
    *OPTIONS,
    Option(name="given", help="words of each document that are given; default 32"),
    Option(name="asked", help="words that are asked for and compared; default 32"),
)


def _build(name: str) -> Callable[[TaskSettings], Task]:
    def build_text(settings: TaskSettings) -> Task:
        from harness_text.task import build

        return build(name, settings, SCORED)

    return build_text


def _build_continuation(settings: TaskSettings) -> Task:
    from harness_text.continuation import build

    return build(settings, CONTINUATION)


@hookimpl
def harness_tasks() -> Iterator[TaskSpec]:
    """Declare texts to be weighed, and to be continued."""
    for name, description in SETS:
        yield TaskSpec(
            name=name,
            build=_build(name),
            needs=(frozenset({"loglikelihood"}),),
            category="language modelling",
            argument="FILE",
            options=SCORED,
            description=description,
            hub=HUB.get(name, ()),
        )
    yield TaskSpec(
        name="continuation",
        build=_build_continuation,
        needs=(frozenset({"generate"}),),
        category="generation",
        argument="FILE",
        options=CONTINUATION,
        description="how a text file goes on: its own words and how varied they are (chrF)",
    )
