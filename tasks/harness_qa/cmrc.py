"""CMRC 2018's own format: a list of contexts, each with questions and answer texts."""

from __future__ import annotations

from collections.abc import Iterator

from harness.errors import DataError
from harness_files import Row, read_json
from harness_files.columnar import is_columnar
from harness_files.rows import as_row
from harness_qa.squad import Question, read_squad


def read_cmrc(path: str) -> tuple[Question, ...]:
    """Every question of a file in the original format or in SQuAD's; the content tells which."""
    if is_columnar(path):
        return read_squad(path)
    value = read_json(path)
    if not isinstance(value, list):
        return read_squad(path)
    contexts = (as_row(item, f"'{path}', [{number}]") for number, item in enumerate(value))
    return tuple(question for context in contexts for question in _questions(context))


def _questions(context: Row) -> Iterator[Question]:
    passage = context.filled("context_text")
    for row in context.rows("qas"):
        answers = tuple(text for text in _texts(row) if text.strip())
        if not answers:
            raise DataError(
                f"{row.place}: 'answers' is empty.\nAdd an answer or remove the question."
            )
        yield Question(
            id=row.text("query_id"),
            title=context.text("title") if context.has("title") else "",
            context=passage,
            question=row.text("query_text"),
            answers=answers,
            passage=context.text("context_id"),
        )


def _texts(row: Row) -> tuple[str, ...]:
    """The answers; the development part has numbers among them, which SQuAD's form of it writes as
    Python does (``39764.0``).
    """
    given = [
        str(one) if isinstance(one, int | float) and not isinstance(one, bool) else one
        for one in row.items("answers")
    ]
    return Row(fields={"answers": given}, place=row.place).texts("answers")
