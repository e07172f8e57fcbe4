"""Line-aligned text files: sources with one or several references, and tasks made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.errors import DataError, UsageError
from harness.reading import place, read_lines
from harness.types import Option
from harness_files.dataset import Item, ask
from harness_files.options import data_file, pool_file
from harness_files.rows import check_ids
from harness_files.shots import Shot, few_shot
from harness_files.tasks import AnswerTask

if TYPE_CHECKING:
    from harness.metrics.scorer import Scorer
    from harness.types import Cut, TaskSettings

MAX_REFERENCES = 4

PAIR_FILES = (
    Option(name="src", help="the sources, one per line, plain or gzip", required=True),
    Option(name="ref", help="the references, line by line", required=True),
    *(
        Option(name=f"ref{number}", help="further references")
        for number in range(2, MAX_REFERENCES + 1)
    ),
    Option(name="shots_src", help="sources of worked examples for --shots"),
    Option(name="shots_ref", help="references of worked examples"),
)


ROWS_OR_PAIRS = (
    Option(name="data", help="rows of both texts, as the hub has them; hub: what was fetched"),
    Option(name="shots_data", help="rows of worked examples for --shots; hub: what was fetched"),
    *(replace(option, required=False) for option in PAIR_FILES),
)
"""The options of a data set that the hub has as rows, and others as line-aligned files."""


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
            longer, at = (source, len(lines)) if len(sources) > len(lines) else (path, len(sources))
            raise DataError(
                f"'{source}' has {len(sources)} lines, '{path}' has {len(lines)}: "
                f"{place(longer, at + 1)} has no other side.\n"
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


@dataclass(frozen=True, kw_only=True)
class PairTask:
    """How a task of line-aligned files asks and scores.

    ``item`` turns a pair into a question; ``scorers`` is told how many references every sample
    has, None where they differ. ``cut`` says which part of a prompt longer than a model's context
    is lost. ``rows`` reads pairs from one file of rows, as the hub has them; ``subset`` names the
    part of the hub's data set that is asked.
    """

    name: str
    item: Callable[[Pair], Item]
    scorers: Callable[[int | None], Sequence[Scorer]]
    max_tokens: int
    stop: tuple[str, ...] = ("\n",)
    clean: Callable[[str], str | None] = str.strip
    cut: Cut = "start"
    rows: Callable[[str], Iterator[Pair]] | None = None
    subset: str | None = None

    def build(self, settings: TaskSettings) -> AnswerTask:
        """Read the files that the settings name, and put every line into a prompt."""
        pairs = self._pairs(settings)
        items = tuple(self.item(pair) for pair in pairs)
        shots = few_shot(
            self.name, settings, self._pool(settings), needs="shots_src=FILE,shots_ref=FILE"
        )
        counts = {len(pair.references) for pair in pairs}
        return AnswerTask(
            items=ask(items, shots, max_tokens=self.max_tokens, stop=self.stop, cut=self.cut),
            answers={item.id: item.answer for item in items},
            scorers=self.scorers(counts.pop() if len(counts) == 1 else None),
            read=self.clean,
        )

    def _pairs(self, settings: TaskSettings) -> tuple[Pair, ...]:
        """From one file of rows, or from files that are aligned line by line."""
        named = settings.argument or settings.options.get("data")
        if self.rows is None or (settings.options.get("src") and not named):
            source, *references = pair_files(self.name, settings)
            return read_pairs(source, references)
        if settings.options.get("src"):
            raise UsageError(
                f"Task '{self.name}' is given both src=FILE and a file of rows.\nKeep one of them."
            )
        if not named:
            raise UsageError(
                f"Task '{self.name}' needs its data.\n"
                f"Write '{self.name}:hub', '{self.name}:FILE' or '{self.name}:src=FILE,ref=FILE'."
            )
        path = data_file(self.name, settings, self.subset)
        pairs = tuple(self.rows(path))
        check_ids(path, (str(pair.line) for pair in pairs))
        return pairs

    def _pool(self, settings: TaskSettings) -> list[Shot]:
        pool = pool_file(self.name, settings, self.subset)
        if pool and self.rows is not None:
            rows = (self.item(pair) for pair in self.rows(pool))
            return [Shot(question=item.question, answer=item.answer) for item in rows]
        paths = [settings.options.get(name, "") for name in ("shots_src", "shots_ref")]
        if not any(paths):
            return []
        if not all(paths):
            raise UsageError(f"Task '{self.name}' needs both shots_src=FILE and shots_ref=FILE.")
        items = (self.item(pair) for pair in read_pairs(paths[0], paths[1:]))
        return [Shot(question=item.question, answer=item.answer) for item in items]


def pair_files(name: str, settings: TaskSettings) -> list[str]:
    """Source and references that the settings name; UsageError where one is missing."""
    for option in ("src", "ref"):
        if not settings.options.get(option):
            raise UsageError(
                f"Task '{name}' needs {option}=FILE.\n"
                f"Write '{name}:src=FILE,ref=FILE', with one text per line in each."
            )
    names = ["src", "ref", *(f"ref{number}" for number in range(2, MAX_REFERENCES + 1))]
    return [settings.options[one] for one in names if settings.options.get(one)]
