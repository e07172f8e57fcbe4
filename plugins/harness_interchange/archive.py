"""Zip archives from strangers: bounded, nothing written to disk, both compressions of Inspect.

Entries are read into memory one at a time. What is refused: names that leave the archive, an
entry or a whole archive that grows beyond :data:`~harness_interchange.reading.LIMITS`, archives
cut short. Zstandard (zip method 93) needs the package ``zstandard`` before Python 3.14.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from harness.errors import DataError
from harness_interchange import reading

ZSTANDARD = 93
CHUNK = 1 << 20
_LOCAL_HEADER = 30


class Archive:
    """An open zip file; ``names`` are its entries."""

    def __init__(self, path: Path, file: zipfile.ZipFile) -> None:
        """Refuse names that would leave a folder."""
        self.path = path
        self._file = file
        self._read = 0
        self.names = file.namelist()
        for name in self.names:
            parts = PurePosixPath(name.replace("\\", "/")).parts
            if ".." in parts or name.startswith(("/", "\\")) or ":" in name.split("/")[0]:
                raise DataError(
                    f"{path} is refused: its entry {name[:80]!r} points outside the archive.\n"
                    "No log of Inspect has such a name."
                )

    def json(self, name: str) -> Any:
        """The JSON of one entry; raises DataError where it is damaged, too large or missing."""
        where = f"{self.path}, {name}"
        try:
            data = self._bytes(self._file.getinfo(name))
        except KeyError as error:
            raise DataError(f"{self.path} has no entry '{name}'.\nIs it an Inspect log?") from error
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, struct.error) as error:
            raise DataError(f"{where} is damaged: {error}.\nCopy the file again.") from error
        except RuntimeError as error:  # an encrypted entry
            raise DataError(f"{where} cannot be read: {error}.") from error
        return reading.parse_json(data, where)

    def _bytes(self, entry: zipfile.ZipInfo) -> bytes:
        room = min(reading.LIMITS.line, reading.LIMITS.file - self._read)
        native = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA
        if entry.compress_type in native:
            with self._file.open(entry) as stream:
                data = stream.read(room + 1)
        elif entry.compress_type == ZSTANDARD:
            data = self._unzstandard(entry, room)
        else:
            raise DataError(f"{self.path} uses zip method {entry.compress_type}, which is unknown.")
        if len(data) > room:
            raise DataError(
                f"{self.path} is refused: its entry {entry.filename[:80]!r} grows beyond "
                f"{room:,} bytes when unpacked."
            )
        self._read += len(data)
        return data

    def _unzstandard(self, entry: zipfile.ZipInfo, room: int) -> bytes:
        try:
            import zstandard
        except ImportError as error:
            raise DataError(
                f"{self.path} is compressed with Zstandard, which needs a package: "
                "pip install 'harness[inspect]'.\n"
                f"Or convert it: inspect log convert --to json --output-dir OUT {self.path}"
            ) from error
        raw = self._raw(entry)
        data = bytearray()
        try:
            with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(raw) as stream:
                while len(data) <= room and (chunk := stream.read(CHUNK)):
                    data += chunk
        except zstandard.ZstdError as error:
            raise zipfile.BadZipFile(str(error)) from error
        if len(data) <= room and zlib.crc32(data) != entry.CRC:
            raise zipfile.BadZipFile(f"Bad CRC-32 for file {entry.filename!r}")
        return bytes(data)

    def _raw(self, entry: zipfile.ZipInfo) -> bytes:
        """An entry's bytes as they lie in the file: after its local header, name and extra."""
        with self.path.open("rb") as file:
            file.seek(entry.header_offset)
            header = file.read(_LOCAL_HEADER)
            if header[:4] != b"PK\x03\x04":
                raise zipfile.BadZipFile("no local header")
            name, extra = struct.unpack("<HH", header[26:30])
            file.seek(name + extra, 1)
            data = file.read(entry.compress_size)
        if len(data) != entry.compress_size:
            raise zipfile.BadZipFile("it is cut short")
        return data


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a zip file; raises DataError where it is none or is cut short."""
    try:
        file = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, EOFError, struct.error, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} is no complete zip archive: {error}.\n"
            "Was it cut short, or is it still written?"
        ) from error
    with file:
        yield Archive(path, file)
