"""Grading saved answers anew: new metrics or a mended grader, and no model in sight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness import __version__
from harness.errors import NotComparableError
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
from harness.plan import PlannedTask
from harness.results import RunDirectory
from harness.types import CellRecord, RequestKind, Response, SampleRecord


def rescore(directory: RunDirectory, record: CellRecord, planned: PlannedTask) -> CellRecord:
    """Grade a cell's saved answers with the task as it is now, and save the new record.

    Raises NotComparableError when the task now asks something else: those answers would be
    answers to other questions.
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
    graded = grade(subject, samples, _responses(saved))
    digest = fingerprint(subject.task, samples)
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


def kinds_asked(samples: Sequence[SampleRecord]) -> frozenset[RequestKind]:
    """The request kinds that saved samples were asked with."""
    return frozenset(request.kind for sample in samples for request in sample.requests)


def _responses(saved: Sequence[SampleRecord]) -> list[Response]:
    return [response for sample in saved for response in sample.responses]
