"""What a figure shows, before anything is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.errors import DataError, UsageError, suggestion
from harness.laws import Fit
from harness.laws.forecast import Predictor
from harness.laws.records import Held
from harness.report.curves import HeldOut, held_out, law_rows
from harness.results import RunDirectory
from harness.scaling import TOTAL, CellFit, fit_run
from harness.types import RunRecord
from harness.wording import short_names

SIZE_TITLES = {
    TOTAL: "total parameters",
    "params": "total parameters",
    "non_embedding": "non-embedding parameters N",
    "N": "parameters N",
    "D": "training tokens D",
    "C": "training compute C (FLOP)",
}


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One measured point. ``fitted`` is the law's value for it, where only that can be drawn."""

    x: float
    y: float
    ci: tuple[float, float] | None = None
    residual: float | None = None
    fitted: float | None = None


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One family's points and law. ``rows`` are (size, score, low, high) along the law.

    ``beyond`` are points that were held out of the fit, each with what was foretold for it.
    """

    label: str
    marks: tuple[Mark, ...]
    fit: Fit
    rows: tuple[tuple[float, float, float, float], ...] = ()
    check: HeldOut | None = None
    beyond: tuple[Mark, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One pair of axes and the strip of residuals below.

    ``parity``: the law has several variables, so measured values stand against fitted ones, and
    only the residuals against ``size``.
    """

    title: str
    x: str
    y: str
    curves: tuple[Curve, ...]
    log_y: bool = False
    parity: bool = False
    size: str = ""


def run_panels(
    run: RunRecord,
    directory: RunDirectory,
    *,
    tasks: Sequence[str] = (),
    metrics: Sequence[str] = (),
) -> tuple[Panel, ...]:
    """One panel for each task's headline metric, or for each of the metrics named.

    Raises:
        UsageError: an unknown task or metric. DataError: nothing of the run can be drawn.
    """
    wanted = _wanted(run, tasks, metrics)
    cells = tuple(
        replace(cell, scores=tuple(s for s in cell.scores if (cell.task, s.metric.name) in wanted))
        for cell in run.cells
    )
    chosen = replace(run, cells=cells)
    fits = fit_run(chosen, directory)
    if not fits:
        raise DataError(
            f"{run.directory} has nothing to draw: no family has two known sizes with a score."
        )
    checks = held_out(chosen, directory, fits)
    titles = short_names(cell.task for cell in run.cells)
    groups: dict[tuple[str, str], list[CellFit]] = {}
    for fit in fits:
        groups.setdefault((fit.task, fit.metric.name), []).append(fit)
    panels = []
    for key in wanted:
        found = groups.get(key)
        if found:
            curves = tuple(_curve(f, checks.get((f.family, f.task, f.metric.name))) for f in found)
            metric = found[0].metric
            panels.append(
                Panel(
                    title=titles[key[0]],
                    x=_size_title({f.x for f in found}),
                    y=f"{metric.name} {'↑' if metric.higher_is_better else '↓'}",
                    curves=curves,
                    log_y=metric.is_loss,
                )
            )
    return tuple(panels)


def fit_panel(
    label: str, fit: Fit, x: Sequence[str], y: str, marks: Sequence[Mark] = ()
) -> Panel | None:
    """A panel for one fit. ``marks`` are its points; without them the fit's own data are drawn.

    ``None`` where nothing was fitted, so that no points are known.
    """
    predictor = fit.predictor
    parity = len(x) > 1
    if isinstance(predictor, Predictor):
        marks = _own_marks(predictor, fit)
    if not marks:
        return None
    sizes = [mark.x for mark in marks]
    curve = Curve(
        label=_letters(fit.formula),
        marks=tuple(marks),
        fit=fit,
        rows=() if parity or not _one_size(fit) else tuple(law_rows(fit, sizes)),
    )
    falls = all(mark.y > 0 for mark in marks) and not fit.law.startswith(("error", "logit"))
    return Panel(
        title=label,
        x=f"fitted {y}" if parity else SIZE_TITLES.get(x[0], x[0]),
        y=f"measured {y}" if parity else y,
        curves=(curve,),
        log_y=falls,
        parity=parity,
        size=SIZE_TITLES.get(x[0], x[0]),
    )


def with_held_out(panel: Panel, held: Sequence[Held]) -> Panel:
    """The panel of one fit with the points that were held out of it."""
    if not held:
        return panel
    (curve,) = panel.curves
    beyond = tuple(
        Mark(x=next(iter(h.foretold.at.values())), y=h.measured, fitted=h.foretold.value)
        for h in held
    )
    sizes = [mark.x for mark in (*curve.marks, *beyond)]
    rows = tuple(law_rows(curve.fit, sizes)) if curve.rows else ()
    return replace(panel, curves=(replace(curve, beyond=beyond, rows=rows),))


def series_marks(run: RunRecord, family: str, task: str, metric: str, x: str) -> tuple[Mark, ...]:
    """The points of one family's own series, ordered by size."""
    found = []
    for cell in run.cells:
        sizes = cell.model.parameters
        size = sizes.total if x == TOTAL else sizes.non_embedding
        if (cell.model.family, cell.task) != (family, task) or size is None:
            continue
        found += [
            Mark(x=float(size), y=score.value, ci=_finite(score.ci))
            for score in cell.scores
            if score.metric.name == metric and math.isfinite(score.value)
        ]
    return tuple(sorted(found, key=lambda mark: mark.x))


def with_residuals(marks: Sequence[Mark], fit: Fit) -> tuple[Mark, ...]:
    """The marks with the fit's residuals, where there is one for each."""
    if len(fit.residuals) != len(marks):
        return tuple(marks)
    return tuple(replace(m, residual=r) for m, r in zip(marks, fit.residuals, strict=True))


def _letters(formula: str) -> str:
    """The paper's letters as letters."""
    for name, letter in (("alpha", "α"), ("beta", "β"), ("gamma", "γ")):
        formula = formula.replace(f"^-{name}", f"^(−{letter})").replace(name, letter)
    return formula


def _one_size(fit: Fit) -> bool:
    """Whether the fit's law is one of a single variable named N."""
    predictor = fit.predictor
    return not isinstance(predictor, Predictor) or tuple(predictor.fit.law.variables) == ("N",)


def _own_marks(predictor: Predictor, fit: Fit) -> tuple[Mark, ...]:
    data = predictor.fit.data
    names = predictor.fit.law.variables
    fitted, _ = predictor.draws(data.variables)
    scores = predictor.scores.back(data.y)
    marks = [
        Mark(x=float(size), y=float(score), fitted=float(value))
        for size, score, value in zip(data.variables[names[0]], scores, fitted, strict=True)
    ]
    return with_residuals(marks, fit)


def _curve(fitted: CellFit, check: HeldOut | None) -> Curve:
    marks = [Mark(x=float(p.size), y=p.score.value, ci=_finite(p.score.ci)) for p in fitted.points]
    return Curve(
        label=fitted.family,
        marks=with_residuals(marks, fitted.fit),
        fit=fitted.fit,
        rows=tuple(law_rows(fitted.fit, [mark.x for mark in marks])),
        check=check,
    )


def _finite(ci: tuple[float, float]) -> tuple[float, float] | None:
    return ci if all(map(math.isfinite, ci)) else None


def _size_title(axes: set[str]) -> str:
    return SIZE_TITLES[axes.pop()] if len(axes) == 1 else "parameters"


def _wanted(
    run: RunRecord, tasks: Sequence[str], metrics: Sequence[str]
) -> dict[tuple[str, str], None]:
    """(task, metric) of every panel, in the run's order."""
    found: dict[tuple[str, str], None] = {}
    headline: dict[str, str] = {}
    for cell in run.cells:
        for score in cell.scores:
            headline.setdefault(cell.task, score.metric.name)
            found.setdefault((cell.task, score.metric.name))
    titles = short_names(headline)
    names = {task: (task, titles[task], task.partition(":")[0]) for task in headline}
    for what, given, known in (
        ("task", tasks, [form for forms in names.values() for form in forms]),
        ("metric", metrics, [metric for _, metric in found]),
    ):
        for name in given:
            if name not in known:
                raise UsageError(f"The run has no {what} '{name}'. {suggestion(name, known)}")
    return {
        (task, metric): None
        for task, metric in found
        if (not tasks or set(names[task]) & set(tasks))
        and (metric in metrics if metrics else metric == headline[task])
    }
