"""Entities as a model writes them, and their way back to token offsets.

The written form is that of InstructUIE (Wang et al. 2023, arXiv:2304.08085): ``TYPE: words``,
parted by semicolons, in the order of the text, or ``None``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

NONE = "None"

Span: TypeAlias = tuple[str, int, int]
"""An entity: type, first token, and the token after its last."""

Mention: TypeAlias = tuple[str, str]
"""An entity as written: type and words."""

Extent: TypeAlias = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What an answer says.

    ``spans`` are the entities found in the text; ``unplaced`` holds the types of those whose words
    the text does not hold (wrong entities, at no place); ``readable`` is False where a part of the
    answer is not of the written form.
    """

    spans: tuple[Span, ...]
    unplaced: tuple[str, ...]
    readable: bool

    @property
    def entities(self) -> list[Span]:
        """Every entity of the answer; those at no place stand before the text, each elsewhere."""
        nowhere = [(kind, -number, -number) for number, kind in enumerate(self.unplaced, start=1)]
        return [*self.spans, *nowhere]


def render(tokens: Sequence[str], spans: Sequence[Span]) -> str:
    """The written form of entities, as worked examples show it."""
    ordered = sorted(spans, key=lambda span: span[1])
    parts = [f"{kind}: {' '.join(tokens[start:end])}" for kind, start, end in ordered]
    return "; ".join(parts) or NONE


def read_answer(answer: str, tokens: Sequence[str], types: Sequence[str]) -> Reading:
    """Read an answer about ``tokens``; never raises.

    Types are matched without regard to case. Semicolons that no ``TYPE:`` follows belong to the
    words before them, so that any token may occur in a name. A blank answer is not readable.
    """
    text = answer.strip()
    if text.rstrip(".").casefold() == NONE.casefold():
        return Reading(spans=(), unplaced=(), readable=True)
    label = "|".join(re.escape(kind) for kind in sorted(types, key=len, reverse=True)) or "(?!)"
    head, *parts = re.split(rf"(?:^|;)\s*({label})\s*:", text, flags=re.IGNORECASE)
    known = {kind.casefold(): kind for kind in types}
    mentions = [
        (known.get(kind.casefold(), kind), words)
        for kind, words in zip(parts[0::2], parts[1::2], strict=True)
    ]
    filled = [(kind, words) for kind, words in mentions if words.strip()]
    spans = place_mentions(filled, tokens)
    return Reading(
        spans=spans,
        unplaced=tuple(_without([kind for kind, _ in filled], [span[0] for span in spans])),
        readable=bool(filled) and len(filled) == len(mentions) and not head.strip(" ;"),
    )


def _without(kinds: Sequence[str], placed: Sequence[str]) -> list[str]:
    left = Counter(kinds)
    left.subtract(placed)
    return sorted(left.elements())


def place_mentions(mentions: Sequence[Mention], tokens: Sequence[str]) -> tuple[Span, ...]:
    """Where mentions stand, from left to right; those at no place are left out.

    Each takes the first free occurrence of its words after the mention before it, else the first
    free one of the whole text; so the second ``Paris`` of an answer is the second of the text.
    Blanks do not count, so that ``Smith's`` finds the tokens ``Smith`` and ``'s``.
    """
    bare = ["".join(token.split()) for token in tokens]
    free = [True] * len(tokens)
    spans: list[Span] = []
    cursor = 0
    for kind, words in mentions:
        text = "".join(words.split())
        found = _find(text, bare, free, cursor) or _find(text, bare, free, 0)
        if not text or found is None:
            continue
        start, cursor = found
        free[start:cursor] = [False] * (cursor - start)
        spans.append((kind, start, cursor))
    return tuple(spans)


def _find(text: str, tokens: Sequence[str], free: Sequence[bool], begin: int) -> Extent | None:
    """The first free tokens from ``begin`` on that spell ``text``, both without blanks."""
    for start in range(begin, len(tokens)):
        end, spelt = start, ""
        while len(spelt) < len(text) and end < len(tokens) and free[end]:
            spelt += tokens[end]
            end += 1
        if spelt == text:
            return start, end
    return None
