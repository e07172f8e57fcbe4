"""Entities in two columns of one file, in two files of columns, or as a task reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.columns import Sentence, read_columns
from harness.errors import DataError, UsageError, suggestion
from harness.grading import Subject, draw_samples
from harness.outputs.records import Outcome, Pair, PairTask, scored_pairs
from harness.plan import PlannedTask
from harness.reading import read_lines, shown

if TYPE_CHECKING:
    from harness.metrics import Scorer
    from harness.types import Entity

ENTITY_METRICS = ("entity_f1", "entity_precision", "entity_recall")
SETTINGS = (
    "average=micro|macro|weighted (of entity_f1) and, for columns of tags, "
    "scheme=auto|iob1|iob2|iobes|bilou"
)


@dataclass(frozen=True, kw_only=True)
class Marking:
    """A sentence as one side marks it."""

    id: str
    tokens: Sequence[str]
    spans: Sequence[Entity]
    tags: Sequence[str]
    group: str | None


def score_columns(metric: str, outputs: str, reference: str, *, seed: int) -> Outcome:
    """Compare the tags in two columns of ``outputs``, or in the last columns of two files.

    Without ``reference``, the gold tags stand in the last column but one of ``outputs``, as
    conlleval reads it. Raises DataError where the sentences or tokens differ.
    """
    settings = _settings(metric)
    scheme = settings.get("scheme", "auto")
    if reference:
        found, gold = read_columns(outputs), read_columns(reference)
    else:
        last = _last_column(outputs)
        found, gold = (read_columns(outputs, column=column) for column in (last, last - 1))
    sides = (_tagged(found, scheme), _tagged(gold, scheme))
    return _compared(metric, settings, sides, (outputs, reference or outputs), seed)


def score_entities(
    metric: str, outputs: PlannedTask, references: PlannedTask, path: str, *, seed: int
) -> Outcome:
    """Compare the entities that two tasks read, sentence by sentence.

    Both must have the same tokens; a task's references hold ``tokens`` and ``spans``. ``path`` is
    the outputs' file, for the signature. Raises DataError where the two differ.
    """
    settings = _settings(metric)
    if "scheme" in settings:
        raise UsageError("scheme= is for columns of tags, which are read without --task.")
    sides = (_marked(outputs), _marked(references))
    return _compared(metric, settings, sides, (outputs.text, references.text), seed, path)


def _compared(
    metric: str,
    settings: Mapping[str, str],
    sides: tuple[Sequence[Marking], Sequence[Marking]],
    names: tuple[str, str],
    seed: int,
    path: str = "",
) -> Outcome:
    from harness.metrics import entity_reports

    found, gold = sides
    _check_same_text(found, gold, names)
    pairs = {
        theirs.id: Pair(
            id=theirs.id,
            output=[list(span) for span in ours.spans],
            reference=[list(span) for span in theirs.spans],
            group=theirs.group,
        )
        for ours, theirs in zip(found, gold, strict=True)
    }
    types = {str(span[0]) for p in pairs.values() for span in (*p.output, *p.reference)}
    task = PairTask(scorer=_scorer(metric, settings, sorted(types)), pairs=pairs)
    outcome = scored_pairs(task, "entities", path or names[0], seed)
    both = list(zip(found, gold, strict=True))
    reports = entity_reports(
        ((a.spans, b.spans) for a, b in both), ((a.tags, b.tags) for a, b in both)
    )
    return replace(outcome, reports=reports)


def _check_same_text(
    found: Sequence[Marking], gold: Sequence[Marking], names: tuple[str, str]
) -> None:
    if len(found) != len(gold):
        raise DataError(
            f"'{names[0]}' has {len(found)} sentences, '{names[1]}' has {len(gold)}.\n"
            "Both must mark the same text."
        )
    for ours, theirs in zip(found, gold, strict=True):
        if list(ours.tokens) != list(theirs.tokens):
            raise DataError(
                f"Sentence {theirs.id} of '{names[0]}' has other tokens than that of "
                f"'{names[1]}'.\nIt begins with {shown(list(ours.tokens[:5]))}."
            )


def _tagged(sentences: Sequence[Sentence], scheme: str) -> list[Marking]:
    from harness.metrics import spans_from_tags

    return [
        Marking(
            id=str(number),
            tokens=sentence.tokens,
            spans=spans_from_tags(sentence.tags, scheme),
            tags=sentence.tags,
            group=sentence.document,
        )
        for number, sentence in enumerate(sentences, start=1)
    ]


def _marked(planned: PlannedTask) -> list[Marking]:
    from harness.metrics import tags_from_spans

    subject = Subject(task=planned.build(), name=planned.text, plugin=planned.spec.plugin)
    samples = draw_samples(subject, None)
    reference = samples[0].reference
    if not isinstance(reference, dict) or not {"tokens", "spans"} <= reference.keys():
        raise UsageError(f"Task '{planned.text}' has no entities.\nName one such as conll.")
    markings = []
    for sample in samples:
        tokens, spans = sample.reference["tokens"], sample.reference["spans"]
        tags = tags_from_spans([(str(kind), a, b) for kind, a, b in spans], len(tokens))
        marking = Marking(id=sample.id, tokens=tokens, spans=spans, tags=tags, group=sample.group)
        markings.append(marking)
    return markings


def _settings(spec: str) -> Mapping[str, str]:
    """The settings after a metric's colon; raises UsageError."""
    from harness.metrics.entities import AVERAGES
    from harness.metrics.spans import SCHEMES

    name, _, given = spec.partition(":")
    known = {"average": AVERAGES, "scheme": SCHEMES}
    settings: dict[str, str] = {}
    for part in filter(None, given.split(",")):
        key, _, value = part.partition("=")
        if key not in known or (key == "average" and name != "entity_f1"):
            raise UsageError(f"'{name}' has no setting '{part}'.\nThere are: {SETTINGS}")
        if value not in known[key]:
            raise UsageError(f"Unknown {key} '{value}'. {suggestion(value, known[key])}")
        settings[key] = value
    return settings


def _scorer(spec: str, settings: Mapping[str, str], types: Sequence[str]) -> Scorer:
    from harness import metrics

    name, scheme = spec.partition(":")[0], settings.get("scheme")
    if name == "entity_precision":
        return metrics.entity_precision(scheme=scheme)
    if name == "entity_recall":
        return metrics.entity_recall(scheme=scheme)
    average = settings.get("average", "micro")
    return metrics.entity_f1(average, types=() if average == "micro" else types, scheme=scheme)


def _last_column(path: str) -> int:
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
