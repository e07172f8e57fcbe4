"""Which models stand in the table, with which cells, and whether they may stand side by side."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import DataError, NotComparableError, UsageError, suggestion
from harness.leaderboard.records import BoardRequest
from harness.results import RunDirectory
from harness.types import CellRecord, Metric, RunRecord, Score
from harness.wording import short_names


@dataclass(frozen=True, kw_only=True)
class Source:
    """A run and where it lies."""

    label: str
    directory: RunDirectory
    run: RunRecord


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A record and the run that holds its samples."""

    record: CellRecord
    source: Source

    def score(self, name: str) -> Score | None:
        """The finite score of this name, or None."""
        found = next((s for s in self.record.scores if s.metric.name == name), None)
        return found if found is not None and math.isfinite(found.value) else None


@dataclass(kw_only=True)
class Entrant:
    """One model and its cells by task, while they are collected."""

    source: Source
    record: CellRecord
    cells: dict[str, Cell] = field(default_factory=dict)
    name: str = ""

    def takes(self, record: CellRecord) -> bool:
        """Whether ``record`` may join: no cell of that task is here, or one with equal scores."""
        here = self.cells.get(record.task)
        return here is None or (
            here.record.fingerprint == record.fingerprint
            and [s.value for s in here.record.scores] == [s.value for s in record.scores]
        )


def read_source(path: Path) -> Source:
    """The records of one run; raises UsageError, DataError."""
    directory = RunDirectory(path)
    return Source(label=str(path), directory=directory, run=directory.read_run())


def gather(sources: Sequence[Source], request: BoardRequest) -> tuple[Entrant, ...]:
    """Every model with a score on a wanted task.

    The same model (name and identity) found in several runs is one row where its scores agree, and
    a row for each run where they do not.

    Raises:
        UsageError: no such task. DataError: nothing to rank.
        NotComparableError: a task's cells differ in their fingerprints.
    """
    wanted = _wanted_tasks(sources, request.tasks)
    by_model: dict[tuple[str, str], list[Entrant]] = {}
    for source in sources:
        for record in source.run.cells:
            if record.task not in wanted or not record.scores:
                continue
            alike = by_model.setdefault((record.model.name, record.model.identity), [])
            entrant = next((e for e in alike if e.source is source), None) or next(
                (e for e in alike if _may_merge(e, source)), None
            )
            if entrant is None:
                entrant = Entrant(source=source, record=record)
                alike.append(entrant)
            entrant.cells.setdefault(record.task, Cell(record=record, source=source))
    entrants = [entrant for alike in by_model.values() for entrant in alike]
    if not entrants:
        raise DataError("There is no score to rank in " + ", ".join(s.label for s in sources) + ".")
    _require_one_fingerprint(entrants)
    _name(entrants)
    return tuple(entrants)


def _may_merge(entrant: Entrant, source: Source) -> bool:
    """Whether all cells that ``source`` has of the entrant's model agree with those here."""
    mine = entrant.record.model
    return all(
        entrant.takes(record)
        for record in source.run.cells
        if (record.model.name, record.model.identity) == (mine.name, mine.identity)
    )


def columns_of(entrants: Sequence[Entrant], names: Sequence[str]) -> tuple[tuple[str, Metric], ...]:
    """(task, metric) of each column: the wanted metrics, or the headline of every task."""
    found: dict[tuple[str, str], Metric] = {}
    headline: dict[str, str] = {}
    for entrant in entrants:
        for task, cell in entrant.cells.items():
            headline.setdefault(task, cell.record.scores[0].metric.name)
            for score in cell.record.scores:
                if cell.score(score.metric.name) is not None:
                    found.setdefault((task, score.metric.name), score.metric)
    known = dict.fromkeys(metric for _, metric in found)
    for name in names:
        if name not in known:
            raise UsageError(f"No run has the metric '{name}'. {suggestion(name, known)}".rstrip())
    columns = tuple(
        (task, metric)
        for (task, name), metric in found.items()
        if (name in names if names else name == headline[task])
    )
    if not columns:
        raise DataError("No score is a finite number; there is nothing to rank.")
    return tuple(sorted(columns, key=lambda column: list(headline).index(column[0])))


def _wanted_tasks(sources: Sequence[Source], names: Sequence[str]) -> set[str]:
    known = list(dict.fromkeys(r.task for source in sources for r in source.run.cells))
    if not names:
        return set(known)
    short, wanted = short_names(known), set()
    for name in names:
        forms = {task: (task, short[task], task.partition(":")[0]) for task in known}
        found = {t for t, all_forms in forms.items() if name in all_forms}
        found = found or {t for t in known if fnmatch.fnmatchcase(t, name)}
        if not found:
            raise UsageError(f"No run has the task '{name}'. {suggestion(name, short.values())}")
        wanted |= found
    return wanted


def _require_one_fingerprint(entrants: Sequence[Entrant]) -> None:
    first: dict[str, Cell] = {}
    for entrant in entrants:
        for task, cell in entrant.cells.items():
            other = first.setdefault(task, cell)
            if other.record.fingerprint != cell.record.fingerprint:
                raise NotComparableError(
                    f"{task}: not comparable: {'; '.join(_differences(other, cell))} "
                    f"({_place(other)}, {_place(cell)}).\n"
                    "Run both on the same data with the same options and limit, or leave the task "
                    "out with --task."
                )


def _differences(a: Cell, b: Cell) -> Iterator[str]:
    for name in ("fingerprint", "limit", "shots", "seed"):
        first, second = getattr(a.record, name), getattr(b.record, name)
        if first != second:
            yield f"{name} {_word(first)} against {_word(second)}"


def _place(cell: Cell) -> str:
    return f"{cell.record.model.name} in {cell.source.label}"


def _word(value: object) -> str:
    return "none" if value in (None, "") else str(value)


def _name(entrants: Sequence[Entrant]) -> None:
    """The model's short name; with its run where several rows would have the same."""
    plain: Mapping[str, str] = short_names(entrant.record.model.name for entrant in entrants)
    shared = [entrant.record.model.name for entrant in entrants]
    for entrant in entrants:
        name = entrant.record.model.name
        one = shared.count(name) == 1
        entrant.name = plain[name] if one else f"{plain[name]} ({entrant.source.label})"
