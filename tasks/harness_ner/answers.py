"""Entities as a model writes them, and their way back to token offsets."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

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


@dataclass(frozen=True, kw_only=True)
class Form:
    """A way to write entities down.

    ``instruction`` says what is asked, ``cue`` stands before the answer. ``render`` writes the
    entities of tokens, joined by ``glue``; ``read`` takes an answer, the tokens and the entity
    types, and never raises.
    """

    instruction: str
    cue: str
    render: Callable[[Sequence[str], Sequence[Span], str], str]
    read: Callable[[str, Sequence[str], Sequence[str]], Reading]


def in_order(spans: Sequence[Span]) -> list[Span]:
    """Spans from left to right, the longer first where two begin together."""
    return sorted(spans, key=lambda span: (span[1], -span[2]))


def reading_of(
    mentions: Sequence[Mention], tokens: Sequence[str], *, readable: bool = True
) -> Reading:
    """A reading of mentions in the order of the text; blank ones make it not readable."""
    filled = [(kind, words) for kind, words in mentions if words.strip()]
    spans = place_mentions(filled, tokens)
    return Reading(
        spans=spans,
        unplaced=tuple(_without([kind for kind, _ in filled], [span[0] for span in spans])),
        readable=readable and len(filled) == len(mentions),
    )


def as_known(kind: str, types: Sequence[str]) -> str:
    """The type of ``types`` that ``kind`` means, without regard to case; else ``kind``."""
    return next((one for one in types if one.casefold() == kind.casefold()), kind)


def any_of(types: Sequence[str]) -> str:
    """A regular expression that matches each of ``types``, or nothing where there are none."""
    return "|".join(re.escape(kind) for kind in sorted(types, key=len, reverse=True)) or "(?!)"


def _without(kinds: Sequence[str], placed: Sequence[str]) -> list[str]:
    left = Counter(kinds)
    left.subtract(placed)
    return sorted(left.elements())


def place_mentions(mentions: Sequence[Mention], tokens: Sequence[str]) -> tuple[Span, ...]:
    """Where mentions stand, in their order; those at no place are left out.

    Each takes the first free occurrence of its words after the mention before it, else the first
    free one of the whole text; so the second ``Paris`` of an answer is the second of the text.
    Where that leaves some without a place, as ``Paris`` named before ``Paris Hilton`` does, the
    longest words choose first, if more find a place so. Blanks do not count, so that ``Smith's``
    finds the tokens ``Smith`` and ``'s``; case does not where nothing is spelt the same.
    """
    bare = ["".join(token.split()) for token in tokens]
    folded = [token.casefold() for token in bare]
    order = range(len(mentions))
    placed = _placed(mentions, order, bare, folded)
    if len(placed) < len(mentions):
        longest = sorted(order, key=lambda number: -len("".join(mentions[number][1].split())))
        placed = max(placed, _placed(mentions, longest, bare, folded), key=len)
    return tuple(placed[number] for number in sorted(placed))


def _placed(
    mentions: Sequence[Mention], order: Sequence[int], bare: Sequence[str], folded: Sequence[str]
) -> dict[int, Span]:
    """Spans by the mention's number, which choose their places in this order."""
    free = [True] * len(bare)
    spans: dict[int, Span] = {}
    cursor = 0
    for number in order:
        kind, words = mentions[number]
        text = "".join(words.split())
        found = text and (
            _find(text, bare, free, cursor)
            or _find(text, bare, free, 0)
            or _find(text.casefold(), folded, free, cursor)
            or _find(text.casefold(), folded, free, 0)
        )
        if found:
            start, cursor = found
            free[start:cursor] = [False] * (cursor - start)
            spans[number] = (kind, start, cursor)
    return spans


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
