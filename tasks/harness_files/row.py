"""A record of a file with typed access, in which each failure has its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.errors import DataError, suggestion
from harness.reading import shown


@dataclass(frozen=True, kw_only=True)
class Row:
    """One record of a file: its fields, and the place that messages name.

    Every getter raises DataError where the key is missing or holds something else.
    """

    fields: Mapping[str, object]
    place: str

    def has(self, key: str) -> bool:
        """Whether ``key`` is there and not null."""
        return self.fields.get(key) is not None

    def value(self, *keys: str) -> object:
        """What the first of ``keys`` that is there holds."""
        for key in keys:
            if self.has(key):
                return self.fields[key]
        wanted = " or ".join(f"'{key}'" for key in keys)
        there = [str(key) for key in self.fields if str(key).isprintable()]
        hint = suggestion(keys[0], there) or "It has no keys."
        raise DataError(f"{self.place}: {wanted} is missing.\n{hint}")

    def text(self, *keys: str) -> str:
        """A string."""
        return checked_text(self.value(*keys), f"{self.place}: '{keys[0]}'")

    def filled(self, *keys: str) -> str:
        """A string that is not blank."""
        text = self.text(*keys)
        if not text.strip():
            raise DataError(f"{self.place}: '{keys[0]}' is empty.\nFill it in or leave it out.")
        return text

    def number(self, *keys: str) -> int:
        """A whole number."""
        value = self.value(*keys)
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(f"{self.place}: '{keys[0]}'", "a whole number", value)
        return value

    def truth(self, *keys: str) -> bool:
        """A JSON boolean."""
        value = self.value(*keys)
        if not isinstance(value, bool):
            raise wrong_type(f"{self.place}: '{keys[0]}'", "true or false", value)
        return value

    def items(self, *keys: str) -> Sequence[object]:
        """A list, of anything."""
        value = self.value(*keys)
        if not isinstance(value, list):
            raise wrong_type(f"{self.place}: '{keys[0]}'", "a list", value)
        return value

    def texts(self, *keys: str) -> tuple[str, ...]:
        """A list of strings."""
        return tuple(
            checked_text(item, f"{self.place}: '{keys[0]}[{position}]'")
            for position, item in enumerate(self.items(*keys))
        )

    def row(self, key: str) -> Row:
        """An object."""
        return as_row(self.value(key), f"{self.place}: '{key}'")

    def rows(self, key: str) -> Iterator[Row]:
        """A list of objects; each one's place says where it stands in the list."""
        for position, item in enumerate(self.items(key)):
            yield as_row(item, f"{self.place}, {key}[{position}]")


def wrong_type(where: str, wanted: str, value: object) -> DataError:
    """The error for a value of the wrong type, which it shows cut short."""
    return DataError(f"{where} is {shown(value)}, not {wanted}.\nCorrect it or name another file.")


def checked_text(value: object, where: str) -> str:
    """``value`` as a string that can be written as UTF-8."""
    if not isinstance(value, str):
        raise wrong_type(where, "a text", value)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where} holds half a surrogate pair at character {error.start}.\n"
            "Write the character itself or both halves of its escape."
        ) from None
    return value


def as_row(value: object, where: str) -> Row:
    """``value`` as an object with named fields."""
    if not isinstance(value, dict):
        raise wrong_type(where, "an object", value)
    return Row(fields=value, place=where)
