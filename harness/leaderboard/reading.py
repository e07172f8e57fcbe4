"""The statistics of many cells side by side, read without decoding the texts around them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.leaderboard.gather import Cell
from harness.types import Stats

Array = NDArray[np.float64]

_START = '{"id": '
_STATS = '"stats": {'
_decode = json.JSONDecoder().raw_decode


@dataclass(frozen=True, kw_only=True, eq=False)
class Tables:
    """The same samples of several cells.

    ``rows`` (m, n, k): statistics of each cell's samples; ``unit`` (n,): the number of the unit
    each sample belongs to, its group or itself; ``left_out``: samples that some cell lacks.
    """

    rows: Array
    unit: NDArray[np.intp]
    left_out: int


@dataclass(frozen=True, kw_only=True, eq=False)
class CellRows:
    """One cell's samples: ids in order, groups, and (n, k) statistics with their ids by metric."""

    groups: Mapping[str, str | None]
    rows: Mapping[str, tuple[tuple[str, ...], Array]]


def read_cell(cell: Cell, names: Sequence[str]) -> CellRows:
    """The statistics of the metrics ``names`` of a cell, one pass over its samples file.

    Raises:
        DataError: the file is missing or broken.
    """
    record = cell.record
    path = cell.source.directory.samples_path(record.model.name, record.task)
    groups: dict[str, str | None] = {}
    ids: dict[str, list[str]] = {name: [] for name in names}
    rows: dict[str, list[Stats]] = {name: [] for name in names}
    number = 0
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                number += 1
                name, group, stats = _sample(line)
                groups[name] = group
                for metric in names:
                    if metric in stats:
                        ids[metric].append(name)
                        rows[metric].append(stats[metric])
        return CellRows(
            groups=groups,
            rows={
                metric: (tuple(ids[metric]), np.array(rows[metric], dtype=np.float64))
                for metric in names
                if ids[metric] and {len(row) for row in rows[metric]} == {len(rows[metric][0])}
            },
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"The samples {path} cannot be read (line {number}): {error}.\n"
            "Run the same command again, or import the results again."
        ) from error


def _sample(line: str) -> tuple[str, str | None, Mapping[str, Stats]]:
    """Id, group and statistics of one line.

    The last ``"stats": {`` of a line as we write it is the record's own: inside a text its quotes
    are escaped, and only ``group`` and ``unparseable`` follow it. Anything else is decoded whole.
    """
    at = line.rfind(_STATS)
    if at > 0 and line.startswith(_START):
        name, _ = _decode(line, len(_START))
        try:
            tail = json.loads("{" + line[at:])
        except ValueError:
            tail = {}
        if tail.keys() == {"stats", "group", "unparseable"}:
            return name, tail["group"], tail["stats"]
    whole = json.loads(line)
    return whole["id"], whole["group"], whole["stats"]


def side_by_side(metric: str, cells: Sequence[CellRows]) -> Tables | None:
    """The samples that all ``cells`` have, in the first one's order; ``None``: there are none."""
    if not cells or any(metric not in cell.rows for cell in cells):
        return None
    found = [cell.rows[metric] for cell in cells]
    if len({rows.shape[1] for _, rows in found}) != 1:
        return None
    first = found[0][0]
    if all(ids == first for ids, _ in found):
        shared, rows = first, np.stack([rows for _, rows in found])
    else:
        everywhere = set(first).intersection(*(ids for ids, _ in found[1:]))
        shared = tuple(name for name in first if name in everywhere)
        rows = np.stack([_chosen(ids, matrix, shared) for ids, matrix in found])
    if not shared or not np.isfinite(rows).all():
        return None
    most = max(len(ids) for ids, _ in found)
    return Tables(rows=rows, unit=_units(cells[0].groups, shared), left_out=most - len(shared))


def _chosen(ids: Sequence[str], rows: Array, shared: Sequence[str]) -> Array:
    place = {name: i for i, name in enumerate(ids)}
    return rows[[place[name] for name in shared]]


def _units(groups: Mapping[str, str | None], ids: Sequence[str]) -> NDArray[np.intp]:
    numbers: dict[object, int] = {}
    keys: list[object] = [(name,) if groups[name] is None else groups[name] for name in ids]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.intp)
