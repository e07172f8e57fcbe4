"""How a sentence is asked for: ``English: ...``, and a new line ``German:``.

The prompt is the one of Vilar et al. 2023 (Prompting PaLM for translation, arXiv:2211.09102):
language names as labels, the answer on the rest of the line. Worked examples stand before it in
the same form, parted by blank lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.types import Generate, Sample
from harness_files import AnswerTask, FewShot, Shot, check_options, few_shot
from harness_translation.languages import language_name, language_of_file
from harness_translation.parallel import Pair, read_pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.types import Option, TaskSettings

NAME = "translation"
MAX_TOKENS = 256


def build(settings: TaskSettings, options: Sequence[Option]) -> AnswerTask:
    """Read the files that the settings name, and put every line into a prompt."""
    from harness import metrics

    check_options(NAME, settings, options)
    paths = _needed(settings, "src", "ref")
    further = [path for name, path in sorted(settings.options.items()) if _is_reference(name)]
    source, target = _languages(settings, *paths)
    tokenize = settings.options.get("tokenize") or default_tokenizer(target)
    pairs = read_pairs(paths[0], [paths[1], *further])
    counts = {len(pair.references) for pair in pairs}
    count = counts.pop() if len(counts) == 1 else None
    shots = few_shot(
        NAME, settings, _pool(settings, source, target), needs="shots_src=FILE,shots_ref=FILE"
    )
    return AnswerTask(
        items=tuple(_sample(pair, source, target, shots) for pair in pairs),
        scorers=(metrics.bleu(tokenize=tokenize, nrefs=count), metrics.chrf(nrefs=count)),
    )


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


def question(text: str, source: str, target: str) -> str:
    """The prompt for one sentence."""
    return f"{source}: {text.strip()}\n{target}:"


def _needed(settings: TaskSettings, *names: str) -> list[str]:
    missing = [name for name in names if not settings.options.get(name)]
    if missing:
        raise UsageError(
            f"Task '{NAME}' needs {missing[0]}=FILE.\n"
            f"Write '{NAME}:src=FILE,ref=FILE', with one sentence per line in each."
        )
    return [settings.options[name] for name in names]


def _is_reference(name: str) -> bool:
    return name.startswith("ref") and name != "ref"


def _languages(settings: TaskSettings, source: str, reference: str) -> tuple[str, str]:
    given = (settings.options.get("source_lang", ""), settings.options.get("target_lang", ""))
    return (
        language_name(given[0]) or language_of_file(source) or "Source",
        language_name(given[1]) or language_of_file(reference) or "Translation",
    )


def _pool(settings: TaskSettings, source: str, target: str) -> list[Shot]:
    paths = [settings.options.get(name, "") for name in ("shots_src", "shots_ref")]
    if not any(paths):
        return []
    if not all(paths):
        raise UsageError(f"Task '{NAME}' needs both shots_src=FILE and shots_ref=FILE.")
    return [
        Shot(
            question=question(pair.source, source, target),
            answer=f" {pair.references[0].strip()}",
        )
        for pair in read_pairs(paths[0], paths[1:])
    ]


def _sample(pair: Pair, source: str, target: str, shots: FewShot) -> Sample:
    identity = str(pair.line)
    prompt = shots.prompt(identity, question(pair.source, source, target))
    return Sample(
        id=identity,
        requests=(Generate(prompt=prompt, max_tokens=MAX_TOKENS, stop=("\n",)),),
        reference=list(pair.references),
    )
