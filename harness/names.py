"""The little language of ``--models`` and ``--tasks``: braces, commas, arguments, options.

``nano,hf:org/pythia-{70m,160m},dtype=float32`` names three models; ``dtype`` is an option of the
two after the brace. A backslash takes the next character as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from harness.errors import UsageError

OPTION = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)\Z", re.DOTALL)
RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)\Z")


@dataclass(frozen=True, kw_only=True)
class Item:
    """One model or task as written: ``text`` whole (it parses to this item again), then cut."""

    text: str
    name: str
    argument: str
    options: Mapping[str, str]


def parse_items(text: str, *, what: str = "name") -> tuple[Item, ...]:
    """Cut ``text`` into items; raises UsageError on unbalanced braces or an empty name."""
    return tuple(
        _item(_split(expanded, ","), what)
        for pieces in _grouped(text)
        for expanded in expand_braces(",".join(pieces))
    )


def expand_braces(text: str) -> list[str]:
    """Shell-like: ``a{b,c}{1..3}`` becomes six strings; a text without braces stays alone."""
    start = _find(text, "{")
    if start < 0:
        if _find(text, "}") >= 0:
            raise UsageError(f"Unbalanced '}}' in '{text}'.\nWrite \\}} for a brace itself.")
        return [text]
    end = _closing(text, start)
    inner, rest = text[start + 1 : end], expand_braces(text[end + 1 :])
    numbers = RANGE.match(inner)
    if numbers:
        low, high = int(numbers[1]), int(numbers[2])
        step = 1 if low <= high else -1
        choices = [str(n) for n in range(low, high + step, step)]
    else:
        choices = [one for part in _split(inner, ",") for one in expand_braces(part)]
    return [text[:start] + choice + tail for choice in choices for tail in rest]


def _find(text: str, wanted: str) -> int:
    escaped = False
    for position, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == wanted:
            return position
    return -1


def _closing(text: str, start: int) -> int:
    depth, escaped = 0, False
    for position in range(start, len(text)):
        character = text[position]
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return position
    raise UsageError(f"Unbalanced '{{' in '{text}'.\nWrite \\{{ for a brace itself.")


def _split(text: str, separator: str) -> list[str]:
    """Split at ``separator`` outside braces, backslashes kept."""
    pieces, depth, escaped = [""], 0, False
    for character in text:
        if escaped or character == "\\":
            escaped = not escaped
        elif character in "{}":
            depth += 1 if character == "{" else -1
        elif character == separator and depth == 0:
            pieces.append("")
            continue
        pieces[-1] += character
    return pieces


def _grouped(text: str) -> Iterator[list[str]]:
    """Comma pieces, each ``key=value`` piece put with the item before it."""
    group: list[str] = []
    for piece in _split(text, ","):
        piece = piece.strip()
        if group and OPTION.match(piece):
            group.append(piece)
            continue
        if group:
            yield group
        group = [piece] if piece else []
    if group:
        yield group


def _item(pieces: list[str], what: str) -> Item:
    name, colon, rest = pieces[0].partition(":")
    if not name:
        raise UsageError(f"'{','.join(pieces)}' has no {what} before ':'.")
    parts = ([rest] if colon and rest else []) + pieces[1:]
    argument = ""
    options: dict[str, str] = {}
    for position, part in enumerate(parts):
        option = OPTION.match(part)
        if option:
            if option[1] in options:
                raise UsageError(f"Option '{option[1]}' is given twice in '{','.join(pieces)}'.")
            options[option[1]] = _unescape(option[2])
        elif position == 0:
            argument = _unescape(part)
    return Item(
        text=",".join(pieces),
        name=name,
        argument=argument,
        options=MappingProxyType(options),
    )


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def escaped(text: str) -> str:
    """``text`` with a backslash before all that means something here, so that it means itself."""
    return re.sub(r"([\\,{}])", r"\\\1", text)
