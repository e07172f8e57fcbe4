"""Putting an export on disk: inside its folder, each file whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path, PurePosixPath, PureWindowsPath

from harness.errors import PluginError, SaveError, UsageError, suggestion
from harness.plugins import Registered
from harness.results import RunDirectory
from harness.types import JSON, ExportedFile, ExporterSpec, ExportSource, RunRecord


def export_source(
    run: RunRecord, directory: RunDirectory, fits: Iterable[JSON], options: dict[str, str]
) -> ExportSource:
    """What an exporter is given."""
    manifest = directory.read_manifest()
    made = datetime.fromisoformat(manifest.finished or manifest.started).timestamp()
    times = [cell.origin.evaluated for cell in run.cells if cell.origin is not None]
    return ExportSource(
        run=run,
        samples=directory.read_samples,
        fits=tuple(fits),
        made=max((time for time in times if time is not None), default=made),
        options=options,
    )


def check_options(entry: Registered[ExporterSpec], options: dict[str, str]) -> None:
    """Refuse options that the exporter does not have, and missing ones that it needs."""
    known = {option.name: option for option in entry.spec.options}
    for name in options:
        if name not in known:
            hint = suggestion(name, known) or "It has none."
            raise UsageError(f"The exporter '{entry.spec.name}' has no option '{name}'. {hint}")
    for option in known.values():
        if option.required and option.name not in options:
            raise UsageError(
                f"The exporter '{entry.spec.name}' needs --set {option.name}=...: {option.help}."
            )


def save_files(
    entry: Registered[ExporterSpec], files: Iterable[ExportedFile], folder: Path
) -> tuple[Path, ...]:
    """Write ``files`` below ``folder``; returns their paths.

    Raises:
        PluginError: a name that leaves the folder, or the same name twice.
        SaveError: no room, no permission.
    """
    written: dict[str, Path] = {}
    for file in files:
        path = folder / _checked(file.name, entry)
        if file.name in written:
            raise PluginError(f"{_blame(entry)} yielded the file '{file.name}' twice.")
        _save(path, file.chunks)
        written[file.name] = path
    return tuple(written.values())


def _checked(name: str, entry: Registered[ExporterSpec]) -> PurePosixPath:
    path = PurePosixPath(name)
    outside = path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive
    if outside or not path.parts or "\\" in name or "\0" in name:
        raise PluginError(
            f"{_blame(entry)} yielded the file name {name[:80]!r}, outside its folder."
        )
    return path


def _blame(entry: Registered[ExporterSpec]) -> str:
    return f"Exporter '{entry.spec.name}' of plugin {entry.plugin.name} ({entry.plugin.source})"


def _save(path: Path, chunks: Iterable[bytes]) -> None:
    temporary = path.with_name(f".{path.name[:100]}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise SaveError(
            f"The export cannot be saved at '{path}': {error.strerror or error}.\n"
            "Make room or choose another directory with -o."
        ) from error
