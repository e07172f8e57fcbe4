"""The table for programs: CSV and JSON, numbers in full."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

from harness.codec import SCHEMA, to_json
from harness.leaderboard.escape import csv_text, visible
from harness.leaderboard.records import Board, Column, Entry, Row

FIXED = ("rank", "model", "family", "run", "params", "non_embedding", "train_tokens")
COUNTS = ("errors", "truncated", "prompt_truncated", "empty", "unparseable")
COSTS = ("tokens_per_second", "peak_bytes", "pareto", "status")


def board_csv(board: Board) -> str:
    """One line a model; for each column its value, interval, rank, number of samples, and how many
    answers are missing, cut, empty or unparseable.

    Texts that a spreadsheet would take for a formula get an apostrophe before them.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    names = [f"{column.title} {column.metric.name}" for column in board.columns]
    after = ("", " lo", " hi", " rank", " n", *(f" {count}" for count in COUNTS))
    parts = [f"{name}{part}" for name in names for part in after]
    means = ("mean", "mean lo", "mean hi")
    writer.writerow([csv_text(name) for name in (*FIXED, *parts, *means, *COSTS)])
    for row in board.rows:
        writer.writerow([_cell(value) for value in (*_values(row), _status(board, row))])
    return file.getvalue()


def _values(row: Row) -> list[object]:
    model = row.model
    values: list[object] = [row.rank, row.name, model.family, row.run]
    values += [model.parameters.total, model.parameters.non_embedding, model.train_tokens]
    for entry in row.entries:
        if entry is None:
            values += [None] * (5 + len(COUNTS))
        else:
            values += [entry.value, *(entry.ci or (None, None)), entry.rank, entry.n or None]
            values += [getattr(entry.counts, count) for count in COUNTS]
    values += [row.mean, *(row.mean_ci or (None, None))]
    return [*values, row.tokens_per_second, row.peak_bytes, row.pareto]


def _status(board: Board, row: Row) -> str:
    """Of the row's run: a file cut from its notes must tell by itself."""
    return "partial" if row.run in board.partial else "complete"


def _cell(value: object) -> object:
    if isinstance(value, str):
        return csv_text(value)
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return value


def board_document(board: Board) -> dict[str, Any]:
    """What ``--format json`` writes."""
    document: dict[str, Any] = to_json(
        {
            "schema": SCHEMA,
            "runs": board.runs,
            "status": "partial" if board.partial else "complete",
            "partial": board.partial,
            "ranked_by": board.ranked_by,
            "columns": [_column(column) for column in board.columns],
            "rows": [_row(board, row) for row in board.rows],
            "notes": [visible(note) for note in board.notes],
        }
    )
    return document


def _column(column: Column) -> dict[str, Any]:
    metric = column.metric
    return {
        "task": column.task,
        "metric": metric.name,
        "higher_is_better": metric.higher_is_better,
        "bounds": metric.bounds,
        "chance": metric.chance,
        "fingerprint": column.fingerprint,
        "test": column.test,
        "in_mean": column.in_mean,
        "signatures": column.signatures,
    }


def _row(board: Board, row: Row) -> dict[str, Any]:
    parameters = row.model.parameters
    return {
        "rank": row.rank,
        "model": row.model.name,
        "name": row.name,
        "family": row.model.family,
        "run": row.run,
        "identity": row.model.identity,
        "params": parameters.total,
        "non_embedding": parameters.non_embedding,
        "train_tokens": row.model.train_tokens,
        "scores": [
            None if entry is None else _entry(column, entry)
            for column, entry in zip(board.columns, row.entries, strict=True)
        ],
        "mean": row.mean,
        "mean_ci": row.mean_ci,
        "pareto": row.pareto,
        "tokens_per_second": row.tokens_per_second,
        "peak_bytes": row.peak_bytes,
    }


def _entry(column: Column, entry: Entry) -> dict[str, Any]:
    return {
        "task": column.task,
        "metric": column.metric.name,
        "value": entry.value,
        "ci": entry.ci,
        "n": entry.n or None,  # an imported file may not say it
        "rank": entry.rank,
        "centred": entry.centred,
        **{count: getattr(entry.counts, count) for count in COUNTS},
        "remark": entry.remark,
    }
