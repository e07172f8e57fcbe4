"""Answers graded as a task grades a model's: by the samples' ids, or one a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from harness.errors import DataError, UsageError, suggestion
from harness.grading import Subject, count, draw_samples, grade, score
from harness.outputs.records import Outcome, suffix_of
from harness.plan import PlannedTask
from harness.reading import place, read_lines, read_text, shown
from harness.types import Response, Sample


def score_answers(metric: str, planned: PlannedTask, outputs: str, *, seed: int) -> Outcome:
    """Grade ``outputs`` as the task grades a model's texts.

    ``outputs`` is a JSON object of texts by sample id, JSON lines of ``id`` and ``prediction``, or
    plain text with one line per request. A task that asks several times takes as many outputs for
    each id. A sample without an output is counted as an error, and is no part of the score.
    """
    subject = Subject(task=planned.build(), name=planned.text, plugin=planned.spec.plugin)
    samples = draw_samples(subject, None)
    _check_metric(metric, subject)
    given = read_answers(outputs) if is_json_name(outputs) else _in_order(outputs, samples)
    responses = [one for sample in samples for one in _responses(outputs, sample, given)]
    if not given.keys() & {sample.id for sample in samples}:
        raise DataError(
            f"'{outputs}' answers none of the {len(samples)} samples of '{planned.text}'.\n"
            f"It has ids like {shown(next(iter(given), ''))}, the task like {shown(samples[0].id)}."
        )
    records = grade(subject, samples, responses)
    found = score(subject, records, seed=seed, suffix=suffix_of(subject, samples, outputs, seed))
    mine = next((one for one in found if one.metric.name == metric), None)
    if mine is None:
        raise DataError(f"No sample of '{planned.text}' has a score for '{metric}'.")
    strangers = len(given.keys() - {sample.id for sample in samples})
    return Outcome(score=mine, counts=count(records), strangers=strangers)


def is_json_name(path: str) -> bool:
    """Whether a file's name says JSON: ``.json`` or ``.jsonl``, packed or not."""
    return path.removesuffix(".gz").endswith((".json", ".jsonl"))


def read_answers(path: str) -> dict[str, list[str]]:
    """Texts by id, from a JSON object or from JSON lines; raises DataError."""
    text = read_text(path)
    try:
        rows = list(_json_lines(path, text) if ".jsonl" in path else _object(path, text))
    except (ValueError, RecursionError) as error:
        raise DataError(f"'{path}' is not JSON: {error}.\nCheck that the file is whole.") from None
    answers: dict[str, list[str]] = {}
    for identity, answer in rows:
        if not isinstance(identity, str | int) or not isinstance(answer, str):
            raise DataError(
                f"'{path}': the output for id {shown(identity)} is {shown(answer)}, not a text.\n"
                "Write an object of texts by id, or lines with 'id' and 'prediction'."
            )
        answers.setdefault(str(identity), []).append(answer)
    return answers


class _Pairs(list[tuple[str, object]]):
    """A JSON object as it is written: ``json`` would keep the last of equal keys in silence."""


def _object(path: str, text: str) -> Iterator[tuple[object, object]]:
    value = json.loads(text, object_pairs_hook=_Pairs)
    if not isinstance(value, _Pairs):
        raise ValueError("it holds no object of texts by id")
    seen: set[str] = set()
    for identity, answer in value:
        if identity in seen:
            raise DataError(
                f"'{path}' has the id {shown(identity)} twice.\n"
                "Keep one output for each id, or write JSON lines where a task asks several times."
            )
        seen.add(identity)
        yield identity, answer


NAMES = (("id", "prediction"), ("task_id", "completion"))
"""How JSON lines call an id and the text: ours, and HumanEval's."""


def _json_lines(path: str, text: str) -> Iterator[tuple[object, object]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        row = json.loads(line)
        named = [both for both in NAMES if isinstance(row, dict) and {*both} <= row.keys()]
        if not named:
            raise DataError(
                f"{place(path, number)} has no 'id' and 'prediction'.\n"
                "Each line needs both: the sample's id and the text that was answered."
            )
        identity, answer = named[0]
        yield row[identity], row[answer]


def _responses(path: str, sample: Sample, given: Mapping[str, Sequence[str]]) -> list[Response]:
    """One for each request of the sample."""
    texts, wanted = given.get(sample.id, ()), len(sample.requests)
    if len(texts) > wanted:
        times = "once" if wanted == 1 else f"{wanted} times"
        raise DataError(
            f"'{path}' has {len(texts)} outputs for id {shown(sample.id)}, which the task asks "
            f"{times}.\nKeep as many as are asked for."
        )
    missing = [Response(error="there is no output for it")] * (wanted - len(texts))
    return [*(Response(text=text) for text in texts), *missing]


def _in_order(path: str, samples: Sequence[Sample]) -> dict[str, list[str]]:
    lines = iter(read_lines(path))
    answers = {sample.id: list(islice(lines, len(sample.requests))) for sample in samples}
    asked = sum(len(sample.requests) for sample in samples)
    number = sum(map(len, answers.values())) + len(list(lines))
    if number != asked:
        raise DataError(
            f"'{path}' has {number} lines, and the task asks {asked} times.\n"
            "Give one line per question, or JSON of texts by id."
        )
    return answers


def _check_metric(metric: str, subject: Subject) -> None:
    names = [one.name for one in subject.task.metrics]
    if metric not in names:
        raise UsageError(
            f"Task '{subject.name}' has no metric '{metric}'. {suggestion(metric, names)}"
        )
