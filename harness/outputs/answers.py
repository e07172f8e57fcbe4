"""Answers graded as a task grades a model's: by the samples' ids, or one a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from harness.errors import DataError, UsageError, suggestion
from harness.grading import Subject, count, draw_samples, grade, score
from harness.outputs.records import Outcome, suffix_of
from harness.plan import PlannedTask
from harness.reading import place, read_lines, read_text, shown
from harness.types import Response, Sample


def score_answers(metric: str, planned: PlannedTask, outputs: str, *, seed: int) -> Outcome:
    """Grade ``outputs`` as the task grades a model's texts.

    ``outputs`` is a JSON object of texts by sample id, JSON lines of ``id`` and ``prediction``, or
    plain text with one line per sample. A sample without an output is counted as an error, and is
    no part of the score.
    """
    subject = Subject(task=planned.build(), name=planned.text, plugin=planned.spec.plugin)
    samples = draw_samples(subject, None)
    _check_metric(metric, subject)
    given = read_answers(outputs) if is_json_name(outputs) else _in_order(outputs, samples)
    missing = Response(error="there is no output for it")
    responses = [
        Response(text=given[sample.id]) if sample.id in given else missing for sample in samples
    ]
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


def read_answers(path: str) -> dict[str, str]:
    """Texts by id, from a JSON object or from JSON lines; raises DataError."""
    text = read_text(path)
    try:
        rows = list(_json_lines(path, text) if ".jsonl" in path else _pairs_of(json.loads(text)))
    except (ValueError, RecursionError) as error:
        raise DataError(f"'{path}' is not JSON: {error}.\nCheck that the file is whole.") from None
    answers: dict[str, str] = {}
    for identity, answer in rows:
        if not isinstance(identity, str | int) or not isinstance(answer, str):
            raise DataError(
                f"'{path}': the output for id {shown(identity)} is {shown(answer)}, not a text.\n"
                "Write an object of texts by id, or lines with 'id' and 'prediction'."
            )
        if str(identity) in answers:
            raise DataError(f"'{path}' has two outputs for id {shown(identity)}.\nKeep one.")
        answers[str(identity)] = answer
    return answers


def _pairs_of(value: object) -> Iterator[tuple[object, object]]:
    if not isinstance(value, dict):
        raise ValueError("it holds no object of texts by id")
    yield from value.items()


def _json_lines(path: str, text: str) -> Iterator[tuple[object, object]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        row = json.loads(line)
        if not isinstance(row, dict) or not {"id", "prediction"} <= row.keys():
            raise DataError(
                f"{place(path, number)} has no 'id' and 'prediction'.\n"
                "Each line needs both: the sample's id and the text that was answered."
            )
        yield row["id"], row["prediction"]


def _in_order(path: str, samples: Sequence[Sample]) -> dict[str, str]:
    lines = read_lines(path)
    if len(lines) != len(samples):
        raise DataError(
            f"'{path}' has {len(lines)} lines, and the task {len(samples)} samples.\n"
            "Give one line per sample, or JSON of texts by id."
        )
    return {sample.id: line for sample, line in zip(samples, lines, strict=True)}


def _check_metric(metric: str, subject: Subject) -> None:
    names = [one.name for one in subject.task.metrics]
    if metric not in names:
        raise UsageError(
            f"Task '{subject.name}' has no metric '{metric}'. {suggestion(metric, names)}"
        )
