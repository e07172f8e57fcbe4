"""HELM: run directories, one scenario on one model each.

Statistics of HELM are kept per split and per perturbation; what is imported is the unperturbed
test split (the validation split where there is no other).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.errors import DataError, UsageError
from harness.types import Generate, ImportedCell, ImportedScore, Response, SampleRecord, Stats
from harness_interchange import measures
from harness_interchange.reading import inside, mapping, number, read_json, sequence, whole

BOOKKEEPING = re.compile(
    r"num_.*|.*_runtime.*|batch_size|finish_reason_.*|training_.*|logprob.*|max_prob|"
    r"prompt_truncated|estimated_.*|predicted_index|.*_cost"
)
LIKELIHOODS = frozenset({"perplexity", "bits_per_byte"})


def read(paths: Sequence[Path]) -> Iterator[ImportedCell]:
    """One cell per run directory among ``paths`` and below them."""
    runs: dict[Path, None] = {}
    for path in paths:
        if not path.exists():
            raise UsageError(f"'{path}' is not there.\nGive run directories of HELM.")
        if path.is_dir():
            runs |= dict.fromkeys(sorted(p.parent for p in path.rglob("run_spec.json")))
        elif (path.parent / "run_spec.json").is_file():
            runs[path.parent] = None
    if not runs:
        raise DataError(
            "No run directory of HELM among what was given: none holds a run_spec.json.\n"
            "They lie under benchmark_output/runs/SUITE/."
        )
    for run in runs:
        yield _cell(run)


def _cell(run: Path) -> ImportedCell:
    spec = mapping(read_json(run / "run_spec.json"), str(run), "run_spec.json")
    if not (run / "stats.json").is_file():
        raise DataError(f"{run} has no stats.json.\nDid this run of HELM end?")
    adapter = inside(spec, "adapter_spec")
    model, name = adapter.get("model"), spec.get("name")
    if not isinstance(model, str) or not isinstance(name, str):
        raise DataError(f"{run}/run_spec.json names no model or no scenario.")
    stats = sequence(read_json(run / "stats.json"), str(run), "stats.json")
    splits = {inside(entry, "name").get("split") for entry in stats}
    split = "test" if "test" in splits else "valid" if "valid" in splits else None
    likelihood = str(adapter.get("method", "")).startswith("language_modeling")
    means = _means(stats, split, likelihood)
    n = whole(_means(stats, split, likelihood, wanted="num_instances").get("num_instances"))
    samples = _samples(run, split, frozenset(means))
    limit = whole(adapter.get("max_eval_instances"))
    shots = number(adapter.get("max_train_instances"))
    return ImportedCell(
        model=model,
        task=_task(name, str(adapter.get("model_deployment") or "")),
        scores=tuple(
            ImportedScore(
                metric=measures.metric(key, task=_chance_task(name), source=f"helm:{key}@{split}"),
                value=value,
                n=n,
            )
            for key, value in means.items()
        ),
        files=(str(run),),
        identity=f"helm:{adapter.get('model_deployment') or model}",
        shots=None if shots is None else int(shots),
        limit=limit,
        setup={
            "shots": str(shots),
            "limit": str(limit),
            "split": str(split),
            "method": str(adapter.get("method")),
            "instructions": str(adapter.get("instructions", ""))[:200],
        },
        samples=samples,
        notes=_left_out(stats, split),
    )


def _left_out(stats: Sequence[Any], split: str | None) -> tuple[str, ...]:
    """What else the directory holds: instances of another split, which never enter the scores."""
    notes = []
    for other in ("train", "valid"):
        found = whole(_means(stats, other, False, wanted="num_instances").get("num_instances"))
        if found and other != split:
            notes.append(f"{found} instance{'s' * (found > 1)} of the split '{other}' left out")
    return tuple(notes)


def _task(name: str, deployment: str) -> str:
    """The run's name without its model: ``mmlu:subject=philosophy,...``."""
    head, colon, rest = name.partition(":")
    parts = [p for p in rest.split(",") if p and not p.startswith(("model=", "model_deployment="))]
    return f"{head}{colon if parts else ''}{','.join(parts)}"


def _chance_task(name: str) -> str:
    return name.partition(":")[0]


def _means(
    stats: Sequence[Any], split: str | None, likelihood: bool, wanted: str = ""
) -> Mapping[str, float]:
    found = {}
    for entry in stats:
        about = inside(entry, "name")
        name = about.get("name")
        if about.get("split") != split or about.get("perturbation") or not isinstance(name, str):
            continue
        if wanted and name != wanted:
            continue
        if not wanted and (BOOKKEEPING.fullmatch(name) or (name in LIKELIHOODS and not likelihood)):
            continue
        value = number(entry.get("mean"))
        if value is not None:
            found[name] = value
    return found


def _samples(run: Path, split: str | None, names: frozenset[str]) -> tuple[SampleRecord, ...]:
    path = run / "per_instance_stats.json"
    if not path.is_file():
        return ()
    texts = _texts(run)
    records = []
    for row in sequence(read_json(path), str(path), "the file"):
        if inside(row).get("perturbation"):
            continue
        stats: dict[str, Stats] = {}
        for entry in row.get("stats") or []:
            about = inside(entry, "name")
            value = number(entry.get("mean"))
            if about.get("split") == split and about.get("name") in names and value is not None:
                stats[str(about["name"])] = (value, 1.0)
        key, trial = str(row.get("instance_id")), row.get("train_trial_index") or 0
        if stats:
            known = texts.get((key, trial))
            record = known or SampleRecord(
                id="", requests=(), responses=(), reference=None, stats={}
            )
            name = key if trial == 0 else f"{key}#{trial}"
            records.append(replace(record, id=name, group=key, stats=stats))
    return tuple(records)


def _texts(run: Path) -> Mapping[tuple[str, int], SampleRecord]:
    """What was asked and answered, where scenario_state.json was kept."""
    path = run / "scenario_state.json"
    if not path.is_file():
        return {}
    states = inside(read_json(path)).get("request_states")
    found = {}
    for state in states if isinstance(states, list) else []:
        instance, request = inside(state, "instance"), inside(state, "request")
        if inside(instance, "perturbation"):
            continue
        result = inside(state, "result")
        completions = result.get("completions")
        first = completions[0] if isinstance(completions, list) and completions else {}
        key = (str(instance.get("id")), inside(state).get("train_trial_index") or 0)
        failed = result.get("success") is False
        stop = request.get("stop_sequences")
        found[key] = SampleRecord(
            id="",
            requests=(
                Generate(
                    prompt=str(request.get("prompt", "")),
                    max_tokens=whole(request.get("max_tokens")) or 1,
                    stop=tuple(str(s) for s in stop) if isinstance(stop, list) else (),
                ),
            ),
            responses=(
                Response(
                    text=None if failed else str(inside(first).get("text", "")),
                    error=str(result.get("error") or "failed") if failed else None,
                ),
            ),
            reference=_references(instance),
            stats={},
        )
    return found


def _references(instance: Mapping[str, Any]) -> list[str]:
    rows = instance.get("references")
    return [
        str(inside(row, "output").get("text"))
        for row in (rows if isinstance(rows, list) else [])
        if "correct" in (inside(row).get("tags") or [])
    ]
