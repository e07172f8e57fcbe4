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
    table = _table(path)
    number = 0
    for batch in table.to_batches():
        for fields in batch.to_pylist():
            number += 1
            yield Row(fields=fields, place=f"'{path}', row {number}")
    if number == 0:
        raise DataError(f"'{path}' has no rows.\nFetch or write the file again.")


def _table(path: str) -> Any:
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise UsageError(
            f"Reading '{path}' needs pyarrow. Install it with: pip install 'harness[data]'"
        ) from None
    try:
        raw = Path(path).read_bytes()
        source = arrow.BufferReader(raw)
        if raw.startswith(b"PAR1"):
            return parquet.read_table(source)
        if raw.startswith(b"ARROW1"):
            return arrow.ipc.open_file(source).read_all()
        return arrow.ipc.open_stream(source).read_all()
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise DataError(f"There is no file '{path}'.\nCheck the path.") from None
        raise _unreadable(path, error) from None
    except (arrow.ArrowException, ValueError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: str, error: Exception) -> DataError:
    reason = str(error).split("\n")[0][:120]
    return DataError(f"'{path}' is no whole Parquet or Arrow file: {reason}.\nFetch it again.")
