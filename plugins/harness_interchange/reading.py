"""Reading strangers' files: bounded, strict about shape, and errors in words.

Every reader here is bounded by :data:`LIMITS`, so that no small file can fill the memory.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from harness.errors import DataError, UsageError

SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bytes after decompression that one file, and one line of it, may have."""

    file: int = 2 << 30
    line: int = 256 << 20


LIMITS = Limits()


def find_files(paths: Sequence[Path], patterns: Sequence[str]) -> list[Path]:
    """The files named, and those below the folders named whose names fit, each once, in order.

    Raises UsageError for a path that is not there.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            below = {p for pattern in patterns for p in path.rglob(pattern) if p.is_file()}
            found |= dict.fromkeys(sorted(below))
        elif path.is_file():
            found[path] = None
        else:
            raise UsageError(f"'{path}' is not there.\nGive files or folders of results.")
    return list(found)


def read_json(path: Path) -> Any:
    """The JSON of a file (also gzipped), NaN and infinities as Python has them."""
    try:
        with _open(path) as file:
            data = file.read(LIMITS.file + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path, error) from error
    if len(data) > LIMITS.file:
        raise too_large(path)
    if data[:4] == b"PK\x03\x04":
        raise DataError(
            f"{path} is a zip archive, not JSON.\n"
            f"If it is a log of Inspect: `harness import inspect {path}`."
        )
    return parse_json(data, str(path))


def parse_json(data: bytes, where: str) -> Any:
    """JSON from bytes; raises DataError naming ``where``."""
    try:
        value = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not JSON: it is not UTF-8 text ({error.reason}).") from error
    except ValueError as error:
        if str(error).startswith("Extra data"):
            raise DataError(
                f"{where} holds more than one JSON value, such as a line a sample.\n"
                "Give the file of results; samples are read beside it."
            ) from error
        raise DataError(f"{where} is not JSON: {error}.\nIs it complete?") from error
    except RecursionError as error:
        raise DataError(f"{where} is not JSON that can be read: it nests too deeply.") from error
    return _whole(value) if b"\\ud" in data or b"\\uD" in data else value


def read_lines(path: Path) -> Iterator[tuple[str, Any]]:
    """``(place, value)`` of every line of a JSON-lines file (also gzipped)."""
    total = 0
    try:
        with _open(path) as file:
            number = 0
            while line := file.readline(LIMITS.line + 1):
                number += 1
                total += len(line)
                if total > LIMITS.file or len(line) > LIMITS.line:
                    raise too_large(path)
                if line.strip():
                    where = f"{path} line {number}"
                    yield where, parse_json(line, where)
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path, error) from error


def mapping(value: Any, where: str, what: str) -> Mapping[str, Any]:
    """``value`` if it is a JSON object; raises DataError saying that ``what`` is none."""
    if not isinstance(value, dict):
        raise DataError(f"{where}: {what} is {kind(value)}, not an object.")
    return value


def sequence(value: Any, where: str, what: str) -> list[Any]:
    """``value`` if it is a JSON list; raises DataError saying that ``what`` is none."""
    if not isinstance(value, list):
        raise DataError(f"{where}: {what} is {kind(value)}, not a list.")
    return value


def inside(value: Any, *keys: str) -> Mapping[str, Any]:
    """The object found by following ``keys``; an empty one where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def number(value: Any) -> float | None:
    """A JSON number as float, also NaN and infinite ones; None for anything else."""
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return None
    return None


def whole(value: Any) -> int | None:
    """A positive whole number, or None for anything else."""
    found = number(value)
    if found is None or not found.is_integer() or not 0 < found < 1e18:
        return None
    return int(found)


def moment(value: Any) -> float | None:
    """Seconds since 1970 of a number or of a text in ISO 8601, such as ``2024-11-18 22:05:49 UTC``.

    None for anything else, and for a time without its zone: a guess would be a wrong date.
    """
    seconds = number(value)
    if isinstance(value, str):
        with suppress(ValueError, OverflowError):
            text = re.sub(r"\s*(UTC|Z)\Z", "+00:00", value.strip())
            found = datetime.fromisoformat(text)
            seconds = found.timestamp() if found.tzinfo is not None else None
    # From 2000 on: some programs write the seconds since the machine was started.
    return seconds if seconds is not None and 946_684_800 <= seconds < 1e11 else None


def kind(value: Any) -> str:
    """What a JSON value is, in words."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}
    return "missing" if value is None else names.get(type(value), "a number")


def unreadable(path: Path, error: BaseException) -> DataError:
    """The error for a file that cannot be read or is cut short."""
    return DataError(f"{path} cannot be read: {error}.\nIs it complete?")


def too_large(path: Path) -> DataError:
    """The error for a file that grows beyond the bound."""
    return DataError(
        f"{path} is larger than {LIMITS.file:,} bytes when read, or one of its lines larger than "
        f"{LIMITS.line:,}.\nSuch a file is refused; split it if it is real."
    )


def _open(path: Path) -> BinaryIO | gzip.GzipFile:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _whole(value: Any) -> Any:
    """The same value without lone surrogates, which no file could hold again."""
    if isinstance(value, str):
        return SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    return value
