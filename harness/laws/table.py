"""Tables of points: read from a CSV, filtered, grouped, and turned into numbers with care."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError, UsageError, suggestion

Array = NDArray[np.float64]

_MISSING = frozenset({"", "nan", "na", "n/a", "null", "none", "-"})
_CONDITION = re.compile(r"^\s*([^<>=!]+?)\s*(==|!=|<=|>=|=|<|>)\s*(.*?)\s*$")
_SCALED = re.compile(r"^(.*?)\s*\*\s*([0-9.]+(?:[eE][+-]?[0-9]+)?)$")


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of text under named columns.

    ``rows`` holds one tuple per row, in the order of ``columns``; ``lines`` the row's line in the
    file ``name``, for messages.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    def text(self, column: str) -> tuple[str, ...]:
        """A column as it was written.

        Raises:
            UsageError: there is no such column.
        """
        at = self._index(column)
        return tuple(row[at] for row in self.rows)

    def numbers(self, expression: str) -> Array:
        """A column as numbers, NaN where a cell is empty; ``COLUMN*FACTOR`` scales it.

        Raises:
            UsageError: there is no such column.
            DataError: a cell holds text or an infinity.
        """
        column, factor = split_factor(expression, self.columns)
        values = [
            self._number(cell, column, line)
            for cell, line in zip(self.text(column), self.lines, strict=True)
        ]
        return np.array(values, dtype=float) * (1.0 if factor is None else factor)

    def where(self, condition: str) -> Table:
        """The rows that meet ``COLUMN=VALUE``, ``!=``, ``<``, ``<=``, ``>`` or ``>=``.

        Raises:
            UsageError: the condition cannot be read, or there is no such column.
        """
        return self.take(self._meets(condition, "--where"))

    def apart(self, conditions: Sequence[str]) -> tuple[Table, Table]:
        """The rows to fit, and those that meet all ``conditions`` and are held out.

        Raises:
            UsageError: as :meth:`where`, or no row is held out, or none is left.
        """
        if not conditions:
            return self, self.take(np.zeros(len(self.rows), dtype=bool))
        held = np.logical_and.reduce([self._meets(one, "--hold-out") for one in conditions])
        if held.all() or not held.any():
            what = "every row" if held.all() else "no row"
            raise UsageError(f"--hold-out {' '.join(conditions)} holds out {what} of {self.name}.")
        return self.take(~held), self.take(held)

    def _meets(self, condition: str, option: str) -> NDArray[np.bool_]:
        found = _CONDITION.match(condition)
        if found is None:
            raise UsageError(
                f"Cannot read {option} '{condition}'. Write COLUMN=VALUE, COLUMN!=VALUE or "
                "COLUMN>NUMBER."
            )
        column, sign, value = found.groups()
        return np.asarray(_compare(self, column, sign, value), dtype=bool)

    def groups(self, columns: tuple[str, ...]) -> Iterator[tuple[Mapping[str, str], Table]]:
        """The rows of each combination of values of ``columns``, in order of appearance."""
        if not columns:
            yield {}, self
            return
        keys = list(zip(*(self.text(column) for column in columns), strict=True))
        for key in dict.fromkeys(keys):
            rows = np.array([i for i, other in enumerate(keys) if other == key])
            yield dict(zip(columns, key, strict=True)), self._take(rows)

    def without_repeats(self) -> tuple[Table, int]:
        """The table with rows repeated verbatim kept once, and how many were left out."""
        first = list({row: i for i, row in reversed(list(enumerate(self.rows)))}.values())
        kept = np.array(sorted(first), dtype=int)
        return self._take(kept), len(self.rows) - kept.size

    def take(self, keep: NDArray[np.bool_]) -> Table:
        """The rows where ``keep`` is true."""
        return self._take(np.flatnonzero(keep))

    def _take(self, rows: NDArray[np.intp]) -> Table:
        return Table(
            name=self.name,
            columns=self.columns,
            rows=tuple(self.rows[i] for i in rows),
            lines=tuple(self.lines[i] for i in rows),
        )

    def _index(self, column: str) -> int:
        if column not in self.columns:
            raise UsageError(
                f"{self.name} has no column '{column}'. {suggestion(column, self.columns)}"
            )
        return self.columns.index(column)

    def _number(self, cell: str, column: str, line: int) -> float:
        text = cell.strip()
        if text.lower() in _MISSING:
            return float("nan")
        try:
            value = float(text)
        except ValueError:
            raise DataError(
                f"{self.name}, line {line}: '{text}' in column '{column}' is not a number.\n"
                "Correct it, or leave such rows out with --where."
            ) from None
        if np.isinf(value):
            raise DataError(f"{self.name}, line {line}: column '{column}' is infinite.")
        return value


def split_factor(expression: str, columns: tuple[str, ...]) -> tuple[str, float | None]:
    """``COLUMN*FACTOR`` as its parts; a column whose name holds a star comes first."""
    found = None if expression in columns else _SCALED.match(expression)
    if found is None:
        return expression, None
    return found.group(1), float(found.group(2))


def read_csv(path: str | Path) -> Table:
    """Read a CSV file with a header; the separator may also be a tab or a semicolon.

    Raises:
        DataError: the file is missing, not text, empty, or has rows of the wrong length.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}).") from None
    head = text.split("\n", 1)[0]
    delimiter = max(",\t;", key=head.count)
    reader = csv.reader(text.splitlines(), delimiter=delimiter)
    try:
        columns = tuple(name.strip() for name in next(reader))
    except StopIteration:
        raise DataError(f"{path} is empty; a table needs a header and rows.") from None
    rows, lines = [], []
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(columns):
            raise DataError(
                f"{path}, line {reader.line_num}: {len(row)} cells under {len(columns)} columns."
            )
        rows.append(tuple(row))
        lines.append(reader.line_num)
    if not rows:
        raise DataError(f"{path} has a header but no rows.")
    return Table(name=str(path), columns=columns, rows=tuple(rows), lines=tuple(lines))


def _compare(table: Table, column: str, sign: str, value: str) -> NDArray[np.bool_]:
    if sign in ("=", "==", "!="):
        try:
            same = table.numbers(column) == float(value)
        except (ValueError, DataError):
            same = np.array([cell.strip() == value for cell in table.text(column)])
        outcome: NDArray[np.bool_] = ~same if sign == "!=" else same
        return outcome
    numbers = table.numbers(column)
    try:
        bound = float(value)
    except ValueError:
        raise UsageError(f"--where {column}{sign}{value}: '{value}' is not a number.") from None
    outcomes: dict[str, NDArray[np.bool_]] = {
        "<": numbers < bound,
        "<=": numbers <= bound,
        ">": numbers > bound,
        ">=": numbers >= bound,
    }
    return outcomes[sign]
