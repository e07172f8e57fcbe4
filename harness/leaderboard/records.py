"""What a leaderboard is made of."""

from __future__ import annotations

from dataclasses import dataclass

from harness.types import Counts, Metric, ModelInfo


@dataclass(frozen=True, kw_only=True)
class BoardRequest:
    """What to put in the table. ``tasks`` and ``metrics`` empty: every task, its headline metric.

    ``alpha`` is the chance that a column separates any two models that are alike.
    """

    tasks: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    alpha: float = 0.05
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Column:
    """One metric of one task.

    ``test`` says how models were told apart, in words; ``in_mean`` whether the scale has two known
    ends; ``signatures`` are those of the scores without the model's part.
    """

    task: str
    title: str
    metric: Metric
    fingerprint: str
    test: str
    in_mean: bool
    signatures: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One score of a row.

    ``rank`` is shared where the paired test does not separate; ``centred`` is 0 at chance and 100
    at the perfect score, ``None`` where chance is not known; ``counts`` and, in words, ``remark``
    say what a reader must know of the cell's answers.
    """

    value: float
    ci: tuple[float, float] | None
    n: int
    rank: int
    counts: Counts
    centred: float | None = None
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model. ``entries`` are in the columns' order, ``None`` where there is no score.

    ``mean`` and ``rank`` are ``None`` for a row that lacks a score; ``pareto``: no other row is at
    least as good and at most as large; ``None`` where size or quality is not known.
    """

    name: str
    run: str
    model: ModelInfo
    entries: tuple[Entry | None, ...]
    rank: int | None = None
    mean: float | None = None
    mean_ci: tuple[float, float] | None = None
    pareto: bool | None = None
    tokens_per_second: float | None = None
    peak_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Board:
    """A ranked table. ``ranked_by`` says what the rank means; ``partial`` names unfinished runs."""

    runs: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    ranked_by: str
    partial: tuple[str, ...]
    notes: tuple[str, ...]
