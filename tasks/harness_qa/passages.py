"""Questions about a passage, asked in the form of GPT-3's evaluation.

Brown et al. 2020 (arXiv:2005.14165, appendix G) ask SQuAD as a title, a background, a question and
an answer left open. Where a file holds questions without an answer, one line before all says how to
decline; a blank answer declines too, as it does for the official script.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.types import Generate, Sample
from harness_files import AnswerTask, FewShot, Shot, check_options, data_file, few_shot
from harness_qa.squad import Question, read_squad

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.types import Option, TaskSettings

MAX_TOKENS = 64
UNANSWERABLE = "unanswerable"
INTRODUCTION = (
    "Answer each question with words of its background. "
    f"If the background does not answer it, write: {UNANSWERABLE}"
)


def build_squad(settings: TaskSettings, options: Sequence[Option]) -> AnswerTask:
    """Read the file that the settings name, and put every question into a prompt."""
    from harness import metrics

    check_options("squad", settings, options)
    questions = read_squad(data_file("squad", settings))
    pool = settings.options.get("shots_data", "")
    shots = few_shot(
        "squad",
        settings,
        [shot(question) for question in read_squad(pool)] if pool else [],
        needs="shots_data=FILE",
        introduction="" if all(question.answers for question in questions) else INTRODUCTION,
    )
    return AnswerTask(
        items=tuple(_sample(question, shots) for question in questions),
        scorers=(metrics.exact_match(), metrics.f1()),
        read=read_answer,
    )


def prompt(question: Question) -> str:
    """The question as it is asked, up to the answer."""
    title = f"Title: {question.title}\n\n" if question.title else ""
    return (
        f"{title}Background: {question.context.strip()}\n\n"
        f"Question: {question.question.strip()}\n\nAnswer:"
    )


def shot(question: Question) -> Shot:
    """A worked example, with the first gold answer."""
    answer = question.answers[0].strip() if question.answers else UNANSWERABLE
    return Shot(question=prompt(question), answer=f" {answer}")


def read_answer(text: str) -> str:
    """What the official script calls a prediction: empty for "no answer"."""
    answer = text.strip()
    return "" if answer.rstrip(".").lower() == UNANSWERABLE else answer


def _sample(question: Question, shots: FewShot) -> Sample:
    request = Generate(
        prompt=shots.prompt(question.id, prompt(question)), max_tokens=MAX_TOKENS, stop=("\n",)
    )
    return Sample(
        id=question.id,
        requests=(request,),
        reference=list(question.answers),
        group=question.passage,
    )
