"""A cell's sufficient statistics as matrices, and those of several cells side by side.

Everything that compares, ranks, resamples or gates reads a cell as :class:`CellStats`: the texts
around the statistics are not decoded for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.types import Stats

_START = '{"id": '
_STATS = '"stats": {'
_decode = json.JSONDecoder().raw_decode


@dataclass(frozen=True, kw_only=True, eq=False)
class MetricRows:
    """One metric of a cell: ``rows`` (n, k) statistics; ``places`` (n,) says which of the cell's
    samples each row is of, in ascending order."""

    places: NDArray[np.intp]
    rows: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class CellStats:
    """A cell's statistics: the samples' ids in order, each one's group, and rows by metric.

    ``groups`` is ``None`` where every sample stands for itself.
    """

    ids: tuple[str, ...]
    groups: tuple[str | None, ...] | None
    tables: Mapping[str, MetricRows]

    def graded(self, metric: str) -> tuple[str, ...]:
        """Ids of the samples that have statistics of ``metric``, in order."""
        found = self.tables.get(metric)
        if found is None:
            return ()
        if len(found.places) == len(self.ids):
            return self.ids
        return tuple(self.ids[place] for place in found.places)

    def by_sample(self, metric: str) -> dict[str, Stats]:
        """Statistics of ``metric`` by sample id; for few samples only."""
        if metric not in self.tables:
            return {}
        rows = self.tables[metric].rows.tolist()
        return dict(zip(self.graded(metric), map(tuple, rows), strict=True))


@dataclass(frozen=True, kw_only=True, eq=False)
class Aligned:
    """The same samples of several cells.

    rows (m, n, k)
        statistics of each cell's samples, in the first cell's order
    groups (n,)
        the samples' groups, as the first cell has them; ``None``: each stands for itself
    alone (m,)
        how many samples each cell has graded that some other has not
    """

    rows: NDArray[np.float64]
    groups: tuple[str | None, ...] | None
    alone: tuple[int, ...]

    @cached_property
    def unit(self) -> NDArray[np.intp]:
        """(n,) the number of the unit each sample belongs to: its group, or itself."""
        import numpy as np

        if self.groups is None:
            return np.arange(self.rows.shape[1], dtype=np.intp)
        numbers: dict[object, int] = {}
        keys: list[object] = [(i,) if g is None else g for i, g in enumerate(self.groups)]
        return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.intp)


def side_by_side(metric: str, cells: Sequence[CellStats]) -> Aligned | None:
    """The samples that all ``cells`` have graded for ``metric``; ``None``: there are none.

    Raises:
        ValueError: the cells keep different numbers of statistics per sample.
    """
    import numpy as np

    found = [cell.tables.get(metric) for cell in cells]
    tables = [table for table in found if table is not None and len(table.places)]
    if not tables or len(tables) < len(cells):
        return None
    if len({table.rows.shape[1] for table in tables}) != 1:
        raise ValueError(f"{metric}: the cells keep different statistics per sample")
    chosen = _shared([cell.graded(metric) for cell in cells])
    n = len(tables[0].places) if chosen is None else len(chosen[0])
    if not n:
        return None
    groups, places = cells[0].groups, tables[0].places
    if chosen is None:
        rows = np.stack([table.rows for table in tables])
    else:
        rows = np.stack([table.rows[at] for table, at in zip(tables, chosen, strict=True)])
        places = places[chosen[0]]
    return Aligned(
        rows=rows,
        groups=None if groups is None else tuple(groups[place] for place in places),
        alone=tuple(len(table.places) - n for table in tables),
    )


def _shared(graded: Sequence[tuple[str, ...]]) -> list[list[int]] | None:
    """Where in each list the ids stand that all have, in the first one's order; ``None``: the
    lists are equal."""
    first = graded[0]
    if all(ids is first or ids == first for ids in graded):
        return None
    everywhere = set(first).intersection(*graded[1:])
    shared = [name for name in first if name in everywhere]
    chosen = []
    for ids in graded:
        place = {name: i for i, name in enumerate(ids)}
        chosen.append([place[name] for name in shared])
    return chosen


def unit_sums(rows: NDArray[np.float64], unit: NDArray[np.intp]) -> NDArray[np.float64]:
    """(u, k) sums of ``rows`` (n, k) over each unit; the rows themselves where each is its own."""
    import numpy as np

    units = int(unit.max()) + 1 if len(unit) else 0
    if units == len(rows):
        return rows
    sums = np.zeros((units, rows.shape[1]))
    np.add.at(sums, unit, rows)
    return sums


def read_stats(lines: Iterable[str]) -> CellStats:
    """The statistics in the lines of a samples file, one sample a line.

    Raises:
        ValueError: a line is no sample, an id is there twice, or the statistics of a metric are
            no rows of numbers of one width.
    """
    ids: list[str] = []
    groups: list[str | None] = []
    places: dict[str, list[int]] = {}
    rows: dict[str, list[Sequence[float]]] = {}
    for number, line in enumerate(lines):
        try:
            name, group, stats = _sample(line)
            if not isinstance(name, str) or not isinstance(group, str | None):
                raise ValueError("its id or its group is no text")
            ids.append(name)
            groups.append(group)
            for metric, row in stats.items():
                places.setdefault(metric, []).append(number)
                rows.setdefault(metric, []).append(row)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"line {number + 1}: {error}") from error
    if len(set(ids)) < len(ids):
        twice = next(name for i, name in enumerate(ids) if name in ids[:i])
        raise ValueError(f"the sample '{twice}' is there twice")
    return made_stats(ids, groups, {name: (places[name], rows[name]) for name in rows})


def made_stats(
    ids: Sequence[str],
    groups: Sequence[str | None] | None,
    tables: Mapping[str, tuple[Sequence[int], Sequence[Sequence[float]]]],
) -> CellStats:
    """Statistics from lists: by metric, which samples are graded and their rows.

    Raises:
        ValueError: the rows of a metric are not of one width, or hold what is no number.
    """
    import numpy as np

    made = {}
    for metric, (places, rows) in tables.items():
        try:
            matrix = np.array(rows, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"the statistics of {metric} are no rows of one width") from error
        if matrix.ndim != 2:
            raise ValueError(f"the statistics of {metric} are no rows of one width")
        made[metric] = MetricRows(places=np.array(places, dtype=np.intp), rows=matrix)
    grouped = groups is not None and any(group is not None for group in groups)
    return CellStats(
        ids=tuple(ids),
        groups=tuple(groups) if groups is not None and grouped else None,
        tables=made,
    )


def _sample(line: str) -> tuple[str, str | None, Mapping[str, Any]]:
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
