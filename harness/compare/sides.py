"""What is compared: the cells of two sides, matched, and whether they may be compared at all."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.cellstats import CellStats
from harness.errors import NotComparableError, UsageError, suggestion
from harness.results import RunDirectory
from harness.types import CellRecord, RunRecord

REMEMBERED = 32
"""Cells whose statistics are kept in memory, on each side."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """Cells with their statistics: a run, some models of one, or a stored baseline.

    ``read`` gives a cell's statistics; it raises DataError where they cannot be read.
    """

    label: str
    cells: tuple[CellRecord, ...]
    read: Callable[[CellRecord], CellStats]
    status: str = "complete"

    @property
    def models(self) -> tuple[str, ...]:
        """The models' names, in order."""
        return tuple(dict.fromkeys(cell.model.name for cell in self.cells))

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks' names, in order."""
        return tuple(dict.fromkeys(cell.task for cell in self.cells))


@dataclass(frozen=True, kw_only=True)
class Match:
    """Two cells that stand for the same thing on either side."""

    a: CellRecord
    b: CellRecord

    @property
    def label(self) -> str:
        """The cell in words; both models where they differ."""
        names = dict.fromkeys((self.a.model.name, self.b.model.name))
        return f"{' → '.join(names)} on {self.b.task}"


def run_side(path: Path, model: str | None = None) -> Side:
    """A run, or only the model or the family ``model`` of it; raises UsageError, DataError."""
    directory = RunDirectory(path)
    run = directory.read_run()
    cells = run.cells if model is None else _chosen(run, model)
    label = str(path) if model is None else f"{path}:{model}"
    return Side(label=label, cells=cells, read=_remembering(directory), status=run.status)


def _remembering(directory: RunDirectory) -> Callable[[CellRecord], CellStats]:
    """``read_stats`` that keeps the last few cells, as curves need what cells just needed."""
    kept: OrderedDict[tuple[str, str], CellStats] = OrderedDict()

    def read(record: CellRecord) -> CellStats:
        key = (record.model.name, record.task)
        if key not in kept:
            kept[key] = directory.read_stats(record)
        kept.move_to_end(key)
        while len(kept) > REMEMBERED:
            kept.popitem(last=False)
        return kept[key]

    return read


def _chosen(run: RunRecord, model: str) -> tuple[CellRecord, ...]:
    cells = tuple(cell for cell in run.cells if cell.model.name == model)
    cells = cells or tuple(cell for cell in run.cells if cell.model.family == model)
    if not cells:
        names = {cell.model.name for cell in run.cells} | {cell.model.family for cell in run.cells}
        raise UsageError(
            f"'{model}' is neither a model nor a family of {run.directory}. "
            f"{suggestion(model, names)}".rstrip()
        )
    return cells


def match_cells(
    a: Side, b: Side, mapping: Mapping[str, str] | None = None
) -> tuple[tuple[Match, ...], tuple[str, ...]]:
    """Cells of the same task and model on both sides, and names of ``a``'s that ``b`` lacks.

    ``mapping`` gives the name that a model of ``a`` has in ``b``. Without it, models are matched by
    name, or, where each side has exactly one, those two.
    """
    names = _names(a, b, mapping)
    there = {(cell.model.name, cell.task): cell for cell in b.cells}
    matches, missing = [], []
    for cell in a.cells:
        other = there.get((names.get(cell.model.name, ""), cell.task))
        if other is None:
            missing.append(f"{cell.model.name} on {cell.task}")
        else:
            matches.append(Match(a=cell, b=other))
    return tuple(matches), tuple(missing)


def _names(a: Side, b: Side, mapping: Mapping[str, str] | None) -> Mapping[str, str]:
    """The name in ``b`` of each model of ``a``."""
    for given, known, side in (
        (mapping or {}, a.models, a),
        ((mapping or {}).values(), b.models, b),
    ):
        for name in given:
            if name not in known:
                raise UsageError(f"{side.label} has no model '{name}'. {suggestion(name, known)}")
    names = {name: name for name in a.models if name in b.models} | dict(mapping or {})
    if not names and len(a.models) == len(b.models) == 1:
        return {a.models[0]: b.models[0]}
    return names


def differences(match: Match, *, strict: bool = True) -> tuple[str, ...]:
    """What must be equal and is not: fingerprint, and where ``strict`` seed, limit and shots."""
    fields: list[tuple[str, object, object]] = [
        ("fingerprint", match.a.fingerprint, match.b.fingerprint)
    ]
    settings: list[tuple[str, object, object]] = [
        ("seed", match.a.seed, match.b.seed),
        ("limit", match.a.limit, match.b.limit),
        ("shots", match.a.shots, match.b.shots),
    ]
    if strict or match.a.fingerprint != match.b.fingerprint:
        fields += settings
    return tuple(
        f"{name} {_word(first)} against {_word(second)}"
        for name, first, second in fields
        if first != second
    )


def refusal(match: Match, a: Side, b: Side, *, strict: bool = True) -> NotComparableError | None:
    """The error to raise where two cells must not be compared, naming all that differs."""
    found = differences(match, strict=strict)
    if not found:
        return None
    words = [*found, *_missing_ids(match, a, b)]
    return NotComparableError(
        f"{match.label}: not comparable: {'; '.join(words)}.\n"
        "Run both on the same data with the same options, seed and limit."
    )


def _missing_ids(match: Match, a: Side, b: Side) -> Iterator[str]:
    ids_a, ids_b = set(a.read(match.a).ids), set(b.read(match.b).ids)
    for word, here, there in (("first", ids_a, ids_b), ("second", ids_b, ids_a)):
        lost = sorted(there - here)
        if lost:
            yield f"{len(lost)} of {len(there)} samples are not in the {word} ('{lost[0]}', ...)"


def require_some(matches: Sequence[object], a: Side, b: Side) -> None:
    """Raise NotComparableError where nothing on the two sides matches."""
    if matches:
        return
    raise NotComparableError(
        f"{a.label} and {b.label} have no cell in common: models {_list(a.models)} against "
        f"{_list(b.models)}, tasks {_list(a.tasks)} against {_list(b.tasks)}.\n"
        "Name one model on each side, as RUN:MODEL, to compare models of different names."
    )


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return (", ".join(names[:3]) or "none") + more


def _word(value: object) -> str:
    return "none" if value is None or value == "" else str(value)
