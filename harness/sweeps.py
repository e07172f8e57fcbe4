"""What a sweep of trainings came to: its table on disk, and tables for people."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tabulate import tabulate

from harness.errors import SaveError
from harness.training import Estimate, TrainedModel
from harness.types import RunRecord
from harness.wording import count, short, short_names

SWEEP = "sweep.csv"
"""What the table is called in the folder of a sweep."""

HEADLINES = ("entity_f1", "macro_f1", "loss")
"""Validation scores by which a row is told in short; the first that it has."""
SETTINGS = ("task", "base", "method", "share", "seed", "training")
IDENTITY = ("model", "family", "outcome")
COUNTS = ("N", "params", "trainable", "samples")
COSTS = ("U", "D", "C", "step", "seconds", "peak_bytes")
GIB = 2**30


def write_sweep(path: Path, rows: Sequence[TrainedModel]) -> None:
    """The lines of :func:`sweep_lines` as CSV, put in place whole. Raises SaveError."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(sweep_lines(rows))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(text.getvalue(), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise SaveError(f"{path} could not be saved: {error.strerror or error}.") from error


def sweep_lines(rows: Sequence[TrainedModel]) -> list[Sequence[object]]:
    """The table as it lies on disk: the columns' names, then one line a cell.

    ``N`` counts parameters without embeddings, ``params`` all, ``U`` distinct training tokens,
    ``D`` those read up to the weights that were kept and ``C`` the operations for them. Scores are
    of the validation texts, or of a task's where they are called ``TASK/METRIC``. What diverged
    or failed has no numbers there, so no law is fitted to it.
    """
    scores = sorted({name for row in rows for name in row.scores})
    lines: list[Sequence[object]] = [
        [*IDENTITY, *SETTINGS, *COUNTS, *COSTS, *scores, "address", "error"]
    ]
    for row in rows:
        known = row.outcome == "complete"
        counts = (row.non_embedding, row.parameters, row.trainable, row.samples)
        costs = (row.unique_tokens, row.tokens, row.flops, row.step, row.seconds, row.peak_bytes)
        lines.append(
            [row.name, row.family, row.outcome]
            + [row.settings.get(name, "") for name in SETTINGS[:-1]]
            + [row.settings.get("training", row.name)]
            + [value if known else "" for value in (*counts, *costs)]
            + [row.scores.get(name, "") for name in scores]
            + [row.model, row.error]
        )
    return lines


def add_row(rows: list[TrainedModel], row: TrainedModel) -> None:
    """Append ``row``; a training that diverged takes those of its earlier checkpoints away."""
    training = row.settings.get("training")
    if row.outcome == "diverged" and training:
        rows[:] = [one for one in rows if one.settings.get("training") != training]
    rows.append(row)


def with_test_scores(rows: Sequence[TrainedModel], run: RunRecord) -> list[TrainedModel]:
    """The rows with what ``run`` says of their models, each score as ``TASK/METRIC``."""
    titles = dict(short_names(cell.task for cell in run.cells))
    plain = {task: re.split("[:,]", title)[0] for task, title in titles.items()}
    if len(set(plain.values())) == len(plain):
        titles = plain
    found: dict[str, dict[str, float]] = {}
    for cell in run.cells:
        # Called by its address, whose folder is called as the row is; or by its own name.
        name = cell.model.name.rpartition(":")[2].rpartition("/")[2]
        for score in cell.scores:
            if math.isfinite(score.value):
                column = f"{titles[cell.task]}/{score.metric.name}"
                found.setdefault(name, {})[column] = score.value
    return [replace(row, scores={**row.scores, **found.get(row.name, {})}) for row in rows]


def headline(row: TrainedModel) -> tuple[str, float] | None:
    """The score by which the row is told in short."""
    return next(((name, row.scores[name]) for name in HEADLINES if name in row.scores), None)


def sweep_table(rows: Sequence[TrainedModel]) -> str:
    """A line for each cell: sizes, what it learnt from, what it cost, its validation score."""
    name = next((found[0] for row in rows if (found := headline(row))), "score")
    header = ["model", "N", "trained", "samples", "D", "C", "step", "time", f"{name} (validation)"]
    lines = []
    for row in rows:
        if row.outcome != "complete":
            lines.append([row.name, *[""] * 7, f"{row.outcome}: {row.error}"])
            continue
        found = headline(row)
        lines.append(
            [
                row.name,
                count(row.non_embedding),
                _percent(row.trainable, row.parameters),
                count(row.samples),
                count(row.tokens),
                short(row.flops),
                str(row.step),
                _seconds(row.seconds),
                f"{found[1]:.4g}" if found else "",
            ]
        )
    return _grid(lines, header, left=(0,))


def method_table(rows: Sequence[TrainedModel]) -> str:
    """Training methods side by side, for each model and share: the mean over seeds.

    Empty where no model was trained by two methods. Memory is the device's peak, or the whole
    process's on a CPU.
    """
    groups: dict[tuple[str, str], dict[str, list[TrainedModel]]] = {}
    for row in rows:
        key = (row.settings.get("base", ""), row.settings.get("share", ""))
        groups.setdefault(key, {}).setdefault(row.settings.get("method", ""), []).append(row)
    lines = [
        [base, share, method, *_means(found)]
        for (base, share), methods in groups.items()
        if len(methods) > 1
        for method, found in methods.items()
    ]
    if not lines:
        return ""
    name = next((found[0] for row in rows if (found := headline(row))), "score")
    header = ["base", "share", "method", "trained", "time", "peak memory", name, "seeds"]
    return _grid(lines, header, left=(0, 2))


def estimate_table(estimates: Sequence[Estimate]) -> str:
    """What each cell will cost, and whether it fits."""
    lines = [
        [
            one.name,
            count(one.parameters),
            _percent(one.trainable, one.parameters),
            count(one.tokens),
            short(one.flops),
            "" if one.seconds is None else _seconds(one.seconds),
            _bytes(one.memory),
            "done" if one.done else one.refused or "to do",
        ]
        for one in estimates
    ]
    header = ["model", "parameters", "trained", "tokens", "FLOPs", "time", "memory", "state"]
    return _grid(lines, header, left=(0, 7))


def estimate_sum(estimates: Sequence[Estimate]) -> str:
    """The whole sweep in a sentence."""
    todo = [one for one in estimates if not one.done and not one.refused]
    known = [one.seconds for one in todo if one.seconds is not None]
    most = max((one.memory for one in todo), default=0)
    free = next((one.available for one in estimates if one.available is not None), None)
    there = f" of {_bytes(free)} free" if free is not None else ""
    refused = sum(1 for one in estimates if one.refused)
    text = (
        f"{len(todo)} of {len(estimates)} to train, about {_seconds(sum(known))} and at most "
        f"{_bytes(most)}{there}"
    )
    return f"{text}; {refused} cannot fit." if refused else f"{text}."


def _means(rows: Sequence[TrainedModel]) -> list[str]:
    done = [row for row in rows if row.outcome == "complete"]
    if not done:
        return ["", "", "", rows[0].outcome, "0"]
    found = [told[1] for row in done if (told := headline(row))]
    mean = sum(found) / len(found) if found else float("nan")
    spread = f" ({min(found):.4g} to {max(found):.4g})" if len(found) > 1 else ""
    peaks = [row.peak_bytes for row in done if row.peak_bytes is not None]
    return [
        _percent(done[0].trainable, done[0].parameters),
        _seconds(sum(row.seconds for row in done) / len(done)),
        _bytes(max(peaks)) if peaks else "",
        f"{mean:.4g}{spread}",
        str(len(done)),
    ]


def _percent(part: int, whole: int) -> str:
    return f"{100 * min(part / whole, 1):.3g} %" if whole else ""


def _seconds(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _bytes(number: int) -> str:
    return f"{number / GIB:.2g} GiB" if number >= GIB / 10 else f"{number / 2**20:.2g} MiB"


def _grid(lines: Sequence[Sequence[object]], header: list[str], *, left: tuple[int, ...]) -> str:
    align = ["left" if i in left else "right" for i in range(len(header))]
    return tabulate(lines, header, colalign=align, disable_numparse=True)
