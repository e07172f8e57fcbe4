"""Rows of Parquet and Arrow files, as those of JSON lines."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from harness.errors import DataError, UsageError
from harness_files.row import Row

SUFFIXES = (".parquet", ".arrow", ".feather")


def is_columnar(path: str) -> bool:
    """Whether a file's name says Parquet or Arrow."""
    return path.lower().endswith(SUFFIXES)


def read_columnar(path: str) -> Iterator[Row]:
    """Every row of a Parquet file, an Arrow file or an Arrow stream, told by its first bytes.

    Raises UsageError where pyarrow is not installed, DataError for a file that is none.
    """
    number = 0
    for fields in _records(path):
        number += 1
        yield Row(fields=fields, place=f"'{path}', row {number}")
    if number == 0:
        raise DataError(f"'{path}' has no rows.\nFetch or write the file again.")


def _records(path: str) -> list[dict[str, object]]:
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise UsageError(
            f"Reading '{path}' needs pyarrow. Install it with: pip install 'harness[data]'"
        ) from None
    try:
        table = _table(arrow, parquet, Path(path).read_bytes())
        table.validate(full=True)  # offsets that point nowhere would end the process
        records: list[dict[str, object]] = table.to_pylist()
        return records
    except FileNotFoundError:
        raise DataError(f"There is no file '{path}'.\nCheck the path.") from None
    except (arrow.ArrowException, OSError, ValueError) as error:
        reason = str(error).split("\n")[0][:120]
        raise DataError(
            f"'{path}' is no whole Parquet or Arrow file: {reason}.\nFetch it again."
        ) from None


def _table(arrow: Any, parquet: Any, raw: bytes) -> Any:
    source = arrow.BufferReader(raw)
    if raw.startswith(b"PAR1"):
        return parquet.read_table(source)
    if raw.startswith(b"ARROW1"):
        return arrow.ipc.open_file(source).read_all()
    return arrow.ipc.open_stream(source).read_all()
