"""Samples in, scores out: drawing a task's samples, grading the answers, summing statistics."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness import __version__
from harness.codec import to_json
from harness.errors import DataError, HarnessError, PluginError
from harness.plugins import PluginInfo
from harness.types import (
    Counts,
    Metric,
    Request,
    Response,
    Sample,
    SampleRecord,
    Score,
    Stats,
    Task,
)

UNPARSEABLE = "unparseable"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A task under grading: the object, its name, and the plugin that answers for it."""

    task: Task
    name: str
    plugin: PluginInfo

    def breaks(self, what: str) -> PluginError:
        """The error that blames the task's plugin."""
        return PluginError(
            f"Task '{self.name}' of plugin {self.plugin.name} ({self.plugin.source}) {what}"
        )


def draw_samples(subject: Subject, limit: int | None) -> tuple[Sample, ...]:
    """The first ``limit`` samples; raises PluginError for repeated ids, DataError for none."""
    samples = tuple(itertools.islice(_guarded_samples(subject), limit))
    if not samples:
        raise DataError(f"Task '{subject.name}' has no samples.\nLook at the data it was given.")
    seen: set[str] = set()
    for sample in samples:
        if sample.id in seen:
            raise subject.breaks(f"broke its contract: the sample id '{sample.id}' occurs twice.")
        seen.add(sample.id)
    return samples


def requests_of(samples: Sequence[Sample]) -> list[Request]:
    """Every request, sample by sample."""
    return [request for sample in samples for request in sample.requests]


def fingerprint(task: Task, samples: Sequence[Sample]) -> str:
    """Sixteen hex digits over rendered requests, references and metric settings."""
    digest = hashlib.sha256()
    for record in (*task.metrics, *samples):
        digest.update(json.dumps(to_json(record), sort_keys=True, ensure_ascii=False).encode())
        digest.update(b"\n")
    return digest.hexdigest()[:16]


def grade(
    subject: Subject, samples: Sequence[Sample], responses: Sequence[Response]
) -> tuple[SampleRecord, ...]:
    """Grade each sample; one with a failed request gets no statistics and is counted later."""
    answers = iter(responses)
    widths: dict[str, int] = {}
    return tuple(
        _graded(subject, sample, tuple(itertools.islice(answers, len(sample.requests))), widths)
        for sample in samples
    )


def count(records: Sequence[SampleRecord]) -> Counts:
    """What became of the samples."""
    return Counts(
        samples=len(records),
        errors=sum(_failed(r) for r in records),
        truncated=sum(any(a.truncated for a in r.responses) for r in records),
        prompt_truncated=sum(any(a.prompt_truncated for a in r.responses) for r in records),
        empty=sum(
            any(a.text is not None and not a.text.strip() for a in r.responses) for r in records
        ),
        unparseable=sum(r.unparseable for r in records),
    )


def score(
    metrics: Sequence[Metric], records: Sequence[SampleRecord], *, seed: int, suffix: str
) -> tuple[Score, ...]:
    """Value and 95 % interval of every metric that has at least one graded sample.

    The interval is a percentile bootstrap over samples (over groups where samples share one),
    with the same draws for every model. ``suffix`` completes the signature.
    """
    return tuple(
        made
        for metric in metrics
        if (made := _score(metric, records, seed=seed, suffix=suffix)) is not None
    )


def signature_suffix(task: str, digest: str, identity: str, seed: int) -> str:
    """The part of a score's signature that says what was measured on what."""
    return f"task:{task}@{digest}|model:{identity}|seed:{seed}|harness:{__version__}"


def _score(
    metric: Metric, records: Sequence[SampleRecord], *, seed: int, suffix: str
) -> Score | None:
    import numpy as np

    from harness import metrics

    graded = [r for r in records if metric.name in r.stats]
    if not graded:
        return None
    stats = np.array([r.stats[metric.name] for r in graded], dtype=float)
    groups = [r.group if r.group is not None else f"\0{r.id}" for r in graded]
    shared = len(set(groups)) < len(groups)
    interval = metrics.interval(metric, stats, seed=seed, groups=groups if shared else None)
    own = metric.signature or f"metric:{metric.name}|formula:{metric.formula}"
    return Score(
        metric=metric,
        value=metrics.value(metric, stats),
        ci=interval,
        n=len(graded),
        signature=f"{own}|{suffix}",
    )


def _graded(
    subject: Subject, sample: Sample, responses: tuple[Response, ...], widths: dict[str, int]
) -> SampleRecord:
    stats: dict[str, Stats] = {}
    if all(response.error is None for response in responses):
        stats = dict(_guarded_grade(subject, sample, responses))
    unparseable = bool(sum(stats.pop(UNPARSEABLE, (0.0,))))
    known = {metric.name for metric in subject.task.metrics}
    for name, values in stats.items():
        if name not in known:
            raise subject.breaks(
                f"broke its contract: grade() gave statistics for '{name}', which is none of its "
                f"metrics ({', '.join(sorted(known))})."
            )
        if widths.setdefault(name, len(values)) != len(values):
            raise subject.breaks(
                f"broke its contract: grade() gave {len(values)} statistics of '{name}' for "
                f"sample '{sample.id}' and {widths[name]} before."
            )
    return SampleRecord(
        id=sample.id,
        requests=sample.requests,
        responses=responses,
        reference=sample.reference,
        stats={name: tuple(float(v) for v in values) for name, values in stats.items()},
        group=sample.group,
        unparseable=unparseable,
    )


def _guarded_samples(subject: Subject) -> Iterator[Sample]:
    try:
        for sample in subject.task.samples():
            if not isinstance(sample, Sample):
                raise subject.breaks(f"yielded {type(sample).__name__} from samples(), not Sample")
            yield sample
    except HarnessError:
        raise
    except Exception as error:
        raise subject.breaks(f"raised {type(error).__name__} in samples(): {error}") from error


def _guarded_grade(
    subject: Subject, sample: Sample, responses: tuple[Response, ...]
) -> Mapping[str, Stats]:
    try:
        return subject.task.grade(sample, responses)
    except HarnessError:
        raise
    except Exception as error:
        raise subject.breaks(
            f"raised {type(error).__name__} in grade() for sample '{sample.id}': {error}"
        ) from error


def _failed(record: SampleRecord) -> bool:
    return any(response.error is not None for response in record.responses)
