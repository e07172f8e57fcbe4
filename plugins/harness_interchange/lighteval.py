"""lighteval: results JSON, with details where they lie beside.

Tasks are ``suite|task|shots|truncation`` or, in newer files, ``task|shots``.

Sums over tasks (``all``, ``...:_average|...``) are left out: they are no task, and lighteval
averages standard errors in them as if those were scores. Standard errors of corpus metrics are
left out: versions up to 0.13 divide bootstrap errors once more by sqrt(1000).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import DataError
from harness.types import ImportedCell, ImportedScore, Parameters
from harness_interchange import lighteval_details, measures, published
from harness_interchange.formats import wrong_format
from harness_interchange.reading import find_files, inside, mapping, number, read_json, whole

CORPUS = re.compile(r"bleu.*|chrf.*|ter|.*f1_corpus|.*corpus.*")


def read(paths: Sequence[Path]) -> Iterator[ImportedCell]:
    """Cells of every results file among ``paths`` and in the folders among them."""
    count = 0
    for path in find_files(paths, ("results_*.json",)):
        data = read_json(path)
        if not isinstance(data, dict) or not isinstance(data.get("config_general"), dict):
            if path in paths:
                raise wrong_format(path, "results file of lighteval", "no 'config_general'")
            continue
        count += 1
        yield from _cells(path, data)
    if not count:
        raise DataError("No results file of lighteval (results_*.json) among what was given.")


def _cells(path: Path, data: Mapping[str, Any]) -> Iterator[ImportedCell]:
    general = data["config_general"]
    name = general.get("model_name") or inside(general, "model_config").get("model_name")
    if not isinstance(name, str):
        raise DataError(f"{path} names no model in 'config_general'.")
    known = published.find(name)
    limit = whole(general.get("max_samples"))
    sha = general.get("model_sha")
    version = general.get("lighteval_sha")
    results = mapping(data.get("results"), str(path), "'results'")
    for key, values in results.items():
        task, shots = _task(key)
        if key == "all" or "_average" in key:
            continue
        fields = mapping(values, str(path), f"the result of task '{key}'")
        scores = tuple(_scores(task, fields))
        if not scores:
            continue
        parts = {
            "shots": shots,
            "limit": limit,
            "version": inside(data, "versions").get(key),
            "examples": inside(data, "summary_tasks", key, "hashes").get("hash_examples"),
        }
        details = lighteval_details.read(path, key)
        yield ImportedCell(
            model=name,
            task=task,
            scores=scores,
            files=(str(path),),
            family=known.family,
            identity=f"{name}@{sha}" if sha else f"lighteval:{name}",
            parameters=known.parameters if known.family else Parameters(),
            sizes=known.source,
            shots=shots,
            limit=limit,
            setup={k: str(v) for k, v in parts.items() if v is not None},
            versions={"lighteval": str(version)} if version else {},
            samples=details.records,
            notes=(details.note,) if details.note else (),
        )


def _task(key: str) -> tuple[str, int | None]:
    """Task and shots of a key; the suite stays in the name, since it changes the prompt."""
    parts = key.split("|")
    if len(parts) == 1:
        return key, None
    shots = next((p for p in parts[1:] if p.isdigit()), None)
    at = parts.index(shots) if shots is not None else len(parts)
    return "|".join(parts[:at]), None if shots is None else int(shots)


def _scores(task: str, fields: Mapping[str, Any]) -> Iterator[ImportedScore]:
    for name, value in fields.items():
        if name.endswith("_stderr"):
            continue
        found = number(value)
        if found is None and not (isinstance(value, str) and value.lower() == "nan"):
            continue
        stderr = number(fields.get(f"{name}_stderr"))
        yield ImportedScore(
            metric=measures.metric(name, task=task.split("|")[-1], source=f"lighteval:{name}"),
            value=float("nan") if found is None else found,
            stderr=None if CORPUS.fullmatch(name) else stderr,
        )
