"""One cell that another program computed, as a record of ours.

The value that a file reports is the score. Per-sample statistics from the file are used beside it
only where they give that value again; without them the interval comes from the file's standard
error, and without that there is none. Scales stay those of the file: nothing is multiplied.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness import __version__
from harness.grading import count
from harness.plugins import PluginInfo
from harness.sizes import Sized
from harness.types import (
    CellRecord,
    Counts,
    ImportedCell,
    ImportedScore,
    ModelInfo,
    Origin,
    SampleRecord,
    Score,
    Stats,
)

Z = 1.959963984540054
"""Half the width of a normal 95 % interval, in standard errors."""
CLOSE = 1e-6
"""How near, relatively, samples must come to the reported value to be used."""


@dataclass(frozen=True, kw_only=True)
class ImportRequest:
    """What is imported, how, and by whose reader. ``settings`` goes into the manifest."""

    format: str
    reader: PluginInfo
    command: tuple[str, ...]
    settings: Mapping[str, object]


def cell_record(
    cell: ImportedCell, request: ImportRequest, sized: Sized
) -> tuple[CellRecord, tuple[SampleRecord, ...], list[str]]:
    """The record of an imported cell, its samples, and what the user should know of it."""
    digest = hashlib.sha256(
        json.dumps([request.format, cell.task, dict(cell.setup)], sort_keys=True).encode()
    ).hexdigest()[:16]
    identity = cell.identity or f"{request.format}:{cell.model}"
    suffix = f"task:{cell.task}@{digest}|model:{identity}|imported:{request.format}"
    scores, unused, notes = [], set(), list(cell.notes)
    broken = [score.metric.name for score in cell.scores if not math.isfinite(score.value)]
    for given in cell.scores:
        score, problem = _ranged(given)
        notes += [problem] if problem else []
        rows = _rows(score, cell.samples)
        problem = _unusable(score, rows)
        if problem:
            unused.add(score.metric.name)
            notes.append(problem)
            rows = {}
        if math.isfinite(score.value):
            scores.append(_score(score, rows, cell.samples, suffix))
    error = cell.unfinished or None
    if broken:
        error = f"{', '.join(broken)}: not a number in {cell.files[0]}; left out."
    samples = tuple(_only_known(sample, scores, unused) for sample in cell.samples)
    counts = cell.counts or _counts(cell, samples)
    if error is None and counts.errors:
        error = f"{counts.errors} of its samples have no answer."
    record = CellRecord(
        model=ModelInfo(
            name=cell.model,
            family=sized.family,
            identity=identity,
            parameters=sized.parameters,
            train_tokens=sized.train_tokens,
        ),
        task=cell.task,
        status="failed" if not scores else "partial" if error else "complete",
        fingerprint=digest,
        scores=tuple(scores),
        counts=counts,
        error=error or (None if scores else f"{cell.files[0]} holds no score of it."),
        seed=cell.seed,
        shots=cell.shots,
        limit=cell.limit,
        versions={
            "harness": __version__,
            request.reader.distribution: request.reader.version,
            **cell.versions,
        },
        origin=Origin(
            format=request.format,
            files=cell.files,
            sizes=sized.source,
            notes=tuple(notes),
            evaluated=cell.evaluated,
        ),
    )
    return record, samples, notes


def _rows(score: ImportedScore, samples: Sequence[SampleRecord]) -> Mapping[str, Stats]:
    name = score.metric.name
    return {sample.id: sample.stats[name] for sample in samples if name in sample.stats}


def _ranged(score: ImportedScore) -> tuple[ImportedScore, str | None]:
    """The score; with an unknown range where its value contradicts the one that was supposed."""
    low, high = score.metric.bounds
    below = low is not None and score.value < low - CLOSE
    above = high is not None and score.value > high * (1 + CLOSE)
    if not math.isfinite(score.value) or not (below or above):
        return score, None
    metric = replace(score.metric, bounds=(None, None), chance=None)
    return replace(score, metric=metric), (
        f"{metric.name} is {score.value:.6g}, outside {low} to {high}; its range is taken as "
        "unknown, so nothing is fitted to it"
    )


def _unusable(score: ImportedScore, rows: Mapping[str, Stats]) -> str | None:
    """Why the samples' statistics cannot stand for the reported score, or None."""
    if not rows or not math.isfinite(score.value):
        return None
    import numpy as np

    from harness import metrics

    name = score.metric.name
    if score.n is not None and score.n != len(rows):
        return f"{name} is over {score.n} samples and the file holds {len(rows)}; they are not used"
    again = metrics.value(score.metric, np.array(list(rows.values()), dtype=float))
    if math.isclose(again, score.value, rel_tol=CLOSE, abs_tol=1e-9):
        return None
    return f"{name} is {score.value:.6g} and its samples give {again:.6g}; they are not used"


def _score(
    score: ImportedScore,
    rows: Mapping[str, Stats],
    samples: Sequence[SampleRecord],
    suffix: str,
) -> Score:
    return Score(
        metric=score.metric,
        value=score.value,
        ci=_interval(score, rows, samples),
        n=len(rows) or score.n or 0,
        signature=f"{score.metric.signature or score.metric.name}|{suffix}|harness:{__version__}",
        stderr=score.stderr if score.stderr is not None and math.isfinite(score.stderr) else None,
    )


def _interval(
    score: ImportedScore, rows: Mapping[str, Stats], samples: Sequence[SampleRecord]
) -> tuple[float, float]:
    """By bootstrap, as our own; else normal, from the file's standard error; else unknown."""
    if len(rows) > 1:
        import numpy as np

        from harness import metrics

        groups = [s.group if s.group is not None else f"\0{s.id}" for s in samples if s.id in rows]
        shared = len(set(groups)) < len(groups)
        stats = np.array(list(rows.values()), dtype=float)
        return metrics.interval(score.metric, stats, groups=groups if shared else None)
    low, high = score.metric.bounds
    error = score.stderr
    if error is None or not (math.isfinite(error) and error >= 0):
        return (math.nan, math.nan)
    if error == 0:
        return _wilson(score)
    ends = score.value - Z * error, score.value + Z * error
    return (
        ends[0] if low is None else min(max(ends[0], low), score.value),
        ends[1] if high is None else max(min(ends[1], high), score.value),
    )


def _wilson(score: ImportedScore) -> tuple[float, float]:
    """Wilson's interval (1927) of a share: no spread among few samples does not mean certainty.

    Unknown where the score has no two ends, or the number of samples is not known.
    """
    low, high = score.metric.bounds
    n = score.n
    if low is None or high is None or not n or not low <= score.value <= high:
        return (math.nan, math.nan)
    p = (score.value - low) / (high - low)
    centre = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    ends = max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))
    return (
        min(low + ends[0] * (high - low), score.value),
        max(low + ends[1] * (high - low), score.value),
    )


def _only_known(sample: SampleRecord, scores: Sequence[Score], unused: set[str]) -> SampleRecord:
    known = {score.metric.name for score in scores} - unused
    kept = {name: stats for name, stats in sample.stats.items() if name in known}
    return replace(sample, stats=kept)


def _counts(cell: ImportedCell, samples: Sequence[SampleRecord]) -> Counts:
    known = max((score.n or 0 for score in cell.scores), default=0)
    if samples and known <= len(samples):
        return count(samples)
    return Counts(samples=known)
