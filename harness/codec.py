"""Records to JSON and back, at the files' edge: nothing unknown gets in, nothing is lost.

A record becomes an object of its fields; requests carry their ``kind``. Reading refuses unknown
and missing fields by name, so that a file of another version never half-loads.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from harness.errors import DataError
from harness.types import JSON, Classify, Generate, Loglikelihood, Tag

SCHEMA = 1
T = TypeVar("T")
_ALWAYS = object()
KINDS: Mapping[str, type] = {cls.kind: cls for cls in (Generate, Loglikelihood, Tag, Classify)}


def to_json(value: object) -> JSON:
    """Plain JSON for a record, a tuple, a mapping or a plain value; NaN and infinities as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            name: to_json(content)
            for name, default in _said(type(value))
            if (content := getattr(value, name)) is not default and content != default
        }
        kind = getattr(value, "kind", None)
        return {"kind": kind, **fields} if kind in KINDS else fields
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(to_json(item) for item in value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def from_json(cls: type[T], data: JSON, *, where: str) -> T:
    """A record of ``cls`` from :func:`to_json`'s output; raises DataError naming ``where``."""
    try:
        result: T = _read(cls, data)
        return result
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise DataError(
            f"{where} does not hold a {cls.__name__}: {error}.\n"
            "It was changed by hand or written by another version of harness."
        ) from error


def flaw(record: object) -> str | None:
    """Why ``record`` would not survive being written and read again, or None when it would.

    Plugins fill records in by hand; this is how a wrong type is found while it can still be
    blamed on the one who wrote it.
    """
    try:
        data = to_json(record)
        json.dumps(data, ensure_ascii=False).encode("utf-8")
        _read(type(record), data)
    except UnicodeEncodeError:
        return "a text holds a lone surrogate, which is no Unicode character"
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
        return str(error)
    return None


def _read(hint: Any, data: JSON) -> Any:
    if hint is Any:
        return data
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _read_union(arguments, data)
    if origin is Literal:
        if data not in arguments:
            raise ValueError(f"{data!r} is none of {arguments}")
        return data
    if origin is tuple:
        if not isinstance(data, list):
            raise TypeError(f"a list was expected, not {type(data).__name__}")
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_read(arguments[0], item) for item in data)
        return tuple(_read(h, item) for h, item in zip(arguments, data, strict=True))
    if origin is not None and issubclass(origin, Mapping):
        return types.MappingProxyType({k: _read(arguments[1], v) for k, v in data.items()})
    if dataclasses.is_dataclass(hint):
        return _read_record(hint, data)
    if hint is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if hint is float and data is None:
        return math.nan
    if not isinstance(data, hint) or (hint is int and isinstance(data, bool)):
        raise TypeError(f"{hint.__name__} was expected, not {data!r}")
    return data


def _read_union(arguments: tuple[Any, ...], data: JSON) -> Any:
    if data is None and type(None) in arguments:
        return None
    if isinstance(data, dict) and data.get("kind") in KINDS:
        return _read_record(KINDS[data["kind"]], {k: v for k, v in data.items() if k != "kind"})
    options = [hint for hint in arguments if hint is not type(None)]
    if len(options) != 1:
        raise TypeError(f"{data!r} does not say which kind of record it is")
    return _read(options[0], data)


def _read_record(cls: Any, data: JSON) -> Any:
    if not isinstance(data, dict):
        raise TypeError(f"an object was expected, not {type(data).__name__}")
    hints = _hints(cls)
    unknown = sorted(set(data) - set(hints))
    if unknown:
        raise ValueError(f"unknown field '{unknown[0]}'")
    missing = sorted(set(hints) - set(data) - _added(cls))
    if missing:
        raise ValueError(f"missing field '{missing[0]}'")
    return cls(**{name: _read(hint, data[name]) for name, hint in hints.items() if name in data})


@cache
def _hints(cls: Any) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(cls)}
    return {name: hint for name, hint in get_type_hints(cls).items() if name in names}


@cache
def _said(cls: Any) -> tuple[tuple[str, object], ...]:
    """Fields with the value that is not written; an object of no use for those always written."""
    return tuple(
        (f.name, f.default if f.metadata.get("unsaid") else _ALWAYS)
        for f in dataclasses.fields(cls)
    )


@cache
def _added(cls: Any) -> frozenset[str]:
    """Fields that files of the same schema may lack, since they came later."""
    return frozenset(f.name for f in dataclasses.fields(cls) if f.metadata.get("added"))
