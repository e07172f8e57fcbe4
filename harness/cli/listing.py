"""``harness models``, ``tasks`` and ``plugins``: what there is, and where it comes from."""

from __future__ import annotations

from dataclasses import replace

import click
from tabulate import tabulate

from harness.cli.common import echo_json
from harness.cli.tokens import sends_of, tokens_entry
from harness.codec import to_json
from harness.errors import UsageError
from harness.grading import Subject, draw_samples
from harness.plan import PlannedTask, RunRequest, plan, plan_tasks
from harness.plugins import PluginInfo, Registered, Registry, load_registry
from harness.rendering import Sends, render_sample
from harness.types import ModelSpec, Option, TaskSpec
from harness.wording import count

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.command()
@json_option
def models(as_json: bool) -> None:
    """List the models that plugins offer, with the distribution they come from."""
    registry = load_registry()
    entries = sorted(
        registry.models.values(),
        key=lambda entry: (entry.spec.family, entry.spec.size or 0, entry.spec.name),
    )
    if as_json:
        document = {"schema": 1, "models": [_model(entry) for entry in entries]}
        echo_json(document | _trouble(registry))
        return
    rows = [
        [
            _usage(entry.spec.name, entry.spec.argument),
            entry.spec.family or "-",
            count(entry.spec.size),
            ", ".join(sorted(entry.spec.kinds)),
            entry.plugin.source,
            entry.spec.description,
        ]
        for entry in entries
    ]
    header = ["model", "family", "params", "answers", "from", "what it is"]
    click.echo(tabulate(rows, headers=header, disable_numparse=True))
    _echo_options(entries)
    _echo_trouble(registry)


@click.command()
@click.argument("task", required=False)
@click.option("--sample", type=click.IntRange(min=1), help="With TASK: print its first N samples.")
@click.option("--shots", type=click.IntRange(min=0), help="With --sample: worked examples.")
@click.option("--seed", type=int, default=0, help="With --sample: for what is drawn.")
@click.option("--tokens", metavar="MODEL", help="With --sample: also the tokens MODEL reads.")
@json_option
def tasks(
    task: str | None,
    sample: int | None,
    shots: int | None,
    seed: int,
    tokens: str | None,
    as_json: bool,
) -> None:
    """List the tasks that plugins offer, with the distribution they come from.

    With TASK (its options included), --sample prints exactly what a model is sent; with --tokens
    also how that model cuts it to tokens, and what it leaves out of a prompt that is too long.
    """
    registry = load_registry()
    if task is not None:
        # What is only shown is not graded: no leave to run code is needed.
        request = RunRequest(tasks=(task,), shots=shots, seed=seed, allow_code_execution=True)
        _show_task(registry, sample or 1, as_json, tokens, request)
        return
    if sample is not None or tokens is not None:
        raise UsageError("--sample needs the name of a task: harness tasks NAME --sample 3")
    entries = sorted(
        registry.tasks.values(), key=lambda entry: (entry.spec.category, entry.spec.name)
    )
    if as_json:
        document = {"schema": 1, "tasks": [_task(entry) for entry in entries]}
        echo_json(document | _trouble(registry))
        return
    rows = [
        [
            _usage(entry.spec.name, entry.spec.argument),
            entry.spec.category or "-",
            " or ".join("+".join(sorted(kinds)) for kinds in entry.spec.needs),
            entry.plugin.source,
            entry.spec.description,
        ]
        for entry in entries
    ]
    header = ["task", "category", "asks", "from", "what it is"]
    click.echo(tabulate(rows, headers=header, disable_numparse=True))
    _echo_options(entries)
    _echo_trouble(registry)


@click.command()
@json_option
def plugins(as_json: bool) -> None:
    """List plugins: what each offers, and why a broken one is disabled."""
    registry = load_registry()
    if as_json:
        document = {"schema": 1, "plugins": [_plugin(info) for info in registry.plugins]}
        echo_json(document | {"clashes": list(registry.clashes.values())})
        return
    rows = [
        [
            info.name,
            info.target,
            info.source,
            "BROKEN" if info.error else "ok",
            len(info.models),
            len(info.tasks),
            len(info.importers),
            len(info.exporters),
            len(info.trainers),
        ]
        for info in registry.plugins
    ]
    header = [
        "plugin",
        "module",
        "from",
        "state",
        "models",
        "tasks",
        "importers",
        "exporters",
        "trainers",
    ]
    click.echo(tabulate(rows, headers=header, disable_numparse=True))
    _echo_trouble(registry)


def _show_task(
    registry: Registry, number: int, as_json: bool, model: str | None, request: RunRequest
) -> None:
    """The first samples of one task, for the first alternative of what it may ask, or for what
    ``model`` answers."""
    planned: list[tuple[PlannedTask, Sends | None]]
    if model is None:
        planned = [(task, None) for task in plan_tasks(registry, request)]
    else:
        cells = plan(registry, replace(request, models=(model,))).cells
        planned = [(cell.task, sends_of(cell.model)) for cell in cells]
    for task, sends in planned:
        subject = Subject(task=task.build(), name=task.text, plugin=task.spec.plugin)
        samples = draw_samples(subject, number)
        if as_json:
            entries = [to_json(s) | tokens_entry(s.requests, sends) for s in samples]
            echo_json({"schema": 1, "task": task.text, "samples": entries})
            continue
        click.echo(f"{task.text}: {task.spec.spec.description}")
        for sample in samples:
            click.echo(f"\n{render_sample(sample, sends)}")


def _usage(name: str, argument: str) -> str:
    return f"{name}:{argument}" if argument else name


def _echo_options(
    entries: list[Registered[ModelSpec]] | list[Registered[TaskSpec]],
) -> None:
    for entry in entries:
        if not entry.spec.options:
            continue
        click.echo(f"\nOptions of {entry.spec.name} (after the name, as ,option=value):")
        for option in entry.spec.options:
            needed = " (required)" if option.required else ""
            click.echo(f"  {option.name}  {option.help}{needed}")


def _echo_trouble(registry: Registry) -> None:
    for info in registry.broken:
        click.echo(f"\nDisabled: plugin {info.name} ({info.source}): {info.error}", err=True)
    for message in registry.clashes.values():
        click.echo(f"\nClash: {message}", err=True)


def _trouble(registry: Registry) -> dict[str, object]:
    return {
        "broken": [_plugin(info) for info in registry.broken],
        "clashes": list(registry.clashes.values()),
    }


def _source(info: PluginInfo) -> dict[str, object]:
    return {"plugin": info.name, "distribution": info.distribution, "version": info.version}


def _options(options: tuple[Option, ...]) -> list[dict[str, object]]:
    return [{"name": o.name, "help": o.help, "required": o.required} for o in options]


def _model(entry: Registered[ModelSpec]) -> dict[str, object]:
    spec = entry.spec
    return {
        "name": spec.name,
        "family": spec.family,
        "params": spec.size,
        "argument": spec.argument,
        "kinds": sorted(spec.kinds),
        "options": _options(spec.options),
        "description": spec.description,
        "default": spec.default,
        **_source(entry.plugin),
    }


def _task(entry: Registered[TaskSpec]) -> dict[str, object]:
    spec = entry.spec
    return {
        "name": spec.name,
        "category": spec.category,
        "argument": spec.argument,
        "needs": [sorted(kinds) for kinds in spec.needs],
        "options": _options(spec.options),
        "max_shots": spec.max_shots,
        "description": spec.description,
        "default": spec.default,
        **_source(entry.plugin),
    }


def _plugin(info: PluginInfo) -> dict[str, object]:
    return {
        "name": info.name,
        "module": info.target,
        "distribution": info.distribution,
        "version": info.version,
        "error": info.error,
        "models": list(info.models),
        "tasks": list(info.tasks),
        "importers": list(info.importers),
        "exporters": list(info.exporters),
        "trainers": list(info.trainers),
    }
