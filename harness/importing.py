"""Other programs' results become a run: checked, sized, given intervals, and saved whole or not.

One cell at a time goes through :mod:`harness.imported`; what must not stand in one run (the same
cell with two results, one task set up in two ways) is refused here.
"""

from __future__ import annotations

import platform
import re
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness import __version__
from harness.errors import DataError, SaveError, UsageError
from harness.imported import ImportRequest, cell_record
from harness.manifest import now
from harness.results import Manifest, PlannedCell, RunDirectory
from harness.sizes import Sizing
from harness.types import CellRecord, ImportedCell

# Control characters, direction marks and lone surrogates: they forge terminal output and tables.
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
PARTS = ("manifest.json", "cells", "samples")
DERIVED = ("index", "exports")
"""Made of the parts: what an earlier import left of them would be of other results."""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What came of an import."""

    records: tuple[CellRecord, ...]
    warnings: tuple[str, ...]


@dataclass(kw_only=True)
class _Desk:
    """What has been imported so far, to find what must not stand beside it."""

    records: dict[tuple[str, str], CellRecord] = field(default_factory=dict)
    setups: dict[str, ImportedCell] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def import_run(
    cells: Iterable[ImportedCell], request: ImportRequest, sizing: Sizing, path: Path
) -> Imported:
    """Save ``cells`` as the run directory ``path``, whole or not at all.

    Raises:
        UsageError: the same model and task twice with different results; one task set up in two
            ways; a directory that holds another run.
        DataError: nothing to import, or a file that cannot be read.
        SaveError: no room, no permission.
    """
    _refuse_other_run(path, request)
    temporary = path.with_name(f".{path.name}.importing")
    _remove(temporary)
    directory = RunDirectory(temporary, sync=False)
    directory.prepare()
    desk = _Desk()
    try:
        for cell in cells:
            _import_cell(_clean(cell), request, sizing, directory, desk)
        if not desk.records:
            raise DataError(
                f"Nothing to import: no {request.format} results with a score were found."
            )
        records = tuple(desk.records.values())
        directory.write_manifest(_manifest(records, request))
        _move(temporary, path)
    finally:
        _remove(temporary)
    return Imported(records=records, warnings=tuple(dict.fromkeys(desk.warnings)))


def safe_name(text: str) -> str:
    """A name without characters that could forge a table, a terminal or a file: ``\\u000a``."""
    return UNSAFE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _import_cell(
    cell: ImportedCell,
    request: ImportRequest,
    sizing: Sizing,
    directory: RunDirectory,
    desk: _Desk,
) -> None:
    _refuse_mixture(cell, desk)
    record, samples, notes = cell_record(cell, request, sizing.apply(cell))
    key = (record.model.name, record.task)
    earlier = desk.records.get(key)
    if earlier is not None:
        if replace(record, origin=None) != replace(earlier, origin=None):
            raise UsageError(_twice(earlier, record))
        desk.warnings.append(
            f"'{record.model.name}' on '{record.task}' is in {_files(earlier)} and again, with "
            f"the same scores, in {_files(record)}; kept once."
        )
        return
    desk.records[key] = record
    desk.warnings += [f"'{record.model.name}' on '{record.task}': {note}" for note in notes]
    directory.write_cell(record, samples)


def _clean(cell: ImportedCell) -> ImportedCell:
    if not cell.model.strip() or not cell.task.strip():
        raise DataError(f"{cell.files[0]} names no {'task' if cell.model.strip() else 'model'}.")
    scores = tuple(
        replace(
            score,
            metric=replace(
                score.metric,
                name=safe_name(score.metric.name),
                signature=safe_name(score.metric.signature),
            ),
        )
        for score in cell.scores
    )
    return replace(
        cell,
        model=safe_name(cell.model),
        task=safe_name(cell.task),
        family=safe_name(cell.family),
        scores=scores,
    )


def _refuse_mixture(cell: ImportedCell, desk: _Desk) -> None:
    """Scores of one task that was set up in two ways must not stand in one table."""
    first = desk.setups.setdefault(cell.task, cell)
    for name in sorted(first.setup.keys() & cell.setup.keys()):
        if first.setup[name] != cell.setup[name]:
            raise UsageError(
                f"Task '{cell.task}' has {name} {first.setup[name]} in {first.files[0]} and "
                f"{name} {cell.setup[name]} in {cell.files[0]}.\n"
                "Such scores do not compare; import the files into two runs."
            )


def _twice(earlier: CellRecord, record: CellRecord) -> str:
    values = {score.metric.name: score.value for score in earlier.scores}
    differing = next(
        (
            f"; {score.metric.name} is {values[score.metric.name]:.6g} and {score.value:.6g}"
            for score in record.scores
            if values.get(score.metric.name, score.value) != score.value
        ),
        "",
    )
    return (
        f"'{record.model.name}' on '{record.task}' is in two files with different results: "
        f"{_files(earlier)} and {_files(record)}{differing}.\n"
        "Leave one out, or import them into two runs and compare those."
    )


def _files(record: CellRecord) -> str:
    return record.origin.files[0] if record.origin else "?"


def _manifest(records: Sequence[CellRecord], request: ImportRequest) -> Manifest:
    failed = any(record.status != "complete" for record in records)
    return Manifest(
        command=request.command,
        settings={"import": request.format, **request.settings},
        cells=tuple(PlannedCell(model=r.model.name, task=r.task) for r in records),
        versions={"harness": __version__, request.reader.distribution: request.reader.version},
        platform={"system": platform.platform(), "python": platform.python_version()},
        git_commit=None,
        started=now(),
        status="partial" if failed else "complete",
        finished=now(),
    )


def _refuse_other_run(path: Path, request: ImportRequest) -> None:
    """An import may replace itself, and nothing else."""
    if not path.exists():
        return
    if not path.is_dir():
        raise SaveError(f"'{path}' is a file.\nGive a directory with -o.")
    if not (path / "manifest.json").is_file():
        if any(path.iterdir()):
            raise UsageError(f"'{path}' holds other files and no run.\nGive a new directory.")
        return
    earlier = RunDirectory(path).read_manifest()
    if dict(earlier.settings) != {"import": request.format, **request.settings}:
        raise UsageError(
            f"'{path}' holds a run already, and not the same import: "
            f"{' '.join(earlier.command)[:200]}\nGive another directory with -o, or delete it."
        )


def _move(source: Path, target: Path) -> None:
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name in (*PARTS, *DERIVED):
            _remove(target / name)
        if (source / "index").is_dir():
            (source / "index").replace(target / "index")
        for name in reversed(PARTS):  # the manifest comes last: it vouches for the rest
            (source / name).replace(target / name)
    except OSError as error:
        raise SaveError(f"The import cannot be saved at '{target}': {error}.") from error


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):  # what matters and fails here fails again, with words, when written
        path.unlink(missing_ok=True)
