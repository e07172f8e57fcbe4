"""JSON, JSON lines and CSV as :class:`Row` s; Parquet and Arrow where rows are meant."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence

from harness.errors import DataError
from harness.reading import place, read_lines, read_text, shown
from harness_files.columnar import is_columnar, read_columnar
from harness_files.row import Row, as_row, checked_text, wrong_type


def read_json(path: str) -> object:
    """The one JSON value that a file holds."""
    return _parsed(read_text(path), f"'{path}'", first_line=1)


def read_json_lines(path: str) -> Iterator[Row]:
    """One object per line, blank lines passed over; or the rows of a Parquet or Arrow file."""
    if is_columnar(path):
        yield from read_columnar(path)
        return
    for number, line in enumerate(read_lines(path), start=1):
        if line.strip():
            where = place(path, number)
            yield as_row(_parsed(line, where, first_line=number), where)


__all__ = [
    "Row",
    "as_row",
    "check_ids",
    "checked_text",
    "is_json_lines",
    "read_json",
    "read_json_lines",
    "read_table",
    "read_tabs",
    "unrepeated",
    "wrong_type",
]


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

    A single object on one line is one too, unless it is a whole ``{"data": ...}`` file, and so is
    a Parquet or Arrow file, whose rows are read alike.
    """
    if is_columnar(path):
        return True
    first = next((line for line in read_lines(path) if line.strip()), "")
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "data" not in value


def read_table(path: str, *, columns: Sequence[str] = (), header: bool = True) -> Iterator[Row]:
    """Rows of a CSV file, quoted fields and newlines inside them included.

    ``columns`` must all be there: in the first line where there is a ``header``, else in this
    order. Raises DataError for a missing column or a row with too few or too many fields.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
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


def read_tabs(path: str, names: Sequence[str] = ()) -> Iterator[Row]:
    """Rows of lines whose fields are parted by tabs, as they stand: quotes are part of the text.

    The first line names the columns, where ``names`` does not. Blank lines are passed over.
    Raises DataError for a line with too few or too many fields.
    """
    columns = list(names)
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.split("\t")
        if not columns:
            columns = fields
        elif line.strip():
            where = place(path, number)
            if len(fields) != len(columns):
                raise DataError(
                    f"{where}: {len(fields)} columns, not {len(columns)}.\n"
                    "Fields are parted by tabs, the same number of them in every line."
                )
            yield Row(fields=dict(zip(columns, fields, strict=True)), place=where)


def _check_columns(path: str, names: Sequence[str], wanted: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in names]
    if missing:
        raise DataError(
            f"'{path}' has no column '{missing[0]}'; its first line holds: "
            f"{shown(', '.join(names), 160)}.\nName a file with the columns {', '.join(wanted)}."
        )


def unrepeated(rows: Iterable[Row], *keys: str) -> Iterator[Row]:
    """The rows, whose values of the first of ``keys`` that each has must differ.

    Raises DataError with both places for one that was there before. Rows without any are let pass,
    since not every copy of a data set numbers its rows.
    """
    seen: dict[str, str] = {}
    for row in rows:
        key = next((key for key in keys if row.has(key)), None)
        if key is not None:
            value = json.dumps(row.fields[key], sort_keys=True, default=str)
            if value in seen:
                raise DataError(
                    f"{row.place}: '{key}' is {shown(row.fields[key])}, as in {seen[value]}.\n"
                    "Ids must be unique: remove or rename one of them."
                )
            seen[value] = row.place
        yield row


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
