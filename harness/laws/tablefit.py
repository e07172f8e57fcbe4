"""Laws fitted to the groups of a table: what ``harness fit FILE.csv`` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError, UsageError, suggestion
from harness.laws.bound import Law
from harness.laws.choose import Ranking, choose
from harness.laws.estimate import Data
from harness.laws.fitting import Settings, fit_law
from harness.laws.forecast import Predictor, ScoreMap
from harness.laws.losses import Loss, parse_loss
from harness.laws.noise import SMALL
from harness.laws.records import Fit, Prediction, unidentified
from harness.laws.registry import BUILTIN, auto_laws, find_law
from harness.laws.resample import Plan
from harness.laws.table import Table, split_factor
from harness.laws.together import together

Array = NDArray[np.float64]

FEW = 20
"""Up to this many points a loss is fitted by squares: absolute values would pass through some."""

BY_SIZE = "Points count in proportion to their size: the law is that of the largest sizes."


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
    chance, ceiling
        of a bounded score
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
    chance: float | None = None
    ceiling: float | None = None
    interval: Literal["percentile", "bca"] = "percentile"
    replicates: int = 1000
    seed: int = 0
    laws: Mapping[str, Law] = field(default_factory=lambda: BUILTIN)
    item_draws: Callable[[Table], Array | None] | None = None


@dataclass(frozen=True, kw_only=True)
class GroupFit:
    """One group's values of the grouping columns and its fit.

    ``ranking`` says how ``auto`` ranked the laws, and ``average`` what they foretell together,
    each by its weight: an offer besides ``fit``, marked as such.
    """

    group: Mapping[str, str]
    fit: Fit
    ranking: Ranking | None = None
    average: tuple[Prediction, ...] = ()


def fit_table(table: Table, request: FitRequest) -> tuple[GroupFit, ...]:
    """Fit every group of ``table``.

    With several groups, one that cannot be fitted is told as not identifiable, and the others
    stand.

    Raises:
        UsageError: an unknown column, law, loss or unit, or ones that do not go together.
        DataError: numbers that cannot be fitted.
    """
    if request.replicates < 100:
        raise UsageError(f"--replicates {request.replicates}: an interval needs at least 100.")
    law = find_law(None if request.law == "auto" else request.law, request.x, request.laws)
    x = request.x or law.variables
    for condition in request.where:
        table = table.where(condition)
    if not table.rows:
        raise DataError(f"No row of {table.name} is left by --where.")
    _check_columns(table, request, x)
    parts = list(table.groups(request.group))
    fits = []
    for group, part in parts:
        try:
            fits.append(_fit_group(part, group, request, law, x))
        except DataError as error:
            if len(parts) == 1:
                raise
            fits.append(_failed(group, request, law, len(part.rows), str(error)))
    return tuple(fits)


def _check_columns(table: Table, request: FitRequest, x: tuple[str, ...]) -> None:
    """Every column there is, with one message for the first that is not."""
    scaled = [split_factor(name, table.columns)[0] for name in (*x, request.y)]
    others = [name for name in (request.error, request.items, *request.group) if name]
    for name in (*scaled, *others):
        if name not in table.columns:
            options = {request.error: "--error", request.items: "--items", scaled[-1]: "--y"}
            option = "--x" if name in scaled[:-1] else options.get(name, "--group")
            raise UsageError(
                f"{table.name} has no column '{name}' for {option}. "
                f"{suggestion(name, table.columns)}"
            )


def _fit_group(
    table: Table, group: Mapping[str, str], request: FitRequest, law: Law, x: tuple[str, ...]
) -> GroupFit:
    table, warnings = _usable(table, request, x)
    variables = {
        name: _positive(table, column, name) for name, column in zip(law.variables, x, strict=True)
    }
    if law.name == "effective-params" and not (variables["D"] > variables["N"]).all():
        raise DataError(
            f"{table.name}: effective-params needs more tokens than parameters in every row "
            "(N − N²/D must be positive)."
        )
    values = table.numbers(request.y)
    scores = score_map(law.name, values, request)
    loss = _loss(law, request, values.size)
    data = Data(
        variables=variables,
        y=scores.forward(values),
        weights=_weights(table, request, loss, scores),
    )
    settings = Settings(
        loss=loss,
        plan=_plan(table, request, data, scores),
        interval=request.interval,
        scores=scores,
        warnings=tuple(warnings),
    )
    if request.law != "auto":
        return GroupFit(group=group, fit=fit_law(law, data, settings))
    return _auto(group, data, settings, auto_laws(x, request.laws))


def _auto(
    group: Mapping[str, str], data: Data, settings: Settings, laws: tuple[Law, ...]
) -> GroupFit:
    """The fit of the law that ``auto`` chooses, and the average over laws beside its forecasts."""
    ranking = choose(laws, data, settings.loss)
    best = next(law for law in laws if law.name == ranking.best)
    if ranking.laws[0].by_size:
        settings = replace(settings, warnings=(*settings.warnings, BY_SIZE))
    fit = fit_law(best, ranking.emphasised(data), settings)
    average: list[Prediction] = []
    if isinstance(fit.predictor, Predictor):
        offers = [together(ranking, fit.predictor, prediction) for prediction in fit.forecast]
        average = [offer for offer in offers if offer is not None]
    return GroupFit(group=group, fit=fit, ranking=ranking, average=tuple(average))


def _usable(table: Table, request: FitRequest, x: tuple[str, ...]) -> tuple[Table, list[str]]:
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
        warnings.append(f"{int((~keep).sum())} rows without a number were left out.")
    if not keep.any():
        raise DataError(f"{table.name}: no row has all of {', '.join((*x, request.y))}.")
    return table.take(keep), warnings


def _positive(table: Table, expression: str, variable: str) -> Array:
    """A variable's values: positive, and not in billions by mistake."""
    values = table.numbers(expression)
    bad = np.flatnonzero(values <= 0)
    column, factor = split_factor(expression, table.columns)
    if bad.size:
        raise DataError(
            f"{table.name}, line {table.lines[bad[0]]}: {column} is {values[bad[0]]:g}; a law "
            f"needs positive values of {variable}."
        )
    if factor is None and variable in ("N", "D", "U") and values.max() < 5e3 and len(values) > 1:
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
    if law.startswith("error-power"):
        _below(values, ceiling)
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


def _loss(law: Law, request: FitRequest, n: int) -> Loss:
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


def _weights(table: Table, request: FitRequest, loss: Loss, scores: ScoreMap) -> Array:
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


def _plan(table: Table, request: FitRequest, data: Data, scores: ScoreMap) -> Plan:
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


def _failed(group: Mapping[str, str], request: FitRequest, law: Law, n: int, note: str) -> GroupFit:
    fit = unidentified(
        law=law.name,
        formula=law.formula,
        names=law.parameters,
        n=n,
        loss=request.loss or "",
        note=note,
    )
    return GroupFit(group=group, fit=fit)
