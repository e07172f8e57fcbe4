"""``harness show``: the tables of a run, from its records alone."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from harness.cli.common import completeness, echo_json, find_run
from harness.cli.tokens import sends_of, tokens_entry
from harness.codec import SCHEMA, to_json
from harness.errors import HarnessError, UsageError, suggestion
from harness.plan import RunRequest, plan_models
from harness.plugins import load_registry
from harness.rendering import Sends, render_record
from harness.results import RunDirectory
from harness.types import CellRecord, RunRecord, SampleRecord
from harness.wording import short_names

if TYPE_CHECKING:
    from harness.metrics import EntityReports


@click.command()
@click.argument("run", required=False)
@click.option("--samples", type=click.IntRange(min=1), help="The first N samples of each cell.")
@click.option("--tokens", is_flag=True, help="With --samples: also how each model cuts tokens.")
@click.option("--model", "-m", help="With --samples or --tags: only this model.")
@click.option("--task", "-t", help="With --samples or --tags: only this task.")
@click.option("--tags", is_flag=True, help="Precision, recall and F1 by entity type and by tag.")
@click.option("--efficiency", is_flag=True, help="Also what the answers cost.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def show(
    run: str | None,
    samples: int | None,
    tokens: bool,
    model: str | None,
    task: str | None,
    tags: bool,
    efficiency: bool,
    as_json: bool,
) -> int:
    """Print the tables of RUN: a directory, or a name under results/runs (default: the latest).

    With --samples, print what the models were sent and what they answered, to the letter, and with
    --tokens how each model cut it to tokens. With --tags, print precision, recall, F1 and support
    of every entity type and of every token's tag, of each model that named entities. Exits with 4
    when the run is partial.
    """
    directory = RunDirectory(find_run(run))
    if tokens and samples is None:
        raise UsageError("--tokens is about samples; add --samples N.")
    if samples is not None:
        chosen = Chosen(model=model, task=task, tokens=tokens)
        return print_samples(directory, samples, chosen, as_json=as_json)
    if tags:
        return print_tags(directory, Chosen(model=model, task=task), as_json=as_json)
    if model is not None or task is not None:
        raise UsageError("--model and --task choose samples or tags; add --samples N or --tags.")
    return print_run(directory, as_json=as_json, efficiency=efficiency)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Which cells' samples to print, and whether token by token."""

    model: str | None = None
    task: str | None = None
    tokens: bool = False

    def of(self, run: RunRecord) -> list[CellRecord]:
        """The run's cells that are chosen; UsageError where a name is none of the run's."""
        models = _chosen("model", self.model, [cell.model.name for cell in run.cells])
        tasks = _chosen("task", self.task, [cell.task for cell in run.cells])
        return [cell for cell in run.cells if cell.model.name in models and cell.task in tasks]


EVERY = Chosen()


def print_samples(directory: RunDirectory, number: int, chosen: Chosen, *, as_json: bool) -> int:
    """Print the first samples of every cell chosen."""
    record = directory.read_run()
    views: dict[str, Sends | None] = {}
    entries = []
    for cell in chosen.of(record):
        if cell.model.name not in views:
            views[cell.model.name] = _sends(directory, cell) if chosen.tokens else None
        sends = views[cell.model.name]
        reading = Reading(directory, cell)
        if not as_json:
            click.echo(f"{cell.model.name} on {cell.task}{reading.system}")
        for sample in itertools.islice(directory.read_samples(cell), number):
            reads = None if sends else reading.of(sample)
            if as_json:
                entry = {"model": cell.model.name, "task": cell.task, **to_json(sample)}
                entries.append(entry | tokens_entry(sample.requests, sends or reads))
            else:
                click.echo(f"\n{render_record(sample, sends, reads)}")
        if not as_json:
            click.echo()
        reading.complain()
    if as_json:
        head = {"schema": SCHEMA, "run": record.directory, "status": record.status}
        echo_json(head | {"samples": entries})
    return completeness(record.status, record.directory, as_json=as_json)


class Reading:
    """What a model read where that is more or less than the prompt: in a chat, or cut."""

    def __init__(self, directory: RunDirectory, cell: CellRecord) -> None:
        """Nothing is loaded before a sample needs it."""
        self._directory, self._cell = directory, cell
        self._sends: Sends | None = None
        self._trouble = ""

    @property
    def system(self) -> str:
        """The system message that a server puts before each prompt, where there is one."""
        settings = self._cell.model.settings
        if "system" not in settings or "chat_template" in settings:
            return ""
        return f"\nbefore each prompt the system message: {settings['system']!r}"

    def of(self, sample: SampleRecord) -> Sends | None:
        """The view of the model, for a sample whose prompts do not say all that was sent."""
        chat = "chat_template" in self._cell.model.settings
        if not (chat or any(answer.prompt_truncated for answer in sample.responses)):
            return None
        if self._sends is None and not self._trouble:
            try:
                self._sends = _sends(self._directory, self._cell)
            except HarnessError as error:
                self._trouble = str(error).partition("\n")[0]
        return self._sends

    def complain(self) -> None:
        """Say where it could not be shown, and why."""
        if self._trouble:
            click.echo(
                f"What '{self._cell.model.name}' read beyond or short of these prompts cannot be "
                f"shown: {self._trouble}",
                err=True,
            )


def _sends(directory: RunDirectory, cell: CellRecord) -> Sends:
    """The view of the model that answered, as the run asked it; UsageError if it has changed."""
    settings = directory.read_manifest().settings
    request = RunRequest(
        models=(cell.model.name,),
        dtype=settings.get("dtype") or "auto",
        chat_template=settings.get("chat_template"),
        system=settings.get("system"),
    )
    (planned,) = plan_models(load_registry(), request)
    if planned.build().info.identity != cell.model.identity:
        raise UsageError(
            f"Model '{cell.model.name}' is not what it was when the run asked it: its checkpoint "
            "has changed.\nLeave out --tokens, or run it anew."
        )
    return sends_of(planned)


def _chosen(what: str, name: str | None, known: list[str]) -> set[str]:
    """The names that ``name`` stands for: itself, its form in the tables, or all before a colon."""
    if name is None:
        return set(known)
    short = short_names(known)
    found = {k for k in known if name in (k, short[k], k.partition(":")[0])}
    if not found:
        raise UsageError(f"The run has no {what} '{name}'. {suggestion(name, short.values())}")
    return found


def print_tags(directory: RunDirectory, chosen: Chosen = EVERY, *, as_json: bool = False) -> int:
    """Print a report by entity type and by tag for each chosen cell that names entities.

    Returns the exit code that the run's completeness deserves.
    """
    from harness.tagreports import tag_reports

    run = directory.read_run()
    found = list(tag_reports(directory, chosen.of(run)))
    if as_json:
        entries = [
            {"model": one.record.model.name, "task": one.record.task, **to_json(one.reports)}
            for one in found
            if one.reports is not None
        ]
        head = {"schema": SCHEMA, "run": run.directory, "status": run.status}
        echo_json(head | {"reports": entries})
    short = short_names([cell.model.name for cell in run.cells])
    for one in found:
        title = f"{short[one.record.model.name]} on {one.record.task}"
        if one.reports is None:
            click.echo(
                f"{title}: its entities were not stored. Grade it anew: harness rescore "
                f"{run.directory}",
                err=True,
            )
        elif not as_json:
            click.echo(_report_text(title, one.reports))
    if not found:
        click.echo("No chosen cell of this run names entities.", err=True)
    return completeness(run.status, run.directory, as_json=as_json)


def print_best_tags(directory: RunDirectory) -> None:
    """Print the reports of the cell with the highest F1 of entities, if any cell names them."""
    from harness.tagreports import tag_reports

    run = directory.read_run()
    known = [(one.record, one.reports) for one in tag_reports(directory, run.cells) if one.reports]
    if known:
        record, reports = max(known, key=lambda pair: pair[1].entities.micro.f1)
        name = short_names([cell.model.name for cell in run.cells])[record.model.name]
        click.echo(_report_text(f"{name} on {record.task}", reports))
        click.echo(f"\nThe same for every model: harness show {run.directory} --tags")


def _report_text(title: str, reports: EntityReports) -> str:
    from harness.table import entity_tables

    return f"\n{title}: {entity_tables(reports)}"


def print_run(directory: RunDirectory, *, as_json: bool, efficiency: bool = False) -> int:
    """Print a run's tables or JSON; returns the exit code that its completeness deserves."""
    # Fits load numpy and scipy, which looking at samples does not need.
    from harness.document import run_document
    from harness.scaling import fit_run
    from harness.table import efficiency_table, run_tables

    run = directory.read_run()
    fits = fit_run(run, directory)
    if as_json:
        echo_json(run_document(run, fits))
    else:
        click.echo(run_tables(run, fits), nl=False)
        if efficiency:
            click.echo(f"\n{efficiency_table(run.cells)}")
    return 0 if run.status == "complete" else 4
