"""Records to JSON and back, at the files' edge: nothing unknown gets in, nothing is lost.

A record becomes an object of its fields; requests carry their ``kind``. Reading refuses unknown
and missing fields by name, so that a file of another version never half-loads.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from harness.errors import DataError
from harness.types import JSON, Classify, Generate, Loglikelihood, Tag

SCHEMA = 1
T = TypeVar("T")
_ALWAYS = object()
KINDS: Mapping[str, type] = {cls.kind: cls for cls in (Generate, Loglikelihood, Tag, Classify)}


def to_json(value: object) -> JSON:
    """Plain JSON for a record, a tuple, a mapping or a plain value; NaN and infinities as null."""
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is float:
        return value if math.isfinite(value) else None  # type: ignore[arg-type]
    if kind is tuple or kind is list:
        return [to_json(item) for item in value]  # type: ignore[attr-defined]
    if dataclasses.is_dataclass(kind):
        plain = {
            name: to_json(content)
            for name, default in _said(kind)
            if (content := getattr(value, name)) is not default and content != default
        }
        tag = getattr(value, "kind", None)
        return {"kind": tag, **plain} if tag in KINDS else plain
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
    return _reader(hint)(data)


@cache
def _reader(hint: Any) -> Callable[[JSON], Any]:
    """What reads a value of the type ``hint``: worked out once, as files hold many of a kind."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return _same
    if origin in (Union, types.UnionType):
        return _union_reader(arguments)
    if origin is Literal:
        return partial(_chosen, arguments)
    if origin is tuple:
        return _tuple_reader(arguments)
    if origin is not None and issubclass(origin, Mapping):
        return _mapping_reader(arguments[1])
    if dataclasses.is_dataclass(hint):
        return _record_reader(hint)
    return _float if hint is float else partial(_plain, hint)


def _same(data: JSON) -> JSON:
    return data


def _chosen(known: tuple[Any, ...], data: JSON) -> Any:
    if data not in known:
        raise ValueError(f"{data!r} is none of {known}")
    return data


def _float(data: JSON) -> float:
    """A number; null stands for NaN."""
    if type(data) is float:
        return data
    if data is None:
        return math.nan
    if isinstance(data, (int, float)) and not isinstance(data, bool):
        return float(data)
    raise TypeError(f"float was expected, not {data!r}")


def _plain(hint: type, data: JSON) -> Any:
    if type(data) is hint:
        return data
    if not isinstance(data, hint) or (hint is int and isinstance(data, bool)):
        raise TypeError(f"{hint.__name__} was expected, not {data!r}")
    return data


def _tuple_reader(arguments: tuple[Any, ...]) -> Callable[[JSON], tuple[Any, ...]]:
    endless = len(arguments) == 2 and arguments[1] is Ellipsis
    items = [_reader(hint) for hint in arguments[: 1 if endless else None]]

    def read(data: JSON) -> tuple[Any, ...]:
        if not isinstance(data, list):
            raise TypeError(f"a list was expected, not {type(data).__name__}")
        if endless:
            return tuple(map(items[0], data))
        return tuple(item(one) for item, one in zip(items, data, strict=True))

    return read


def _mapping_reader(hint: Any) -> Callable[[JSON], Mapping[str, Any]]:
    item = _reader(hint)
    return lambda data: types.MappingProxyType({key: item(one) for key, one in data.items()})


def _union_reader(arguments: tuple[Any, ...]) -> Callable[[JSON], Any]:
    options = [_reader(hint) for hint in arguments if hint is not type(None)]
    optional = len(options) < len(arguments)

    def read(data: JSON) -> Any:
        if data is None and optional:
            return None
        if isinstance(data, dict) and data.get("kind") in KINDS:
            record = _reader(KINDS[data["kind"]])
            return record({name: one for name, one in data.items() if name != "kind"})
        if len(options) != 1:
            raise TypeError(f"{data!r} does not say which kind of record it is")
        return options[0](data)

    return read


def _record_reader(cls: Any) -> Callable[[JSON], Any]:
    hints = get_type_hints(cls)
    fields = {name: _reader(hints[name]) for name in _names(cls)}
    needed = frozenset(fields) - _added(cls)

    def read(data: JSON) -> Any:
        if not isinstance(data, dict):
            raise TypeError(f"an object was expected, not {type(data).__name__}")
        if not fields.keys() >= data.keys():
            raise ValueError(f"unknown field '{min(data.keys() - fields.keys())}'")
        if not needed <= data.keys():
            raise ValueError(f"missing field '{min(needed - data.keys())}'")
        return cls(**{name: fields[name](one) for name, one in data.items()})

    return read


@cache
def _names(cls: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls))


@cache
def _said(cls: Any) -> tuple[tuple[str, object], ...]:
    """Fields with the value that is not written; an object of no use for those always written."""
    return tuple(
        (f.name, f.default if f.metadata.get("unsaid") else _ALWAYS)
        for f in dataclasses.fields(cls)
    )


def _added(cls: Any) -> frozenset[str]:
    """Fields that files of the same schema may lack, since they came later."""
    return frozenset(f.name for f in dataclasses.fields(cls) if f.metadata.get("added"))
