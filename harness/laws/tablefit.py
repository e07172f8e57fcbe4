"""Laws fitted to the groups of a table: what ``harness fit FILE.csv`` does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError, UsageError, suggestion
from harness.laws.bound import Law
from harness.laws.choose import Ranking, choose
from harness.laws.estimate import Data
from harness.laws.fitting import Settings, fit_law
from harness.laws.forecast import Predictor
from harness.laws.records import Fit, Held, Prediction, unidentified
from harness.laws.registry import ERROR, auto_laws, find_law, of_error
from harness.laws.request import (
    FitRequest,
    point_weights,
    positive,
    resampling,
    score_map,
    suited_loss,
    usable_rows,
)
from harness.laws.table import Table, split_factor
from harness.laws.together import together

Array = NDArray[np.float64]

BY_SIZE = "Points count in proportion to their size: the law is that of the largest sizes."


@dataclass(frozen=True, kw_only=True)
class GroupFit:
    """One group's values of the grouping columns and its fit.

    ``ranking`` says how ``auto`` ranked the laws, and ``average`` what they foretell together,
    each by its weight: an offer besides ``fit``, marked as such. ``held`` are the points held out,
    in the order of the first variable.
    """

    group: Mapping[str, str]
    fit: Fit
    ranking: Ranking | None = None
    average: tuple[Prediction, ...] = ()
    held: tuple[Held, ...] = ()


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
    _refuse_diverged(table)
    _check_columns(table, request, x)
    table, apart = table.apart(request.hold_out)
    parts = list(table.groups(request.group))
    held = [(dict(group), part) for group, part in apart.groups(request.group) if part.rows]
    fits = []
    for group, part in parts:
        try:
            found = _fit_group(part, group, request, law, x)
            others = [part for other, part in held if other == dict(group)]
            fits.append(replace(found, held=_held(found.fit, others, request, x)))
        except DataError as error:
            if len(parts) == 1:
                raise
            fits.append(_failed(group, request, law, len(part.rows), str(error)))
    return tuple(fits)


def _refuse_diverged(table: Table) -> None:
    """Where no training came to an end, the table lacks the columns of its scores, too."""
    if "outcome" in table.columns and set(table.text("outcome")) == {"diverged"}:
        raise DataError(
            f"{table.name}: all of its {len(table.rows)} trainings diverged; nothing can be "
            "fitted.\nTrain at a lower learning rate, into another folder."
        )


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
    table, warnings = usable_rows(table, request, x)
    variables = {
        name: positive(table, column, name, counted=request.counted)
        for name, column in zip(law.variables, x, strict=True)
    }
    if law.name == "effective-params" and not (variables["D"] > variables["N"]).all():
        raise DataError(
            f"{table.name}: effective-params needs more tokens than parameters in every row "
            "(N − N²/D must be positive)."
        )
    values = table.numbers(request.y)
    errors = request.law == "auto" and request.rising and request.ceiling is not None
    scores = score_map(f"{ERROR}{law.name}" if errors else law.name, values, request)
    loss = suited_loss(law, request, values.size)
    data = Data(
        variables=variables,
        y=scores.forward(values),
        weights=point_weights(table, request, loss, scores),
    )
    settings = Settings(
        loss=loss,
        plan=resampling(table, request, data, scores),
        interval=request.interval,
        scores=scores,
        warnings=tuple(warnings),
    )
    if request.law != "auto":
        return GroupFit(group=group, fit=fit_law(law, data, settings))
    return _auto(group, data, settings, auto_laws(x, request.laws), errors=errors)


def _held(
    fit: Fit, parts: list[Table], request: FitRequest, x: tuple[str, ...]
) -> tuple[Held, ...]:
    """What ``fit`` foretells for the rows of ``parts``; nothing where it is not identifiable."""
    found: list[Held] = []
    for part in parts if isinstance(fit.predictor, Predictor) else ():
        names = find_law(fit.law, request.x, request.laws).variables
        table, _ = usable_rows(part, request, x)
        columns = [
            positive(table, column, name, counted=True)
            for name, column in zip(names, x, strict=True)
        ]
        for *place, score in zip(*columns, table.numbers(request.y), strict=True):
            at = {name: float(value) for name, value in zip(names, place, strict=True)}
            found.append(Held(measured=float(score), foretold=fit.predict(**at)))
    return tuple(sorted(found, key=lambda one: next(iter(one.foretold.at.values()))))


def _auto(
    group: Mapping[str, str],
    data: Data,
    settings: Settings,
    laws: tuple[Law, ...],
    *,
    errors: bool,
) -> GroupFit:
    """The fit of the law that ``auto`` chooses, and the average over laws beside its forecasts.

    ``errors``: the data are the distances of scores to their ceiling.
    """
    ranking = choose(laws, data, settings.loss)
    best = next(law for law in laws if law.name == ranking.best)
    if errors:
        best = of_error(best)
        ranking = ranking.renamed(ERROR)
    if ranking.laws[0].by_size:
        settings = replace(settings, warnings=(*settings.warnings, BY_SIZE))
    fit = fit_law(best, ranking.emphasised(data), settings)
    average: list[Prediction] = []
    if isinstance(fit.predictor, Predictor):
        offers = [together(ranking, fit.predictor, prediction) for prediction in fit.forecast]
        average = [offer for offer in offers if offer is not None]
    return GroupFit(group=group, fit=fit, ranking=ranking, average=tuple(average))


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
