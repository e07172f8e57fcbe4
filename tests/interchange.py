"""Importing and exporting inside the test's own process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import harness_interchange
from harness.document import fit_entry
from harness.exporting import export_source, save_files
from harness.imported import ImportRequest
from harness.importing import Imported, import_run
from harness.plugins import PluginInfo, Registered
from harness.results import RunDirectory
from harness.scaling import fit_run
from harness.sizes import Sizing
from harness.types import CellRecord, ImportedCell

PLUGIN = PluginInfo(name="interchange", target="x", distribution="harness", version="0.1.0")


def read(name: str, *paths: Path) -> list[ImportedCell]:
    """What an importer makes of files."""
    spec = next(s for s in harness_interchange.harness_importers() if s.name == name)
    return list(spec.read(paths))


def save(
    name: str,
    cells: Sequence[ImportedCell],
    folder: Path,
    sizing: Sizing | None = None,
    settings: Mapping[str, object] | None = None,
) -> Imported:
    """Cells as a run directory."""
    request = ImportRequest(
        format=name, reader=PLUGIN, command=("harness", "import"), settings=settings or {}
    )
    return import_run(iter(cells), request, sizing or Sizing(), folder)


def take(name: str, folder: Path, *paths: Path, sizing: Sizing | None = None) -> list[CellRecord]:
    """Files as records, by way of a run directory and back."""
    save(name, read(name, *paths), folder, sizing)
    return list(RunDirectory(folder).read_run().cells)


def give(name: str, run: Path, folder: Path, **options: str) -> tuple[Path, ...]:
    """A run in another format."""
    spec = next(s for s in harness_interchange.harness_exporters() if s.name == name)
    directory = RunDirectory(run)
    record = directory.read_run()
    fits = [fit_entry(fit) for fit in fit_run(record, directory)]
    source = export_source(record, directory, fits, options)
    return save_files(Registered(spec=spec, plugin=PLUGIN), spec.write(source), folder)


def values(records: Sequence[CellRecord]) -> dict[tuple[str, str, str], float]:
    """Every score by model, task and metric."""
    return {(r.model.name, r.task, s.metric.name): s.value for r in records for s in r.scores}
