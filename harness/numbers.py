"""How sizes are written for people."""

from __future__ import annotations

MISSING = "-"


def count(number: int | None) -> str:
    """A parameter count in full, or a dash."""
    return MISSING if number is None else f"{number:,}"


def short(number: float) -> str:
    """A size in words of three digits: 1.26M, 70M, 6.9B."""
    for unit, name in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return f"{number:.3g}"
