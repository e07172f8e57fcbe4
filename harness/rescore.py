"""Grading saved answers anew: new metrics or a mended grader, and no model in sight."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from harness import __version__
from harness.errors import NotComparableError, UsageError
from harness.grading import (
    Subject,
    count,
    draw_samples,
    fingerprint,
    grade,
    requests_of,
    score,
    signature_suffix,
)
from harness.metrics.scorer import Scorer
from harness.plan import PlannedTask
from harness.results import RunDirectory
from harness.types import (
    CellRecord,
    Metric,
    RequestKind,
    Response,
    Sample,
    SampleRecord,
    Stats,
    Task,
)


def rescore(
    directory: RunDirectory,
    record: CellRecord,
    planned: PlannedTask,
    further: Mapping[str, Scorer] = MappingProxyType({}),
) -> CellRecord:
    """Grade a cell's saved answers with the task as it is now, and save the new record.

    ``further`` are scorers of texts besides the task's own metrics, by the name to give each; a
    task that has a metric of the name keeps its own.

    Raises:
        NotComparableError: the task now asks something else, so that those answers would be
            answers to other questions.
        UsageError: a further scorer, and no generated texts with texts as references.
    """
    if record.origin is not None:
        raise NotComparableError(
            f"The scores of {record.model.name} on {record.task} were imported; only the program "
            "that made them can grade their answers anew."
        )
    saved = list(directory.read_samples(record))
    subject = Subject(task=planned.build(), name=record.task, plugin=planned.spec.plugin)
    samples = draw_samples(subject, record.limit)
    asked = [request for sample in saved for request in sample.requests]
    if asked != requests_of(samples) or [s.id for s in saved] != [s.id for s in samples]:
        raise NotComparableError(
            f"Task '{record.task}' now asks other questions than the run of {record.model.name} "
            "did, so the saved answers do not fit.\nRun it anew with `harness run`."
        )
    # Further metrics leave the fingerprint alone: what the task itself measures is as comparable.
    digest = fingerprint(subject.task, samples)
    own = {metric.name for metric in subject.task.metrics}
    more = {name: scorer for name, scorer in further.items() if name not in own}
    if more:
        _require_texts(samples, record, more)
        subject = replace(subject, task=_Extended(task=subject.task, more=more))
    graded = grade(subject, samples, _responses(saved))
    suffix = signature_suffix(record.task, digest, record.model.identity, record.seed)
    plugin = planned.spec.plugin
    renewed = replace(
        record,
        fingerprint=digest,
        scores=score(subject, graded, seed=record.seed, suffix=suffix),
        counts=count(graded),
        versions={**record.versions, "harness": __version__, plugin.distribution: plugin.version},
    )
    directory.write_cell(renewed, graded)
    return renewed


@dataclass(frozen=True, kw_only=True)
class _Extended:
    """A task with further scorers of the text that answers its first generate request."""

    task: Task
    more: Mapping[str, Scorer]

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The task's, then the further ones under their names."""
        named = (replace(scorer.metric, name=name) for name, scorer in self.more.items())
        return (*self.task.metrics, *named)

    def samples(self) -> Iterator[Sample]:
        """The task's."""
        return self.task.samples()

    def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
        """The task's statistics, and each further scorer's."""
        position = [request.kind for request in sample.requests].index("generate")
        text = (responses[position].text or "").strip()
        added = {name: scorer.stats(text, sample.reference) for name, scorer in self.more.items()}
        return {**self.task.grade(sample, responses), **added}


def _require_texts(
    samples: Sequence[Sample], record: CellRecord, more: Mapping[str, Scorer]
) -> None:
    for sample in samples:
        right = sample.reference
        listed = right if isinstance(right, list | tuple) else [right]
        texts = bool(listed) and all(isinstance(one, str) for one in listed)
        if not texts or all(request.kind != "generate" for request in sample.requests):
            raise UsageError(
                f"{', '.join(more)} cannot grade {record.task}: sample '{sample.id}' is not "
                "answered by a text, or its reference is none."
            )


def kinds_asked(samples: Sequence[SampleRecord]) -> frozenset[RequestKind]:
    """The request kinds that saved samples were asked with."""
    return frozenset(request.kind for sample in samples for request in sample.requests)


def _responses(saved: Sequence[SampleRecord]) -> list[Response]:
    return [response for sample in saved for response in sample.responses]
