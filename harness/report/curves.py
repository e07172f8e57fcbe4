"""What the page draws: per task and metric the points of every family, its law, band and residuals.

The page computes nothing: laws and bands come as the fit's own predictions on a grid of sizes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.document import fit_entry
from harness.errors import HarnessError
from harness.laws import Fit
from harness.laws.scale import error_scale
from harness.results import RunDirectory
from harness.scaling import SIZE, CellFit, Point, fit_run
from harness.types import Metric, RunRecord
from harness.wording import short_names

GRID = 33
"""Sizes at which a law is drawn; the axis is logarithmic."""

BEYOND = 10.0
"""Laws are drawn up to so many times the largest size."""


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """What a family's smaller sizes foretold for its largest model, and what was measured.

    ``ci`` is the 95 % prediction interval, ``inside`` whether the measured score lies in it.
    """

    model: str
    x: int
    y: float
    ci: tuple[float, float]
    measured: float
    inside: bool


def held_out(
    run: RunRecord, directory: RunDirectory, fits: Sequence[CellFit]
) -> dict[tuple[str, str, str], HeldOut]:
    """By family, task and metric: the check of each law that could be made without its largest
    size."""
    smaller = {_key(fit): fit.fit for fit in _without_largest(run, directory, fits)}
    found = {_key(fit): _held_out(fit, smaller[_key(fit)]) for fit in fits if _key(fit) in smaller}
    return {key: one for key, one in found.items() if one is not None}


def charts(run: RunRecord, directory: RunDirectory) -> list[dict[str, Any]]:
    """One entry for each task and metric, headline first, in the run's order."""
    fits = fit_run(run, directory)
    checks = held_out(run, directory, fits)
    titles = short_names(cell.task for cell in run.cells)
    found: dict[tuple[str, str], dict[str, Any]] = {}
    order = [(c.task, s.metric.name) for c in run.cells for s in c.scores]
    for fitted in (*fits, *_single(run, fits)):
        key = (fitted.task, fitted.metric.name)
        chart = found.setdefault(key, _chart(fitted.metric, fitted.task, titles[fitted.task]))
        chart["series"].append(_series(fitted, checks.get(_key(fitted))))
    return [found[key] for key in dict.fromkeys(order) if key in found]


def _key(fitted: CellFit) -> tuple[str, str, str]:
    return fitted.family, fitted.task, fitted.metric.name


def _without_largest(
    run: RunRecord, directory: RunDirectory, fits: Sequence[CellFit]
) -> tuple[CellFit, ...]:
    """The same fits made without each family's largest model: what they foretell can be checked."""
    largest = {
        (fit.family, fit.task): fit.points[-1].record.model.name
        for fit in fits
        if fit.fit.verdict != "not-identifiable"
    }
    if not largest:
        return ()
    cells = tuple(
        cell
        for cell in run.cells
        if (name := largest.get((cell.model.family, cell.task))) is not None
        and cell.model.name != name
    )
    return fit_run(replace(run, cells=cells), directory)


def _single(run: RunRecord, fits: Sequence[CellFit]) -> Iterator[CellFit]:
    """Families of one known size, which have points and no fit."""
    known = {_key(fit) for fit in fits}
    for cell in run.cells:
        size = cell.model.parameters.non_embedding or cell.model.parameters.total
        for score in cell.scores if size else ():
            key = (cell.model.family, cell.task, score.metric.name)
            if key in known or size is None:
                continue
            yield CellFit(
                family=cell.model.family,
                task=cell.task,
                metric=score.metric,
                points=(Point(record=cell, score=score, size=size),),
                fit=_NO_FIT,
                x=SIZE if cell.model.parameters.non_embedding else "total",
            )


_NO_FIT = Fit(
    law="",
    formula="",
    estimates={},
    n=1,
    r2=None,
    loss="",
    verdict="not-identifiable",
    note="One size alone has no trend.",
)


def _chart(metric: Metric, task: str, title: str) -> dict[str, Any]:
    scale = error_scale(metric)
    return {
        "task": task,
        "title": title,
        "metric": metric.name,
        "higher": metric.higher_is_better,
        "loss": metric.is_loss,
        "bounds": list(metric.bounds),
        "chance": metric.chance,
        "error": None if scale is None else [scale.bound, scale.sign, scale.words],
        "series": [],
    }


def _series(fitted: CellFit, check: HeldOut | None) -> dict[str, Any]:
    fit = fitted.fit
    residuals = fit.residuals if len(fit.residuals) == len(fitted.points) else ()
    points = [
        {
            "model": point.record.model.name,
            "x": point.size,
            "y": point.score.value,
            "ci": list(point.score.ci),
            "n": point.score.n,
            "residual": residuals[i] if residuals else None,
        }
        for i, point in enumerate(fitted.points)
    ]
    return {
        **fit_entry(fitted),
        "points": points,
        "curve": law_rows(fit, [p.size for p in fitted.points]),
        "held_out": check,
    }


def law_rows(fit: Fit, sizes: Sequence[float]) -> list[tuple[float, float, float, float]]:
    """(size, score, low, high) along the law; nothing where it cannot be told."""
    if fit.predictor is None:
        return []
    low, high = math.log(min(sizes)), math.log(max(sizes) * BEYOND)
    # The largest size itself is on the grid: there the line becomes a forecast.
    grid = {low + (high - low) * i / (GRID - 1) for i in range(GRID)} | {math.log(max(sizes))}
    rows = []
    for place in sorted(grid):
        at = fit.predict(math.exp(place))
        rows.append((math.exp(place), at.value, at.lo, at.hi))
    return rows


def _held_out(fitted: CellFit, fit: Fit) -> HeldOut | None:
    """What the smaller sizes foretold for the largest."""
    largest = fitted.points[-1]
    try:
        at = fit.predict(float(largest.size))
    except HarnessError:
        return None
    return HeldOut(
        model=largest.record.model.name,
        x=largest.size,
        y=at.value,
        ci=(at.lo, at.hi),
        measured=largest.score.value,
        inside=at.lo <= largest.score.value <= at.hi,
    )
