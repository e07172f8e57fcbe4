"""How a sentence is asked for: ``English: ...``, and a new line ``German:``.

The prompt is the one of Vilar et al. 2023 (Prompting PaLM for translation, arXiv:2211.09102):
language names as labels, the answer on the rest of the line. Worked examples stand before it in
the same form, parted by blank lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import metrics
from harness_files import Item, check_options
from harness_files.hub import HUB
from harness_files.pairs import Pair, PairTask, pair_files
from harness_translation.languages import language_name, language_of_file
from harness_translation.rows import read_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.types import Option, TaskSettings
    from harness_files import AnswerTask

MAX_TOKENS = 256


def build(
    name: str, settings: TaskSettings, options: Sequence[Option], languages: Sequence[str] = ()
) -> AnswerTask:
    """Read the files that the settings name, and put every line into a prompt.

    ``languages`` are the codes that a data set of rows is translated from and to, unless the
    settings say others; without them files are read, and their names tell the languages.
    """
    check_options(name, settings, options)
    given = _given(settings)
    wanted = [code or usual for code, usual in zip(given, languages, strict=False)]
    if wanted and not settings.options.get("src"):
        source, target = (language_name(code) for code in wanted)
    else:
        source, target = _languages(given, *pair_files(name, settings)[:2])
    tokenize = settings.options.get("tokenize") or default_tokenizer(target)
    task = PairTask(
        name=name,
        item=lambda pair: _item(pair, source, target),
        scorers=lambda count: (
            metrics.bleu(tokenize=tokenize, nrefs=count),
            metrics.chrf(nrefs=count),
        ),
        max_tokens=MAX_TOKENS,
        rows=(lambda path: read_rows(path, source, target)) if wanted else None,
        subset=_subset(name, source, target) if wanted else None,
    )
    return task.build(settings)


def _subset(name: str, source: str, target: str) -> str:
    """The part of the hub's data set that holds both languages; empty where all are in one."""
    pair = {source, target}
    for file in HUB.get(name, ()):
        if {language_name(code) for code in file.subset.split("-")} == pair:
            return file.subset
    return ""


def default_tokenizer(language: str) -> str:
    """sacreBLEU's tokenizer for a target language.

    Japanese is cut by MeCab where it is installed, else into characters, as the organisers of
    WMT22 score it; the metric's signature says which.
    """
    if language == "Chinese":
        return "zh"
    if language == "Japanese":
        from importlib.util import find_spec

        return "ja-mecab" if find_spec("MeCab") and find_spec("ipadic") else "char"
    return "13a"


def _given(settings: TaskSettings) -> tuple[str, str]:
    return settings.options.get("source_lang", ""), settings.options.get("target_lang", "")


def _languages(given: tuple[str, str], source: str, reference: str) -> tuple[str, str]:
    return (
        language_name(given[0]) or language_of_file(source) or "Source",
        language_name(given[1]) or language_of_file(reference) or "Translation",
    )


def _item(pair: Pair, source: str, target: str) -> Item:
    return Item(
        id=str(pair.line),
        question=f"{source}: {pair.source.strip()}\n{target}:",
        answer=f" {pair.references[0].strip()}",
        reference=list(pair.references),
    )
