"""Names as a model lists them, and their way back to their places in the text."""

from __future__ import annotations

from collections.abc import Sequence

Span = tuple[str, int, int]
"""A name: its label, its first character, and the character after its last."""

LABELS = ("PER", "ORG", "LOC")
NONE = "none"


def read_names(answer: str) -> tuple[list[tuple[str, str]], bool]:
    """Label and name of each part of ``PER: Tila; LOC: Boria``, and whether every part is one."""
    text = answer.strip()
    if text == NONE:
        return [], True
    names, readable = [], True
    for part in text.split(";"):
        label, _, name = (piece.strip() for piece in part.partition(":"))
        if label in LABELS and name:
            names.append((label, name))
        else:
            readable = False
    return names, readable


def placed(names: Sequence[tuple[str, str]], text: str) -> list[Span]:
    """Where the names stand: each at its first place after the one before, else at its first free.

    A name that the text does not hold is a wrong one at no place: it stands before the text.
    """
    spans: list[Span] = []
    cursor = 0
    for number, (label, name) in enumerate(names, start=1):
        taken = {start for _, start, _ in spans}
        starts = [start for start in _starts(name, text) if start not in taken]
        start = next((s for s in starts if s >= cursor), starts[0] if starts else None)
        if start is None:
            spans.append((label, -number, -number))
            continue
        cursor = start + len(name)
        spans.append((label, start, cursor))
    return spans


def _starts(name: str, text: str) -> list[int]:
    """Every place where the name stands as whole words."""
    starts, start = [], text.find(name)
    while start >= 0:
        end = start + len(name)
        before, after = text[:start][-1:], text[end : end + 1]
        if not before.isalnum() and not after.isalnum():
            starts.append(start)
        start = text.find(name, start + 1)
    return starts
