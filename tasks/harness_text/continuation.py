"""A text is begun, the model goes on: how near to the text's own words, and how varied."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import DataError
from harness.types import Generate, Sample
from harness_files import AnswerTask, check_options, data_file, number_option
from harness_text.task import documents

if TYPE_CHECKING:
    from harness.metrics import Scorer
    from harness.types import Metric, Option, Stats, TaskSettings

NAME = "continuation"
WORDS = 32
TOKENS_PER_WORD = 4


@dataclass(frozen=True, kw_only=True)
class _Whole:
    """A scorer of variety for answers that were to be long: too short a one is the worst.

    By itself such a scorer leaves out what holds no n-gram, and has no value for a model that
    never writes any.
    """

    inner: Scorer

    @property
    def metric(self) -> Metric:
        """That of the scorer."""
        return self.inner.metric

    def stats(self, prediction: Any, reference: Any, /) -> Stats:
        """Those of the scorer, or the worst there are."""
        found = self.inner.stats(prediction, reference)
        return found if found[-1] else (0.0 if self.metric.higher_is_better else 100.0, 1.0)


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
            f"No document of '{data_file(NAME, settings)}' has {given + asked} words.\n"
            "Ask for fewer with given=N and asked=N, or split the text otherwise."
        )

    def cut(text: str) -> str:
        """As many words as are compared."""
        words = [match.end() for match in re.finditer(r"\S+", text)]
        return text[: words[asked - 1]].strip() if len(words) > asked else text.strip()

    varied = (_Whole(inner=metrics.distinct()), _Whole(inner=metrics.repetition()))
    scorers = (metrics.chrf(), *varied, metrics.length())
    return AnswerTask(items=samples, answers=answers, scorers=scorers, read=cut)
