"""How sizes and names are written for people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

MISSING = "-"
SIZE = re.compile(r"\d+(\.\d+)?[kmbt]", re.IGNORECASE)
FOLDERS = re.compile(r"(https?://[^,]*)|[^,:=]*/")
"""What is left out of a name: the folders of a path; an address stays whole."""
NO_PATH = re.compile(r"[<>{}\\\s]")
"""What no path of ours has: a name with it is printed whole, slashes and all."""


def count(number: int | None) -> str:
    """A parameter count in full, or a dash."""
    return MISSING if number is None else f"{number:,}"


def short(number: float) -> str:
    """A size in words of three digits: 1.26M, 70M, 6.9B."""
    for unit, name in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return f"{number:.3g}"


def short_names(names: Iterable[str]) -> Mapping[str, str]:
    """Names without the folders in them, where they stay distinct: ``squad:a/b.json`` is
    ``squad:b.json``."""
    unique = list(dict.fromkeys(names))
    plain = [name if NO_PATH.search(name) else FOLDERS.sub(r"\1", name) for name in unique]
    return {
        name: text if plain.count(text) == 1 else name
        for name, text in zip(unique, plain, strict=True)
    }


def family_of(name: str) -> str:
    """The last component of a model's name without size words such as ``70m`` or ``0.5B``.

    Only whole words between ``-``, ``_`` or ``/`` are taken for sizes, and only to be left out:
    how large a model is, its name does not say.
    """
    last = name.rstrip("/").split("/")[-1]
    kept = [word for word in re.split(r"([-_])", last) if not SIZE.fullmatch(word)]
    bare = re.sub(r"[-_]{2,}", lambda found: found.group()[0], "".join(kept)).strip("-_")
    return bare or last or name


def partial_words(label: object) -> str:
    """What is said wherever a run that is not complete is printed, drawn or compared."""
    return f"PARTIAL: {label} is not complete; cells or samples are missing or failed."


def partial_note(status: str, label: object) -> str:
    """:func:`partial_words`, or nothing where the run is ``complete``."""
    return "" if status == "complete" else partial_words(label)
