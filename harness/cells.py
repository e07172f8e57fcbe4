"""One cell: what it asks, what becomes of its answers, what its record says."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from harness import __version__
from harness.asking import Answers
from harness.errors import HarnessError
from harness.finishing import Ended
from harness.grading import (
    Subject,
    count,
    draw_samples,
    fingerprint,
    grade,
    score,
    signature_suffix,
)
from harness.models import NamedModel
from harness.plan import Cell, Plan
from harness.results import RunDirectory
from harness.types import CellRecord, ModelInfo, Sample, SampleRecord


@dataclass(frozen=True, kw_only=True)
class Material:
    """A task ready to be asked: drawn once, used for every model."""

    subject: Subject
    samples: tuple[Sample, ...]
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class Job:
    """A cell that can be run: its model built, its samples drawn."""

    made: Plan
    cell: Cell
    model: NamedModel
    material: Material


def draw_material(cell: Cell, made: Plan) -> Material:
    """Build the cell's task and draw its samples; raises what the task does wrong."""
    subject = Subject(
        task=cell.task.build(),
        name=cell.task.text,
        plugin=cell.task.spec.plugin,
        kinds=cell.task.settings.kinds,
    )
    samples = draw_samples(subject, made.request.limit)
    return Material(
        subject=subject, samples=samples, fingerprint=fingerprint(subject.task, samples)
    )


def still_stands(record: CellRecord, job: Job) -> bool:
    """Whether nothing has changed that a complete ``record`` of this cell depends on."""
    return (
        record.status == "complete"
        and record.model == job.model.info
        and record.fingerprint == job.material.fingerprint
        and record.seed == job.made.request.seed
        and dict(record.versions) == dict(_versions(job))
    )


def finish(
    job: Job,
    directory: RunDirectory,
    answers: Answers,
    asking: float,
    go_on: Callable[[], None],
) -> Ended:
    """Grade, score and write a cell whose answers took ``asking`` seconds.

    ``go_on`` is called before anything is written; what it raises goes through, and so does
    SaveError. Any other HarnessError becomes the cell's own.
    """
    started = time.monotonic()
    try:
        samples = grade(job.material.subject, job.material.samples, answers.responses)
        record = _record(job, answers, samples, asking=asking, started=started)
    except HarnessError as error:
        go_on()
        return failed(job.made, job.cell, job.model, error, directory)
    go_on()
    directory.write_cell(record, samples)
    return Ended(record=record)


def failed(
    made: Plan,
    cell: Cell,
    model: NamedModel | HarnessError,
    error: HarnessError,
    directory: RunDirectory,
) -> Ended:
    """A cell without scores, written down."""
    if isinstance(model, NamedModel):
        info = model.info
    else:
        family = cell.model.spec.spec.family or cell.model.text
        info = ModelInfo(name=cell.model.text, family=family, identity="unknown")
    record = CellRecord(
        model=info,
        task=cell.task.text,
        status="failed",
        error=str(error),
        seed=made.request.seed,
        shots=made.request.shots,
        limit=made.request.limit,
    )
    directory.write_cell(record, ())
    return Ended(record=record, error=error)


def _record(
    job: Job,
    answers: Answers,
    samples: Sequence[SampleRecord],
    *,
    asking: float,
    started: float,
) -> CellRecord:
    subject, request = job.material.subject, job.made.request
    counts = count(samples)
    suffix = signature_suffix(
        subject.name, job.material.fingerprint, job.model.info.identity, request.seed
    )
    return CellRecord(
        model=job.model.info,
        task=subject.name,
        status="partial" if counts.errors else "complete",
        fingerprint=job.material.fingerprint,
        scores=score(subject, samples, seed=request.seed, suffix=suffix),
        counts=counts,
        error=_complaint(answers, counts.errors),
        seed=request.seed,
        shots=request.shots,
        limit=request.limit,
        asked=answers.asked,
        reused=answers.reused,
        seconds=asking + time.monotonic() - started,
        efficiency=answers.efficiency,
        versions=_versions(job),
    )


def _versions(job: Job) -> Mapping[str, str]:
    """The distributions that made this record, each with its version."""
    plugins = (job.model.planned.spec.plugin, job.material.subject.plugin)
    return MappingProxyType(
        {"harness": __version__} | {plugin.distribution: plugin.version for plugin in plugins}
    )


def _complaint(answers: Answers, failed: int) -> str | None:
    errors = [response.error for response in answers.responses if response.error is not None]
    if not errors:
        return None
    why = (
        f"the first: {errors[0]}" if answers.ended is None else f"the model ended: {answers.ended}"
    )
    return f"{failed} of its samples have no answer; {why}"
