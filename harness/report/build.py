"""A run becomes one HTML file: the page's parts from this package, the data, the samples."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from harness import __version__
from harness.codec import to_json
from harness.errors import SaveError
from harness.report.curves import charts
from harness.report.samples import cell_blocks
from harness.results import RunDirectory
from harness.types import CellRecord, RunRecord
from harness.wording import short_names

SCRIPTS = ("base.js", "charts.js", "tables.js", "diff.js", "samples.js", "main.js")


def build_report(path: Path, *, samples: int | None = None) -> Iterator[str]:
    """The page in parts, one cell's samples in memory at a time.

    ``samples`` is the most of each cell, ``None`` all. Raises UsageError, DataError.
    """
    directory = RunDirectory(path)
    run = directory.read_run()
    style, script = _part("style.css"), _script()
    page = _part("page.html")
    head, _, rest = page.partition("@DATA@")
    blocks: list[dict[str, Any]] = []
    document = _document(run, directory)
    policy = f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}"
    for name, value in (
        ("@POLICY@", policy),
        ("@STYLE@", style),
        ("@TITLE@", html.escape(_title(path))),
    ):
        head = head.replace(name, value)
    yield head
    yield _embedded(document)
    middle, _, tail = rest.partition("@BLOCKS@")
    yield middle
    yield from _blocks(run, directory, samples, blocks)
    index, _, end = tail.partition("@INDEX@")
    yield index
    yield _embedded({"cells": blocks, "most": samples})
    yield end.replace("@SCRIPT@", script)


def save_report(path: Path, output: Path, *, samples: int | None = None) -> int:
    """Write the page; returns its size in bytes. Raises SaveError besides build_report's."""
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    parts = build_report(path, samples=samples)
    first = next(parts)  # what cannot be read is told before anything is written
    try:
        try:
            with temporary.open("w", encoding="utf-8", newline="\n", errors="replace") as file:
                file.write(first)
                file.writelines(parts)
            temporary.replace(output)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise SaveError(
            f"'{output}' cannot be written: {error.strerror or error}.\n"
            "Make room, or name another file in a folder that exists."
        ) from error
    return output.stat().st_size


def _part(name: str) -> str:
    return (files("harness.report") / "page" / name).read_text(encoding="utf-8")


def _script() -> str:
    """The page's program: its files in order, in one scope."""
    return "(() => {\n'use strict';\n" + "\n".join(map(_part, SCRIPTS)) + "\n})();\n"


def _digest(text: str) -> str:
    """For the content security policy: this script and this style, and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _embedded(document: Any) -> str:
    """JSON that cannot end the script element it lies in."""
    text = json.dumps(to_json(document), ensure_ascii=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _title(path: Path) -> str:
    return path.resolve().name


def _document(run: RunRecord, directory: RunDirectory) -> dict[str, Any]:
    manifest = directory.read_manifest()
    models = {cell.model.name: cell for cell in run.cells}
    return {
        "title": _title(directory.path),
        "run": run.directory,
        "status": run.status,
        "errors": list(run.errors),
        "version": __version__,
        "manifest": {
            name: to_json(getattr(manifest, name))
            for name in (
                "command",
                "settings",
                "versions",
                "platform",
                "git_commit",
                "started",
                "finished",
                "seconds",
            )
        },
        "models": [_model(cell) for cell in models.values()],
        "tasks": dict(short_names(cell.task for cell in run.cells)),
        "names": dict(short_names(models)),
        "scores": [row for cell in run.cells for row in _scores(cell)],
        "charts": charts(run, directory),
    }


def _model(cell: CellRecord) -> dict[str, Any]:
    model: dict[str, Any] = to_json(cell.model)
    return {**model, "sizes": cell.origin.sizes if cell.origin else "checkpoint"}


def _scores(cell: CellRecord) -> Iterator[dict[str, Any]]:
    spent = cell.efficiency
    rate = spent.tokens_per_second if spent is not None else None
    for score in cell.scores:
        yield {
            "model": cell.model.name,
            "family": cell.model.family,
            "params": cell.model.parameters.total,
            "inner": cell.model.parameters.non_embedding,
            "task": cell.task,
            "metric": score.metric.name,
            "higher": score.metric.higher_is_better,
            "bounds": list(score.metric.bounds),
            "value": score.value,
            "ci": list(score.ci),
            "n": score.n,
            "counts": to_json(cell.counts),
            "status": cell.status,
            "rate": rate,
            "signature": score.signature,
        }


def _blocks(
    run: RunRecord, directory: RunDirectory, most: int | None, index: list[dict[str, Any]]
) -> Iterator[str]:
    """A script element for every block; what a task asks is written with its first cell.

    Every cell asks the same, except where a model was asked in another way: then the fingerprints
    differ, and the questions are written again.
    """
    if most == 0:
        return
    asked: dict[tuple[str, str, int | None], str] = {}
    for number, record in enumerate(run.cells):
        if record.status == "failed":
            continue
        key = (record.task, record.fingerprint, record.limit)
        answers, questions, count = cell_blocks(directory, record, most, asked=key not in asked)
        if not count:
            continue
        if questions is not None:
            asked[key] = f"q{number}"
            yield _block(asked[key], questions)
        yield _block(f"a{number}", answers)
        index.append(
            {
                "task": record.task,
                "model": record.model.name,
                "metric": record.scores[0].metric.name if record.scores else "",
                "higher": record.scores[0].metric.higher_is_better if record.scores else True,
                "asked": asked[key],
                "answers": f"a{number}",
                "n": count,
                "of": record.counts.samples,
            }
        )


def _block(name: str, text: str) -> str:
    return f'<script type="application/gzip" id="{name}">{text}</script>\n'
