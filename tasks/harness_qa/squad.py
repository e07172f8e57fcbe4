"""SQuAD's formats: nested JSON of v1.1 and v2.0, and flat JSON lines with all gold answers."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.errors import DataError
from harness_files import Row, check_ids, read_json, read_json_lines
from harness_files.rows import as_row, checked_text, is_json_lines

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question about a passage.

    ``answers`` holds every gold answer, repeated ones included; none: the passage has no answer.
    ``passage`` numbers the passage within the file. ``misplaced`` counts answers whose
    ``answer_start`` does not point at their text.
    """

    id: str
    title: str
    context: str
    question: str
    answers: tuple[str, ...]
    passage: str
    misplaced: int = 0


def read_squad(path: str) -> tuple[Question, ...]:
    """Every question of a file, in order; the format is told by the content.

    A wrong ``answer_start`` or a blank question is logged as a warning and does no harm: the text
    counts, and the question is asked as it stands.
    Raises DataError for missing keys, duplicate ids, and an answerable question without answer.
    """
    questions = tuple(_flat(path) if is_json_lines(path) else _nested(path))
    check_ids(path, (question.id for question in questions))
    _report(path, questions)
    return questions


def _report(path: str, questions: Sequence[Question]) -> None:
    misplaced = [question for question in questions if question.misplaced]
    if misplaced:
        log.warning(
            "%s: %d answers do not stand at their answer_start (first: id %s); the texts count",
            path,
            sum(question.misplaced for question in misplaced),
            misplaced[0].id,
        )
    blank = [question for question in questions if not question.question.strip()]
    if blank:
        log.warning("%s: %d questions are blank (first: id %s)", path, len(blank), blank[0].id)


def _nested(path: str) -> Iterator[Question]:
    top = as_row(read_json(path), f"'{path}'")
    for article_number, article in enumerate(top.rows("data"), start=1):
        title = article.text("title") if article.has("title") else ""
        for number, paragraph in enumerate(article.rows("paragraphs"), start=1):
            context = paragraph.filled("context")
            for row in paragraph.rows("qas"):
                yield _question(row, title, context, f"{article_number}.{number}")


def _flat(path: str) -> Iterator[Question]:
    passages: dict[str, str] = {}
    for row in read_json_lines(path):
        context = row.filled("context")
        passage = passages.setdefault(context, str(len(passages) + 1))
        title = row.text("title") if row.has("title") else ""
        yield _question(row, title, context, passage)


def _question(row: Row, title: str, context: str, passage: str) -> Question:
    answers = [] if _impossible(row) else list(_answers(row))
    texts = tuple(text for text, _ in answers if text.strip())
    if not texts and not _may_lack_answers(row):
        raise DataError(
            f"{row.place}: 'answers' is empty, though the question is not marked is_impossible.\n"
            "Add an answer, mark it, or remove the question."
        )
    return Question(
        id=_identity(row),
        title=title.replace("_", " "),
        context=context,
        question=row.text("question"),
        answers=texts,
        passage=passage,
        misplaced=sum(
            start is not None and not context.startswith(text, max(start, 0))
            for text, start in answers
        ),
    )


def _identity(row: Row) -> str:
    value = row.value("id")
    return str(value) if isinstance(value, int) else checked_text(value, f"{row.place}: 'id'")


def _impossible(row: Row) -> bool:
    return row.has("is_impossible") and row.truth("is_impossible")


def _may_lack_answers(row: Row) -> bool:
    """Flat files in the manner of hub data sets mark no-answer by empty lists alone."""
    return _impossible(row) or isinstance(row.fields.get("answers"), dict)


def _answers(row: Row) -> Iterable[tuple[str, int | None]]:
    """Text and start of each answer: objects (SQuAD), two lists (hub data sets), or texts."""
    answers = row.value("answers")
    if isinstance(answers, dict):
        lists = row.row("answers")
        starts = lists.items("answer_start") if lists.has("answer_start") else ()
        padded = [*starts, *[None] * len(lists.texts("text"))]
        for text, start in zip(lists.texts("text"), padded, strict=False):
            yield text, start if isinstance(start, int) else None
        return
    for position, item in enumerate(row.items("answers")):
        where = f"{row.place}, answers[{position}]"
        if isinstance(item, str):
            yield checked_text(item, where), None
        else:
            answer = as_row(item, where)
            start = answer.number("answer_start") if answer.has("answer_start") else None
            yield answer.text("text"), start
