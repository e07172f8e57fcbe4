"""EvalScope: reports (versions 1 and 2), with the reviews of each answer where they lie beside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import DataError
from harness.types import Generate, ImportedCell, ImportedScore, Response, SampleRecord, Stats
from harness_interchange import measures
from harness_interchange.formats import wrong_format
from harness_interchange.reading import (
    find_files,
    inside,
    mapping,
    number,
    read_json,
    read_lines,
    sequence,
    whole,
)


def read(paths: Sequence[Path]) -> Iterator[ImportedCell]:
    """One cell per report among ``paths`` and in the folders among them."""
    count = 0
    for path in find_files(paths, ("*.json",)):
        data = read_json(path)
        keys = ("dataset_name", "model_name", "metrics")
        if not isinstance(data, dict) or any(key not in data for key in keys):
            if path in paths:
                raise wrong_format(path, "report of EvalScope", "no 'dataset_name' or 'metrics'")
            continue
        count += 1
        yield _cell(path, data)
    if not count:
        raise DataError(
            "No report of EvalScope among what was given.\n"
            "They lie under outputs/TIME/reports/MODEL/; give that folder or outputs/TIME."
        )


def _cell(path: Path, data: Mapping[str, Any]) -> ImportedCell:
    task, model = str(data["dataset_name"]), str(data["model_name"])
    metrics = [
        mapping(entry, str(path), "a metric")
        for entry in sequence(data["metrics"], str(path), "'metrics'")
    ]
    names = {str(m.get("name") or m.get("identity")): m for m in metrics}
    reviews = tuple(_reviews(path, task, tuple(names)))
    scores = []
    for name, entry in names.items():
        value = number(entry.get("score"))
        scores.append(
            ImportedScore(
                metric=measures.metric(name, task=task, source=f"evalscope:{name}"),
                value=float("nan") if value is None else value,
                n=whole(entry.get("num")),
            )
        )
    subsets = sorted(
        str(inside(subset).get("name"))
        for entry in metrics
        for category in entry.get("categories") or []
        for subset in inside(category).get("subsets") or []
    )
    return ImportedCell(
        model=model,
        task=task,
        scores=tuple(scores),
        files=(str(path),),
        identity=f"evalscope:{model}",
        setup={"subsets": ",".join(dict.fromkeys(subsets))},
        samples=reviews,
    )


def _reviews(path: Path, task: str, names: Sequence[str]) -> Iterator[SampleRecord]:
    """Reviews beside a report: ``reviews/MODEL/TASK_SUBSET.jsonl``, or the flat layout."""
    if path.parent.parent.name == "reports":
        folder = path.parent.parent.parent / "reviews" / path.parent.name
        files, start = sorted(folder.glob("*.jsonl")), f"{task}_"
    else:
        files, start = sorted(path.parent.glob("reviews_*.jsonl")), f"reviews_{task}_"
    for file in files:
        if not file.name.startswith(start):
            continue
        subset = file.stem.removeprefix(start)
        for where, value in read_lines(file):
            yield _review(mapping(value, where, "the line"), subset, names)


def _review(line: Mapping[str, Any], subset: str, names: Sequence[str]) -> SampleRecord:
    scored = inside(line, "sample_score")
    score = inside(scored, "score")
    stats: dict[str, Stats] = {}
    for key, value in inside(score, "value").items():
        found = number(value)
        # The report says mean_acc of what the reviews call acc.
        name = next((n for n in (f"mean_{key}", key) if n in names), None)
        if found is not None and name is not None:
            stats[name] = (found, 1.0)
    messages = line.get("messages")
    asked = [
        str(inside(m).get("content"))
        for m in (messages if isinstance(messages, list) else [])
        if inside(m).get("role") in ("system", "user")
    ]
    group = scored.get("group_id", line.get("index"))
    target = line.get("target")
    return SampleRecord(
        id=f"{subset}/{scored.get('sample_id', line.get('index'))}",
        requests=(Generate(prompt="\n\n".join(asked)),),
        responses=(Response(text=str(score.get("prediction") or "")),),
        reference=target if isinstance(target, str | list) else None,
        stats=stats,
        group=f"{subset}/{group}",
    )
