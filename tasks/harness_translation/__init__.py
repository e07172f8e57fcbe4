"""Translation of any pair of parallel text files, scored with BLEU and chrF."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import hookimpl
from harness.types import Option, TaskSettings, TaskSpec
from harness_files.hub import HUB
from harness_files.pairs import PAIR_FILES, ROWS_OR_PAIRS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.types import Task

LANGUAGES = (
    Option(name="source_lang", help="language code or name; default: from the file's suffix"),
    Option(name="target_lang", help="language code or name; default: from the file's suffix"),
    Option(name="tokenize", help="sacreBLEU tokenizer; default: by target language, else 13a"),
)
OPTIONS = (*PAIR_FILES, *LANGUAGES)
SET_OPTIONS = (*ROWS_OR_PAIRS, *LANGUAGES)


SETS = (
    ("flores200", "FLORES-200, 1,012 sentences of Wikipedia in 200 languages", ("en", "de")),
    ("multi30k", "Multi30k, captions of pictures", ("en", "de")),
    ("ntrex", "NTREX-128, news in 128 languages", ("en", "de")),
    ("tatoeba", "Tatoeba, short sentences by volunteers", ("de", "en")),
    ("wmt14", "WMT14, news, English with German or French", ("en", "de")),
    ("wmt19", "WMT19, news, English with Chinese or German", ("en", "zh")),
)
"""Data sets of the hub: name, description, and the usual direction."""


def _build(settings: TaskSettings) -> Task:
    from harness_translation.task import build

    return build("translation", settings, OPTIONS)


def _build_set(name: str, languages: tuple[str, str]) -> Callable[[TaskSettings], Task]:
    def build_set(settings: TaskSettings) -> Task:
        from harness_translation.task import build

        return build(name, settings, SET_OPTIONS, languages)

    return build_set


@hookimpl
def harness_tasks() -> Iterator[TaskSpec]:
    """Declare ``translation``, and the data sets that the hub has as rows."""
    yield _spec("translation", _build, "parallel text files, sentence by sentence", OPTIONS)
    for name, description, languages in SETS:
        yield _spec(name, _build_set(name, languages), description, SET_OPTIONS, "FILE")


def _spec(
    name: str,
    build: Callable[[TaskSettings], Task],
    description: str,
    options: tuple[Option, ...],
    argument: str = "",
) -> TaskSpec:
    return TaskSpec(
        name=name,
        build=build,
        needs=(frozenset({"generate"}),),
        category="translation",
        argument=argument,
        options=options,
        max_shots=32,
        description=f"{description} (BLEU, chrF)",
        hub=HUB.get(name, ()),
    )
