"""Parameter counts of well-known checkpoints whose result files do not hold them.

Looked up by the checkpoint's whole name, never parsed from it. The record says ``published``.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from harness.types import Parameters, SizeSource

UNKNOWN = Parameters()


@dataclass(frozen=True, kw_only=True)
class Size:
    """A model's family and parameter counts, and where they come from."""

    parameters: Parameters = UNKNOWN
    family: str = ""
    source: SizeSource = "unknown"


def find(model: str) -> Size:
    """What the table says of the checkpoint ``model``; unknown where it is not in it."""
    return _table().get(model.lower(), Size())


def from_file(total: int, known: Size) -> Size:
    """The file's own total, with the table's non-embedding count where both totals agree."""
    if known.parameters.total == total:
        return Size(parameters=known.parameters, family=known.family, source="file")
    return Size(parameters=Parameters(total=total), family=known.family, source="file")


@cache
def _table() -> dict[str, Size]:
    text = (files("harness_interchange") / "published.csv").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {
        row["model"].lower(): Size(
            parameters=Parameters(
                total=int(row["params"]), non_embedding=int(row["non_embedding"])
            ),
            family=row["family"],
            source="published",
        )
        for row in csv.DictReader(lines)
    }
