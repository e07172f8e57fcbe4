"""How a sentence is asked for: ``English: ...``, and a new line ``German:``.

The prompt is the one of Vilar et al. 2023 (Prompting PaLM for translation, arXiv:2211.09102):
language names as labels, the answer on the rest of the line. Worked examples stand before it in
the same form, parted by blank lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import metrics
from harness_files import Item, check_options
from harness_files.pairs import Pair, PairTask, pair_files
from harness_translation.languages import language_name, language_of_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.types import Option, TaskSettings
    from harness_files import AnswerTask

NAME = "translation"
MAX_TOKENS = 256


def build(settings: TaskSettings, options: Sequence[Option]) -> AnswerTask:
    """Read the files that the settings name, and put every line into a prompt."""
    check_options(NAME, settings, options)
    source, target = _languages(settings, *pair_files(NAME, settings)[:2])
    tokenize = settings.options.get("tokenize") or default_tokenizer(target)
    task = PairTask(
        name=NAME,
        item=lambda pair: _item(pair, source, target),
        scorers=lambda count: (
            metrics.bleu(tokenize=tokenize, nrefs=count),
            metrics.chrf(nrefs=count),
        ),
        max_tokens=MAX_TOKENS,
    )
    return task.build(settings)


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


def _languages(settings: TaskSettings, source: str, reference: str) -> tuple[str, str]:
    given = (settings.options.get("source_lang", ""), settings.options.get("target_lang", ""))
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
