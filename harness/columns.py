"""CoNLL column files: a token and its tags per line, a blank line after each sentence.

IOB1 (``I-`` opens an entity, ``B-`` only parts two that touch), IOB2, IOBES and BILOU need not be
told apart: read as conlleval reads them, well-formed tags of each give their entities.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.errors import DataError
from harness.reading import place, read_lines, shown

DOCUMENT = "-DOCSTART-"
TAG = re.compile(r"O|[BIESLU]-\S+", re.ASCII)
PREFIX = re.compile(r"[a-z]{2,3}:(?=.)", re.ASCII)
BLANKS = re.compile(r"[ \t]+")


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """Tokens with one tag each; ``document`` counts ``-DOCSTART-`` lines.

    It is None where a file has fewer than two: a single document tells nothing of their spread.
    """

    line: int
    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    document: str | None = None


def read_columns(
    path: str, *, column: int | None = None, encoding: str = "utf-8"
) -> tuple[Sentence, ...]:
    """The file's sentences.

    Columns are parted by tabs where a line has any, else by blanks; the first holds the token, the
    tag stands in ``column`` (from 1; default: the last). ``-DOCSTART-`` lines open a document and
    are no sentences. A line of blanks and tabs alone is blank. A language prefix that every token
    of the file bears, as in WikiANN, is taken off.
    Raises DataError for a line with fewer columns than the first or a tag that is none.
    """
    sentences: list[Sentence] = []
    documents = 0
    width = 0
    rows: list[tuple[str, str]] = []

    def finish(before: int) -> None:
        if rows:
            tokens, tags = zip(*rows, strict=True)
            document = str(documents) if documents else None
            sentences.append(
                Sentence(line=before - len(rows), tokens=tokens, tags=tags, document=document)
            )
            rows.clear()

    lines = read_lines(path, encoding=encoding)
    for number, line in enumerate(lines, start=1):
        fields = _fields(line)
        if not fields or fields[0] == DOCUMENT:
            finish(number)
            documents += bool(fields)
            continue
        width = width or len(fields)
        rows.append((fields[0], _tag(fields, width, column, place(path, number))))
    finish(len(lines) + 1)
    if not sentences:
        raise DataError(f"'{path}' holds no sentences.\nName a file with a token and tag per line.")
    if documents < 2:
        sentences = [replace(sentence, document=None) for sentence in sentences]
    return _without_prefix(sentences)


def _fields(line: str) -> Sequence[str]:
    if not line.strip(" \t"):
        return ()
    if "\t" in line:
        return [field.strip(" ") for field in line.rstrip("\t ").split("\t")]
    return BLANKS.split(line.strip(" "))


def _tag(fields: Sequence[str], width: int, column: int | None, where: str) -> str:
    if len(fields) != width or width < 2 or (column or 2) > width:
        wanted = f"at least {max(column or 2, 2)}" if len(fields) == width else f"{width}"
        raise DataError(
            f"{where} has {len(fields)} columns, not {wanted}.\n"
            "Each line needs a token and a tag, parted by blanks or a tab, the same in all lines."
        )
    tag = fields[(column or width) - 1]
    if not TAG.fullmatch(tag):
        raise DataError(
            f"{where}: {shown(tag)} is no tag such as O, B-PER or I-LOC.\n"
            "Tags stand in the last column, or where a task's option column=N (from 1) says."
        )
    return tag


def _without_prefix(sentences: Sequence[Sentence]) -> tuple[Sentence, ...]:
    """WikiANN's files put the language before each token (``en:The``); it is no part of it."""
    prefix = PREFIX.match(sentences[0].tokens[0])
    if prefix is None or not all(
        token.startswith(prefix[0]) for sentence in sentences for token in sentence.tokens
    ):
        return tuple(sentences)
    return tuple(
        replace(sentence, tokens=tuple(token[len(prefix[0]) :] for token in sentence.tokens))
        for sentence in sentences
    )
