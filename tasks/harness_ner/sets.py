"""The data sets: files of CoNLL columns, and CLUENER's JSON lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.errors import DataError
from harness.metrics.spans import Span, spans_from_tags
from harness.types import Option
from harness_files import Row, choice_option, number_option, read_json_lines
from harness_files.rows import checked_text, wrong_type
from harness_ner.columns import read_columns
from harness_ner.task import EntitySet, Marked

if TYPE_CHECKING:
    from harness.types import TaskSettings

ENCODINGS = ("utf-8", "latin-1")


def _conll(settings: TaskSettings, path: str) -> tuple[Marked, ...]:
    sentences = read_columns(
        path,
        column=number_option("conll", settings, "column"),
        encoding=choice_option("conll", settings, "encoding", ENCODINGS, default="utf-8"),
    )
    return tuple(
        Marked(
            tokens=sentence.tokens,
            spans=tuple(spans_from_tags(sentence.tags)),
            group=sentence.document,
        )
        for sentence in sentences
    )


def _cluener(settings: TaskSettings, path: str) -> tuple[Marked, ...]:
    """Characters are the tokens; the file's last offsets are part of the entity."""
    return tuple(
        Marked(tokens=tuple(row.filled("text")), spans=tuple(_labels(row)))
        for row in read_json_lines(path)
    )


def _labels(row: Row) -> Iterator[Span]:
    text = row.filled("text")
    labels = row.row("label")
    for kind in labels.fields:
        checked_text(kind, f"{row.place}: the type")
        names = labels.row(kind)
        for name in names.fields:
            for place in names.items(name):
                start, end = _offsets(place, f"{row.place}: '{name}'")
                if text[start : end + 1] != name:
                    raise DataError(
                        f"{row.place}: '{name}' does not stand at characters {start} to {end}.\n"
                        "Correct the offsets, which count from 0 and include the last character."
                    )
                yield kind, start, end + 1


def _offsets(place: object, where: str) -> tuple[int, int]:
    if isinstance(place, list) and len(place) == 2:
        start, end = place
        if type(start) is int and type(end) is int and 0 <= start <= end:
            return start, end
    raise wrong_type(where, "first and last offset", place)


CONLL = EntitySet(
    name="conll",
    description="named entities in CoNLL columns, IOB1, IOB2 or IOBES (entity F1)",
    read=_conll,
    options=(
        Option(name="column", help="which column holds the tags, from 1; default: the last"),
        Option(name="encoding", help="utf-8 (default) or latin-1"),
    ),
)

CLUENER = EntitySet(
    name="cluener",
    description="CLUENER, Chinese, JSON lines with character offsets (entity F1)",
    read=_cluener,
    glue="",
)
