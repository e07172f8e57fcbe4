"""Bytes, text and lines of a file, plain or gzip, with every failure named."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from harness.errors import DataError, suggestion

GZIP_MAGIC = b"\x1f\x8b"

FOREIGN_FORMATS: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip archive; unpack it first"),
    (b"BZh", "bzip2 data; unpack it first"),
    (b"\xfd7zXZ\x00", "xz data; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "zstandard data; unpack it first"),
    (b"PAR1", "a Parquet file, and tasks of rows read it when its name ends in .parquet"),
    (b"ARROW1", "an Arrow file, and tasks of rows read it when its name ends in .arrow"),
    (b"\xff\xfe", "UTF-16 text; convert it with: iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "UTF-16 text; convert it with: iconv -f UTF-16 -t UTF-8"),
    (b"\x89PNG", "an image"),
    (b"%PDF", "a PDF file"),
)
"""First bytes of formats that people hand in by mistake, and what to say of them."""


def place(path: str, line: int) -> str:
    """``'FILE', line N``: how messages name a line, counted from 1."""
    return f"'{path}', line {line}"


def shown(value: object, most: int = 60) -> str:
    """A value of a file as a message shows it: on one line, cut short."""
    text = repr(value)
    return text if len(text) <= most else text[: most - 3] + "..."


def read_bytes(path: str) -> bytes:
    """The file's content, unpacked when it is gzip (told by its first bytes, not by its name).

    Raises DataError for a missing or unreadable file, a directory, an empty file and damaged or
    truncated gzip data.
    """
    raw = _raw_bytes(path)
    if raw.startswith(GZIP_MAGIC):
        raw = _unpacked(path, raw)
    if not raw:
        raise DataError(f"'{path}' is empty.\nFetch or write the file again.")
    return raw


def _raw_bytes(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"There is no file '{path}'.\n{_where_to_look(path)}") from None
    except IsADirectoryError:
        raise DataError(f"'{path}' is a directory.\nName one file in it.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"'{path}' cannot be read: {reason}.\nCheck the path.") from None


def _where_to_look(path: str) -> str:
    folder = Path(path).parent
    try:
        siblings = [entry.name for entry in folder.iterdir() if entry.is_file()]
    except OSError:
        return f"There is no readable folder '{folder}' either (from {Path.cwd()}). Check the path."
    hint = suggestion(Path(path).name, siblings)
    return hint or "Its folder holds no files. Check the path."


def _unpacked(path: str, raw: bytes) -> bytes:
    try:
        return gzip.decompress(raw)
    except EOFError:
        raise DataError(
            f"'{path}' is cut short: its gzip data stops after {len(raw)} bytes without an end.\n"
            "Copy or download it again."
        ) from None
    except (OSError, zlib.error) as error:
        raise DataError(
            f"'{path}' holds damaged gzip data: {error}.\nCopy or download it again."
        ) from None


def read_text(path: str, *, encoding: str = "utf-8", blank: bool = False) -> str:
    """The file as text; a byte-order mark is left out.

    Raises DataError with the byte offset where the bytes are not ``encoding``, and for a file
    of blanks only unless it may be ``blank``. Offsets count unpacked bytes.
    """
    raw = read_bytes(path)
    for magic, what in FOREIGN_FORMATS:
        if raw.startswith(magic):
            raise DataError(f"'{path}' is not a text file: it looks like {what}.")
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{place(path, line)} is not {encoding.upper()}: byte 0x{raw[error.start]:02x} at byte "
            f"offset {error.start}.\nConvert the file to UTF-8, with iconv for example."
        ) from None
    if "\x00" in text:
        offset = len(text[: text.index("\x00")].encode(encoding))
        raise DataError(
            f"'{path}' is not a text file: a zero byte at byte offset {offset}.\n"
            "Name a text file, or convert UTF-16 text with: iconv -f UTF-16 -t UTF-8"
        )
    text = text.removeprefix("\ufeff")
    if not blank and not text.strip():
        raise DataError(f"'{path}' is empty: it holds blanks only.\nFetch or write the file again.")
    return text


def read_lines(path: str, *, encoding: str = "utf-8", blank: bool = False) -> tuple[str, ...]:
    r"""The file's lines, cut at ``\n`` alone; a carriage return before it goes too.

    Form feeds, U+2028 and their kind stay inside a line: cutting at them, as ``str.splitlines``
    does, would shift every later line of a parallel text.
    """
    lines = read_text(path, encoding=encoding, blank=blank).split("\n")
    if lines[-1] == "":
        lines.pop()
    return tuple(line.removesuffix("\r") for line in lines)
