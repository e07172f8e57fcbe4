"""The key: read from an environment variable, and kept out of every text.

This module alone reads the environment, because a key must come from nowhere else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from urllib.parse import quote

from harness.errors import UsageError

LEAST = 6
"""Shorter keys are stand-ins such as ``EMPTY`` or ``x``, whose letters occur in any text."""


class Secret:
    """A key that shows itself to nobody but the SDK."""

    __slots__ = ("_value", "variable")

    def __init__(self, variable: str, value: str) -> None:
        """``value`` may be empty: no key is known."""
        self.variable = variable
        self._value = value

    def __repr__(self) -> str:
        """The variable's name alone."""
        return f"Secret({self.variable})"

    def __bool__(self) -> bool:
        """Whether there is a key."""
        return bool(self._value)

    def reveal(self) -> str:
        """The key itself, for the SDK; a word that is no key where there is none."""
        return self._value or "none"

    def is_in(self, text: str) -> bool:
        """Whether ``text`` repeats the key, as it is or as JSON, Python or a URL writes it."""
        return any(form in text for form in self._forms())

    def scrub(self, text: str) -> str:
        """``text`` with asterisks in the key's place."""
        for form in self._forms():
            text = text.replace(form, "***")
        return text

    def _forms(self) -> Iterator[str]:
        value = self._value
        if len(value) >= LEAST:
            quoted = json.dumps(value)[1:-1]
            yield from dict.fromkeys((value, quoted, repr(value)[1:-1], quote(value, safe="")))


def read_secret(variable: str, *, required: bool) -> Secret:
    """The key in the environment variable.

    Raises :class:`harness.errors.UsageError` when it is not set though ``required``, or holds what
    no HTTP header can.
    """
    value = os.environ.get(variable, "").strip()
    if required and not value:
        raise UsageError(
            f"openai: no key: the environment variable {variable} is not set.\n"
            "Set it, or name another one with the option key=VARIABLE."
        )
    if not value.isascii() or not value.isprintable() or " " in value:
        raise UsageError(
            f"openai: the environment variable {variable} holds white space or letters that no key "
            "has.\nSet it anew."
        )
    return Secret(variable, value)
