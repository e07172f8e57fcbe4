"""Translation of any pair of parallel text files, scored with BLEU and chrF."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import hookimpl
from harness.types import Option, TaskSettings, TaskSpec
from harness_files.pairs import PAIR_FILES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.types import Task

OPTIONS = (
    *PAIR_FILES,
    Option(name="source_lang", help="language code or name; default: from the file's suffix"),
    Option(name="target_lang", help="language code or name; default: from the file's suffix"),
    Option(name="tokenize", help="sacreBLEU tokenizer; default: by target language, else 13a"),
)


def _build(settings: TaskSettings) -> Task:
    from harness_translation.task import build

    return build(settings, OPTIONS)


@hookimpl
def harness_tasks() -> Iterator[TaskSpec]:
    """Declare ``translation``."""
    yield TaskSpec(
        name="translation",
        build=_build,
        needs=(frozenset({"generate"}),),
        category="translation",
        options=OPTIONS,
        max_shots=32,
        description="parallel text files, sentence by sentence (BLEU, chrF)",
    )
