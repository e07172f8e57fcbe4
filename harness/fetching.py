"""Data sets from the Hugging Face hub: pinned by commit, kept with digests, checked by columns.

Only :func:`fetch` touches the network. What it got lies under :data:`FOLDER` with a record beside
it, and ``TASK:hub`` reads it from there. A file whose commit is not known beforehand is locked by
its first fetch: the record holds the commit, and nothing fetches it again.
"""

from __future__ import annotations

import csv
import fnmatch
import hashlib
import io
import json
import logging
import re
import shutil
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from harness.errors import DataError, SaveError, UsageError
from harness.reading import read_text, shown
from harness.types import HubFile

FOLDER = Path("results") / "data"
INSTALL = "Install it with: pip install 'harness[data]'"
COMMIT = re.compile("[0-9a-f]{40}")


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A file of the hub that lies here: where, its commit, and the digest it had when it came.

    ``revision`` is empty where a file came from a branch and nothing told its commit.
    """

    source: HubFile
    path: Path
    sha256: str
    revision: str


def place_of(task: str, source: HubFile, folder: Path = FOLDER) -> Path:
    """Where a task's file is kept; another revision has another place."""
    revision = source.revision[:12] if source.pinned else source.revision.replace("/", "-")
    name = source.path.replace("*", "").replace("/", "-").lstrip("-")
    return folder / task / revision / name


def fetch(task: str, source: HubFile, folder: Path = FOLDER, *, offline: bool = False) -> Fetched:
    """Get a file, check its columns, keep it. With ``offline`` from the hub's local cache alone.

    Raises UsageError where huggingface_hub or pyarrow is not installed, DataError where the file
    cannot be got or lacks a column, SaveError where it cannot be kept.
    """
    path = place_of(task, source, folder)
    if _record(path).exists():
        return fetched(task, source, folder)
    found = _download(task, source, offline)
    check_columns(found, source)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = path if path.suffix else path.with_name(path.name + "".join(found.suffixes[-2:]))
        shutil.copyfile(found, kept)
        record = {
            "repository": source.repository,
            "revision": _commit(found, source),
            "path": source.path,
            "file": kept.name,
            "sha256": _digest(kept),
        }
        _record(path).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise SaveError(f"'{path}' cannot be written: {error.strerror}.") from None
    return fetched(task, source, folder)


def fetched(task: str, source: HubFile, folder: Path = FOLDER) -> Fetched:
    """What :func:`fetch` kept; raises DataError where it is missing or not as it came."""
    path = place_of(task, source, folder)
    try:
        record = json.loads(_record(path).read_text(encoding="utf-8"))
        wanted, revision = record["sha256"], str(record["revision"])
        path = path.with_name(str(record.get("file", path.name)))
        found = _digest(path)
    except FileNotFoundError:
        raise DataError(
            f"Task '{task}' has no fetched data: '{path}' is missing.\n"
            f"Get it where there is a network: harness data fetch {task}"
        ) from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(
            f"'{path}' or its record cannot be read: {error}.\n"
            f"Remove '{path.parent}' and fetch again: harness data fetch {task}"
        ) from None
    if found != wanted:
        raise DataError(
            f"'{path}' is not as it was fetched: SHA-256 {found[:12]}, not {shown(wanted)[1:13]}.\n"
            f"Remove '{path.parent}' and fetch again: harness data fetch {task}"
        )
    return Fetched(source=source, path=path, sha256=found, revision=revision)


def check_columns(path: Path, source: HubFile) -> None:
    """Raise DataError where a file lacks a column that the task reads."""
    names = _columns(path, source) if source.columns else []
    missing = [column for column in source.columns if column not in names]
    if missing:
        raise DataError(
            f"'{source.path}' of {source.repository} has no column '{missing[0]}'; it has "
            f"{shown(', '.join(names), 120)}.\nThe data set changed: pin the commit that has it."
        )


def _columns(path: Path, source: HubFile) -> list[str]:
    """Column names of a Parquet file or a CSV's header, keys of the first of JSON lines."""
    if path.suffix == ".parquet":
        parquet = _imported("pyarrow.parquet")
        try:
            return list(parquet.read_schema(path).names)
        except (OSError, ValueError) as error:
            reason = shown(str(error), 100)
            raise DataError(
                f"'{source.path}' of {source.repository} is no Parquet file: {reason}."
            ) from None
    text = read_text(str(path))
    if ".csv" in path.suffixes:
        return next(csv.reader(io.StringIO(text, newline="")), [])
    try:
        return list(json.loads(text.lstrip().split("\n", 1)[0]))
    except (ValueError, TypeError, RecursionError):
        raise DataError(
            f"'{source.path}' of {source.repository} holds no JSON lines.\n"
            "The data set changed: pin the commit that has them."
        ) from None


def _download(task: str, source: HubFile, offline: bool) -> Path:
    hub = _imported("huggingface_hub")
    # It tells of every retry; the error below says what came of them.
    import_module("huggingface_hub.utils.logging").set_verbosity(logging.CRITICAL)
    settings = {
        "repo_type": "dataset",
        "revision": source.revision,
        "local_files_only": offline,
    }
    try:
        if "*" not in source.path:
            return Path(hub.hf_hub_download(source.repository, source.path, **settings))
        folder = hub.snapshot_download(source.repository, allow_patterns=[source.path], **settings)
        return _matching(Path(folder), source)
    except Exception as error:
        # Whatever breaks a transfer: releases of the hub's client differ in whose errors they let
        # through, and a connection cut in the middle of a file is one of none of ours.
        reason = str(error).strip().split("\n")[0][:160]
        where = "is not in the hub's local cache" if offline else "cannot be fetched"
        raise DataError(
            f"'{source.path}' of {source.repository}@{source.revision[:12]} {where}: {reason}\n"
            f"Fetch it where there is a network, or give a file: {task}:{source.option}=FILE"
        ) from None


def _matching(folder: Path, source: HubFile) -> Path:
    """The one file of a snapshot that the pattern names; raises ValueError for none or several."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in files]
    found = [one for one in names if fnmatch.fnmatchcase(one, source.path)]
    if len(found) != 1:
        raise ValueError(f"{len(found)} files match it: {shown(', '.join(found or names), 100)}")
    return folder / found[0]


def _commit(path: Path, source: HubFile) -> str:
    """The commit that a file of the hub's cache is from, empty where its place does not tell."""
    if source.pinned:
        return source.revision
    return next((part for part in reversed(path.parts[:-1]) if COMMIT.fullmatch(part)), "")


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        package = name.split(".")[0]
        raise UsageError(f"Fetching data needs {package}, which is not there.\n{INSTALL}") from None


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
