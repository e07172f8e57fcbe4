"""Tables for people: scores by size, one table a task, then the fits and what they mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from tabulate import tabulate

from harness.metrics.reports import EntityReports, Report, ReportRow
from harness.scaling import TOTAL, CellFit
from harness.types import CellRecord, Counts, Efficiency, Metric, RunRecord, Score
from harness.wording import MISSING, count, short, short_names

SIZE_SOURCES = {
    "file": "from the imported file",
    "given": "given with --sizes",
    "pattern": "read from the name by --size-pattern",
    "published": "from a published table, not from the checkpoint",
    "unknown": "unknown",
}
ARROWS = {True: "↑", False: "↓"}
EFFICIENCY: Mapping[str, tuple[str, Callable[[Efficiency], float | None]]] = {
    "load s": ("{:.2f}", lambda e: e.load_seconds),
    "answers s": ("{:.2f}", lambda e: e.seconds),
    "first s": ("{:.2f}", lambda e: e.first_answer_seconds),
    "prompt tokens/s": ("{:,.0f}", lambda e: e.prompt_tokens_per_second),
    "tokens/s": ("{:,.0f}", lambda e: e.tokens_per_second),
    "peak host MB": ("{:,.0f}", lambda e: _rate(e.peak_host_bytes, 1e6)),
    "peak device MB": ("{:,.0f}", lambda e: _rate(e.peak_device_bytes, 1e6)),
    "energy J": ("{:,.0f}", lambda e: e.energy_joules),
    "cost": ("{:.4g}", lambda e: e.cost),
}
"""Columns of the efficiency table: how each is written, and where it comes from."""


def run_tables(run: RunRecord, fits: Sequence[CellFit]) -> str:
    """The whole text that ``harness run`` and ``harness show`` print."""
    parts = [f"Run {run.directory} ({_status(run)})", *_origins(run)]
    tasks = short_names(record.task for record in run.cells)
    for task, title in tasks.items():
        parts.append(task_table(title, [r for r in run.cells if r.task == task]))
    parts += model_notes(run.cells)
    if fits:
        parts.append(fit_table(fits, tasks))
    if run.errors:
        parts.append("Errors\n" + "\n".join(f"  {_indented(error)}" for error in run.errors))
    return "\n\n".join(parts) + "\n"


def task_table(title: str, records: Sequence[CellRecord]) -> str:
    """One row a model, ordered by size; one column a metric, each with its 95 % interval."""
    ordered = sorted(records, key=_size)
    names = short_names(record.model.name for record in ordered)
    metrics = {score.metric.name: score.metric for record in ordered for score in record.scores}
    told = [remarks(record) for record in ordered]
    header = ["model", "params", "non-embedding"]
    header += [f"{name} {ARROWS[metric.higher_is_better]}" for name, metric in metrics.items()]
    rows = [
        [
            names[record.model.name],
            count(record.model.parameters.total),
            count(record.model.parameters.non_embedding),
            *(_cell(record, name) for name in metrics),
            *([remark] if any(told) else []),
        ]
        for record, remark in zip(ordered, told, strict=True)
    ]
    if any(told):
        header.append("remarks")
    samples = sorted({record.counts.samples for record in ordered if record.counts.samples})
    size = f" ({' or '.join(map(str, samples))} samples)" if samples else ""
    return f"{title}{size}\n{_grid(rows, header, left=(0, len(header) - 1 if any(told) else 0))}"


def model_notes(records: Iterable[CellRecord]) -> list[str]:
    """What the models say that a reader of their scores must know; equal notes are said once."""
    said: dict[str, list[str]] = {}
    for record in records:
        for note in record.model.notes:
            said.setdefault(note, []).append(record.model.name)
    if not said:
        return []
    lines = [
        f"  {', '.join(short_names(names).values())}: {_indented(note)}"
        for note, names in said.items()
    ]
    return ["\n".join(["Notes on models", *lines])]


def fit_table(fits: Sequence[CellFit], tasks: Mapping[str, str]) -> str:
    """Law, exponent and verdict of every series, notes below; ``tasks`` gives their titles."""
    several = len({fitted.family for fitted in fits}) > 1
    header = ["task", "metric", "law", "exponent [95 %]", "R²", "n", "forecast", "verdict"]
    rows = []
    for fitted in fits:
        fit = fitted.fit
        title = tasks[fitted.task]
        r2 = MISSING if fit.r2 is None else f"{fit.r2:.3f}"
        rows.append(
            [
                f"{fitted.family}: {title}" if several else title,
                fitted.metric.name,
                fit.formula,
                _exponent(fitted),
                r2,
                fit.n,
                _forecast(fitted),
                fit.verdict,
            ]
        )
    title = f"Scaling fits (size N = {_size_words(fits)}; forecast at the size named)"
    notes = [f"  {_indented(note)}" for note in _notes(fits, tasks)]
    return "\n".join([title, _grid(rows, header, left=(0, 1, 2, 7)), *notes])


def efficiency_table(records: Sequence[CellRecord]) -> str:
    """Quality beside cost of every cell whose answers were asked rather than found in the store.

    The headline metric, then times, rates, memory, energy and money; what is known of no cell has
    no column.
    """
    names = short_names(record.model.name for record in records)
    tasks = short_names(record.task for record in records)
    ordered = [record for record in sorted(records, key=_size) if record.efficiency is not None]
    if not ordered:
        return "Efficiency: every answer came from the store; nothing was measured."
    columns = {"model": [names[r.model.name] for r in ordered]}
    columns |= {"task": [tasks[r.task] for r in ordered]}
    columns |= {"asked": [str(r.efficiency.requests) for r in ordered if r.efficiency]}
    columns |= {"score": [_headline(r) for r in ordered]}
    for title, (form, read) in EFFICIENCY.items():
        values = [read(record.efficiency) for record in ordered if record.efficiency]
        if any(value is not None for value in values):
            columns[title] = [_amount(value, form) for value in values]
    rows = list(zip(*columns.values(), strict=True))
    return f"Efficiency\n{_grid(rows, list(columns), left=(0, 1))}"


def report_table(report: Report, what: str, more: Sequence[ReportRow] = ()) -> str:
    """A line for each type or tag, then the averages and ``more``; numbers on 0-100."""
    rows = [
        [row.name, f"{row.precision:.2f}", f"{row.recall:.2f}", f"{row.f1:.2f}", row.support]
        for row in (*report.rows, report.micro, report.macro, report.weighted, *more)
    ]
    return _grid(rows, [what, "precision", "recall", "f1", "support"], left=(0,))


def entity_tables(reports: EntityReports) -> str:
    """Whole entities by type, then single tokens by tag, with the averages without O besides."""
    accuracy = reports.tokens.accuracy or 0.0
    bare = reports.tokens_without_o
    averages = [
        replace(row, name=f"{row.name}, no O") for row in (bare.micro, bare.macro, bare.weighted)
    ]
    return (
        f"whole entities\n{report_table(reports.entities, 'type')}\n\n"
        f"single tokens, {accuracy:.2f} % of them right\n"
        f"{report_table(reports.tokens, 'tag', averages)}"
    )


def value_text(metric: Metric, value: float) -> str:
    """A value with the digits that its scale deserves: one decimal on 0-100, else four digits."""
    if metric.bounds == (0, 100):
        return f"{value:.1f}"
    return f"{value:.4g}"


def _grid(rows: Sequence[Sequence[object]], header: list[str], *, left: tuple[int, ...]) -> str:
    align = tuple("left" if column in left else "right" for column in range(len(header)))
    return tabulate(rows, headers=header, colalign=align, disable_numparse=True)


def _cell(record: CellRecord, name: str) -> str:
    found: Score | None = next((s for s in record.scores if s.metric.name == name), None)
    if found is None:
        return MISSING
    if any(math.isnan(end) for end in found.ci):
        return value_text(found.metric, found.value)
    low, high = (value_text(found.metric, end) for end in found.ci)
    return f"{value_text(found.metric, found.value)} [{low}, {high}]"


def _exponent(fitted: CellFit) -> str:
    estimate = fitted.fit.exponent
    if estimate.value is None:
        return MISSING
    if estimate.ci is None:
        return f"{estimate.value:.3f}"
    low, high = (
        "open" if end is None else f"{end:.3f}" for end in (estimate.ci.lo, estimate.ci.hi)
    )
    return f"{estimate.value:.3f} [{low}, {high}]"


def _forecast(fitted: CellFit) -> str:
    if not fitted.fit.forecast:
        return MISSING
    first = fitted.fit.forecast[-1]
    value, low, high = (value_text(fitted.metric, v) for v in (first.value, first.lo, first.hi))
    size = short(next(iter(first.at.values())))
    return f"{size}: {value} [{low}, {high}]"


def _notes(fits: Iterable[CellFit], tasks: Mapping[str, str]) -> Iterator[str]:
    """The sentence of every fit whose number needs one; equal sentences are said once."""
    said: dict[str, list[str]] = {}
    for fitted in fits:
        if fitted.fit.verdict != "ok" and fitted.fit.note:
            said.setdefault(f"{fitted.fit.verdict}: {fitted.fit.note}", []).append(
                f"{tasks[fitted.task]} {fitted.metric.name}"
            )
    for note, places in said.items():
        yield f"{', '.join(places)}: {note}"


def remarks(record: CellRecord) -> str:
    """What a reader must know beside a cell's scores: answers that are missing, cut or no answers;
    empty where there is nothing to tell."""
    if record.status == "failed":
        return "failed"
    counts: Counts = record.counts
    named = (
        ("without an answer", counts.errors),
        ("truncated", counts.truncated),
        ("prompt truncated", counts.prompt_truncated),
        ("empty", counts.empty),
        ("unparseable", counts.unparseable),
    )
    return ", ".join(f"{number} {name}" for name, number in named if number)


def _rate(amount: float | None, seconds: float) -> float | None:
    return None if amount is None or seconds <= 0 else amount / seconds


def _headline(record: CellRecord) -> str:
    if not record.scores:
        return MISSING
    score = record.scores[0]
    return f"{score.metric.name} {value_text(score.metric, score.value)}"


def _amount(value: float | None, form: str) -> str:
    return MISSING if value is None else form.format(value)


def _size_words(fits: Sequence[CellFit]) -> str:
    totals = {fitted.family for fitted in fits if fitted.x == TOTAL}
    if not totals:
        return "non-embedding parameters"
    if len(totals) == len({fitted.family for fitted in fits}):
        return "total parameters, as non-embedding ones are not known"
    return f"non-embedding parameters; total ones for {', '.join(sorted(totals))}"


def _origins(run: RunRecord) -> list[str]:
    """Where an imported run comes from, and where its sizes do."""
    origins = [record.origin for record in run.cells if record.origin is not None]
    if not origins:
        return []
    formats = ", ".join(sorted({origin.format for origin in origins}))
    lines = [f"Imported from {formats}; scores keep the scale of their files."]
    for source, words in SIZE_SOURCES.items():
        models = sorted(
            {r.model.name for r in run.cells if r.origin is not None and r.origin.sizes == source}
        )
        if models:
            named = ", ".join(short_names(models).values())
            lines.append(f"Sizes {words}: {named}")
    return ["\n".join(lines)]


def _status(run: RunRecord) -> str:
    return "complete" if run.status == "complete" else "PARTIAL: some cells are missing or failed"


def _size(record: CellRecord) -> tuple[int, str]:
    parameters = record.model.parameters
    return (parameters.non_embedding or parameters.total or 0, record.model.name)


def _indented(text: str) -> str:
    return text.replace("\n", "\n    ")
