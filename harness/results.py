"""A run's directory: a manifest, a record and a samples file per cell, each written atomically.

::

    RUN/manifest.json               what was asked, by which versions, on what, how it ended
    RUN/cells/MODEL--TASK.json      one CellRecord
    RUN/samples/MODEL--TASK.jsonl   one SampleRecord a line
    RUN/index/MODEL--TASK.stats     the samples' statistics again, for speed; may be deleted
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.cellstats import CellStats, made_stats, read_stats
from harness.codec import SCHEMA, from_json, to_json
from harness.errors import DataError, SaveError, UsageError
from harness.statsindex import load_index, save_index, source_of
from harness.types import CellRecord, RunRecord, SampleRecord


@dataclass(frozen=True, kw_only=True)
class PlannedCell:
    """A cell that a run consists of, by its names."""

    model: str
    task: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """How a run came about. Times are ISO 8601 in UTC, ``seconds`` is wall time.

    ``status``: ``running`` (or killed), ``interrupted``, ``partial`` or ``complete``.
    """

    command: tuple[str, ...]
    settings: Mapping[str, Any]
    cells: tuple[PlannedCell, ...]
    versions: Mapping[str, str]
    platform: Mapping[str, str]
    git_commit: str | None
    started: str
    status: str
    finished: str | None = None
    seconds: float | None = None
    errors: tuple[str, ...] = ()


class RunDirectory:
    """Reads and writes one run. Raises SaveError on writing, DataError on reading."""

    def __init__(self, path: Path, *, sync: bool = True) -> None:
        """Nothing is touched yet. Without ``sync`` files are not forced to the disk one by one:
        for what can be made again at once, such as an import."""
        self.path = path
        self.sync = sync

    def prepare(self) -> None:
        """Make the folders, and find out now whether they can be written."""
        probe = self.path / "cells" / ".probe"
        with _saving(self.path):
            for name in ("cells", "samples"):
                (self.path / name).mkdir(parents=True, exist_ok=True)
            probe.write_text("", encoding="utf-8")
            probe.unlink()

    def write_manifest(self, manifest: Manifest) -> None:
        """Write or replace the manifest."""
        self._write(self.path / "manifest.json", _document(manifest))

    def read_manifest(self) -> Manifest:
        """The manifest; raises UsageError where there is no run at all."""
        path = self.path / "manifest.json"
        if not path.is_file():
            found = "it is not there" if not self.path.exists() else "it holds no manifest.json"
            raise UsageError(
                f"'{self.path}' is not a run: {found}.\n"
                "Give a directory that `harness run` made, such as one under results/runs/."
            )
        return from_json(Manifest, _load(path), where=str(path))

    def earlier_manifest(self) -> Manifest | None:
        """The manifest of a run that is here already, or None."""
        return self.read_manifest() if (self.path / "manifest.json").is_file() else None

    def discard_if_empty(self) -> None:
        """Remove what :meth:`prepare` and the manifest left, if no cell was ever recorded."""
        folders = [self.path / "cells", self.path / "samples"]
        if any(folder.is_dir() and any(folder.iterdir()) for folder in folders):
            return
        with _saving(self.path):
            (self.path / "manifest.json").unlink(missing_ok=True)
            for folder in folders:
                if folder.is_dir():
                    folder.rmdir()
            if not any(self.path.iterdir()):
                self.path.rmdir()

    def write_cell(self, record: CellRecord, samples: Iterable[SampleRecord]) -> None:
        """Write the samples, then the record that vouches for them, then the index."""
        gathered = _Gathered()
        written = self._write(
            self.samples_path(record.model.name, record.task),
            (json.dumps(gathered.take(to_json(s)), ensure_ascii=False) + "\n" for s in samples),
        )
        self._write(self.cell_path(record.model.name, record.task), _document(record))
        with suppress(ValueError):  # rows that no matrix holds are found when they are read
            save_index(self.index_path(record), gathered.stats(), written)

    def read_cell(self, model: str, task: str) -> CellRecord | None:
        """The record of a cell, or None where it was never finished."""
        path = self.cell_path(model, task)
        if not path.is_file():
            return None
        return from_json(CellRecord, _load(path), where=str(path))

    def read_samples(self, record: CellRecord) -> Iterator[SampleRecord]:
        """The graded samples of a cell, one at a time, in the task's order."""
        path = self.samples_path(record.model.name, record.task)
        number = 0
        try:
            with path.open(encoding="utf-8") as lines:
                for number, line in enumerate(lines, start=1):
                    where = f"{path} line {number}"
                    yield from_json(SampleRecord, _parse(line, where), where=where)
            _require_all(path, record, number)
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                f"The samples {path} cannot be read: {error}.\n"
                "Run the same command again, or import the results again."
            ) from error

    def read_stats(self, record: CellRecord) -> CellStats:
        """Statistics of every graded sample of a cell, without its texts."""
        path = self.samples_path(record.model.name, record.task)
        try:
            source = source_of(path)
            stats = load_index(self.index_path(record), source)
            if stats is None:
                with path.open(encoding="utf-8") as lines:
                    stats = read_stats(lines)
                if source_of(path) == source:
                    save_index(self.index_path(record), stats, source)
        except (OSError, ValueError) as error:
            raise DataError(
                f"The samples {path} cannot be read: {error}.\n"
                "Run the same command again, or import the results again."
            ) from error
        _require_all(path, record, len(stats.ids))
        return stats

    def read_run(self) -> RunRecord:
        """All finished cells of the run, in the order planned, and whether any is missing."""
        manifest = self.read_manifest()
        twice = next((cell for cell, n in Counter(manifest.cells).items() if n > 1), None)
        if twice is not None:
            raise DataError(
                f"{self.path / 'manifest.json'} names {twice.model} on {twice.task} twice.\n"
                "It was changed by hand; run the same command in a new directory."
            )
        found = [self.read_cell(cell.model, cell.task) for cell in manifest.cells]
        cells = tuple(record for record in found if record is not None)
        complete = len(cells) == len(found) and all(c.status == "complete" for c in cells)
        return RunRecord(
            directory=str(self.path),
            status="complete" if complete else "partial",
            cells=cells,
            errors=_errors(manifest, found),
        )

    def cell_path(self, model: str, task: str) -> Path:
        """Where a cell's record lies."""
        return self.path / "cells" / f"{_slug(model)}--{_slug(task)}.json"

    def samples_path(self, model: str, task: str) -> Path:
        """Where a cell's samples lie."""
        return self.path / "samples" / f"{_slug(model)}--{_slug(task)}.jsonl"

    def index_path(self, record: CellRecord) -> Path:
        """Where a cell's statistics lie once more."""
        return self.path / "index" / f"{_slug(record.model.name)}--{_slug(record.task)}.stats"

    def _write(self, path: Path, lines: Iterable[str]) -> list[int]:
        """To a temporary file, synced, then renamed: a reader sees the old or the new, whole.

        Returns the state of the file, as :func:`harness.statsindex.source_of` gives it.
        """
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        with _saving(path):
            try:
                with temporary.open("w", encoding="utf-8") as file:
                    file.writelines(lines)
                    file.flush()
                    if self.sync:
                        os.fsync(file.fileno())
                state = source_of(temporary)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
        return state


class _Gathered:
    """Collects the statistics of samples on their way to the file."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.groups: list[str | None] = []
        self.tables: dict[str, tuple[list[int], list[Sequence[float]]]] = {}

    def take(self, sample: dict[str, Any]) -> dict[str, Any]:
        """Note a sample, as JSON, and hand it on."""
        for metric, row in sample["stats"].items():
            places, rows = self.tables.setdefault(metric, ([], []))
            places.append(len(self.ids))
            rows.append(row)
        self.ids.append(sample["id"])
        self.groups.append(sample["group"])
        return sample

    def stats(self) -> CellStats:
        """What was collected; raises ValueError for what no matrix holds."""
        return made_stats(self.ids, self.groups, self.tables)


def _require_all(path: Path, record: CellRecord, found: int) -> None:
    """A file that was cut between lines, or where two lines run together, is no whole cell.

    Imports keep the samples that their files have, which may be fewer than were scored.
    """
    if record.origin is None and found != record.counts.samples:
        raise DataError(
            f"The samples {path} are damaged: {found} can be read, and {record.counts.samples} "
            "were graded.\nRun the same command again, or import the results again."
        )


@contextmanager
def _saving(path: Path) -> Iterator[None]:
    """Translate what goes wrong while writing."""
    try:
        yield
    except OSError as error:
        raise SaveError(
            f"Results cannot be saved at '{path}': {error.strerror or error}.\n"
            "Make room or choose another directory with -o; answers already given are kept "
            "in the response store."
        ) from error


def _errors(manifest: Manifest, found: Iterable[CellRecord | None]) -> tuple[str, ...]:
    """What went wrong, each message once, with the cells that it befell."""
    cells: dict[str, list[str]] = {message: [] for message in manifest.errors}
    for planned, record in zip(manifest.cells, found, strict=True):
        if record is not None and not record.error:
            continue
        message = record.error if record is not None else None
        cells.setdefault(message or "not finished; run the same command again.", []).append(
            f"{planned.model} on {planned.task}"
        )
    return tuple(_befallen(labels, message) for message, labels in cells.items())


def _befallen(labels: list[str], message: str) -> str:
    if not labels:
        return message
    more = f" and {len(labels) - 1} more cells" if len(labels) > 1 else ""
    return f"{labels[0]}{more}: {message}"


def _document(record: Manifest | CellRecord) -> Iterator[str]:
    yield json.dumps({"schema": SCHEMA, **to_json(record)}, indent=1, ensure_ascii=False) + "\n"


def _load(path: Path) -> Any:
    try:
        data = _parse(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    if not isinstance(data, dict):
        raise DataError(f"{path} is not a record of harness: it holds {type(data).__name__}.")
    schema = data.pop("schema", None)
    if schema != SCHEMA:
        raise DataError(
            f"{path} has schema {schema}; this version of harness reads schema {SCHEMA}.\n"
            "Use the version that wrote it, or run the same command in a new directory."
        )
    return data


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataError(
            f"{where} is not JSON: {error}.\nDelete the file and run the same command again."
        ) from error


def _slug(name: str) -> str:
    """A file name for any model or task name; a digest is added when something was lost."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")
    if plain == name and len(name) <= 80:
        return name
    return f"{plain[-60:].strip('.-')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
