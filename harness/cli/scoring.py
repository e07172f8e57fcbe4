"""What ``harness score`` does: read outputs and references, grade, print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import click

from harness.cli.common import echo_json
from harness.codec import to_json
from harness.errors import PartialError, UsageError
from harness.names import escaped, parse_items
from harness.outputs import (
    ENTITY_METRICS,
    REFERENCE_FREE,
    Outcome,
    is_json_name,
    score_answers,
    score_columns,
    score_entities,
    score_lines,
)
from harness.plan import PERMISSION, PlannedTask, RunRequest, plan_task
from harness.plugins import Registry, load_registry
from harness.table import entity_tables
from harness.types import RequestKind


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What to score; see the options of ``harness score``."""

    metric: str
    outputs: str
    references: tuple[str, ...]
    task: str | None
    seed: int
    max_errors: int
    allow_code_execution: bool


def print_score(asked: Asked, *, as_json: bool) -> None:
    """Score and print. Raises UsageError, and PartialError where too many outputs are missing."""
    outcome = _scored(asked)
    _print(outcome, asked.outputs, as_json)
    if outcome.counts.errors > asked.max_errors:
        raise PartialError(
            f"'{asked.outputs}' has no output for {outcome.counts.errors} of "
            f"{outcome.counts.samples} samples; they are left out of the score.\n"
            "Allow it with --max-errors N."
        )


def _scored(asked: Asked) -> Outcome:
    metric, hyp, references = asked.metric, asked.outputs, asked.references
    name = metric.partition(":")[0]
    if name in ENTITY_METRICS:
        return _entities(metric, hyp, references, asked.task, asked.seed)
    if asked.task or is_json_name(hyp):
        registry, name = load_registry(), asked.task or "squad"
        if asked.allow_code_execution:
            name = with_permission(registry, name)
        planned = _planned(registry, name, _only(references), "generate")
        return score_answers(metric, planned, hyp, seed=asked.seed)
    if not references and name not in REFERENCE_FREE:
        raise UsageError("Give the references: --ref FILE, or several: --ref FILE FILE")
    return score_lines(metric, hyp, references, seed=asked.seed)


def _entities(metric: str, hyp: str, refs: Sequence[str], task: str | None, seed: int) -> Outcome:
    reference = _only(refs)
    if task is None:
        return score_columns(metric, hyp, reference, seed=seed)
    if not reference:
        raise UsageError(f"--task {task} reads two files: name the gold one with --ref FILE.")
    registry = load_registry()
    found, gold = (_planned(registry, task, path, "tag") for path in (hyp, reference))
    return score_entities(metric, found, gold, hyp, seed=seed)


def _only(references: Sequence[str]) -> str:
    if len(references) > 1:
        raise UsageError(
            f"Several files of references are for texts in lines, and {len(references)} are "
            "given.\nName one file that holds all right answers."
        )
    return references[0] if references else ""


def with_permission(registry: Registry, task: str) -> str:
    """The task as written, with its option that allows running code, where it has that option."""
    (item,) = parse_items(task, what="task name")
    entry = registry.tasks.get(item.name)
    offered = entry is not None and any(one.name == PERMISSION for one in entry.spec.options)
    return f"{task},{PERMISSION}=yes" if offered and PERMISSION not in item.options else task


def _planned(registry: Registry, task: str, path: str, kind: RequestKind) -> PlannedTask:
    text = f"{task},data={escaped(path)}" if path else task
    # Here the option was written on this command line, so it is leave given, not leave recorded.
    request = RunRequest(allow_code_execution=f"{PERMISSION}=yes" in text)
    return plan_task(registry, text, frozenset({kind}), request)


def _print(outcome: Outcome, hyp: str, as_json: bool) -> None:
    if as_json:
        echo_json(_document(outcome, hyp))
    else:
        _tell(outcome, hyp)
    if outcome.strangers:
        click.echo(f"'{hyp}' has {outcome.strangers} outputs for other ids; not used.", err=True)


def _tell(outcome: Outcome, hyp: str) -> None:
    score = outcome.score
    if outcome.reports is not None:
        click.echo(entity_tables(outcome.reports) + "\n")
    low, high = score.ci
    digits = ".2f" if score.metric.bounds == (0.0, 100.0) else ".4g"
    interval = f"[{low:{digits}}, {high:{digits}}]"
    click.echo(f"{score.metric.name} {score.value:{digits}} {interval} (95 %), n = {score.n}")
    if outcome.counts.unparseable:
        click.echo(f"{outcome.counts.unparseable} outputs cannot be read as answers")
    click.echo(score.signature)


def _document(outcome: Outcome, hyp: str) -> dict[str, object]:
    score = outcome.score
    document = {
        "schema": 1,
        "outputs": hyp,
        "metric": score.metric.name,
        "value": score.value,
        "ci": list(score.ci),
        "n": score.n,
        "samples": outcome.counts.samples,
        "errors": outcome.counts.errors,
        "unparseable": outcome.counts.unparseable,
        "strangers": outcome.strangers,
        "higher_is_better": score.metric.higher_is_better,
        "bounds": list(score.metric.bounds),
        "signature": score.signature,
    }
    return document | to_json(outcome.reports) if outcome.reports else document
