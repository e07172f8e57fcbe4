"""Rows of parallel texts, as data sets of the hub have them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.errors import DataError, suggestion
from harness_files import Row, read_json_lines
from harness_files.pairs import Pair
from harness_translation.languages import language_name


def read_rows(path: str, source: str, target: str) -> Iterator[Pair]:
    """Pairs of two languages, given by their English names; raises DataError.

    A row holds its texts by language code, itself or in ``translation``; or in ``sentence1`` and
    ``sentence2``, with both codes in ``lang``: rows of other pairs are then passed over.
    """
    for number, row in enumerate(read_json_lines(path), start=1):
        texts = _texts(row)
        if row.has("sentence1") and not {source, target} <= texts.keys():
            continue
        for language in (source, target):
            if not texts.get(language, "").strip():
                raise DataError(
                    f"{row.place} has no text in {language}. {suggestion(language, texts)}\n"
                    "Choose the languages with source_lang=CODE and target_lang=CODE."
                )
        yield Pair(line=number, source=texts[source], references=(texts[target],))


def _texts(row: Row) -> Mapping[str, str]:
    """The row's texts by the language's name, first come first kept."""
    if row.has("sentence1"):
        codes = row.text("lang").split("-")
        fields = dict(zip(codes, (row.value("sentence1"), row.value("sentence2")), strict=False))
    else:
        fields = dict(row.row("translation").fields if row.has("translation") else row.fields)
    found: dict[str, str] = {}
    for code, text in fields.items():
        if isinstance(text, str):
            found.setdefault(language_name(str(code).removeprefix("sentence_")), text)
    return found
