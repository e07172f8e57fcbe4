"""``harness show``: the tables of a run, from its records alone."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import click

from harness.cli.common import completeness, echo_json, find_run
from harness.cli.tokens import sends_of, tokens_entry
from harness.codec import SCHEMA, to_json
from harness.errors import HarnessError, UsageError, suggestion
from harness.plan import RunRequest, plan_models
from harness.plugins import load_registry
from harness.rendering import Sends, render_record
from harness.results import RunDirectory
from harness.types import CellRecord, SampleRecord
from harness.wording import short_names


@click.command()
@click.argument("run", required=False)
@click.option("--samples", type=click.IntRange(min=1), help="The first N samples of each cell.")
@click.option("--tokens", is_flag=True, help="With --samples: also how each model cuts tokens.")
@click.option("--model", "-m", help="With --samples: only this model.")
@click.option("--task", "-t", help="With --samples: only this task.")
@click.option("--tags", is_flag=True, help="Precision, recall and F1 by type and by tag.")
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
    --tokens how each model cut it to tokens. Exits with 4 when the run is partial.
    """
    directory = RunDirectory(find_run(run))
    if samples is not None:
        chosen = Chosen(model=model, task=task, tokens=tokens)
        return print_samples(directory, samples, chosen, as_json=as_json)
    if tags:
        return print_tags(directory, as_json=as_json)
    if model is not None or task is not None or tokens:
        raise UsageError("--model, --task and --tokens are about samples; add --samples N.")
    return print_run(directory, as_json=as_json, efficiency=efficiency)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Which cells' samples to print, and whether token by token."""

    model: str | None = None
    task: str | None = None
    tokens: bool = False


def print_samples(directory: RunDirectory, number: int, chosen: Chosen, *, as_json: bool) -> int:
    """Print the first samples of every cell chosen."""
    record = directory.read_run()
    models = _chosen("model", chosen.model, [cell.model.name for cell in record.cells])
    tasks = _chosen("task", chosen.task, [cell.task for cell in record.cells])
    views: dict[str, Sends | None] = {}
    entries = []
    for cell in record.cells:
        if cell.model.name not in models or cell.task not in tasks:
            continue
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


def print_tags(directory: RunDirectory, *, as_json: bool = False, best: bool = False) -> int:
    """Print a report by entity type and by tag for each cell that asked for tags.

    With ``best``, for the one with the highest F1 of entities only. Returns the exit code that the
    run's completeness deserves.
    """
    from harness.table import report_table
    from harness.tagreports import tag_reports

    run = directory.read_run()
    short = short_names([cell.model.name for cell in run.cells])
    entries = []
    reports = list(tag_reports(directory))
    if best and reports:
        reports = [max(reports, key=lambda one: one.entities.micro.f1)]
    for found in reports:
        record = found.record
        if as_json:
            entries.append(
                {
                    "model": record.model.name,
                    "task": record.task,
                    "entities": to_json(found.entities),
                    "tokens": to_json(found.tokens),
                }
            )
            continue
        click.echo(f"\n{short[record.model.name]} on {record.task}: whole entities")
        click.echo(report_table(found.entities, "type"))
        click.echo(f"\nsingle tokens, {found.tokens.accuracy:.2f} % of them right")
        click.echo(report_table(found.tokens, "tag"))
    if best and reports:
        click.echo(f"\nThe same for every model: harness show {run.directory} --tags")
    if as_json:
        head = {"schema": SCHEMA, "run": run.directory, "status": run.status}
        echo_json(head | {"reports": entries})
    return completeness(run.status, run.directory, as_json=as_json)


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
