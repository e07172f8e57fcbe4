"""Line-aligned text files: sources with one or several references."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.errors import DataError
from harness_files import place, read_lines


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A source sentence, its references (never blank), and its line, counted from 1."""

    line: int
    source: str
    references: tuple[str, ...]


def read_pairs(source: str, references: Sequence[str]) -> tuple[Pair, ...]:
    """Read files that are aligned line by line.

    A blank line in one of several reference files means that this file has no translation there,
    as in WebNLG's references; a sentence needs at least one, and a source. Raises DataError for
    unequal line counts (with both) and for a line without source or without any reference.
    """
    sources = read_lines(source)
    columns = [read_lines(path) for path in references]
    for path, lines in zip(references, columns, strict=True):
        if len(lines) != len(sources):
            raise DataError(
                f"'{source}' has {len(sources)} lines, '{path}' has {len(lines)}.\n"
                "Parallel files need one line per sentence each: name two sides of one part."
            )
    return tuple(_pairs(source, references, sources, columns))


def _pairs(
    source: str, paths: Sequence[str], sources: Sequence[str], columns: Sequence[Sequence[str]]
) -> Iterator[Pair]:
    for number, (text, *translations) in enumerate(zip(sources, *columns, strict=True), start=1):
        if not text.strip():
            raise DataError(
                f"{place(source, number)} is blank: there is nothing to translate.\n"
                "Remove this line from every file."
            )
        filled = tuple(one for one in translations if one.strip())
        if not filled:
            others = f" (and in {len(paths) - 1} more)" if len(paths) > 1 else ""
            raise DataError(
                f"{place(paths[0], number)}{others} is an empty reference.\n"
                "Remove this line from every file, or add a reference with ref2=FILE."
            )
        yield Pair(line=number, source=text, references=filled)
