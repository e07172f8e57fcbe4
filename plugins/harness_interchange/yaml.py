"""YAML for the few shapes that exports need: every text is quoted, so nothing is guessed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff\ufffe\uffff]")
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
WORDS = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null"])
"""What YAML 1.1 takes for a truth value or nothing."""


def to_yaml(value: Any) -> str:
    """A document of lists, mappings, texts, numbers and truth values (YAML 1.1 and 1.2)."""
    return "\n".join(_lines(value)) + "\n"


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _entry(f"{_key(str(key))}:", item)
    elif isinstance(value, list) and value:
        for item in value:
            first, *rest = _lines(item)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
    else:
        yield _scalar(value)


def _entry(label: str, item: Any) -> Iterator[str]:
    if isinstance(item, Mapping | list) and item:
        yield label
        yield from (f"  {line}" for line in _lines(item))
    else:
        yield f"{label} {_scalar(item)}"


def _key(key: str) -> str:
    return key if PLAIN.match(key) and key.lower() not in WORDS else _quoted(key)


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, float):
        # YAML 1.1 reads 1e-05 as a text: it wants a point in the mantissa.
        text = repr(value)
        mantissa, e, exponent = text.partition("e")
        return text if not e or "." in mantissa else f"{mantissa}.0e{exponent}"
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, list):
        return "[]"
    return json.dumps(value)


def _quoted(text: str) -> str:
    """Double quotes with JSON's escapes, which YAML shares; what YAML must not hold, escaped."""
    return UNPRINTABLE.sub(
        lambda found: f"\\u{ord(found.group()):04x}", json.dumps(text, ensure_ascii=False)
    )
