"""Recipe files of ``harness pretrain``: TOML in, a request's options out.

::

    objective = "causal"            # or "mlm", "mlm+nsp"

    [corpus]                        # harness.pretraining.CorpusOptions
    files = ["text.txt"]

    [family]                        # FamilyOptions; [[family.shapes]] are SizeOptions
    name = "mine"

    [training]                      # TrainingOptions
    tokens = 1_000_000
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_args

from harness.codec import from_json, to_json
from harness.errors import DataError, UsageError, suggestion
from harness.pretraining import (
    CorpusOptions,
    FamilyOptions,
    Objective,
    SizeOptions,
    TrainingOptions,
)

T = TypeVar("T")
TABLES: Mapping[str, type] = {
    "corpus": CorpusOptions,
    "family": FamilyOptions,
    "training": TrainingOptions,
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a recipe file and the command line say together."""

    objective: Objective
    corpus: CorpusOptions
    family: FamilyOptions
    training: TrainingOptions


def read_recipe(path: Path) -> dict[str, Any]:
    """The tables of a recipe file. Files of the corpus are looked for beside it.

    Raises DataError for what is no TOML, UsageError for a table that does not exist.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"There is no recipe '{path}'.\nName a TOML file.") from None
    except (OSError, ValueError) as error:
        raise DataError(f"'{path}' cannot be read as a recipe: {error}.") from None
    known = ["objective", *TABLES]
    for name, value in found.items():
        if name not in known:
            raise UsageError(f"'{path}' has an unknown entry '{name}'. {suggestion(name, known)}")
        if name in TABLES and not isinstance(value, dict):
            raise UsageError(f"'{path}': '{name}' must be a table, [{name}].")
    corpus = found.get("corpus", {})
    if isinstance(corpus.get("files"), list):
        corpus["files"] = [_beside(path, name) for name in corpus["files"]]
    if corpus.get("tokenizer"):
        corpus["tokenizer"] = _beside(path, corpus["tokenizer"])
    return found


def make_recipe(said: Mapping[str, Any], *, where: str) -> Recipe:
    """Options from tables as :func:`read_recipe` gives them; what is not said is as usual.

    Raises UsageError for an unknown objective or entry, or a value of the wrong type.
    """
    objective = said.get("objective", "causal")
    known = get_args(Objective)
    if objective not in known:
        raise UsageError(f"Unknown objective '{objective}'. {suggestion(str(objective), known)}")
    family = dict(said.get("family", {}))
    shapes = family.get("shapes", ())
    if not isinstance(shapes, list | tuple) or not all(isinstance(one, dict) for one in shapes):
        raise UsageError(f"{where}: the shapes of a family are tables, [[family.shapes]].")
    family["shapes"] = [
        to_json(_options(SizeOptions, one, f"{where}, a shape", required=True)) for one in shapes
    ]
    return Recipe(
        objective=objective,
        corpus=_options(CorpusOptions, said.get("corpus", {}), f"{where}, corpus"),
        family=_options(FamilyOptions, family, f"{where}, family"),
        training=_options(TrainingOptions, said.get("training", {}), f"{where}, training"),
    )


def _options(kind: type[T], said: Mapping[str, Any], where: str, *, required: bool = False) -> T:
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for name in said:
        if name not in names:
            raise UsageError(f"{where}: unknown entry '{name}'. {suggestion(name, names)}")
    if required:
        usual: dict[str, Any] = {"batch_rows": None, "rates": [], "dtype": None}
        missing = [name for name in names if name not in {**usual, **said}]
        if missing:
            raise UsageError(f"{where}: '{missing[0]}' is missing.")
    else:
        usual = to_json(kind())
    if not required:
        for name, value in said.items():
            _read(kind, {**usual, name: value}, f"{where}: '{name}'")
    return _read(kind, {**usual, **said}, where)


def _read(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    try:
        return from_json(kind, values, where=where)
    except DataError as error:
        # The codec speaks of files that programs write; what it found is after the colon.
        reason = str(error).splitlines()[0].partition(f"does not hold a {kind.__name__}: ")[2]
        raise UsageError(f"{where} cannot be so: {reason or error}") from None


def _beside(path: Path, name: object) -> object:
    if not isinstance(name, str):
        return name
    near = path.parent / name
    return str(near) if near.is_file() else name
