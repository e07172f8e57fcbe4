"""Inspect: ``.eval`` archives and JSON logs, one task on one model each.

A scorer's values are numbers or letters: ``C`` correct, ``P`` partly, ``I`` incorrect, ``N`` no
answer. Several epochs of a sample share a group, so that intervals resample whole samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.errors import DataError
from harness.grading import count
from harness.types import (
    Counts,
    Generate,
    ImportedCell,
    ImportedScore,
    Response,
    SampleRecord,
    Stats,
)
from harness_interchange import measures
from harness_interchange.archive import open_archive
from harness_interchange.formats import wrong_format
from harness_interchange.reading import (
    find_files,
    inside,
    mapping,
    moment,
    number,
    read_json,
    whole,
)

LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
UNFINISHED = {
    "started": "the log is unfinished: it was written while Inspect ran",
    "cancelled": "the evaluation was cancelled",
    "error": "the evaluation ended with an error",
}


@dataclass(frozen=True, kw_only=True)
class _Log:
    path: Path
    header: Mapping[str, Any]
    samples: tuple[Mapping[str, Any], ...] = ()
    finished: bool = True
    reported: Mapping[str, Any] = field(default_factory=dict)


def read(paths: Sequence[Path]) -> Iterator[ImportedCell]:
    """One cell per log among ``paths`` and in the folders among them."""
    found = find_files(paths, ("*.eval", "*.json"))
    logs = 0
    for path in found:
        log = _open(path, required=path in paths)
        if log is not None:
            logs += 1
            yield _cell(log)
    if not logs:
        raise DataError("No log of Inspect (.eval or .json) among what was given.")


def _open(path: Path, *, required: bool) -> _Log | None:
    if path.suffix == ".eval":
        return _archived(path)
    data = read_json(path)
    if not isinstance(data, dict) or "eval" not in data or not isinstance(data["eval"], dict):
        if required:
            raise wrong_format(path, "log of Inspect", "no 'eval'")
        return None
    samples = data.get("samples")
    rows = samples if isinstance(samples, list) else []
    return _Log(path=path, header=data, samples=tuple(s for s in rows if isinstance(s, dict)))


def _archived(path: Path) -> _Log:
    with open_archive(path) as archive:
        finished = "header.json" in archive.names
        if not finished and "_journal/start.json" not in archive.names:
            raise DataError(
                f"{path} is no log of Inspect: it has neither header.json nor _journal/start.json."
            )
        name = "header.json" if finished else "_journal/start.json"
        header = mapping(archive.json(name), str(path), name)
        samples = tuple(
            mapping(archive.json(entry), str(path), entry)
            for entry in sorted(set(archive.names))
            if entry.startswith("samples/") and entry.endswith(".json")
        )
    return _Log(path=path, header=header, samples=samples, finished=finished)


def _cell(log: _Log) -> ImportedCell:
    header, path = log.header, log.path
    about = mapping(header.get("eval"), str(path), "'eval'")
    task, model = about.get("task"), about.get("model")
    if not isinstance(task, str) or not isinstance(model, str):
        raise DataError(f"{path} is no log of Inspect: 'eval' names no task or no model.")
    samples = tuple(_sample(sample, path) for sample in log.samples)
    scores, keys = _reported(header)
    if not scores:
        scores, keys = _from_samples(samples)
    kept = tuple(_renamed(sample, keys) for sample in samples)
    status = str(header.get("status") or ("started" if not log.finished else "success"))
    unfinished = UNFINISHED.get(status, "")
    if unfinished and not log.finished:
        unfinished += "; scores are means over the samples in it"
    config = inside(about, "config")
    limit = whole(config.get("limit"))
    version = inside(about, "packages").get("inspect_ai")
    parts = {
        "version": about.get("task_version"),
        "limit": limit,
        "arguments": inside(about, "task_args") or None,
        "data set": inside(about, "dataset").get("name"),
        "epochs": config.get("epochs"),
    }
    return ImportedCell(
        model=model,
        task=task,
        scores=tuple(replace(score, n=_n(score, kept)) for score in scores),
        files=(str(path),),
        identity=f"inspect:{model}",
        limit=limit,
        setup={key: str(value) for key, value in parts.items() if value is not None},
        versions={"inspect_ai": str(version)} if version else {},
        counts=_counts(inside(header, "results"), kept),
        samples=kept,
        unfinished=unfinished,
        evaluated=moment(about.get("created")),
    )


def _counts(results: Mapping[str, Any], samples: Sequence[SampleRecord]) -> Counts | None:
    """What the log counts, where it has lost more samples than those that it holds tell."""
    total, completed = whole(results.get("total_samples")), whole(results.get("completed_samples"))
    found = count(samples)
    lost = (total or 0) - (completed or 0)
    if total is None or results.get("completed_samples") is None or lost <= found.errors:
        return None
    return replace(found, samples=total, errors=lost)


def _n(score: ImportedScore, samples: Sequence[SampleRecord]) -> int | None:
    """Answers behind a score: with epochs, more than the samples that the log counts."""
    rows = sum(score.metric.name in sample.stats for sample in samples)
    return rows if score.n is None or rows > score.n else score.n


def _reported(header: Mapping[str, Any]) -> tuple[list[ImportedScore], Mapping[str, str]]:
    """The log's own metrics, and which key of a sample's values each is the mean of."""
    results = inside(header, "results")
    rows = results.get("scores")
    entries = [e for e in rows if isinstance(e, dict)] if isinstance(rows, list) else []
    several = len({str(e.get("name")) for e in entries}) > 1
    reducers = len({e.get("reducer") for e in entries}) > 1
    scores, keys = [], {}
    for entry in entries:
        scorer = str(entry.get("scorer") or entry.get("name"))
        values = inside(entry, "metrics")
        stderr = number(inside(values, "stderr").get("value"))
        for key, value in values.items():
            if key in ("stderr", "std", "var", "bootstrap_stderr") or not isinstance(value, dict):
                continue
            name = f"{entry.get('name')}/{key}" if several else str(key)
            if reducers and entry.get("reducer"):
                name += f",{entry['reducer']}"
            found = number(value.get("value"))
            made = measures.metric(key, source=f"inspect:{scorer}/{key}")
            scores.append(
                ImportedScore(
                    metric=replace(made, name=name),
                    value=float("nan") if found is None else found,
                    stderr=stderr,
                    n=whole(entry.get("scored_samples")) or whole(results.get("completed_samples")),
                )
            )
            if key in ("accuracy", "mean"):
                part = str(entry.get("name"))
                keys[f"{scorer}/{part}" if part != scorer else scorer] = name
    return scores, keys


def _from_samples(
    samples: Iterable[SampleRecord],
) -> tuple[list[ImportedScore], Mapping[str, str]]:
    """Means of a log that reports nothing, since it was never finished."""
    sums: dict[str, list[float]] = {}
    for sample in samples:
        for name, (value, weight) in sample.stats.items():
            sums.setdefault(name, []).append(value / weight)
    scores = [
        ImportedScore(
            metric=measures.metric(
                name, source=f"inspect:{name}/mean", bounds=(0.0, 1.0) if _share(values) else None
            ),
            value=sum(values) / len(values),
            n=len(values),
        )
        for name, values in sums.items()
    ]
    return scores, {name: name for name in sums}


def _share(values: Iterable[float]) -> bool:
    return all(value in (0.0, 0.5, 1.0) for value in values)


def _renamed(sample: SampleRecord, keys: Mapping[str, str]) -> SampleRecord:
    stats = {keys[name]: values for name, values in sample.stats.items() if name in keys}
    return replace(sample, stats=stats)


def _sample(sample: Mapping[str, Any], path: Path) -> SampleRecord:
    if "id" not in sample:
        raise DataError(f"{path}: a sample has no 'id'.")
    name, epoch = str(sample["id"]), whole(sample.get("epoch")) or 1
    output = inside(sample, "output")
    choices = output.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    text = inside(choice, "message").get("content")
    error = inside(sample, "error").get("message")
    usage = inside(output, "usage")
    stats, unparseable = _values(inside(sample, "scores"))
    target = sample.get("target")
    failed = isinstance(error, str)
    return SampleRecord(
        id=name if epoch == 1 else f"{name}#{epoch}",
        requests=(Generate(prompt=_text(sample.get("input"))),),
        responses=(
            Response(
                text=None if failed else _text(text),
                prompt_tokens=whole(usage.get("input_tokens")),
                tokens=whole(usage.get("output_tokens")),
                truncated=inside(choice).get("stop_reason") in ("max_tokens", "model_length"),
                error=str(error) if failed else None,
            ),
        ),
        reference=target if isinstance(target, str | list) else None,
        stats={} if failed else stats,
        group=name,
        unparseable=unparseable,
    )


def _values(scores: Mapping[str, Any]) -> tuple[Mapping[str, Stats], bool]:
    """Statistics by ``scorer`` or, for a scorer of several values, ``scorer/key``."""
    stats: dict[str, Stats] = {}
    unparseable = False
    for scorer, score in scores.items():
        value = inside(scores, scorer).get("value") if isinstance(score, dict) else score
        entries = value.items() if isinstance(value, dict) else [("", value)]
        for key, one in entries:
            found = LETTERS.get(one) if isinstance(one, str) else number(one)
            unparseable |= one == "N"
            if found is not None and found == found:
                stats[f"{scorer}/{key}" if key else scorer] = (found, 1.0)
    return stats, unparseable


def _text(value: Any) -> str:
    """A text, or the texts of a list of messages or parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n\n".join(_text(inside(part).get("content") or part) for part in value)
    if isinstance(value, dict):
        return str(value.get("text") or "")
    return "" if value is None else str(value)
