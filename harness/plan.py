"""From what was asked for to cells that can run: names resolved, options checked, kinds matched.

Nothing heavy happens here: no file is opened and no weight loaded before the whole plan stands.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from harness.errors import UsageError, suggestion
from harness.names import Item, parse_items
from harness.plugins import Registered, Registry
from harness.types import (
    Model,
    ModelInfo,
    ModelSettings,
    ModelSpec,
    Option,
    RequestKind,
    Task,
    TaskSettings,
    TaskSpec,
)

PERMISSION = "allow_code_execution"
"""The option by which a task asks leave to run what a model wrote; the flag of the same name
gives it to every task that has it."""

CHAT: Mapping[str, str] = MappingProxyType(
    {"chat_template": "--chat-template", "system": "--system"}
)
"""Options of models that a flag gives to every model of a run."""


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What ``harness run`` was asked for. Empty ``models`` or ``tasks``: the plugins' defaults."""

    models: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    limit: int | None = None
    shots: int | None = None
    seed: int = 0
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int | None = None
    allow_code_execution: bool = False
    chat_template: str | None = None
    system: str | None = None


@dataclass(frozen=True, kw_only=True)
class PlannedModel:
    """A model by the name the user gave it, not yet built."""

    text: str
    spec: Registered[ModelSpec]
    settings: ModelSettings

    def build(self) -> Model:
        """Build it; its info then carries the user's name for it."""
        return self.spec.spec.build(self.settings)


@dataclass(frozen=True, kw_only=True)
class PlannedTask:
    """A task by the name the user gave it, for one alternative of request kinds."""

    text: str
    spec: Registered[TaskSpec]
    settings: TaskSettings

    def build(self) -> Task:
        """Build it."""
        return self.spec.spec.build(self.settings)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One model on one task."""

    model: PlannedModel
    task: PlannedTask


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Every cell of a run, model by model in the order asked for."""

    request: RunRequest
    cells: tuple[Cell, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """The models' names, in order."""
        return tuple(dict.fromkeys(cell.model.text for cell in self.cells))

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks' names, in order."""
        return tuple(dict.fromkeys(cell.task.text for cell in self.cells))


def plan(registry: Registry, request: RunRequest) -> Plan:
    """Resolve a request; raises UsageError for whatever cannot be, before anything loads."""
    _check_numbers(request)
    models = list(_models(registry, request))
    tasks = list(_tasks(registry, request))
    cells = tuple(
        Cell(model=model, task=_matched(model, item, spec, request))
        for model in models
        for item, spec in tasks
    )
    return Plan(request=request, cells=cells)


def plan_models(registry: Registry, request: RunRequest) -> tuple[PlannedModel, ...]:
    """The request's models alone."""
    _check_numbers(request)
    return tuple(_models(registry, request))


def plan_tasks(registry: Registry, request: RunRequest) -> tuple[PlannedTask, ...]:
    """The request's tasks alone, each asking the first alternative of what it needs."""
    _check_numbers(request)
    return tuple(
        PlannedTask(
            text=item.text,
            spec=entry,
            settings=_settings(item, entry.spec, entry.spec.needs[0], request),
        )
        for item, entry in _tasks(registry, request)
    )


def plan_task(
    registry: Registry, text: str, kinds: frozenset[RequestKind], request: RunRequest
) -> PlannedTask:
    """One task as it was asked before: with the alternative that asks just these ``kinds``.

    A recorded permission to run code does not count; the ``request`` must give it anew.
    """
    (planned,) = plan_tasks(registry, replace(request, tasks=(text,)))
    needs = planned.spec.spec.needs
    alternative = next((one for one in needs if one == kinds), planned.settings.kinds)
    options = dict(planned.settings.options)
    if not request.allow_code_execution:
        options.pop(PERMISSION, None)
    settings = replace(planned.settings, kinds=alternative, options=MappingProxyType(options))
    return replace(planned, settings=settings)


def run_name(made: Plan) -> str:
    """A directory name that the same request always gets: readable, and unique by a digest."""
    request = replace(made.request, models=made.models, tasks=made.tasks)
    asked = {
        key: value
        for key, value in vars(request).items()
        if key != PERMISSION and not (key in CHAT and value is None)
    }
    content = json.dumps(asked, sort_keys=True, default=list)
    digest = hashlib.sha256(content.encode()).hexdigest()[:8]
    families = dict.fromkeys(c.model.spec.spec.family or c.model.text for c in made.cells)
    label = f"{_label(families)}--{_label(made.tasks)}"
    return f"{label}--{digest}"


def named(info: ModelInfo, text: str) -> ModelInfo:
    """The info under the name that the user gave the model."""
    return replace(info, name=text)


def _label(names: Iterable[str]) -> str:
    plain = [re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "x" for name in names]
    text = "+".join(plain)
    return text if len(text) <= 40 else f"{plain[0][:30]}+{len(plain) - 1}"


def _check_numbers(request: RunRequest) -> None:
    for name, value, least in (
        ("--limit", request.limit, 1),
        ("--shots", request.shots, 0),
        ("--batch-size", request.batch_size, 1),
        ("--seed", request.seed, 0),
    ):
        if value is not None and value < least:
            raise UsageError(f"{name} {value} is too small; it must be at least {least}.")


def _models(registry: Registry, request: RunRequest) -> Iterator[PlannedModel]:
    texts = request.models or _defaults("models", registry.models, "--models")
    seen: set[str] = set()
    for item in _items(texts, "model name"):
        for text, entry in _model_entries(registry, item):
            if text in seen:
                continue
            seen.add(text)
            _check_argument("model", item, entry.spec.name, entry.spec.argument)
            _check_options("model", item, entry.spec.name, entry.spec.options)
            settings = ModelSettings(
                argument=item.argument,
                options=_with_chat(text, item, entry.spec, request),
                device=request.device,
                dtype=request.dtype,
                batch_size=request.batch_size,
            )
            yield PlannedModel(text=text, spec=entry, settings=settings)


def _with_chat(text: str, item: Item, spec: ModelSpec, request: RunRequest) -> Mapping[str, str]:
    """The model's options and those that flags give to all; its own word for one comes first."""
    known = {option.name for option in spec.options}
    given = {name: value for name in CHAT if (value := getattr(request, name)) is not None}
    for name in given:
        if name not in known:
            raise UsageError(
                f"Model '{text}' takes no {CHAT[name]}: it has no option '{name}'.\n"
                "Leave the flag out, or run that model apart."
            )
    return MappingProxyType({**given, **item.options})


def _model_entries(registry: Registry, item: Item) -> Iterator[tuple[str, Registered[ModelSpec]]]:
    """The models an item stands for: one by name, all sizes of a family, all that match a glob."""
    suffix = item.text[len(item.name) :]
    family = registry.families().get(item.name)
    if item.name not in registry.models and family:
        names: Iterable[str] = family
    elif _is_glob(item.name):
        # A pattern means what can be asked, not what is there to be trained further.
        asked = [name for name, entry in registry.models.items() if entry.spec.kinds]
        names = _globbed(item.name, asked, "model")
    else:
        names = (item.name,)
    for name in names:
        yield name + suffix, registry.model(name)


def _tasks(registry: Registry, request: RunRequest) -> Iterator[tuple[Item, Registered[TaskSpec]]]:
    texts = request.tasks or _defaults("tasks", registry.tasks, "--tasks")
    seen: set[str] = set()
    for item in _items(texts, "task name"):
        names = _globbed(item.name, registry.tasks, "task") if _is_glob(item.name) else (item.name,)
        for name in names:
            entry = registry.task(name)
            whole = replace(item, name=name, text=name + item.text[len(item.name) :])
            if whole.text in seen:
                continue
            seen.add(whole.text)
            _check_argument("task", whole, name, entry.spec.argument)
            _check_options("task", whole, name, entry.spec.options)
            if (request.shots or 0) > entry.spec.max_shots:
                raise UsageError(
                    f"Task '{whole.text}' takes at most {entry.spec.max_shots} worked examples, "
                    f"and --shots asks for {request.shots}.\n"
                    "Lower --shots, or leave that task out."
                )
            yield whole, entry


def _items(texts: Iterable[str], what: str) -> Iterator[Item]:
    for text in texts:
        items = parse_items(text, what=what)
        if not items:
            raise UsageError(f"An empty {what} was given.")
        yield from items


def _defaults(
    what: str, table: Mapping[str, Registered[ModelSpec] | Registered[TaskSpec]], flag: str
) -> tuple[str, ...]:
    chosen = [entry.spec for entry in table.values() if entry.spec.default]
    if not chosen:
        raise UsageError(
            f"No {what} were named, and no plugin offers any by default.\n"
            f"Give {flag}; `harness {what}` lists what there is."
        )
    chosen.sort(key=lambda spec: (getattr(spec, "size", None) or 0, spec.name))
    return tuple(spec.name for spec in chosen)


def _is_glob(name: str) -> bool:
    return any(character in name for character in "*?[")


def _globbed(pattern: str, names: Iterable[str], noun: str) -> list[str]:
    found = sorted(name for name in names if fnmatch.fnmatchcase(name, pattern))
    if not found:
        raise UsageError(f"No {noun} matches '{pattern}'.\n`harness {noun}s` lists all of them.")
    return found


def _check_argument(noun: str, item: Item, name: str, argument: str) -> None:
    if item.argument and not argument:
        raise UsageError(
            f"{noun.capitalize()} '{name}' takes nothing after a colon, and '{item.text}' gives "
            f"'{item.argument}'."
        )
    if argument and not item.argument and not item.options:
        raise UsageError(
            f"{noun.capitalize()} '{name}' needs {argument} after a colon: {name}:{argument}"
        )


def _check_options(noun: str, item: Item, name: str, known: tuple[Option, ...]) -> None:
    names = [option.name for option in known]
    for given in item.options:
        if given not in names:
            hint = suggestion(given, names) or "It takes no options."
            raise UsageError(f"Unknown option '{given}' for {noun} '{name}'. {hint}")
    for option in known:
        if option.required and option.name not in item.options:
            raise UsageError(
                f"{noun.capitalize()} '{name}' needs the option {option.name}=... ({option.help})."
            )


def _matched(
    model: PlannedModel, item: Item, entry: Registered[TaskSpec], request: RunRequest
) -> PlannedTask:
    kinds = model.spec.spec.kinds
    wanted = next((one for one in entry.spec.needs if one <= kinds), None)
    if wanted is None:
        needs = " or ".join(_words(one) for one in entry.spec.needs)
        why = " (it has no set of labels that all samples share)" * ("classify" in kinds)
        raise UsageError(
            f"Model '{model.text}' cannot run task '{item.text}': the task needs {needs}{why}, and "
            f"the model answers {_words(kinds)}.\nRun the two apart, each with what suits it."
        )
    return PlannedTask(
        text=item.text, spec=entry, settings=_settings(item, entry.spec, wanted, request)
    )


def _settings(
    item: Item, spec: TaskSpec, kinds: frozenset[RequestKind], request: RunRequest
) -> TaskSettings:
    options = dict(item.options)
    if request.allow_code_execution and any(one.name == PERMISSION for one in spec.options):
        options[PERMISSION] = "yes"
    return TaskSettings(
        argument=item.argument,
        options=MappingProxyType(options),
        kinds=kinds,
        shots=request.shots,
        seed=request.seed,
    )


def _words(kinds: frozenset[RequestKind]) -> str:
    return "+".join(sorted(kinds)) or "nothing"
