"""Parameter counts that an imported file does not hold: from a file of sizes, or by a pattern.

Nothing is guessed: a size comes from the imported file, from a list that the user gives, from a
pattern that the user writes, or it stays unknown; the record says which.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import DataError, UsageError
from harness.types import ImportedCell, Parameters, SizeSource

NUMBER = re.compile(r"\s*(\d[\d_,]*(?:\.\d+)?|\.\d+)(?:e\+?(\d+))?\s*([kmbt]?)\s*\Z", re.IGNORECASE)
UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
COLUMNS = ("model", "params", "non_embedding", "active", "train_tokens", "family")


@dataclass(frozen=True, kw_only=True)
class GivenSize:
    """One line of a sizes file."""

    parameters: Parameters
    train_tokens: int | None = None
    family: str = ""


@dataclass(frozen=True, kw_only=True)
class Sized:
    """What is known of a model's size and family, and how."""

    parameters: Parameters
    source: SizeSource
    family: str
    train_tokens: int | None


@dataclass(frozen=True, kw_only=True)
class Sizing:
    """What the command line says about sizes: a list, a pattern, a family for all, or nothing."""

    given: Mapping[str, GivenSize] = field(default_factory=dict)
    pattern: re.Pattern[str] | None = None
    family: str = ""

    def apply(self, cell: ImportedCell) -> Sized:
        """Size and family of an imported cell's model.

        Raises:
            UsageError: the list and the imported file name different totals.
        """
        given = self.find(cell.model)
        parameters, source, family = cell.parameters, cell.sizes, cell.family
        tokens = cell.train_tokens
        if given is not None:
            parameters, source = _merged(cell, given), "given"
            family = given.family or family
            tokens = given.train_tokens or tokens
        elif self.pattern is not None and source != "file":
            found = self.pattern.search(cell.model)
            if found is not None:
                size = parse_size(found.group(1 if found.lastindex else 0))
                parameters, source = Parameters(total=size), "pattern"
                family = _without(cell.model, found)
        return Sized(
            parameters=parameters,
            source=source,
            family=self.family or family or cell.model,
            train_tokens=tokens,
        )

    def find(self, model: str) -> GivenSize | None:
        """The line for ``model``: by its whole name, without revision, or without the folders."""
        plain = model.split("@")[0]
        for name in (model, plain, plain.rsplit("/", 1)[-1]):
            if name in self.given:
                return self.given[name]
        return None


def read_sizing(path: Path | None, pattern: str | None, family: str | None) -> Sizing:
    """Check the three options; raises UsageError or DataError in words."""
    compiled = None
    if pattern is not None:
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise UsageError(
                f"--size-pattern {pattern!r} is no regular expression: {error}."
            ) from (error)
        if compiled.groups > 1:
            raise UsageError(
                f"--size-pattern {pattern!r} has {compiled.groups} groups; one group must hold the "
                "size.\nWrite the others as (?:...), as in 'pythia-([0-9.]+[mb])'."
            )
    given = {} if path is None else dict(_read_sizes(path))
    return Sizing(given=given, pattern=compiled, family=family or "")


def parse_size(text: str) -> int:
    """``70m``, ``1.4B``, ``1e9`` or ``405_334_016`` as a whole number; raises UsageError."""
    found = NUMBER.match(text)
    size = 0.0
    if found is not None:
        number, exponent, unit = found.groups()
        digits = float(number.replace("_", "").replace(",", ""))
        # The exponent is bounded before it is raised, so that 1e999999999 costs nothing.
        size = digits * 10.0 ** min(int(exponent or 0), 30) * UNITS[unit.lower()]
    if not (math.isfinite(size) and 1 <= size <= 1e18):
        raise UsageError(f"'{text}' is no number of parameters; write 70M, 1.4B or 405334016.")
    return round(size)


def _merged(cell: ImportedCell, given: GivenSize) -> Parameters:
    own, theirs = cell.parameters, given.parameters
    if cell.sizes == "file" and None not in (own.total, theirs.total) and own.total != theirs.total:
        raise UsageError(
            f"--sizes says {theirs.total:,} parameters for '{cell.model}', the imported file "
            f"{cell.files[0]} says {own.total:,}.\nCorrect the one or leave the line out."
        )
    if cell.sizes != "file":
        return theirs
    return Parameters(
        total=own.total if theirs.total is None else theirs.total,
        non_embedding=theirs.non_embedding or own.non_embedding,
        active=theirs.active or own.active,
    )


def _without(model: str, found: re.Match[str]) -> str:
    """The model's name without its size: what its family shares."""
    start, end = found.span(1 if found.lastindex else 0)
    return re.sub(r"[-_./ ]{2,}", "-", model[:start] + model[end:]).strip("-_./ ")


def _read_sizes(path: Path) -> Iterator[tuple[str, GivenSize]]:
    seen: set[str] = set()
    for place, row in _rows(path):
        unknown = sorted(set(row) - set(COLUMNS))
        if unknown:
            raise DataError(
                f"{place}: unknown column '{unknown[0]}'; columns are {', '.join(COLUMNS)}."
            )
        name = str(row.get("model") or "").strip()
        if not name:
            raise DataError(f"{place}: no model's name.")
        if name in seen:
            raise DataError(f"{place}: the model '{name}' occurs twice.")
        seen.add(name)
        counts = {key: _count(row.get(key), place, key) for key in COLUMNS[1:5]}
        if counts["params"] is None and counts["non_embedding"] is None:
            raise DataError(f"{place}: '{name}' has neither params nor non_embedding.")
        yield (
            name,
            GivenSize(
                parameters=Parameters(
                    total=counts["params"],
                    non_embedding=counts["non_embedding"],
                    active=counts["active"],
                ),
                train_tokens=counts["train_tokens"],
                family=str(row.get("family") or ""),
            ),
        )


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The sizes {path} cannot be read: {error}.") from error
    if path.suffix == ".json":
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"The sizes {path} are not JSON: {error}.") from error
        if not isinstance(data, dict):
            raise DataError(f"The sizes {path} are no object of model names.")
        for name, value in data.items():
            fields = value if isinstance(value, dict) else {"params": value}
            yield f"{path}, '{name}'", {"model": name, **fields}
        return
    rows = csv.DictReader(text.splitlines())
    if not rows.fieldnames or "model" not in rows.fieldnames:
        raise DataError(
            f"The sizes {path} have no column 'model'.\n"
            f"The first line names the columns: {', '.join(COLUMNS)}."
        )
    for row in rows:
        yield f"{path} line {rows.line_num}", {k: v for k, v in row.items() if k is not None}


def _count(value: object, place: str, name: str) -> int | None:
    if value is None or value == "":
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    try:
        return parse_size(str(value))
    except UsageError as error:
        raise DataError(f"{place}, {name}: {error}") from error
