"""The data sets: files of CoNLL columns, and CLUENER's JSON lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from harness.columns import TAG, read_columns
from harness.errors import DataError
from harness.metrics.spans import Span, spans_from_tags
from harness.types import Option
from harness_files import Row, choice_option, number_option, read_json_lines
from harness_files.columnar import is_columnar, read_columnar
from harness_files.options import SUBSET
from harness_files.rows import checked_text, wrong_type
from harness_ner.task import EntitySet, Marked

if TYPE_CHECKING:
    from harness.types import TaskSettings

ENCODINGS = ("utf-8", "latin-1")


def _columns(name: str, kinds: Sequence[str]) -> Callable[[TaskSettings, str], tuple[Marked, ...]]:
    """A reader of CoNLL columns, and of the hub's rows, which number the tags of ``kinds``."""

    def read(settings: TaskSettings, path: str) -> tuple[Marked, ...]:
        if is_columnar(path):
            return tuple(_numbered(row, kinds) for row in read_columnar(path))
        return _conll(name, settings, path)

    return read


def _numbered(row: Row, kinds: Sequence[str]) -> Marked:
    """Tokens with tags, as texts or as numbers: 0 is O, then come B and I of each type."""
    names = ["O", *(f"{prefix}-{kind}" for kind in kinds for prefix in "BI")]
    tokens, tags = row.texts("tokens"), []
    for value in row.items("ner_tags"):
        named = isinstance(value, str) and TAG.fullmatch(value)
        if not named and not (type(value) is int and 0 <= value < len(names)):
            wanted = f"a tag, or its number, 0 to {len(names) - 1}"
            raise wrong_type(f"{row.place}: 'ner_tags'", wanted, value)
        tags.append(names[value] if type(value) is int else str(value))
    if len(tags) != len(tokens) or not tokens:
        raise DataError(
            f"{row.place}: {len(tokens)} tokens and {len(tags)} tags.\n"
            "Each token needs its tag: fetch the data set again."
        )
    return Marked(tokens=tokens, spans=tuple(spans_from_tags(tags)))


def _conll(name: str, settings: TaskSettings, path: str) -> tuple[Marked, ...]:
    sentences = read_columns(
        path,
        column=number_option(name, settings, "column"),
        encoding=choice_option(name, settings, "encoding", ENCODINGS, default="utf-8"),
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
        Marked(
            tokens=tuple(row.filled("text")),
            spans=tuple(_listed(row) if row.has("entities") else _labels(row)),
        )
        for row in read_json_lines(path)
    )


def _listed(row: Row) -> Iterator[Span]:
    """The hub's rows: a list of entities with offsets, the last one not included."""
    text = row.filled("text")
    for entity in row.rows("entities"):
        start, end = entity.number("start_offset"), entity.number("end_offset")
        if not 0 <= start < end <= len(text):
            raise DataError(
                f"{entity.place}: offsets {start} to {end} in a text of {len(text)} characters.\n"
                "Correct them or fetch the data set again."
            )
        yield entity.filled("label"), start, end


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


COLUMN_OPTIONS = (
    Option(name="column", help="which column holds the tags, from 1; default: the last"),
    Option(name="encoding", help="utf-8 (default) or latin-1"),
)


def _set(name: str, description: str, kinds: str, *, subsets: bool = False) -> EntitySet:
    """A data set of columns; ``kinds`` are its types in the order in which the hub numbers them."""
    return EntitySet(
        name=name,
        description=f"{description} (entity F1)",
        read=_columns(name, kinds.split()),
        options=(*COLUMN_OPTIONS, *([SUBSET] if subsets else [])),
    )


CONLL = _set("conll", "named entities in CoNLL columns, IOB1, IOB2 or IOBES", "")
COLUMN_SETS = (
    CONLL,
    _set("conll2002", "CoNLL-2002, Spanish and Dutch", "PER ORG LOC MISC", subsets=True),
    _set("conll2003", "CoNLL-2003, English news", "PER ORG LOC MISC"),
    _set("wikiann", "WikiANN, Wikipedia in many languages", "PER ORG LOC", subsets=True),
    _set(
        "wnut17",
        "WNUT-17, new entities in social media",
        "corporation creative-work group location person product",
    ),
)

CLUENER = EntitySet(
    name="cluener",
    description="CLUENER, Chinese, JSON lines with character offsets (entity F1)",
    read=_cluener,
    glue="",
)
