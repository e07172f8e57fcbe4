"""A baseline: one file with all that a later check needs, the old run itself not included.

The file is JSON, one line per sample list and one per cell, so that it can be committed and its
changes read. Sample ids and groups are written once for all models of a task; the statistics are
columns of numbers in the order of those ids, ``null`` where a sample was not graded.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from harness import __version__
from harness.cellstats import CellStats, MetricRows, made_stats
from harness.codec import from_json, to_json
from harness.compare import Side
from harness.errors import DataError, PartialError, SaveError
from harness.types import CellRecord

SCHEMA = 1
KIND = "harness-baseline"
KEYS = frozenset({"schema", "kind", "created", "harness", "run", "samples", "cells"})


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A baseline as read: where it came from, its cells and, by model and task, what makes their
    statistics when they are needed."""

    path: Path
    run: str
    created: str
    cells: tuple[CellRecord, ...]
    stats: Mapping[tuple[str, str], Callable[[], CellStats]]

    @property
    def side(self) -> Side:
        """For comparing."""
        return Side(
            label=str(self.path),
            cells=self.cells,
            read=lambda record: self.stats[record.model.name, record.task](),
        )


def write_baseline(side: Side, path: Path, *, partial: bool = False) -> int:
    """Write ``side`` to ``path`` in one step; returns how many cells it holds.

    Raises:
        PartialError: the run is not complete, and ``partial`` was not asked for.
        DataError: there is no score at all, or samples cannot be read.
        SaveError: the file cannot be written.
    """
    cells = [cell for cell in side.cells if cell.scores]
    if not cells:
        raise DataError(f"{side.label} has no scores; there is nothing to keep.")
    if side.status != "complete" and not partial:
        raise PartialError(
            f"{side.label} is partial: some cells or samples are missing or failed.\n"
            "Finish it with the same `harness run` command, or keep what is there with "
            "--allow-partial."
        )
    lists = _SampleLists()
    entries = [_cell_entry(cell, side.read(cell), lists) for cell in cells]
    head = {
        "schema": SCHEMA,
        "kind": KIND,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "harness": __version__,
        "run": side.label,
    }
    save_text(path, "".join(_lines(head, lists.entries, entries)))
    return len(cells)


def save_text(path: Path, text: str) -> None:
    """Write a file so that readers see the old one or the new one whole; raises SaveError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            with temporary.open("w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        raise SaveError(
            f"'{path}' cannot be written: {getattr(error, 'strerror', None) or error}.\n"
            "Make room, or name another file in a folder that exists."
        ) from error


class _SampleLists:
    """Lists of sample ids with their groups, each kept once."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self._known: dict[tuple[Any, ...], int] = {}

    def number(self, stats: CellStats) -> int:
        """The number of the list of a cell's samples, added where it is new."""
        key = (stats.ids, stats.groups)
        if key not in self._known:
            self._known[key] = len(self.entries)
            self.entries.append({"ids": stats.ids, "groups": stats.groups})
        return self._known[key]


def _cell_entry(cell: CellRecord, stats: CellStats, lists: _SampleLists) -> dict[str, Any]:
    return {
        "record": to_json(cell),
        "samples": lists.number(stats),
        "stats": {
            metric: list(_columns(table, len(stats.ids))) for metric, table in stats.tables.items()
        },
    }


def _columns(table: MetricRows, samples: int) -> Iterator[list[Any]]:
    """A list for each statistic, one entry a sample, ``None`` where it was not graded."""
    for values in table.rows.T.tolist():
        column: list[Any] = [None] * samples
        for place, value in zip(table.places, values, strict=True):
            column[place] = _plain(value)
        yield column


def _plain(value: float) -> float | int | str:
    """Whole numbers without a fraction; what JSON cannot hold as a word."""
    if not math.isfinite(value):
        return str(value)
    return int(value) if value == int(value) and abs(value) < 2**53 else value


def _lines(
    head: Mapping[str, Any], lists: list[dict[str, Any]], cells: list[dict[str, Any]]
) -> Iterator[str]:
    def compact(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    yield "{\n"
    for key, value in head.items():
        yield f'"{key}": {compact(value)},\n'
    for name, entries, end in (("samples", lists, "],\n"), ("cells", cells, "]\n")):
        yield f'"{name}": [\n' + ",\n".join(map(compact, entries)) + f"\n{end}"
    yield "}\n"


def read_baseline(path: Path) -> Baseline:
    """Read a baseline; raises DataError in words for whatever is not one."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise DataError(
            f"The baseline {path} cannot be read: {error}.\n"
            "Write one with `harness baseline RUN -o FILE`."
        ) from error
    if not isinstance(data, dict) or data.get("kind") != KIND:
        raise DataError(
            f"{path} is not a baseline of harness.\nWrite one with `harness baseline RUN -o FILE`."
        )
    if data.get("schema") != SCHEMA:
        raise DataError(
            f"The baseline {path} has schema {data.get('schema')}; this version reads {SCHEMA}.\n"
            "Write it anew with `harness baseline RUN -o FILE`."
        )
    try:
        return _baseline(path, data)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DataError(
            f"The baseline {path} is damaged: {error}.\n"
            "Write it anew with `harness baseline RUN -o FILE`."
        ) from error


def _baseline(path: Path, data: dict[str, Any]) -> Baseline:
    if set(data) != KEYS:
        odd = sorted(set(data) ^ KEYS)[0]
        raise ValueError(f"the field '{odd}' is {'unknown' if odd in data else 'missing'}")
    cells: list[CellRecord] = []
    stats: dict[tuple[str, str], Callable[[], CellStats]] = {}
    for number, entry in enumerate(data["cells"]):
        record = from_json(CellRecord, entry["record"], where=f"{path}, cell {number}")
        key = (record.model.name, record.task)
        if key in stats:
            raise ValueError(f"{record.model.name} on {record.task} is there twice")
        samples, columns = data["samples"][entry["samples"]], entry["stats"]
        _require_lengths(samples, columns)
        stats[key] = partial(_cell_stats, path, samples, columns)
        cells.append(record)
    if not cells:
        raise ValueError("it has no cells")
    return Baseline(
        path=path,
        run=str(data["run"]),
        created=str(data["created"]),
        cells=tuple(cells),
        stats=stats,
    )


def _require_lengths(samples: dict[str, Any], columns: dict[str, list[list[Any]]]) -> None:
    number = len(samples["ids"])
    lists = [column for table in columns.values() for column in table]
    if samples["groups"] is not None:
        lists.append(samples["groups"])
    if any(len(one) != number for one in lists):
        raise ValueError(f"a list has not as many entries as there are samples, {number}")


def _cell_stats(
    path: Path, samples: dict[str, Any], columns: dict[str, list[list[Any]]]
) -> CellStats:
    tables = {}
    try:
        for metric, table in columns.items():
            rows = list(zip(*table, strict=True))
            places = [i for i, row in enumerate(rows) if row[0] is not None]
            tables[metric] = (places, [tuple(map(float, rows[i])) for i in places])
        return made_stats(samples["ids"], samples["groups"], tables)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"The baseline {path} is damaged: {error}.\n"
            "Write it anew with `harness baseline RUN -o FILE`."
        ) from error
