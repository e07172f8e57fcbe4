"""A finished cell on disk: a checkpoint folder that is whole, or none.

Everything is written into a hidden folder beside its place and moved there in one step, after
``harness_model.json``, which says what was trained. What was cut short is never taken for done.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from harness.codec import from_json, to_json
from harness.errors import DataError, SaveError, UsageError
from harness.training import TrainedModel

MODELS = "models"
FAILED = "failed"
RECORD = "harness_model.json"
PARTIAL = ".partial"
LOCK = ".lock"


@contextmanager
def prepared(output: Path) -> Iterator[None]:
    """Make the sweep's folders, and clear away what an earlier, killed run left unfinished.

    Inside, no other process may train in ``output``; the system lets go of the lock when a process
    ends, however it ends. Raises SaveError, and UsageError while another is at work.
    """
    try:
        for folder in (output / MODELS, output / FAILED):
            folder.mkdir(parents=True, exist_ok=True)
        lock = (output / LOCK).open("a", encoding="utf-8")
    except OSError as error:
        raise SaveError(
            f"Cannot write to {output}: {error.strerror or error}.\nGive another -o."
        ) from error
    with lock:
        if not _locked(lock):
            raise UsageError(
                f"Another process is training in {output}.\nWait for it, or give another -o."
            )
        for left in (output / MODELS).glob(f".*{PARTIAL}"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def _locked(file: IO[str]) -> bool:
    """Whether the lock is ours; always where the system has none, as on Windows."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EAGAIN, errno.EACCES)
    return True


def save_checkpoint(
    output: Path,
    name: str,
    write: Callable[[Path], Mapping[str, Any]],
) -> Path:
    """Let ``write`` fill a folder and say its record; then put it in place, whole.

    Raises SaveError where the disk is full or not writable; nothing is then left behind.
    """
    place = output / MODELS / name
    partial = place.with_name(f".{name}{PARTIAL}")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        record = write(partial)
        _write_json(partial / RECORD, record)
        for path in sorted(partial.rglob("*")):
            _flush(path)
        partial.replace(place)
        _flush(place.parent)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError) or type(error).__name__ == "SafetensorError":
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
            raise SaveError(
                f"The checkpoint {place} could not be saved: {reason}.\n"
                "Nothing of it was kept; make room, and give the same command again."
            ) from error
        raise
    return place


def save_failure(output: Path, row: TrainedModel, digest: str) -> None:
    """Remember that a cell came to nothing, and why."""
    path = output / FAILED / f"{row.name}.json"
    try:
        _write_json(path.with_suffix(PARTIAL), {"digest": digest, "row": to_json(row)})
        path.with_suffix(PARTIAL).replace(path)
    except OSError as error:
        raise SaveError(f"{path} could not be saved: {error.strerror or error}.") from error


def finished(output: Path, name: str) -> tuple[TrainedModel, str] | None:
    """The row of a cell that is done, and the digest of what it was made from; else None.

    Raises DataError for a record that cannot be read.
    """
    place = output / MODELS / name / RECORD
    failed = output / FAILED / f"{name}.json"
    path = place if place.is_file() else failed
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if path == place:
            found = found["training"]
        return from_json(TrainedModel, found["row"], where=str(path)), str(found["digest"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} does not say how it was trained: {type(error).__name__}: {error}.\n"
            f"Remove {path.parent if path == place else path} to train it again."
        ) from error


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _flush(path: Path) -> None:
    """Have it on the disk before what refers to it; without it, a power cut may leave holes."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
