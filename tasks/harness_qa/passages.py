"""Questions about a passage, asked in the form of GPT-3's evaluation.

Brown et al. 2020 (arXiv:2005.14165, appendix G) ask SQuAD as a title, a background, a question and
an answer left open, and DROP as a passage, a question and an answer. Where a SQuAD file holds
questions without an answer, one line before all says how to decline; a blank answer declines too,
as it does for the official script.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import replace

from harness import metrics
from harness.errors import DataError
from harness_files import DataSet, Item, Part, shown
from harness_qa.cmrc import read_cmrc
from harness_qa.squad import Question, read_squad

UNANSWERABLE = "unanswerable"
INTRODUCTION = (
    "Answer each question with words of its background. "
    f"If the background does not answer it, write: {UNANSWERABLE}"
)


def _squad_items(path: str) -> Iterator[Item]:
    for question in read_squad(path):
        answer = question.answers[0].strip() if question.answers else UNANSWERABLE
        yield _item(question, prompt(question), f" {answer}")


def _cmrc_items(path: str) -> Iterator[Item]:
    for question in read_cmrc(path):
        if not question.answers:
            raise DataError(
                f"'{path}': question {shown(question.id)} has no answer, which CMRC asks of each.\n"
                "Add an answer or remove the question."
            )
        asked = f"{question.context.strip()}\n问题：{question.question.strip()}\n答案："
        yield _item(question, asked, question.answers[0].strip())


def _item(question: Question, asked: str, answer: str) -> Item:
    return Item(
        id=question.id,
        question=asked,
        answer=answer,
        reference=list(question.answers),
        group=question.passage,
    )


def prompt(question: Question) -> str:
    """A SQuAD question as it is asked, up to the answer."""
    title = f"Title: {question.title}\n\n" if question.title else ""
    return (
        f"{title}Background: {question.context.strip()}\n\n"
        f"Question: {question.question.strip()}\n\nAnswer:"
    )


def read_answer(text: str) -> str:
    """What the official script calls a prediction: empty for "no answer"."""
    answer = text.strip()
    return "" if answer.rstrip(".").lower() == UNANSWERABLE else answer


def how_to_decline(items: Sequence[Item]) -> str:
    """The first line of all prompts, where some of them have no answer."""
    return "" if all(item.reference for item in items) else INTRODUCTION


def _with_and_without_answer(items: Sequence[Item]) -> tuple[Part, ...]:
    """The official script's HasAns and NoAns scores, where a file holds both kinds."""
    if len({bool(item.reference) for item in items}) < 2:
        return ()
    return (
        Part(scorer=metrics.exact_match(name="has_answer_exact_match"), applies=bool),
        Part(scorer=metrics.f1(name="has_answer_f1"), applies=bool),
        Part(scorer=metrics.exact_match(name="no_answer_exact_match"), applies=operator.not_),
    )


SQUAD = DataSet(
    name="squad",
    category="question answering",
    description="SQuAD v1.1 and v2.0, JSON or flat JSON lines (exact match, F1)",
    read=_squad_items,
    scorers=lambda: (metrics.exact_match(), metrics.f1()),
    clean=read_answer,
    introduction=how_to_decline,
    parts=_with_and_without_answer,
)

SQUAD2 = replace(
    SQUAD,
    name="squad2",
    description="SQuAD v2.0, as squad; on the hub a data set of its own (exact match, F1)",
)

CMRC2018 = DataSet(
    name="cmrc2018",
    category="question answering",
    description="CMRC 2018, Chinese, its own JSON or SQuAD's (exact match, F1 by character)",
    read=_cmrc_items,
    scorers=lambda: (metrics.exact_match("cmrc"), metrics.f1("cmrc")),
)
