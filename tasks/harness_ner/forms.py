"""Three forms in which a model may write entities down.

``list``
    ``PER: Ben Smith; LOC: Paris``, or ``None``; InstructUIE's (Wang et al. 2023, arXiv:2304.08085).
``tags``
    the text again, with ``<PER>Ben Smith</PER>`` in it; the only form that says which of several
    occurrences is meant (Wang et al. 2023, GPT-NER, arXiv:2304.10428, with a mark for each type).
``json``
    ``[{"type": "PER", "text": "Ben Smith"}]``; an object of lists by type is read, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import accumulate
from types import MappingProxyType

from harness_ner.answers import (
    Form,
    Mention,
    Reading,
    Span,
    any_of,
    as_known,
    in_order,
    reading_of,
)

NONE = "None"


def render_list(tokens: Sequence[str], spans: Sequence[Span], glue: str = " ") -> str:
    """``TYPE: words`` of each entity, in order."""
    parts = [f"{kind}: {glue.join(tokens[start:end])}" for kind, start, end in in_order(spans)]
    return "; ".join(parts) or NONE


def read_list(answer: str, tokens: Sequence[str], types: Sequence[str]) -> Reading:
    """Types are matched without regard to case; a blank answer is not readable.

    Semicolons that no ``TYPE:`` follows belong to the words before them, so that any token may
    occur in a name.
    """
    text = answer.strip()
    if text.rstrip(".").casefold() == NONE.casefold():
        return Reading(spans=(), unplaced=(), readable=True)
    head, *parts = re.split(rf"(?:^|;)\s*({any_of(types)})\s*:", text, flags=re.IGNORECASE)
    mentions = [
        (as_known(kind, types), words) for kind, words in zip(parts[0::2], parts[1::2], strict=True)
    ]
    return reading_of(mentions, tokens, readable=bool(mentions) and not head.strip(" ;"))


def render_tags(tokens: Sequence[str], spans: Sequence[Span], glue: str = " ") -> str:
    """The text with its entities marked; of entities that overlap, the first alone."""
    marked = list(tokens)
    reached = 0
    for kind, start, end in in_order(spans):
        if start >= reached:
            marked[start] = f"<{kind}>{marked[start]}"
            marked[end - 1] += f"</{kind}>"
            reached = end
    return glue.join(marked)


def read_tags(answer: str, tokens: Sequence[str], types: Sequence[str]) -> Reading:
    """Entities by their place where the answer repeats the text, else by their words.

    Not readable: marks that do not pair, and a text that is neither the one asked about nor marked.
    """
    pieces = re.split(rf"<(/?)({any_of(types)})>", answer.strip(), flags=re.IGNORECASE)
    text, balanced, opened = "", True, ""
    found: list[tuple[str, int, int]] = []
    start = 0
    for plain, closing, kind in zip(
        pieces[0::3], [*pieces[1::3], ""], [*pieces[2::3], ""], strict=True
    ):
        text += "".join(plain.split())
        name = as_known(kind, types)
        if not kind:
            continue
        if closing and opened == name and start < len(text):
            found.append((name, start, len(text)))
            opened = ""
        elif closing or opened:
            balanced = False
        else:
            opened, start = name, len(text)
    same = text == "".join("".join(token.split()) for token in tokens)
    readable = balanced and not opened and (same or bool(found))
    if not same:
        mentions = [(kind, text[begin:end]) for kind, begin, end in found]
        return reading_of(mentions, tokens, readable=readable)
    spans = [(kind, *_tokens_of(begin, end, tokens)) for kind, begin, end in found]
    return Reading(spans=tuple(spans), unplaced=(), readable=readable)


def _tokens_of(begin: int, end: int, tokens: Sequence[str]) -> tuple[int, int]:
    """The tokens that hold the characters from ``begin`` to ``end``, blanks not counted."""
    ends = list(accumulate(len("".join(token.split())) for token in tokens))
    first = sum(one <= begin for one in ends)
    last = sum(one < end for one in ends)
    return first, max(last + 1, first)


def render_json(tokens: Sequence[str], spans: Sequence[Span], glue: str = " ") -> str:
    """An object of type and text for each entity, in order."""
    entities = [
        {"type": kind, "text": glue.join(tokens[start:end])} for kind, start, end in in_order(spans)
    ]
    return json.dumps(entities, ensure_ascii=False)


def read_json(answer: str, tokens: Sequence[str], types: Sequence[str]) -> Reading:
    """The first JSON value of the answer; text around it does no harm."""
    opening = re.search(r"[\[{]", answer)
    try:
        value = json.JSONDecoder().raw_decode(answer, opening.start())[0] if opening else None
    except (ValueError, RecursionError):
        value = None
    mentions = _mentions(value, types)
    return reading_of(mentions or [], tokens, readable=mentions is not None)


def _mentions(value: object, types: Sequence[str]) -> list[Mention] | None:
    """Mentions of a JSON value, None where it is of neither form.

    A list of entities may be the one value of an object, such as ``{"entities": [...]}``.
    """
    if isinstance(value, dict) and len(value) == 1:
        (inner,) = value.values()
        if isinstance(inner, list) and any(isinstance(one, dict) for one in inner):
            return _mentions(inner, types)
    if isinstance(value, dict):
        lists = [(kind, words) for kind, words in value.items() if isinstance(words, list)]
        pairs = [(kind, one) for kind, words in lists for one in words]
        whole = len(lists) == len(value)
    elif isinstance(value, list):
        entities = [one for one in value if isinstance(one, dict)]
        pairs = [(one.get("type"), one.get("text")) for one in entities]
        whole = len(entities) == len(value)
    else:
        return None
    named = [
        (as_known(kind, types), words)
        for kind, words in pairs
        if isinstance(kind, str) and isinstance(words, str)
    ]
    return named if whole and len(named) == len(pairs) else None


FORMS: Mapping[str, Form] = MappingProxyType(
    {
        "list": Form(
            instruction="List the named entities of each text in order, as TYPE: words, "
            f"parted by semicolons, or {NONE}.",
            cue="Entities:",
            render=render_list,
            read=read_list,
        ),
        "tags": Form(
            instruction="Repeat each text with its named entities marked as <TYPE>words</TYPE>.",
            cue="Marked:",
            render=render_tags,
            read=read_tags,
        ),
        "json": Form(
            instruction="List the named entities of each text in order, as JSON: "
            '[{"type": TYPE, "text": words}].',
            cue="JSON:",
            render=render_json,
            read=read_json,
        ),
    }
)
