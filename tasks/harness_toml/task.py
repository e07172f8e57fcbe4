"""A described task's rows, asked and graded as those of the built-in data sets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.errors import DataError, UsageError, suggestion
from harness.metrics.named import named_scorer
from harness_choice.choices import Choice, ChoiceSet
from harness_files import DataSet, Item, Row, check_options, data_file, read_json, read_table
from harness_files.rows import as_row, is_json_lines, read_json_lines, read_tabs, wrong_type
from harness_toml.description import Description, read_description

if TYPE_CHECKING:
    from harness.types import Option, Task, TaskSettings

NAME = "toml"
COLUMN = re.compile(r"\{(\w+)\}")


def build(settings: TaskSettings, options: Sequence[Option]) -> Task:
    """Read the description and its rows; raises UsageError and DataError."""
    check_options(NAME, settings, options)
    path = data_file(NAME, settings)
    made = read_description(path)
    needed = "generate" if made.kind == "text" else "loglikelihood"
    if settings.kinds and needed not in settings.kinds:
        raise UsageError(f"'{path}' needs {needed}, which this model does not answer.")
    if settings.shots and not made.shots:
        raise UsageError(
            f"'{path}' names no worked examples for --shots {settings.shots}.\n"
            'Add to it: shots = "FILE"'
        )
    pool = {"shots_data": made.shots} if made.shots else {}
    settings = replace(settings, argument=made.path, options=pool)
    if made.kind == "choice":
        return ChoiceSet(name=NAME, description="", read=lambda file: _choices(made, file)).build(
            settings
        )
    return DataSet(
        name=NAME,
        category="own",
        description="",
        read=lambda file: _items(made, file),
        scorers=lambda: [named_scorer(name) for name in made.metrics],
        max_tokens=made.max_tokens,
        stop=tuple(made.stop),
    ).build(settings)


def read_rows(path: str, names: Sequence[str] = ()) -> Iterator[Row]:
    """Rows of JSON lines, a JSON list, CSV, TSV, Parquet or Arrow, told by the file's name.

    ``names`` are the columns of a CSV or TSV file without a header. Fields of TSV are as they
    stand: quotes are part of the text.
    """
    ending = re.search(r"(\.[a-z]+)(?:\.gz)?$", path.lower())
    if ending and ending[1] == ".csv":
        yield from read_table(path, columns=names, header=not names)
    elif ending and ending[1] == ".tsv":
        yield from read_tabs(path, names)
    elif names:
        raise DataError(f"'{path}' is no CSV or TSV file, whose columns 'names' would name.")
    elif ending and ending[1] == ".json" and not is_json_lines(path):
        value = read_json(path)
        if not isinstance(value, list):
            raise DataError(f"'{path}' holds no list of rows.\nName a file of JSON lines.")
        for number, one in enumerate(value):
            yield as_row(one, f"'{path}', [{number}]")
    else:
        yield from read_json_lines(path)


def _rows(made: Description, path: str) -> Iterator[tuple[str, Row]]:
    asked = (*COLUMN.findall(made.template), made.answer, *made.columns)
    for number, row in enumerate(read_rows(path, made.names), start=1):
        for column in asked:
            if column not in row.fields:
                raise DataError(
                    f"{row.place}: there is no column '{column}'. "
                    f"{suggestion(column, map(str, row.fields))}"
                )
        yield str(number), row


def _question(made: Description, row: Row) -> str:
    return COLUMN.sub(lambda found: _text(row, found[1]), made.template)


def _text(row: Row, column: str) -> str:
    value = row.value(column)
    return str(value) if isinstance(value, int | float) else row.text(column)


def _items(made: Description, path: str) -> Iterator[Item]:
    for identity, row in _rows(made, path):
        several = isinstance(row.value(made.answer), list)
        texts = row.texts(made.answer) if several else (_text(row, made.answer),)
        right = [text for text in texts if text.strip()]
        if not right:
            raise DataError(f"{row.place}: '{made.answer}' is empty.\nFill it in.")
        yield Item(
            id=identity,
            question=_question(made, row),
            answer=f" {right[0].strip()}",
            reference=right,
        )


def _choices(made: Description, path: str) -> Iterator[Choice]:
    for identity, row in _rows(made, path):
        column = made.choices
        texts = row.texts(column) if isinstance(column, str) else _words(column)
        if len(texts) < 2 or not all(text.strip() for text in texts):
            raise DataError(f"{row.place}: two choices or more are needed, none of them empty.")
        context = _question(made, row)
        yield Choice(
            id=identity,
            options=tuple((context, f" {text.strip()}") for text in texts),
            right=(_right(made, row, texts),),
        )


def _words(choices: Sequence[str] | Mapping[str, str]) -> tuple[str, ...]:
    return tuple(choices.values() if isinstance(choices, Mapping) else choices)


def _right(made: Description, row: Row, texts: Sequence[str]) -> int:
    found = row.value(made.answer)
    value = str(found).lower() if isinstance(found, bool) else str(found).strip()
    if isinstance(made.choices, Mapping):
        labels = list(made.choices)
        if value in labels:
            return labels.index(value)
        raise wrong_type(f"{row.place}: '{made.answer}'", f"one of {', '.join(labels)}", found)
    named = [text.strip() for text in texts]
    if value in named:
        return named.index(value)
    if value.isascii() and value.isdigit() and int(value) < len(texts):
        return int(value)
    raise wrong_type(f"{row.place}: '{made.answer}'", "a choice or its number", found)
