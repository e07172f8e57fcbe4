"""What ``fit`` and ``predict`` share: a run or a CSV, and the fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.cli.common import find_run
from harness.errors import DataError, PluginError, UsageError, suggestion
from harness.laws import SERIES_LAWS, Fit
from harness.laws.bound import Law
from harness.laws.chain import chained
from harness.laws.choose import Ranking
from harness.laws.records import Held, Prediction
from harness.laws.registry import collect, find_law
from harness.laws.request import FitRequest
from harness.laws.table import Table, read_csv
from harness.laws.tablefit import GroupFit, fit_table
from harness.plugins import load_registry
from harness.results import RunDirectory
from harness.runtable import GROUP, metric_table, run_metrics
from harness.scaling import fit_run, item_draws
from harness.types import Metric, RunRecord


@dataclass(frozen=True, kw_only=True)
class Named:
    """A fit with what it is of: the group of points, the score's name, the size columns."""

    group: tuple[tuple[str, str], ...]
    metric: str
    fit: Fit
    x: tuple[str, ...]
    ranking: Ranking | None = None
    average: tuple[Prediction, ...] = ()
    held: tuple[Held, ...] = ()

    @property
    def label(self) -> str:
        """The group's values and the metric."""
        return " ".join([*(value for _, value in self.group), self.metric])

    def to_json(self) -> dict[str, Any]:
        """The fit's entry in ``fit --json``; family and task are always there."""
        names = {"family": None, "task": None} | dict(self.group)
        ranking: dict[str, Any] = {}
        if self.ranking is not None:
            average = [{"at": dict(p.at), "value": p.value} for p in self.average]
            ranking = {"ranking": self.ranking.to_json(), "average": average}
        if self.held:
            ranking["held_out"] = [one.to_json() for one in self.held]
        return names | {"metric": self.metric, "x": list(self.x)} | self.fit.to_json() | ranking


def read_fits(source: str, options: dict[str, Any]) -> tuple[Named, ...]:
    """Fit what the command line asks for; raises the errors of the laws and the readers."""
    given = dict(options)
    through = given.pop("through", None)
    request = _request(given)
    if through is not None:
        return _chained(source, request, through)
    return _fits(source, request)


def source_status(source: str) -> str:
    """Whether what was fitted is ``complete``, as any table is, or a run that is ``partial``."""
    if Path(source).is_file():
        return "complete"
    return RunDirectory(find_run(source)).read_run().status


def _fits(source: str, request: FitRequest) -> tuple[Named, ...]:
    path = Path(source)
    if path.is_file():
        return _table_fits(path, request)
    if path.suffix in (".csv", ".tsv"):
        raise DataError(f"There is no file {source}.")
    return _run_fits(source, request)


def _chained(source: str, request: FitRequest, through: str) -> tuple[Named, ...]:
    """Fits of a score to a loss, made to foretell through fits of the loss to size.

    ``through`` is LAW or LAW:COLUMNS, the columns of the law's variables.
    """
    law, _, columns = through.partition(":")
    if len(request.x) != 1 or find_law(request.law, request.x, request.laws).variables != ("L",):
        raise UsageError(
            "--through needs a law of one loss, and its column: --law loss-to-score --x LOSS."
        )
    if not request.y:
        raise UsageError("--through needs the column of the score: --y COLUMN.")
    of_loss = replace(
        request,
        law=law,
        x=_columns(columns) or find_law(law, (), request.laws).variables,
        y=request.x[0],
        loss=None,
        error=None,
        items=None,
        chance=None,
        ceiling=None,
    )
    losses = {one.group: one.fit for one in _fits(source, of_loss)}
    return tuple(
        replace(one, fit=chained(losses[one.group], one.fit, seed=request.seed), x=of_loss.x)
        for one in _fits(source, request)
        if one.group in losses
    )


def known_laws() -> Mapping[str, Law]:
    """Every law that plugins offer, by name; raises PluginError for what is none."""
    offered: list[Law] = []
    for plugin, law in load_registry().laws():
        if not isinstance(law, Law):
            raise PluginError(
                f"Plugin {plugin.name} ({plugin.source}) offers {type(law).__name__} as a law; it "
                "must have what harness.laws.bound.Law names."
            )
        offered.append(law)
    return collect(offered)


def _request(options: dict[str, Any]) -> FitRequest:
    lists = {name: _columns(options[name]) for name in ("x", "group")}
    given: dict[str, Any] = options | lists | {"y": options["y"] or ""}
    return FitRequest(laws=known_laws(), **given)


def _columns(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip()) if text else ()


def _table_fits(path: Path, request: FitRequest) -> tuple[Named, ...]:
    table = read_csv(path)
    if not request.y:
        raise UsageError(
            f"Say which column of {path} is the score: --y COLUMN.\n"
            f"There are: {', '.join(table.columns)}."
        )
    return tuple(_named(found, request) for found in fit_table(table, request))


def _named(found: GroupFit, request: FitRequest) -> Named:
    return Named(
        group=tuple(found.group.items()),
        metric=request.y,
        fit=found.fit,
        x=request.x or find_law(found.fit.law, (), request.laws).variables,
        ranking=found.ranking,
        average=found.average,
        held=found.held,
    )


def _run_fits(source: str, request: FitRequest) -> tuple[Named, ...]:
    """The run's own fits over its samples, or any law fitted to its table of scores."""
    directory = RunDirectory(find_run(source))
    run = _chosen(directory.read_run(), request)
    known = run_metrics(run)
    if request.y and request.y not in known:
        raise UsageError(f"The run has no metric '{request.y}'. {suggestion(request.y, known)}")
    if _is_series(request):
        return tuple(
            Named(
                group=(("family", one.family), ("task", one.task)),
                metric=one.metric.name,
                fit=one.fit,
                x=(one.x,),
            )
            for one in fit_run(run, directory, law=request.law, seed=request.seed)
            if request.y in ("", one.metric.name)
        )
    fits: list[Named] = []
    for name, metric in known.items():
        if request.y in ("", name):
            asked = _for_metric(request, name, metric)
            asked = replace(asked, item_draws=_item_draws(run, directory, metric, request))
            found = fit_table(metric_table(run, name), asked)
            fits += (_named(one, asked) for one in found)
    return tuple(fits)


def _item_draws(
    run: RunRecord, directory: RunDirectory, metric: Metric, request: FitRequest
) -> Callable[[Table], Any]:
    """From rows of the run's table to their scores over the same redrawn samples, (B, n)."""

    def drawn(table: Table) -> Any:
        rows = list(zip(table.text("model"), table.text("task"), strict=True))
        cells = {(cell.model.name, cell.task): cell for cell in run.cells}
        if len({task for _, task in rows}) > 1:
            raise UsageError("--resample items draws from one task: add task to --group.")
        stats = [directory.read_stats(cells[row]) for row in rows]
        return item_draws(metric, metric.name, stats, request.seed, request.replicates)

    return drawn


def _is_series(request: FitRequest) -> bool:
    """Whether only what a family's own series knows was asked for; it resamples the samples."""
    tabular = (
        *(request.x, request.loss, request.resample, request.error, request.items),
        request.hold_out,
    )
    return not any(tabular) and not request.group and (request.law or "power") in SERIES_LAWS


def _for_metric(request: FitRequest, name: str, metric: Metric) -> FitRequest:
    """The request with what the metric says of itself."""
    return replace(
        request,
        y=name,
        where=(),
        group=request.group or GROUP,
        chance=metric.chance if request.chance is None else request.chance,
        ceiling=metric.bounds[1] if request.ceiling is None else request.ceiling,
        rising=metric.higher_is_better,
        counted=True,
    )


def _chosen(run: RunRecord, request: FitRequest) -> RunRecord:
    """The run without the cells that --where leaves out."""
    if not request.where:
        return run
    kept: set[tuple[str, str]] = set()
    for name in run_metrics(run):
        table = metric_table(run, name)
        for condition in request.where:
            table = table.where(condition)
        kept |= set(zip(table.text("model"), table.text("task"), strict=True))
    cells = tuple(cell for cell in run.cells if (cell.model.name, cell.task) in kept)
    if not cells:
        raise DataError(f"No cell of {run.directory} is left by --where.")
    return replace(run, cells=cells)
