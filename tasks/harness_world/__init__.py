"""Four tasks about an invented world: generation, translation, questions and names.

The world, its two languages and all texts grow from a seed, so the tasks need no download, no
licence, and no model can have seen them elsewhere. The models of the family ``nano`` are trained
on the same world, under other prompts.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from harness import hookimpl
from harness.types import Option, RequestKind, TaskSettings, TaskSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.types import Task

# name: category, what it measures
TASKS = {
    "generation": ("generation", "texts about an invented world (ROUGE, bits per byte)"),
    "translation": ("translation", "into an invented language (BLEU, chrF, bits per byte)"),
    "qa": ("question answering", "passages and facts of an invented world (exact match, F1)"),
    "ner": ("named entities", "names of an invented world, some never seen (entity F1)"),
}
SPLITS = ("test", "train", "validation")
USUAL_ITEMS = 1000
MOST_ITEMS = 50_000
OPTIONS = (
    Option(name="split", help="test (held out; the default), train or validation"),
    Option(name="items", help=f"how many texts to train on; default: {USUAL_ITEMS}"),
)
WRITING: tuple[frozenset[RequestKind], ...] = (
    frozenset({"generate", "loglikelihood"}),
    frozenset({"generate"}),
)


def _build(settings: TaskSettings, *, name: str) -> Task:
    from harness_world.tasks import build

    return build(name, settings)


@hookimpl
def harness_tasks() -> Iterator[TaskSpec]:
    """Declare the four tasks."""
    for name, (category, description) in TASKS.items():
        yield TaskSpec(
            name=f"world-{name}",
            build=partial(_build, name=name),
            needs=WRITING if name != "ner" else (*WRITING, frozenset({"tag"})),
            category=category,
            options=OPTIONS,
            description=description,
            default=True,
        )
