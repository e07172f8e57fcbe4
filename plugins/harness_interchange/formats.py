"""Which format a file seems to be of: for error messages only, cheap and never raising."""

from __future__ import annotations

import json
from pathlib import Path

from harness.errors import DataError

SNIFFED = 64 << 20


def format_of(path: Path) -> str | None:
    """The importer that would read ``path``, or None."""
    try:
        if path.is_dir():
            return "helm" if (path / "run_spec.json").is_file() else None
        if path.suffix == ".eval":
            return "inspect"
        if path.suffix == ".csv":
            return "csv"
        if path.suffix != ".json" or path.stat().st_size > SNIFFED:
            return None
        return of_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return None


def of_json(data: object) -> str | None:
    """The format whose keys ``data`` has, or None."""
    if not isinstance(data, dict):
        return None
    if "config_general" in data:
        return "lighteval"
    if "eval" in data and "version" in data:
        return "inspect"
    if "results" in data and ("config" in data or "configs" in data or "versions" in data):
        return "lm-eval"
    if "dataset_name" in data and "model_name" in data:
        return "evalscope"
    if "task_name" in data and "metrics" in data:
        return "olmes"
    return None


def wrong_format(path: Path, wanted: str, missing: str) -> DataError:
    """The error for a file that is no ``wanted``, with the importer that would read it."""
    found = format_of(path)
    hint = f"It looks like {found}: `harness import {found} {path}`." if found else ""
    return DataError(f"{path} is no {wanted}: {missing}.\n{hint}".rstrip())
