"""lm-evaluation-harness: results JSON of 0.3 and 0.4, with samples files where they lie beside.

0.3 writes ``{"results": {task: {metric: value, metric_stderr: value}}, "versions", "config"}``,
0.4 names metrics ``metric,filter`` and adds shots, sample counts, directions and hashes. One line
of a samples file is one document under one filter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import DataError
from harness.types import ImportedCell, ImportedScore, Metric
from harness_interchange import lm_eval_samples, measures, published
from harness_interchange.formats import of_json, wrong_format
from harness_interchange.reading import (
    find_files,
    inside,
    mapping,
    moment,
    number,
    read_json,
    whole,
)
from harness_interchange.writing import file_name

STAMP = re.compile(r"_(\d{4}-\d\d-\d\dT\d\d[-:]\d\d[-:]\d\d(?:\.\d+)?)\.json\Z")
SAMPLES = re.compile(r"samples_.*\.jsonl(\.gz)?\Z")
NOT_METRICS = frozenset({"alias", "name", "sample_len", "samples", "effective_num_docs"})


@dataclass(frozen=True, kw_only=True)
class _Model:
    name: str
    family: str
    identity: str
    size: published.Size
    shots: int | None
    limit: int | None
    seed: int


def read(paths: Sequence[Path]) -> Iterator[ImportedCell]:
    """Cells of every results file among ``paths`` and in the folders among them.

    Raises DataError for a file that is no results file, or samples without their results.
    """
    found = find_files(paths, ("*.json",))
    results = [path for path in found if not SAMPLES.match(path.name)]
    if not results:
        raise DataError(
            "No results file of lm-evaluation-harness among what was given.\n"
            "Samples files are read beside their results_*.json; give that one or the folder."
        )
    named = set(paths)
    for path in results:
        data = read_json(path)
        strange = of_json(data) not in (None, "lm-eval")
        if strange or not isinstance(inside(data).get("results"), dict):
            if path in named:
                raise wrong_format(path, "results file of lm-evaluation-harness", "no 'results'")
            continue  # a folder may hold other JSON too
        yield from _cells(path, data)


def _cells(path: Path, data: Mapping[str, Any]) -> Iterator[ImportedCell]:
    model = _model(path, data)
    # Looked up in the folder's list: a hostile task name is never a path.
    beside = frozenset(p.name for p in path.parent.glob("samples_*"))
    for task, values in data["results"].items():
        fields = mapping(values, str(path), f"the result of task '{task}'")
        samples = _samples(path, task, beside)
        scores = _scores(task, fields, data, samples.formulas)
        if not scores:
            continue  # the heading of a group has no score of its own
        shots = _shots(task, data, model)
        yield ImportedCell(
            model=model.name,
            task=task,
            scores=tuple(scores),
            files=(str(path),),
            family=model.family,
            identity=model.identity,
            parameters=model.size.parameters,
            sizes=model.size.source,
            train_tokens=None,
            shots=shots,
            seed=model.seed,
            limit=model.limit,
            setup=_setup(task, data, shots, model.limit),
            versions=_versions(data),
            samples=samples.records,
            evaluated=moment(data.get("date")),
        )


def _model(path: Path, data: Mapping[str, Any]) -> _Model:
    config = inside(data, "config")
    arguments = _arguments(config.get("model_args"))
    name = data.get("model_name") or arguments.get("pretrained") or arguments.get("model")
    if not name:
        name = config.get("model") if isinstance(config.get("model"), str) else path.stem
    revision = arguments.get("revision") or ""
    revision = "" if revision == "main" else revision
    if arguments.get("peft"):
        name = f"{name}+{arguments['peft']}"
    known = published.find(str(name))
    total = whole(config.get("model_num_parameters"))
    label = f"{name}@{revision}" if revision else str(name)
    return _Model(
        name=label,
        family="" if not known.family else f"{known.family}{'@' if revision else ''}{revision}",
        identity=f"{name}@{config['model_sha']}" if config.get("model_sha") else f"lm-eval:{label}",
        size=known if total is None else published.from_file(total, known),
        shots=_count(config.get("num_fewshot")),
        limit=whole(config.get("limit")),
        seed=_count(config.get("random_seed")) or 0,
    )


def _arguments(text: Any) -> Mapping[str, str]:
    """``model_args`` as text (``a=1,b=2``) or as an object."""
    if isinstance(text, dict):
        return {str(key): str(value) for key, value in text.items() if value is not None}
    if not isinstance(text, str):
        return {}
    parts = (part.partition("=") for part in text.split(","))
    return {key.strip(): value.strip() for key, _, value in parts}


def _count(value: Any) -> int | None:
    found = number(value)
    return int(found) if found is not None and found.is_integer() and 0 <= found < 1e9 else None


def _shots(task: str, data: Mapping[str, Any], model: _Model) -> int | None:
    for place in (inside(data, "n-shot").get(task), inside(data, "configs", task)):
        found = _count(place.get("num_fewshot") if isinstance(place, dict) else place)
        if found is not None:
            return found
    return model.shots


def _setup(
    task: str, data: Mapping[str, Any], shots: int | None, limit: int | None
) -> Mapping[str, str]:
    parts = {
        "shots": shots,
        "limit": limit,
        "version": inside(data, "versions").get(task),
        "task hash": inside(data, "task_hashes").get(task),
    }
    return {key: str(value) for key, value in parts.items() if value is not None}


def _versions(data: Mapping[str, Any]) -> Mapping[str, str]:
    found = {
        "lm_eval": data.get("lm_eval_version"),
        "transformers": data.get("transformers_version"),
    }
    return {name: str(version) for name, version in found.items() if version}


def _scores(
    task: str,
    fields: Mapping[str, Any],
    data: Mapping[str, Any],
    formulas: Mapping[str, str],
) -> list[ImportedScore]:
    version = data.get("lm_eval_version") or "0.3"
    n = whole(inside(data, "n-samples", task).get("effective")) or whole(fields.get("sample_len"))
    scores = []
    for key, value in fields.items():
        name, _, filtered = key.partition(",")
        if name in NOT_METRICS or name.endswith("_stderr") or not name.strip():
            continue
        if not isinstance(value, int | float) or isinstance(value, bool):
            if isinstance(value, str) and filtered:
                value = float("nan")  # "N/A" where a number should be: said, not hidden
            else:
                continue
        shown = name if filtered in ("", "none") else key
        scores.append(
            ImportedScore(
                metric=replace(
                    _metric(shown, name, task, data, f"lm-eval:{key}|lm_eval:{version}"),
                    formula=formulas.get(shown, "mean"),
                ),
                value=float(value),
                stderr=number(fields.get(f"{name}_stderr{',' if filtered else ''}{filtered}")),
                n=n,
            )
        )
    return scores


def _metric(shown: str, name: str, task: str, data: Mapping[str, Any], source: str) -> Metric:
    config = inside(data, "configs", task)
    entries = config.get("metric_list")
    entry = next(
        (e for e in entries if isinstance(e, dict) and e.get("metric") == name)
        if isinstance(entries, list)
        else iter(()),
        {},
    )
    better = inside(data, "higher_is_better", task).get(name, entry.get("higher_is_better"))
    bounds = entry.get("bounds")
    stated = None
    if isinstance(bounds, list) and len(bounds) == 2:
        stated = (number(bounds[0]), number(bounds[1]))
    elif task.startswith("squad") and measures.is_known(name):
        stated = measures.PERCENT
    made = measures.metric(
        shown,
        task=task,
        source=source,
        better=better if isinstance(better, bool) else None,
        bounds=stated,
    )
    choices = config.get("doc_to_choice")
    if made.chance is None and name.startswith("acc") and isinstance(choices, list) and choices:
        made = replace(made, chance=1.0 / len(choices))
    return made


def _samples(path: Path, task: str, beside: frozenset[str]) -> lm_eval_samples.Samples:
    """The samples that were written with these results: same folder, task and time."""
    stamp = STAMP.search(path.name)
    for name in (task, file_name(task)) if stamp else ():
        for ending in (".jsonl", ".jsonl.gz"):
            candidate = f"samples_{name}_{stamp.group(1) if stamp else ''}{ending}"
            if candidate in beside:
                return lm_eval_samples.read(path.with_name(candidate))
    return lm_eval_samples.NONE
