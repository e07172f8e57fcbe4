"""Samples in, scores out: drawing a task's samples, grading the answers, summing statistics."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness import __version__
from harness.codec import flaw, to_json
from harness.errors import DataError, HarnessError, PluginError
from harness.plugins import PluginInfo
from harness.types import (
    Counts,
    Entity,
    Generate,
    Metric,
    Request,
    RequestKind,
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
    """A task under grading: the object, its name, the plugin that answers for it, and the kinds
    of requests that it may ask (empty: any)."""

    task: Task
    name: str
    plugin: PluginInfo
    kinds: frozenset[RequestKind] = frozenset()

    def breaks(self, what: str) -> PluginError:
        """The error that blames the task's plugin."""
        return PluginError(
            f"Task '{self.name}' of plugin {self.plugin.name} ({self.plugin.source}) {what}"
        )


def draw_samples(subject: Subject, limit: int | None) -> tuple[Sample, ...]:
    """The first ``limit`` samples; raises PluginError for repeated ids, DataError for none."""
    _check_metrics(subject)
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


def is_drawn(request: Request) -> bool:
    """Whether the answer is drawn, not the most probable one."""
    return isinstance(request, Generate) and request.temperature > 0


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
    subject: Subject, records: Sequence[SampleRecord], *, seed: int, suffix: str
) -> tuple[Score, ...]:
    """Value and 95 % interval of every metric that has at least one graded sample.

    The interval is a percentile bootstrap over samples (over groups where samples share one),
    with the same draws for every model. ``suffix`` completes the signature.
    """
    return tuple(
        made
        for metric in subject.task.metrics
        if (made := _score(subject, metric, records, seed=seed, suffix=suffix)) is not None
    )


def signature_suffix(task: str, digest: str, identity: str, seed: int) -> str:
    """The part of a score's signature that says what was measured on what."""
    return f"task:{task}@{digest}|model:{identity}|seed:{seed}|harness:{__version__}"


def _score(
    subject: Subject, metric: Metric, records: Sequence[SampleRecord], *, seed: int, suffix: str
) -> Score | None:
    import numpy as np

    from harness import metrics

    graded = [r for r in records if metric.name in r.stats]
    if not graded:
        return None
    stats = np.array([r.stats[metric.name] for r in graded], dtype=float)
    groups = [r.group if r.group is not None else f"\0{r.id}" for r in graded]
    shared = len(set(groups)) < len(groups)
    try:
        value = metrics.value(metric, stats)
        interval = metrics.interval(metric, stats, seed=seed, groups=groups if shared else None)
    except HarnessError as error:
        raise subject.breaks(f"broke its contract in metric '{metric.name}': {error}") from error
    own = metric.signature or f"metric:{metric.name}|formula:{metric.formula}"
    return Score(
        metric=metric,
        value=value,
        ci=interval,
        n=len(graded),
        signature=f"{own}|{suffix}",
    )


def _check_metrics(subject: Subject) -> None:
    """Raise PluginError for metrics that are none, or whose formula nobody knows."""
    try:
        metrics = tuple(subject.task.metrics)
        for metric in metrics:
            if not isinstance(metric, Metric):
                hint = "; a scorer's metric is its .metric" if hasattr(metric, "metric") else ""
                raise subject.breaks(
                    f"broke its contract: its metrics hold {type(metric).__name__}, not "
                    f"Metric{hint}."
                )
            wrong = flaw(metric)
            if wrong is not None:
                raise subject.breaks(f"broke its contract: its metric is no proper one: {wrong}.")
            _check_formula(subject, metric)
    except HarnessError:
        raise
    except Exception as error:
        raise subject.breaks(f"raised {type(error).__name__} in metrics: {error}") from error
    if not metrics:
        raise subject.breaks("broke its contract: it has no metrics.")


def _check_formula(subject: Subject, metric: Metric) -> None:
    from harness.metrics import formula

    try:
        formula(metric.formula)
    except HarnessError as error:
        raise subject.breaks(f"broke its contract in metric '{metric.name}': {error}") from error


def _graded(
    subject: Subject, sample: Sample, responses: tuple[Response, ...], widths: dict[str, int]
) -> SampleRecord:
    stats: dict[str, Stats] = {}
    if all(response.error is None for response in responses):
        stats = dict(_guarded_grade(subject, sample, responses))
    known = {metric.name for metric in subject.task.metrics} | {UNPARSEABLE}
    for name, values in stats.items():
        if not isinstance(values, (tuple, list)) or not all(map(_is_number, values)):
            raise subject.breaks(
                f"broke its contract: grade() gave {values!r} as statistics of '{name}' for "
                f"sample '{sample.id}'; they must be a tuple of finite numbers."
            )
        if name not in known:
            raise subject.breaks(
                f"broke its contract: grade() gave statistics for '{name}', which is none of its "
                f"metrics ({', '.join(sorted(known - {UNPARSEABLE}))})."
            )
        if widths.setdefault(name, len(values)) != len(values):
            raise subject.breaks(
                f"broke its contract: grade() gave {len(values)} statistics of '{name}' for "
                f"sample '{sample.id}' and {widths[name]} before."
            )
    unparseable = bool(sum(stats.pop(UNPARSEABLE, (0.0,))))
    return SampleRecord(
        id=sample.id,
        requests=sample.requests,
        responses=responses,
        reference=sample.reference,
        entities=_entities(subject, sample, responses) if stats else None,
        stats={name: tuple(float(v) for v in values) for name, values in stats.items()},
        group=sample.group,
        unparseable=unparseable,
    )


def _guarded_samples(subject: Subject) -> Iterator[Sample]:
    try:
        for sample in subject.task.samples():
            if not isinstance(sample, Sample):
                raise subject.breaks(f"yielded {type(sample).__name__} from samples(), not Sample")
            wrong = flaw(sample)
            if wrong is not None:
                raise subject.breaks(f"yielded a sample that is no proper Sample: {wrong}.")
            strange = {request.kind for request in sample.requests} - subject.kinds
            if subject.kinds and strange:
                raise subject.breaks(
                    f"asks {', '.join(sorted(strange))} in sample '{sample.id}', which its spec "
                    "does not say it needs."
                )
            yield sample
    except HarnessError:
        raise
    except Exception as error:
        raise subject.breaks(f"raised {type(error).__name__} in samples(): {error}") from error


def _guarded_grade(
    subject: Subject, sample: Sample, responses: tuple[Response, ...]
) -> Mapping[str, Stats]:
    try:
        stats = subject.task.grade(sample, responses)
        if not isinstance(stats, Mapping):
            raise subject.breaks(
                f"broke its contract: grade() returned {type(stats).__name__} for sample "
                f"'{sample.id}', not a mapping from metric names to statistics."
            )
        return stats
    except HarnessError:
        raise
    except Exception as error:
        raise subject.breaks(
            f"raised {type(error).__name__} in grade() for sample '{sample.id}': {error}"
        ) from error


def _entities(
    subject: Subject, sample: Sample, responses: Sequence[Response]
) -> tuple[Entity, ...] | None:
    """What the task's ``entities()`` reads in the answers, where it has that method."""
    read = getattr(subject.task, "entities", None)
    if not callable(read):
        return None
    where = f"for sample '{sample.id}'"
    try:
        given = read(sample, responses)
        found = None if given is None else tuple((kind, a, b) for kind, a, b in given)
    except HarnessError:
        raise
    except Exception as error:
        raise subject.breaks(
            f"raised {type(error).__name__} in entities() {where}: {error}"
        ) from error
    for one in found or ():
        if [type(part) for part in one] != [str, int, int]:
            raise subject.breaks(
                f"broke its contract: entities() gave {one!r} {where}; it must be a type, where "
                "the entity begins and where it ends."
            )
    return found


def _is_number(value: object) -> bool:
    """A finite number; numpy's floats are floats too."""
    return isinstance(value, (int, float)) and math.isfinite(value)


def _failed(record: SampleRecord) -> bool:
    return any(response.error is not None for response in record.responses)
