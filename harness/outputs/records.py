"""What scoring outputs gives back, and a task whose outputs are already there."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.grading import Subject, count, fingerprint, grade, score, signature_suffix
from harness.plugins import PluginInfo
from harness.reading import read_bytes
from harness.types import Counts, Metric, Response, Sample, Score, Stats

if TYPE_CHECKING:
    from harness.metrics import EntityReports, Scorer
    from harness.types import JSON

CORE = PluginInfo(name="score", target="", distribution="harness", version="")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A score of outputs, and what became of them.

    ``strangers`` counts outputs for ids that the references do not have; ``reports`` are by entity
    type and by tag, where there are any.
    """

    score: Score
    counts: Counts
    strangers: int = 0
    reports: EntityReports | None = None


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One output and what it is compared with."""

    id: str
    output: JSON
    reference: JSON
    group: str | None = None


@dataclass(frozen=True, kw_only=True)
class PairTask:
    """Outputs already there, as a task that asks nothing."""

    scorer: Scorer
    pairs: Mapping[str, Pair]

    @property
    def metrics(self) -> Sequence[Metric]:
        """The one metric."""
        return (self.scorer.metric,)

    def samples(self) -> Iterator[Sample]:
        """The references in the order of their file."""
        for pair in self.pairs.values():
            yield Sample(id=pair.id, requests=(), reference=pair.reference, group=pair.group)

    def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
        """The scorer's statistics of the output with the sample's id."""
        output = self.pairs[sample.id].output
        return {self.scorer.metric.name: self.scorer.stats(output, sample.reference)}


def scored_pairs(task: PairTask, name: str, outputs: str, seed: int) -> Outcome:
    """Score the pairs; ``outputs`` is the outputs' file, whose digest the signature holds."""
    subject = Subject(task=task, name=name, plugin=CORE)
    samples = tuple(task.samples())
    records = grade(subject, samples, ())
    suffix = suffix_of(subject, samples, outputs, seed)
    (mine,) = score(subject, records, seed=seed, suffix=suffix)
    return Outcome(score=mine, counts=count(records))


def suffix_of(subject: Subject, samples: Sequence[Sample], outputs: str, seed: int) -> str:
    """As for a run's scores, with the outputs' digest in the place of the model's."""
    digest = hashlib.sha256(read_bytes(outputs)).hexdigest()[:16]
    name = re.split("[:,]", subject.name)[0]
    return signature_suffix(name, fingerprint(subject.task, samples), f"outputs@{digest}", seed)
