"""DROP: answers are numbers, dates or several spans, scored after aligning bags of words.

Reference implementation: ``drop_eval.py`` of https://github.com/allenai/allennlp-reading-comprehension
(Dua et al. 2019, arXiv:1903.00161), without its rounding of each answer's F1 to two decimals.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from harness import metrics
from harness.errors import DataError
from harness.metrics.scorer import signature
from harness_files import DataSet, Item, Row, read_json, read_json_lines
from harness_files.rows import as_row, checked_text, is_json_lines, wrong_type

if TYPE_CHECKING:
    from harness.metrics.scorer import Scorer

Bag: TypeAlias = frozenset[str]

SPANS = ", "
"""Between several spans of one written answer."""

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def _items(path: str) -> Iterator[Item]:
    """JSON lines, the hub's rows, or the authors' JSON of passages."""
    passages: dict[str, int] = {}
    for row in read_json_lines(path) if is_json_lines(path) else _original(path):
        passage = row.filled("passage").strip()
        answers = _hub_alternatives(row) if row.has("answers_spans") else _alternatives(row)
        yield Item(
            id=row.text("query_id"),
            question=f"Passage: {passage}\nQuestion: {row.filled('question').strip()}\nAnswer:",
            answer=f" {SPANS.join(answers[0])}",
            reference=answers,
            group=str(passages.setdefault(passage, len(passages) + 1)),
        )


def _alternatives(row: Row) -> list[list[str]]:
    """The accepted answers, each a list of spans."""
    answers: list[list[str]] = []
    for position, item in enumerate(row.items("answers")):
        where = f"{row.place}: 'answers[{position}]'"
        if not isinstance(item, list):
            raise wrong_type(where, "a list of spans", item)
        spans = [checked_text(span, where) for span in item]
        answers.append([span for span in spans if span.strip()])
    if not answers or not all(answers):
        raise DataError(f"{row.place}: 'answers' is empty.\nAdd a span or remove the question.")
    return answers


def _hub_alternatives(row: Row) -> list[list[str]]:
    """The hub's rows hold one accepted answer, of one or several spans."""
    spans = [span for span in row.row("answers_spans").texts("spans") if span.strip()]
    if not spans:
        raise DataError(f"{row.place}: 'spans' is empty.\nAdd a span or remove the question.")
    return [spans]


def _original(path: str) -> Iterator[Row]:
    """The authors' JSON: passages by id, each with questions, an answer and validated ones."""
    passages = as_row(read_json(path), f"'{path}'")
    for identity in passages.fields:
        holder = passages.row(identity)
        passage = holder.filled("passage")
        for row in holder.rows("qa_pairs"):
            given = [row.row("answer")]
            given += list(row.rows("validated_answers")) if row.has("validated_answers") else []
            answers = [one for one in map(_spans, given) if one]
            fields = {**row.fields, "passage": passage, "answers": answers}
            yield Row(fields=fields, place=row.place)


def _spans(answer: Row) -> list[str]:
    """An answer of the authors' JSON: a number, a date, or spans."""
    if answer.has("number") and str(answer.value("number")).strip():
        return [str(answer.value("number"))]
    if answer.has("spans") and answer.texts("spans"):
        return list(answer.texts("spans"))
    date = answer.row("date") if answer.has("date") else None
    parts = [date.text(key) for key in ("day", "month", "year") if date.has(key)] if date else []
    written = " ".join(part for part in parts if part.strip())
    return [written] if written else []


def exact_match(prediction: str, reference: Sequence[Sequence[str]]) -> float:
    """100 where the prediction's spans are those of an accepted answer, else 0."""
    return 100.0 * any(
        _same([_normalized(span) for span in read], [_normalized(span) for span in gold])
        for gold in reference
        for read in _readings(prediction)
    )


def _same(predicted: Sequence[str], gold: Sequence[str]) -> bool:
    return set(predicted) == set(gold) and len(predicted) == len(gold)


def f1(prediction: str, reference: Sequence[Sequence[str]]) -> float:
    """The best F1, 0-100, of bags of words aligned one to one, over the accepted answers."""
    return 100.0 * max(
        _aligned_f1([_bag(span) for span in read], [_bag(span) for span in gold])
        for gold in reference
        for read in _readings(prediction)
    )


def _readings(prediction: str) -> list[list[str]]:
    """A text as one span, and as several where it has commas: it cannot say which it means."""
    parts = [part for part in prediction.split(SPANS) if part.strip()]
    return [[prediction], parts] if len(parts) > 1 else [[prediction]]


def _normalized(text: str) -> str:
    parts = (_normalized_token(token) for token in re.split(" |-", text.lower()))
    return " ".join(part for part in parts if part)


def _normalized_token(token: str) -> str:
    bare = token if _is_number(token) else token.translate(_WITHOUT_PUNCTUATION)
    bare = str(float(bare)) if _is_number(bare) else bare
    return " ".join(_ARTICLES.sub(" ", bare).split())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _bag(span: str) -> Bag:
    return frozenset(_normalized(span).split())


def _aligned_f1(predicted: Sequence[Bag], gold: Sequence[Bag]) -> float:
    scores = [[_bag_f1(bag, other) for other in predicted] for bag in gold]
    if len(predicted) == 1:
        best = max(row[0] for row in scores)
    else:
        from scipy.optimize import linear_sum_assignment

        rows, columns = linear_sum_assignment(scores, maximize=True)
        best = sum(scores[row][column] for row, column in zip(rows, columns, strict=True))
    return best / max(len(predicted), len(gold))


def _bag_f1(gold: Bag, predicted: Bag) -> float:
    """F1 of two bags; 0 where the gold has numbers and the prediction none of them."""
    numbers = {word for word in gold if _is_number(word)}
    if numbers and not numbers & predicted:
        return 0.0
    common = len(gold & predicted)
    precision = common / len(predicted) if predicted else 1.0
    recall = common / len(gold) if gold else 1.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _scorers() -> tuple[Scorer, ...]:
    settings = signature(norm="drop", refs="best", spans="one-or-comma", ref="drop_eval.py")
    bounds = (0.0, 100.0)
    return (
        metrics.mean("exact_match", exact_match, bounds=bounds, settings=settings),
        metrics.mean("f1", f1, bounds=bounds, settings=settings),
    )


DROP = DataSet(
    name="drop",
    category="question answering",
    description="DROP: numbers, dates and spans, JSON lines (exact match, F1)",
    read=_items,
    scorers=_scorers,
)
