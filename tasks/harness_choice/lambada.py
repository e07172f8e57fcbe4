"""LAMBADA: the last word of a passage, to be given as the most probable one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import metrics
from harness.errors import DataError
from harness.metrics.scorer import signature
from harness.types import Loglikelihood, Metric, Response, Sample, Stats, TaskSettings, TaskSpec
from harness_files import Row, Shot, check_ids, check_options, data_file, few_shot, read_json_lines
from harness_files.dataset import MAX_SHOTS, ONE_FILE
from harness_files.hub import HUB
from harness_files.options import pool_file

if TYPE_CHECKING:
    from harness.metrics.scorer import Scorer

NAME = "lambada"


@dataclass(frozen=True, kw_only=True)
class LastWordTask:
    """Passages without their last word, which is scored whole, however many tokens it has."""

    items: Sequence[Sample]
    right: Scorer
    perplexity: Scorer

    @property
    def metrics(self) -> Sequence[Metric]:
        """Percent of words that greedy decoding would give, and perplexity per word."""
        return (self.right.metric, self.perplexity.metric)

    def samples(self) -> Iterator[Sample]:
        """The passages in the file's order."""
        return iter(self.items)

    def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
        """Greedy match and log-likelihood of the one word."""
        response = responses[0]
        return {
            self.right.metric.name: self.right.stats(100.0 * bool(response.greedy), None),
            self.perplexity.metric.name: self.perplexity.stats(response.logprob or 0.0, 1),
        }


@dataclass(frozen=True, kw_only=True)
class LastWordSet:
    """JSON lines of ``context`` and ``continuation``."""

    name: str = NAME

    def spec(self) -> TaskSpec:
        """The task as a plugin declares it; nothing is read before it is built."""
        return TaskSpec(
            name=self.name,
            build=self.build,
            needs=(frozenset({"loglikelihood"}),),
            category="language modelling",
            argument="FILE",
            options=ONE_FILE,
            max_shots=MAX_SHOTS,
            description="LAMBADA, a passage's last word (accuracy, perplexity per word)",
            hub=HUB[NAME],
        )

    def build(self, settings: TaskSettings) -> LastWordTask:
        """Read the file that the settings name; every last word becomes a request."""
        check_options(self.name, settings, ONE_FILE)
        path = data_file(self.name, settings)
        passages = _read(path)
        check_ids(path, map(str, range(len(passages))))
        pool = pool_file(self.name, settings)
        shots = few_shot(self.name, settings, _read(pool) if pool else [], needs="shots_data=FILE")
        return LastWordTask(
            items=tuple(
                Sample(
                    id=str(number),
                    requests=(
                        Loglikelihood(
                            context=shots.prompt(str(number), passage.question),
                            continuation=passage.answer,
                        ),
                    ),
                    reference=passage.answer.strip(),
                )
                for number, passage in enumerate(passages, start=1)
            ),
            right=metrics.mean("acc", bounds=(0.0, 100.0), settings=signature(match="greedy")),
            perplexity=metrics.perplexity("word"),
        )


def _read(path: str) -> list[Shot]:
    """Rows of context and continuation, or of a text whose last word is asked for."""
    return [_shot(row) for row in read_json_lines(path)]


def _shot(row: Row) -> Shot:
    if row.has("text") and not row.has("context"):
        before, _, last = row.filled("text").strip().rpartition(" ")
        if not before.strip():
            raise DataError(f"{row.place}: 'text' is one word.\nRemove it or add its passage.")
        return Shot(question=before.rstrip(), answer=f" {last}")
    return Shot(
        question=row.filled("context").rstrip(),
        answer=f" {row.filled('continuation').strip()}",
    )


LAMBADA = LastWordSet()
