"""Entities in two files, or in two columns of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.errors import DataError, UsageError
from harness.grading import Subject, draw_samples
from harness.outputs.records import Outcome, Pair, PairTask, scored_pairs
from harness.plan import PlannedTask
from harness.reading import read_lines, shown
from harness.types import Sample

if TYPE_CHECKING:
    from harness.metrics import Scorer


def score_entities(
    metric: str, outputs: PlannedTask, references: PlannedTask, path: str, *, seed: int
) -> Outcome:
    """Compare the entities that two tasks read, sentence by sentence.

    Both must have the same tokens; a task's references hold ``tokens`` and ``spans``. ``path`` is
    the outputs' file, for the signature. Raises DataError where the two differ.
    """
    from harness.metrics import entity_report

    found, gold = (_marked(planned) for planned in (outputs, references))
    if len(found) != len(gold):
        raise DataError(
            f"'{outputs.text}' has {len(found)} sentences, '{references.text}' has {len(gold)}.\n"
            "Both must mark the same text."
        )
    pairs: dict[str, Pair] = {}
    for ours, theirs in zip(found, gold, strict=True):
        if ours.reference["tokens"] != theirs.reference["tokens"]:
            raise DataError(
                f"Sentence {theirs.id} of '{outputs.text}' has other tokens than that of "
                f"'{references.text}'.\nIt begins with {shown(ours.reference['tokens'][:5])}."
            )
        spans = theirs.reference["spans"]
        pairs[theirs.id] = Pair(
            id=theirs.id, output=ours.reference["spans"], reference=spans, group=theirs.group
        )
    types = {str(span[0]) for p in pairs.values() for span in (*p.output, *p.reference)}
    task = PairTask(scorer=_entity_scorer(metric, sorted(types)), pairs=pairs)
    outcome = scored_pairs(task, "entities", path, seed)
    report = entity_report((pair.output, pair.reference) for pair in pairs.values())
    return replace(outcome, report=report)


def _marked(planned: PlannedTask) -> Sequence[Sample]:
    subject = Subject(task=planned.build(), name=planned.text, plugin=planned.spec.plugin)
    samples = draw_samples(subject, None)
    reference = samples[0].reference
    if not isinstance(reference, dict) or not {"tokens", "spans"} <= reference.keys():
        raise UsageError(f"Task '{planned.text}' has no entities.\nName one such as conll.")
    return samples


def _entity_scorer(spec: str, types: Sequence[str]) -> Scorer:
    from harness import metrics

    name, _, option = spec.partition(":")
    average = option.removeprefix("average=") if option.startswith("average=") else ""
    if name == "entity_f1" and average in ("macro", "weighted"):
        return metrics.entity_f1(average, types=types)
    if option and not (name == "entity_f1" and average == "micro"):
        raise UsageError(
            f"'{spec}' is no metric of entities.\n"
            "Options: entity_f1:average=micro, entity_f1:average=macro, entity_f1:average=weighted"
        )
    if name == "entity_precision":
        return metrics.entity_precision()
    return metrics.entity_recall() if name == "entity_recall" else metrics.entity_f1()


def last_column(path: str) -> int:
    """How many columns the first token's line of a CoNLL file has; raises DataError for one."""
    lines = (line for line in read_lines(path) if line.strip() and "-DOCSTART-" not in line)
    first = next(lines, "")
    width = len(first.rstrip("\t ").split("\t")) if "\t" in first else len(first.split())
    if width < 3:
        raise DataError(
            f"'{path}' has {width} columns, not token, gold tag and predicted tag.\n"
            "Put both tags in one file as its last two columns, or name the gold file with --ref."
        )
    return width
