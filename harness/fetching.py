"""Data sets from the Hugging Face hub: pinned by commit, kept with digests, checked by columns.

Only :func:`fetch` touches the network. What it got lies under :data:`FOLDER` with a record beside
it, and ``TASK:hub`` reads it from there.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from harness.errors import DataError, SaveError, UsageError
from harness.reading import shown
from harness.types import HubFile

FOLDER = Path("results") / "data"
INSTALL = "Install it with: pip install 'harness[data]'"


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A file of the hub that lies here: where, and the digest it had when it came."""

    source: HubFile
    path: Path
    sha256: str


def place_of(task: str, source: HubFile, folder: Path = FOLDER) -> Path:
    """Where a task's file is kept; another revision has another place."""
    name = source.path.replace("/", "-")
    return folder / task / source.revision[:12] / name


def fetch(task: str, source: HubFile, folder: Path = FOLDER, *, offline: bool = False) -> Fetched:
    """Get a file, check its columns, keep it. With ``offline`` from the hub's local cache alone.

    Raises UsageError where huggingface_hub or pyarrow is not installed, DataError where the file
    cannot be got or lacks a column, SaveError where it cannot be kept.
    """
    path = place_of(task, source, folder)
    if path.exists():
        return fetched(task, source, folder)
    found = _download(task, source, offline)
    check_columns(found, source)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found, path)
        record = {
            "repository": source.repository,
            "revision": source.revision,
            "path": source.path,
            "sha256": _digest(path),
        }
        _record(path).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise SaveError(f"'{path}' cannot be written: {error.strerror}.") from None
    return fetched(task, source, folder)


def fetched(task: str, source: HubFile, folder: Path = FOLDER) -> Fetched:
    """What :func:`fetch` kept; raises DataError where it is missing or not as it came."""
    path = place_of(task, source, folder)
    try:
        wanted = json.loads(_record(path).read_text(encoding="utf-8"))["sha256"]
        found = _digest(path)
    except FileNotFoundError:
        raise DataError(
            f"Task '{task}' has no fetched data: '{path}' is missing.\n"
            f"Get it where there is a network: harness data fetch {task}"
        ) from None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"'{path}' or its record cannot be read: {error}.\n"
            f"Remove '{path.parent}' and fetch again: harness data fetch {task}"
        ) from None
    if found != wanted:
        raise DataError(
            f"'{path}' is not as it was fetched: SHA-256 {found[:12]}, not {shown(wanted)[1:13]}.\n"
            f"Remove '{path.parent}' and fetch again: harness data fetch {task}"
        )
    return Fetched(source=source, path=path, sha256=found)


def check_columns(path: Path, source: HubFile) -> None:
    """Raise DataError where a Parquet file lacks a column that the task reads."""
    parquet = _imported("pyarrow.parquet")
    try:
        names = list(parquet.read_schema(path).names)
    except (OSError, ValueError) as error:
        raise DataError(
            f"'{source.path}' of {source.repository} is no Parquet file: {shown(str(error), 100)}."
        ) from None
    missing = [column for column in source.columns if column not in names]
    if missing:
        raise DataError(
            f"'{source.path}' of {source.repository} has no column '{missing[0]}'; it has "
            f"{shown(', '.join(names), 120)}.\nThe data set changed: pin the commit that has it."
        )


def _download(task: str, source: HubFile, offline: bool) -> Path:
    hub = _imported("huggingface_hub")
    try:
        return Path(
            hub.hf_hub_download(
                source.repository,
                source.path,
                repo_type="dataset",
                revision=source.revision,
                local_files_only=offline,
            )
        )
    except (OSError, ValueError) as error:
        # The hub's own errors are OSErrors or ValueErrors, httpx's are not raised by it.
        reason = str(error).strip().split("\n")[0][:160]
        where = "is not in the hub's local cache" if offline else "cannot be fetched"
        raise DataError(
            f"'{source.path}' of {source.repository}@{source.revision[:12]} {where}: {reason}\n"
            f"Fetch it where there is a network, or give a file: {task}:{source.option}=FILE"
        ) from None


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
