"""Spans from tags: IOB1, IOB2, IOBES and BILOU, and the lenient reading of conlleval.

A span is ``(type, start, end)`` with ``end`` exclusive, in tokens. Reference implementations:
``conlleval.pl`` (CoNLL-2000) and seqeval 1.2.2, https://github.com/chakki-works/seqeval.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias

from harness.errors import UsageError, suggestion
from harness.types import Entity

Span: TypeAlias = Entity
Scheme: TypeAlias = Literal["auto", "iob1", "iob2", "iobes", "bilou"]

SCHEMES = ("auto", "iob1", "iob2", "iobes", "bilou")

_OUTSIDE = ("O", "")

WORD = re.compile(r"\w+|[^\w\s]")
"""What counts as a token of a text that nobody cut: a word, or a mark."""


def split_tag(tag: str) -> tuple[str, str]:
    """``B-PER`` as ``("B", "PER")``; a bare ``B`` has the type ``_``; anything else is outside.

    BILOU's L and U are read as IOBES' E and S.
    """
    prefix, dash, kind = tag.partition("-")
    prefix = {"L": "E", "U": "S"}.get(prefix, prefix)
    if prefix not in ("B", "I", "E", "S") or (dash and not kind):
        return _OUTSIDE
    return prefix, kind or "_"


def spans_from_tags(tags: Iterable[str], scheme: str = "auto") -> list[Span]:
    """Spans that ``tags`` mark, in order.

    ``auto`` reads as conlleval and seqeval's default do: every tag but O belongs to a span, and one
    begins at B or S, after O, E or S, or where the type changes. The other schemes are seqeval's
    strict mode: what does not follow the scheme is no span (``I-PER`` after O in IOB2, ``B-PER``
    after O in IOB1, an IOBES span without its E). Unknown tags count as O, so a model's invention
    never raises. Raises :class:`UsageError` for an unknown scheme.
    """
    if scheme not in SCHEMES:
        raise UsageError(f"Unknown tag scheme '{scheme}'. {suggestion(scheme, SCHEMES)}")
    parsed = [split_tag(tag) for tag in tags]
    readers = {"auto": _lenient, "iob1": _strict_iob1, "iob2": _strict_iob2}
    return readers.get(scheme, _strict_iobes)(parsed)


def _begins(previous: tuple[str, str], current: tuple[str, str]) -> bool:
    """Whether a span begins at ``current``, in conlleval's reading."""
    prefix, kind = current
    if prefix == "O":
        return False
    return prefix in "BS" or previous[0] in "OES" or previous[1] != kind


def _lenient(parsed: Sequence[tuple[str, str]]) -> list[Span]:
    spans: list[Span] = []
    start, previous = 0, _OUTSIDE
    for i, current in enumerate([*parsed, _OUTSIDE]):
        begins = _begins(previous, current)
        if previous[0] != "O" and (begins or current[0] == "O"):
            spans.append((previous[1], start, i))
        if begins:
            start = i
        previous = current
    return spans


def _strict_iob1(parsed: Sequence[tuple[str, str]]) -> list[Span]:
    """I opens a span, B only one that follows another of its type."""
    spans: list[Span] = []
    i, previous = 0, _OUTSIDE
    while i < len(parsed):
        prefix, kind = parsed[i]
        follows = previous[0] in "BI" and previous[1] == kind
        opens = prefix == "I" and not (follows and previous[0] == "I")
        if not opens and not (prefix == "B" and follows):
            previous = parsed[i]
            i += 1
            continue
        end = i + 1
        while end < len(parsed) and parsed[end] == ("I", kind):
            end += 1
        # As seqeval: a B alone, before a B of another type, is no span.
        after = parsed[end] if end < len(parsed) else _OUTSIDE
        if not (parsed[end - 1][0] == after[0] == "B" and after[1] != kind):
            spans.append((kind, i, end))
        i, previous = end, parsed[end - 1]
    return spans


def _strict_iob2(parsed: Sequence[tuple[str, str]]) -> list[Span]:
    spans: list[Span] = []
    for i, (prefix, kind) in enumerate(parsed):
        if prefix != "B":
            continue
        end = i + 1
        while end < len(parsed) and parsed[end] == ("I", kind):
            end += 1
        spans.append((kind, i, end))
    return spans


def _strict_iobes(parsed: Sequence[tuple[str, str]]) -> list[Span]:
    spans: list[Span] = []
    for i, (prefix, kind) in enumerate(parsed):
        if prefix == "S":
            spans.append((kind, i, i + 1))
        if prefix != "B":
            continue
        end = i + 1
        while end < len(parsed) and parsed[end] == ("I", kind):
            end += 1
        if end < len(parsed) and parsed[end] == ("E", kind):
            spans.append((kind, i, end + 1))
    return spans


def tags_from_spans(spans: Iterable[Span], length: int, scheme: str = "iob2") -> list[str]:
    """Tags of ``length`` tokens that mark ``spans``; where spans overlap, the first one stands.

    ``scheme`` is ``iob1``, ``iob2``, ``iobes`` or ``bilou``. Raises :class:`UsageError`.
    """
    if scheme not in SCHEMES[1:]:
        raise UsageError(f"Unknown tag scheme '{scheme}'. {suggestion(scheme, SCHEMES[1:])}")
    tags = ["O"] * length
    for kind, start, end in spans:
        start, end = max(start, 0), min(end, length)
        if start >= end or any(tag != "O" for tag in tags[start:end]):
            continue
        tags[start:end] = [f"{prefix}-{kind}" for prefix in _prefixes(end - start, scheme)]
    return _as_iob1(tags) if scheme == "iob1" else tags


def _prefixes(width: int, scheme: str) -> list[str]:
    last, single = {"iobes": ("E", "S"), "bilou": ("L", "U")}.get(scheme, ("I", "B"))
    return [single] if width == 1 else ["B", *["I"] * (width - 2), last]


def _as_iob1(tags: list[str]) -> list[str]:
    """IOB2 tags as IOB1: B only where a span touches one of its own type."""
    result: list[str] = []
    for i, tag in enumerate(tags):
        touches = i > 0 and tags[i - 1] != "O" and tags[i - 1][2:] == tag[2:]
        result.append("I" + tag[1:] if tag.startswith("B-") and not touches else tag)
    return result


def spans_in_words(spans: Iterable[Span], words: Sequence[re.Match[str]]) -> list[Span]:
    """Spans in characters as spans in ``words``: all words that each touches.

    A span that touches none, such as one at no place in the text, is left out.
    """
    found: list[Span] = []
    for kind, start, end in spans:
        inside = [i for i, word in enumerate(words) if word.start() < end and word.end() > start]
        if inside:
            found.append((kind, inside[0], inside[-1] + 1))
    return found


def as_spans(spans: Any) -> set[Span]:
    """Spans given as tuples or lists, as a set; what is no span is left out."""
    result: set[Span] = set()
    for one in spans or ():
        try:
            kind, start, end = one
            result.add((str(kind), int(start), int(end)))
        except (TypeError, ValueError, OverflowError):
            continue
    return result
