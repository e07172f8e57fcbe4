"""A text is begun, the model goes on: how near to the text's own words, and how varied."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.errors import DataError
from harness.types import Generate, Sample
from harness_files import AnswerTask, check_options, number_option
from harness_text.task import documents

if TYPE_CHECKING:
    from harness.types import Option, TaskSettings

NAME = "continuation"
WORDS = 32
TOKENS_PER_WORD = 4


def build(settings: TaskSettings, options: Sequence[Option]) -> AnswerTask:
    """Every document that is long enough gives one question, from its beginning."""
    from harness import metrics

    check_options(NAME, settings, options)
    given = number_option(NAME, settings, "given") or WORDS
    asked = number_option(NAME, settings, "asked") or WORDS
    samples, answers = [], {}
    for number, text in enumerate(documents(NAME, settings), start=1):
        ends = [match.end() for match in re.finditer(r"\S+", text)]
        if len(ends) < given + asked:
            continue
        start, end = ends[given - 1], ends[given + asked - 1]
        request = Generate(prompt=text[:start], max_tokens=TOKENS_PER_WORD * asked)
        answers[str(number)] = text[start:end]
        samples.append(
            Sample(id=str(number), requests=(request,), reference=text[start:end].strip())
        )
    if not samples:
        raise DataError(
            f"No document has {given + asked} words.\n"
            "Ask for fewer with given=N and asked=N, or split the text otherwise."
        )

    def cut(text: str) -> str:
        """As many words as are compared."""
        words = [match.end() for match in re.finditer(r"\S+", text)]
        return text[: words[asked - 1]].strip() if len(words) > asked else text.strip()

    scorers = (metrics.chrf(), metrics.distinct(), metrics.repetition(), metrics.length())
    return AnswerTask(items=samples, answers=answers, scorers=scorers, read=cut)
