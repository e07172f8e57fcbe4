"""From records and samples to a ranked table; one task's statistics are in memory at a time."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness import stats
from harness.cellstats import Aligned, CellStats, side_by_side
from harness.leaderboard.gather import Cell, Entrant, Source, columns_of, gather
from harness.leaderboard.ranking import (
    Material,
    column_ranks,
    draws_separate,
    from_samples,
    from_scores,
    ranks,
)
from harness.leaderboard.records import Board, BoardRequest, Column, Entry, Row
from harness.table import remarks
from harness.types import CellRecord, Metric, Score
from harness.wording import short_names

Array = NDArray[np.float64]


@dataclass(kw_only=True, eq=False)
class _Means:
    """Sums over the columns, for the rows that have them all: scores (c,) and draws (c, B)."""

    complete: tuple[int, ...]
    columns: int
    shown: Array
    tested: Array
    draws: Array | None

    def add(self, column: Column, entries: Mapping[int, Score], material: Material) -> None:
        """Take one column in."""
        places = list(entries)
        chosen = [places.index(i) for i in self.complete]
        shown = np.array([entries[i].value for i in self.complete])
        self.shown += scaled(column.metric, shown) / self.columns
        self.tested += scaled(column.metric, material.values[chosen]) / self.columns
        if material.draws is None:
            self.draws = None
        if self.draws is not None and material.draws is not None:
            # Tasks err independently of one another, models on one task together: draws of tasks
            # with as many samples come of one generator, so each task's are put in an order of
            # its own.
            order = np.random.default_rng(zlib.crc32(column.task.encode())).permutation(
                material.draws.shape[1]
            )
            drawn = material.draws[chosen][:, order]
            self.draws += scaled(column.metric, drawn) / self.columns


def build_board(sources: Sequence[Source], request: BoardRequest) -> Board:
    """Rank the models of all runs.

    Raises:
        UsageError: an unknown task or metric. DataError: unreadable samples, nothing to rank.
        NotComparableError: a task's cells differ in what was asked or how it is scored.
    """
    entrants = gather(sources, request)
    wanted = columns_of(entrants, request.metrics)
    complete = _complete(entrants, wanted)
    resampler = stats.Resampler(seed=request.seed)
    inside = sum(_in_mean(metric) for _, metric in wanted)
    means = _Means(
        complete=complete,
        columns=inside,
        shown=np.zeros(len(complete)),
        tested=np.zeros(len(complete)),
        draws=np.zeros((len(complete), resampler.draws)),
    )
    columns: list[Column] = []
    entries: list[Mapping[int, Entry]] = []
    notes: list[str] = []
    for column, scores, material in _columns(entrants, wanted, resampler, notes):
        found, test = column_ranks(material, request.alpha, request.seed)
        columns.append(replace(column, test=test))
        entries.append(_entries(entrants, column, scores, found))
        if column.in_mean and inside > 1:
            means.add(column, scores, material)
    rows = [_row(entrant, i, entries) for i, entrant in enumerate(entrants)]
    ranked_by = _rank(rows, columns, means, request)
    return Board(
        runs=tuple(source.label for source in sources),
        columns=tuple(columns),
        rows=tuple(sorted(_with_front(rows, columns), key=lambda row: _order(row, columns))),
        ranked_by=ranked_by,
        partial=tuple(s.label for s in sources if s.run.status != "complete"),
        notes=tuple(notes),
    )


def scaled(metric: Metric, values: Array) -> Array:
    """Scores on 0-100: 0 at chance where it is known, else at the worst score, 100 at the best."""
    worst, best = _ends(metric)
    assert worst is not None and best is not None
    result: Array = 100 * (values - worst) / (best - worst)
    return result


def _ends(metric: Metric) -> tuple[float | None, float | None]:
    low, high = metric.bounds
    worst, best = (low, high) if metric.higher_is_better else (high, low)
    return (worst if metric.chance is None else metric.chance), best


def _in_mean(metric: Metric) -> bool:
    worst, best = _ends(metric)
    return worst is not None and best is not None and worst != best


def _complete(entrants: Sequence[Entrant], wanted: Sequence[tuple[str, Metric]]) -> tuple[int, ...]:
    """The rows that have a score in every column that a mean is made of."""
    needed = [(task, metric.name) for task, metric in wanted if _in_mean(metric)]
    return tuple(
        i
        for i, entrant in enumerate(entrants)
        if all(_score(entrant, task, name) is not None for task, name in needed)
    )


def _score(entrant: Entrant, task: str, name: str) -> Score | None:
    cell = entrant.cells.get(task)
    return None if cell is None else cell.score(name)


def _columns(
    entrants: Sequence[Entrant],
    wanted: Sequence[tuple[str, Metric]],
    resampler: stats.Resampler,
    notes: list[str],
) -> Iterator[tuple[Column, Mapping[int, Score], Material]]:
    """Every column with its scores by row number, and what its tests need."""
    titles = short_names(task for task, _ in wanted)
    for task in titles:
        here = [metric for one, metric in wanted if one == task]
        cells = {i: e.cells[task] for i, e in enumerate(entrants) if task in e.cells}
        read = {i: cell.source.directory.read_stats(cell.record) for i, cell in cells.items()}
        for metric in here:
            found = {i: cell.score(metric.name) for i, cell in cells.items()}
            scores = {i: score for i, score in found.items() if score is not None}
            tables = _tables(metric, [read[i] for i in scores])
            if tables is not None and any(tables.alone):
                notes.append(
                    f"{titles[task]} {metric.name}: {max(tables.alone)} samples are not graded for "
                    "every model; the tests leave them out."
                )
            material = (
                from_scores(metric, list(scores.values()), resampler)
                if tables is None
                else from_samples(metric, tables, resampler)
            )
            yield _column(task, titles[task], metric, [cells[i] for i in scores]), scores, material


def _tables(metric: Metric, cells: Sequence[CellStats]) -> Aligned | None:
    """The samples of all cells, where each has some and their statistics are finite numbers."""
    try:
        found = side_by_side(metric.name, cells)
    except ValueError:
        return None
    return found if found is not None and np.isfinite(found.rows).all() else None


def _column(task: str, title: str, metric: Metric, cells: Sequence[Cell]) -> Column:
    signatures = dict.fromkeys(
        score.signature.replace(f"|model:{cell.record.model.identity}", "")
        for cell in cells
        for score in cell.record.scores
        if score.metric.name == metric.name
    )
    return Column(
        task=task,
        title=title,
        metric=metric,
        fingerprint=cells[0].record.fingerprint,
        test="",
        in_mean=_in_mean(metric),
        signatures=tuple(signatures),
    )


def _entries(
    entrants: Sequence[Entrant], column: Column, scores: Mapping[int, Score], found: Sequence[int]
) -> Mapping[int, Entry]:
    metric = column.metric
    chance = metric.chance is not None and column.in_mean
    return {
        i: Entry(
            value=score.value,
            ci=score.ci if all(map(math.isfinite, score.ci)) else None,
            n=score.n,
            rank=rank,
            centred=float(scaled(metric, np.array(score.value))) if chance else None,
            counts=entrants[i].cells[column.task].record.counts,
            remark=_remark(entrants[i].cells[column.task].record),
        )
        for (i, score), rank in zip(scores.items(), found, strict=True)
    }


def _remark(record: CellRecord) -> str:
    words = remarks(record)
    if words:
        return f"of {record.counts.samples} samples {words}"
    return "" if record.status == "complete" else "the cell is partial"


def _row(entrant: Entrant, number: int, entries: Sequence[Mapping[int, Entry]]) -> Row:
    spent = [c.record.efficiency for c in entrant.cells.values()]
    known = [e for e in spent if e is not None and e.tokens is not None and e.seconds > 0]
    seconds = sum(e.seconds for e in known)
    device = [e.peak_device_bytes for e in spent if e is not None and e.peak_device_bytes]
    host = [e.peak_host_bytes for e in spent if e is not None and e.peak_host_bytes]
    return Row(
        name=entrant.name,
        run=entrant.source.label,
        model=entrant.record.model,
        entries=tuple(column.get(number) for column in entries),
        tokens_per_second=sum(e.tokens or 0 for e in known) / seconds if seconds else None,
        peak_bytes=max(device or host, default=None),
    )


def _rank(rows: list[Row], columns: Sequence[Column], means: _Means, request: BoardRequest) -> str:
    """Give rows their rank, and the mean where there is one; returns what was ranked by."""
    if len(columns) == 1 or means.columns < 2:
        for i, row in enumerate(rows):
            entry = row.entries[0]
            rows[i] = replace(row, rank=None if entry is None else entry.rank)
        return f"{columns[0].title} {columns[0].metric.name}"
    order = np.argsort(-means.tested, kind="stable")
    level = request.alpha / max(1, len(order) - 1)

    def separated(a: int, b: int) -> bool:
        values = float(means.tested[a]), float(means.tested[b])
        if means.draws is None:
            return values[0] != values[1]
        return draws_separate(means.draws[a], means.draws[b], values, level)

    found = ranks(order, separated)
    for place, i in enumerate(means.complete):
        ci = None
        if means.draws is not None:
            low, high = np.nanquantile(means.draws[place], [0.025, 0.975])
            ci = float(low), float(high)
        rows[i] = replace(rows[i], rank=found[place], mean=float(means.shown[place]), mean_ci=ci)
    return f"the mean of {means.columns} columns"


def _with_front(rows: Sequence[Row], columns: Sequence[Column]) -> list[Row]:
    """Mark the rows that no other beats in quality without being larger."""
    known = [
        (row.model.parameters.total, quality)
        for row in rows
        if (quality := _quality(row, columns)) is not None and row.model.parameters.total
    ]
    result = []
    for row in rows:
        size, quality = row.model.parameters.total, _quality(row, columns)
        front = None
        if size and quality is not None:
            front = not any(
                other <= size and q >= quality and (other, q) != (size, quality)
                for other, q in known
                if other is not None
            )
        result.append(replace(row, pareto=front))
    return result


def _quality(row: Row, columns: Sequence[Column]) -> float | None:
    if row.rank is None:
        return None
    if row.mean is not None:
        return row.mean
    entry = row.entries[0]
    sign = 1.0 if columns[0].metric.higher_is_better else -1.0
    return None if entry is None else sign * entry.value


def _order(row: Row, columns: Sequence[Column]) -> tuple[float, float, str]:
    """Best first; then rows without a rank."""
    quality = _quality(row, columns)
    rank = math.inf if row.rank is None else row.rank
    return rank, -quality if quality is not None else math.inf, row.name
