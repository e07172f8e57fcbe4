"""What a task's TOML file may say, checked."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from harness.errors import DataError, suggestion
from harness.reading import read_text, shown

KINDS = ("text", "choice")
LISTS = ("metrics", "columns", "stop", "names")


@dataclass(frozen=True, kw_only=True)
class Description:
    """A task: ``path`` holds its rows, ``template`` asks about one of them.

    For ``kind = "text"`` the model writes, and ``answer`` names the column of what is right, a
    text or a list of them. For ``kind = "choice"`` it weighs: ``choices`` names a column that
    holds a list, or lists the same choices for all rows; ``answer`` then names the column of the
    right one, by its number from 0 or by its text. A table of choices says first what the file
    calls each of them. ``names`` are the columns of a table without a header. ``shots`` is a file
    of worked examples.
    """

    path: str
    template: str
    answer: str
    kind: str = "text"
    metrics: Sequence[str] = ("exact_match",)
    choices: str | Sequence[str] | Mapping[str, str] = ""
    columns: Sequence[str] = ()
    names: Sequence[str] = ()
    stop: Sequence[str] = ("\n",)
    max_tokens: int = 64
    shots: str = ""


def read_description(path: str) -> Description:
    """Read a task's file; paths in it are relative to it. Raises DataError."""
    try:
        values = tomllib.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"'{path}' is not TOML: {error}.") from None
    made = _checked(path, values)
    folder = Path(path).parent
    found = {name: str(folder / values[name]) for name in ("path", "shots") if values.get(name)}
    return Description(**{**made, **found})


def _checked(path: str, values: Mapping[str, object]) -> dict[str, Any]:
    known = {field.name: field for field in fields(Description)}
    for name, value in values.items():
        if name not in known:
            raise DataError(f"'{path}' sets '{name}'. {suggestion(name, known)}")
        wanted = _wanted(name)
        if not _is(value, wanted):
            raise DataError(f"'{path}': {name} is {shown(value)}, not {' or '.join(wanted)}.")
    for name, field in known.items():
        if field.default is MISSING and not values.get(name):
            raise DataError(f"'{path}' has no {name}.\nSet path, template and answer at least.")
    kind = values.get("kind", "text")
    if kind not in KINDS:
        raise DataError(f"'{path}': kind is {shown(kind)}. {suggestion(str(kind), KINDS)}")
    if (kind == "choice") != bool(values.get("choices")):
        raise DataError(f"'{path}': choices belong to kind = \"choice\", and must be there for it.")
    if kind == "choice" and {"metrics", "stop", "max_tokens"} & values.keys():
        raise DataError(f"'{path}': metrics, stop and max_tokens are for kind = \"text\" alone.")
    return dict(values)


def _wanted(name: str) -> tuple[str, ...]:
    if name == "max_tokens":
        return ("a whole number from 1",)
    if name == "choices":
        return ("a text", "a list of texts", "a table of texts")
    return ("a list of texts",) if name in LISTS else ("a text",)


def _is(value: object, wanted: Sequence[str]) -> bool:
    number = isinstance(value, int) and not isinstance(value, bool) and value > 0
    kinds = {
        "a whole number from 1": number,
        "a list of texts": isinstance(value, list) and _all_texts(value),
        "a table of texts": isinstance(value, dict) and _all_texts(value.values()),
    }
    return any(kinds.get(one, isinstance(value, str)) for one in wanted)


def _all_texts(values: Collection[object]) -> bool:
    return bool(values) and all(isinstance(one, str) for one in values)
