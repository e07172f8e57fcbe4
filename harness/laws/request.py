"""What is asked of a fit, and from a table's columns to the numbers that are fitted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError, UsageError, suggestion
from harness.laws.bound import Law
from harness.laws.estimate import Data
from harness.laws.forecast import ScoreMap
from harness.laws.losses import Loss, parse_loss
from harness.laws.noise import SMALL
from harness.laws.registry import BUILTIN, ERROR
from harness.laws.resample import Plan
from harness.laws.table import Table, split_factor

Array = NDArray[np.float64]

FEW = 20
"""Up to this many points a loss is fitted by squares: absolute values would pass through some."""


@dataclass(frozen=True, kw_only=True)
class FitRequest:
    """What to fit. Columns may be written ``COLUMN*FACTOR``.

    law
        a law's name, ``auto``, or ``None`` for the one that suits the number of columns
    x, y
        columns of the law's variables in its order (empty: columns named as the law's variables),
        and of the value
    loss, resample
        as on the command line; ``None`` for what suits the law and the number of points
    error, items
        columns with the standard error, and with the number of test items, of each value
    group, where
        columns that part the table; conditions that rows must meet
    hold_out
        conditions of rows that are not fitted but foretold
    chance, ceiling
        of a bounded score
    rising
        whether higher scores are better: ``auto`` then describes the distance to the ceiling
    counted
        whether sizes were read from models, and need no check for billions
    item_draws
        from the rows that are fitted to scores over redrawn test items, (B, n), the same draw for
        all rows; ``None`` where no samples are kept
    """

    y: str
    x: tuple[str, ...] = ()
    law: str | None = None
    loss: str | None = None
    resample: str | None = None
    error: str | None = None
    items: str | None = None
    group: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    hold_out: tuple[str, ...] = ()
    chance: float | None = None
    ceiling: float | None = None
    rising: bool = True
    counted: bool = False
    interval: Literal["percentile", "bca"] = "percentile"
    replicates: int = 1000
    seed: int = 0
    laws: Mapping[str, Law] = field(default_factory=lambda: BUILTIN)
    item_draws: Callable[[Table], Array | None] | None = None


def usable_rows(table: Table, request: FitRequest, x: tuple[str, ...]) -> tuple[Table, list[str]]:
    """The rows with all their numbers, each once, and what was left out, in words."""
    warnings = []
    table, repeats = table.without_repeats()
    if repeats:
        rows = "row repeats another" if repeats == 1 else "rows repeat others"
        warnings.append(f"{repeats} {rows} verbatim; each is counted once.")
    keep = np.ones(len(table.rows), dtype=bool)
    for column in (*x, request.y, request.error, request.items):
        if column:
            keep &= np.isfinite(table.numbers(column))
    if not keep.all():
        warnings += _left_out(table.take(~keep))
    if not keep.any():
        raise DataError(f"{table.name}: no row has all of {', '.join((*x, request.y))}.")
    return table.take(keep), warnings


def _left_out(gone: Table) -> list[str]:
    """Why rows are not fitted: trainings that diverged, and others without a number."""
    outcomes = gone.text("outcome") if "outcome" in gone.columns else ()
    diverged = outcomes.count("diverged")
    counts = ((diverged, "that diverged"), (len(gone.rows) - diverged, "without a number"))
    return [
        f"{number} {'row' if number == 1 else 'rows'} {what} "
        f"{'was' if number == 1 else 'were'} left out."
        for number, what in counts
        if number
    ]


def positive(table: Table, expression: str, variable: str, *, counted: bool) -> Array:
    """A variable's values: positive, and not in billions by mistake."""
    values = table.numbers(expression)
    bad = np.flatnonzero(values <= 0)
    column, factor = split_factor(expression, table.columns)
    if bad.size:
        raise DataError(
            f"{table.name}, line {table.lines[bad[0]]}: {column} is {values[bad[0]]:g}; a law "
            f"needs positive values of {variable}."
        )
    suspect = not counted and factor is None and variable in ("N", "D", "U")
    # All alike they are no series at all, which is said where it is fitted.
    if suspect and values.min() < values.max() < 5e3:
        raise DataError(
            f"{table.name}: {column} runs from {values.min():g} to {values.max():g}. Billions?\n"
            f"Then write '{column}*1e9' for it; if it is meant as it stands, '{column}*1'."
        )
    return values


def score_map(law: str, values: Array, request: FitRequest) -> ScoreMap:
    """How a law's values come from scores: as they are, as errors, or between chance and ceiling.

    Raises:
        UsageError: the chance level or the ceiling do not go with the scores.
    """
    ceiling = request.ceiling
    if ceiling is None:
        ceiling = 1.0 if values.max() <= 1.0 else 100.0
    chance = request.chance or 0.0
    if law.startswith(ERROR):
        _below(values, ceiling)
        if values.max() == ceiling:
            raise DataError(
                f"A score of {ceiling:g} is perfect, and the law describes the logarithm of what "
                "is missing.\nLeave such points out with --where, or use --law logit-linear."
            )
        return ScoreMap(zero=ceiling, unit=-1.0, clip=(min(chance, 0.0), ceiling))
    if law in ("logit-linear", "loss-to-score"):
        if not ceiling > chance:
            raise UsageError(f"--ceiling {ceiling:g} must lie above --chance {chance:g}.")
        _below(values, ceiling)
        return ScoreMap(zero=chance, unit=ceiling - chance, clip=(chance, ceiling))
    if request.ceiling is not None or request.chance is not None:
        clip = (
            -np.inf if request.chance is None else chance,
            np.inf if request.ceiling is None else ceiling,
        )
        return ScoreMap(clip=clip)
    return ScoreMap()


def _below(values: Array, ceiling: float) -> None:
    if values.max() > ceiling:
        raise UsageError(
            f"A score of {values.max():g} lies above the ceiling of {ceiling:g}; give --ceiling."
        )


def suited_loss(law: Law, request: FitRequest, n: int) -> Loss:
    """The loss asked for, or the one that suits the law, the errors given and the points."""
    if request.loss is not None:
        loss = parse_loss(request.loss)
    elif request.items and law.link == "logit":
        loss = parse_loss("binomial")
    elif request.error:
        loss = parse_loss("weighted")
    elif law.link != "log":
        loss = parse_loss("mse")
    else:
        loss = parse_loss("huber:1e-3" if n >= FEW else "log-mse")
    if loss.name == "weighted" and not request.error:
        raise UsageError("--loss weighted needs --error COLUMN with standard errors.")
    if loss.name == "binomial" and not request.items:
        raise UsageError("--loss binomial needs --items COLUMN with the number of test items.")
    return loss


def point_weights(table: Table, request: FitRequest, loss: Loss, scores: ScoreMap) -> Array:
    """What each point counts, (n,): by its standard error, its test items, or as any other."""
    if loss.name == "weighted" and request.error:
        errors = table.numbers(request.error) / abs(scores.unit)
        if (errors <= 0).any():
            line = table.lines[int(np.flatnonzero(errors <= 0)[0])]
            raise DataError(f"{table.name}, line {line}: a standard error must be positive.")
        weights: Array = 1.0 / errors**2
        return weights
    if loss.name == "binomial" and request.items:
        return table.numbers(request.items)
    return np.ones(len(table.rows))


def resampling(table: Table, request: FitRequest, data: Data, scores: ScoreMap) -> Plan:
    """The resampling asked for; points, or residuals where there are too few points."""
    text = request.resample
    if text is None:
        text = "points" if data.y.size >= SMALL else "residuals"
    unit, _, column = text.partition(":")
    known = ("points", "residuals", "cluster", "seeds", "items")
    if unit not in known or bool(column) != (unit == "cluster"):
        raise UsageError(
            f"Unknown unit --resample '{text}'. {suggestion(text, [*known[:2], 'seeds', 'items'])} "
            "Clusters are named by their column: cluster:COLUMN."
        )
    labels, items = None, None
    if unit == "items":
        items = None if request.item_draws is None else request.item_draws(table)
        items = None if items is None else scores.forward(items)
    if unit == "cluster":
        labels = np.unique(np.array(table.text(column)), return_inverse=True)[1]
    elif unit == "seeds":
        settings = np.stack(list(data.variables.values()), axis=1)
        labels = np.unique(settings, axis=0, return_inverse=True)[1].ravel()
    return Plan(
        unit=unit,  # type: ignore[arg-type]
        replicates=request.replicates,
        seed=request.seed,
        labels=labels,
        items=items,
        column=column,
    )
