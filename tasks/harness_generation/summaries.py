"""Summaries of dialogues and articles, asked for with ``TL;DR:``.

The prompt is GPT-2's (Radford et al. 2019): the text, and ``TL;DR:`` on a line of its own. ROUGE
with stemming, as published results for these sets have it. What is too long for a model loses its
middle: summaries follow a text's beginning, and ``TL;DR:`` must stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from harness import metrics
from harness.types import TaskSpec
from harness_files import DataSet, Item, check_options, read_json_lines, read_table
from harness_files.hub import HUB
from harness_files.pairs import PAIR_FILES, ROWS_OR_PAIRS, Pair, PairTask

if TYPE_CHECKING:
    from harness.metrics.scorer import Scorer
    from harness.types import Task, TaskSettings

NAME = "summarization"
MARK = re.compile(r"\s*</?t>\s*")
"""Sentence marks of the CNN/DailyMail files in use: ``<t> A sentence . </t>``."""


def sentences(text: str) -> str:
    """A text with each marked sentence on a line of its own; without marks, as it is."""
    return "\n".join(part for part in MARK.split(text.strip()) if part)


def _question(text: str) -> str:
    return f"{text.strip()}\n\nTL;DR:"


def _pair(pair: Pair) -> Item:
    references = [sentences(reference) for reference in pair.references]
    return Item(
        id=str(pair.line),
        question=_question(" ".join(sentences(pair.source).split("\n"))),
        answer=f" {references[0]}",
        reference=references,
    )


def _dialogsum(path: str) -> Iterator[Item]:
    """The authors' JSON lines, or the hub's CSV."""
    table = path.removesuffix(".gz").endswith(".csv")
    columns = ("id", "dialogue", "summary")
    for row in read_table(path, columns=columns) if table else read_json_lines(path):
        keys = [key for key in row.fields if re.fullmatch(r"summary\d*", str(key))] or ["summary"]
        references = [row.filled(key).strip() for key in keys]
        yield Item(
            id=row.text("fname", "id"),
            question=_question(row.filled("dialogue")),
            answer=f" {references[0]}",
            reference=references,
        )


def _scorers(*kinds: str) -> tuple[Scorer, ...]:
    return tuple(metrics.rouge(kind, stemmer=True) for kind in kinds)


DIALOGSUM = DataSet(
    name="dialogsum",
    category="generation",
    description="DialogSum, JSON lines, one or three references (ROUGE)",
    read=_dialogsum,
    scorers=lambda: _scorers("rougeL", "rouge1", "rouge2"),
    max_tokens=128,
    cut="middle",
)

_PAIRS = PairTask(
    name=NAME,
    item=_pair,
    scorers=lambda count: _scorers("rougeLsum", "rougeL", "rouge1", "rouge2"),
    max_tokens=256,
    stop=("\n\n",),
    cut="middle",
)


def _read(article: str, summary: str) -> Callable[[str], Iterator[Pair]]:
    """A reader of rows: JSON lines, Parquet, or CSV with a header."""

    def read(path: str) -> Iterator[Pair]:
        table = path.removesuffix(".gz").endswith(".csv")
        rows = read_table(path, columns=(article, summary)) if table else read_json_lines(path)
        for number, row in enumerate(rows, start=1):
            yield Pair(line=number, source=row.filled(article), references=(row.filled(summary),))

    return read


def _spec(task: PairTask, description: str) -> TaskSpec:
    options = ROWS_OR_PAIRS if task.rows else PAIR_FILES

    def build(settings: TaskSettings) -> Task:
        check_options(task.name, settings, options)
        return task.build(settings)

    return TaskSpec(
        name=task.name,
        build=build,
        needs=(frozenset({"generate"}),),
        category="generation",
        argument="FILE" if task.rows else "",
        options=options,
        max_shots=8,
        description=description,
        hub=HUB.get(task.name, ()),
    )


SUMMARIES = (
    _spec(_PAIRS, "line-aligned texts and summaries, as CNN/DailyMail and XSum (ROUGE)"),
    _spec(
        replace(_PAIRS, name="cnn_dailymail", rows=_read("article", "highlights")),
        "CNN/DailyMail, rows or line-aligned files (ROUGE)",
    ),
    _spec(
        replace(_PAIRS, name="xsum", rows=_read("document", "summary"), stop=("\n",)),
        "XSum, one-sentence summaries of BBC articles, rows or line-aligned files (ROUGE)",
    ),
)
