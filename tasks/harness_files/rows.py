"""JSON, JSON lines and CSV as :class:`Row` s: typed access in which each failure has its place."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.errors import DataError, suggestion
from harness.reading import place, read_lines, read_text, shown


@dataclass(frozen=True, kw_only=True)
class Row:
    """One record of a file: its fields, and the place that messages name.

    Every getter raises DataError where the key is missing or holds something else.
    """

    fields: Mapping[str, object]
    place: str

    def has(self, key: str) -> bool:
        """Whether ``key`` is there and not null."""
        return self.fields.get(key) is not None

    def value(self, *keys: str) -> object:
        """What the first of ``keys`` that is there holds."""
        for key in keys:
            if self.has(key):
                return self.fields[key]
        wanted = " or ".join(f"'{key}'" for key in keys)
        there = [str(key) for key in self.fields if str(key).isprintable()]
        hint = suggestion(keys[0], there) or "It has no keys."
        raise DataError(f"{self.place}: {wanted} is missing.\n{hint}")

    def text(self, *keys: str) -> str:
        """A string."""
        return checked_text(self.value(*keys), f"{self.place}: '{keys[0]}'")

    def filled(self, *keys: str) -> str:
        """A string that is not blank."""
        text = self.text(*keys)
        if not text.strip():
            raise DataError(f"{self.place}: '{keys[0]}' is empty.\nFill it in or leave it out.")
        return text

    def number(self, *keys: str) -> int:
        """A whole number."""
        value = self.value(*keys)
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(f"{self.place}: '{keys[0]}'", "a whole number", value)
        return value

    def truth(self, *keys: str) -> bool:
        """A JSON boolean."""
        value = self.value(*keys)
        if not isinstance(value, bool):
            raise wrong_type(f"{self.place}: '{keys[0]}'", "true or false", value)
        return value

    def items(self, *keys: str) -> Sequence[object]:
        """A list, of anything."""
        value = self.value(*keys)
        if not isinstance(value, list):
            raise wrong_type(f"{self.place}: '{keys[0]}'", "a list", value)
        return value

    def texts(self, *keys: str) -> tuple[str, ...]:
        """A list of strings."""
        return tuple(
            checked_text(item, f"{self.place}: '{keys[0]}[{position}]'")
            for position, item in enumerate(self.items(*keys))
        )

    def row(self, key: str) -> Row:
        """An object."""
        return as_row(self.value(key), f"{self.place}: '{key}'")

    def rows(self, key: str) -> Iterator[Row]:
        """A list of objects; each one's place says where it stands in the list."""
        for position, item in enumerate(self.items(key)):
            yield as_row(item, f"{self.place}, {key}[{position}]")


def wrong_type(where: str, wanted: str, value: object) -> DataError:
    """The error for a value of the wrong type, which it shows cut short."""
    return DataError(f"{where} is {shown(value)}, not {wanted}.\nCorrect it or name another file.")


def checked_text(value: object, where: str) -> str:
    """``value`` as a string that can be written as UTF-8."""
    if not isinstance(value, str):
        raise wrong_type(where, "a text", value)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where} holds half a surrogate pair at character {error.start}.\n"
            "Write the character itself or both halves of its escape."
        ) from None
    return value


def as_row(value: object, where: str) -> Row:
    """``value`` as an object with named fields."""
    if not isinstance(value, dict):
        raise wrong_type(where, "an object", value)
    return Row(fields=value, place=where)


def read_json(path: str) -> object:
    """The one JSON value that a file holds."""
    return _parsed(read_text(path), f"'{path}'", first_line=1)


def read_json_lines(path: str) -> Iterator[Row]:
    """One object per line; blank lines are passed over."""
    for number, line in enumerate(read_lines(path), start=1):
        if line.strip():
            where = place(path, number)
            yield as_row(_parsed(line, where, first_line=number), where)


def _parsed(text: str, where: str, *, first_line: int) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        spot = f"line {line}, column {error.colno}" if first_line == 1 else f"column {error.colno}"
        raise DataError(
            f"{where} is not JSON: {error.msg} at {spot}.\n"
            "Check that the file is whole and of the kind the task reads."
        ) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is JSON that cannot be read: {error}.") from None


def is_json_lines(path: str) -> bool:
    """Whether the first line that is not blank is a whole JSON object and no other JSON follows.

    A single object on one line is one too, unless it is a whole ``{"data": ...}`` file.
    """
    first = next((line for line in read_lines(path) if line.strip()), "")
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "data" not in value


def read_table(
    path: str, *, columns: Sequence[str] = (), header: bool = True, delimiter: str = ","
) -> Iterator[Row]:
    """Rows of a CSV or TSV file, quoted fields and newlines inside them included.

    ``columns`` must all be there: in the first line where there is a ``header``, else in this
    order. Raises DataError for a missing column or a row with too few or too many fields.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter=delimiter, strict=True)
    names = list(columns)
    try:
        if header:
            names = next(reader, [])
            _check_columns(path, names, columns)
        for fields in reader:
            if not fields:
                continue
            where = place(path, reader.line_num)
            if len(fields) != len(names):
                raise DataError(
                    f"{where}: {len(fields)} columns, not {len(names)}.\n"
                    "Check the quotes of the rows before it."
                )
            yield Row(fields=dict(zip(names, fields, strict=True)), place=where)
    except csv.Error as error:
        raise DataError(f"{place(path, reader.line_num)}: {error}.") from None


def _check_columns(path: str, names: Sequence[str], wanted: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in names]
    if missing:
        raise DataError(
            f"'{path}' has no column '{missing[0]}'; its first line holds: "
            f"{shown(', '.join(names), 160)}.\nName a file with the columns {', '.join(wanted)}."
        )


def check_ids(path: str, ids: Iterable[str]) -> None:
    """Raise DataError where an id occurs twice, or where there is none at all."""
    seen: dict[str, int] = {}
    for position, one in enumerate(ids, start=1):
        if one in seen:
            raise DataError(
                f"'{path}': id {shown(one)} is given to items {seen[one]} and {position}.\n"
                "Ids must be unique: remove or rename one of them."
            )
        seen[one] = position
    if not seen:
        raise DataError(f"'{path}' holds no items.\nName a file with at least one.")
