"""Discovery: entry points become one immutable registry, and a broken plugin breaks only itself.

Every plugin is registered with a pluggy manager of its own, so that an unknown hook, a wrong
signature, an exception (also one raised late, inside a generator) or a wrong record is blamed on
the plugin that holds it. What survives is collected, sorted and checked for names offered twice.
"""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Generic, TypeVar, get_args

import pluggy

from harness import hookspecs
from harness.errors import PluginError, UsageError, suggestion
from harness.tracking import TrackerSpec
from harness.training import TrainerName, TrainerSpec
from harness.types import (
    CellRecord,
    ExporterSpec,
    ImporterSpec,
    ModelSpec,
    Option,
    RequestKind,
    RunRecord,
    TaskSpec,
)

GROUP = "harness"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*\Z")
KINDS = frozenset(get_args(RequestKind))

LISTINGS = {
    "importer": "harness import --list",
    "exporter": "harness export --list",
    "trainer": "harness plugins",
    "tracker": "harness plugins",
}

SpecT = TypeVar("SpecT", ModelSpec, TaskSpec, ImporterSpec, ExporterSpec, TrainerSpec, TrackerSpec)


@dataclass(frozen=True, kw_only=True)
class PluginInfo:
    """One entry point: where it comes from, what it offers, why it is broken if it is."""

    name: str
    target: str
    distribution: str
    version: str
    error: str | None = None
    models: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    importers: tuple[str, ...] = ()
    exporters: tuple[str, ...] = ()
    trainers: tuple[str, ...] = ()
    trackers: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """Distribution and version, such as ``harness 0.1.0``."""
        return f"{self.distribution} {self.version}".strip()


@dataclass(frozen=True, kw_only=True)
class Registered(Generic[SpecT]):
    """A spec and the plugin it came from."""

    spec: SpecT
    plugin: PluginInfo


@dataclass(frozen=True, kw_only=True)
class Registry:
    """All that plugins offer. Built once, passed as an argument, never changed."""

    plugins: tuple[PluginInfo, ...]
    models: Mapping[str, Registered[ModelSpec]]
    tasks: Mapping[str, Registered[TaskSpec]]
    clashes: Mapping[str, str]
    importers: Mapping[str, Registered[ImporterSpec]] = field(default_factory=dict)
    exporters: Mapping[str, Registered[ExporterSpec]] = field(default_factory=dict)
    trainers: Mapping[str, Registered[TrainerSpec]] = field(default_factory=dict)
    trackers: Mapping[str, Registered[TrackerSpec]] = field(default_factory=dict)
    observers: tuple[tuple[PluginInfo, pluggy.PluginManager], ...] = ()

    @property
    def broken(self) -> tuple[PluginInfo, ...]:
        """The plugins that were disabled."""
        return tuple(plugin for plugin in self.plugins if plugin.error)

    def families(self) -> Mapping[str, tuple[str, ...]]:
        """Family name to its models' names, by size."""
        members: dict[str, list[ModelSpec]] = {}
        for entry in self.models.values():
            if entry.spec.family and not entry.spec.argument:
                members.setdefault(entry.spec.family, []).append(entry.spec)
        return {
            family: tuple(s.name for s in sorted(specs, key=lambda s: (s.size or 0, s.name)))
            for family, specs in sorted(members.items())
        }

    def model(self, name: str) -> Registered[ModelSpec]:
        """The model called ``name``; raises UsageError or, for a clash, PluginError."""
        return self._find("model", name, self.models, [*self.models, *self.families()])

    def task(self, name: str) -> Registered[TaskSpec]:
        """The task called ``name``; raises UsageError or, for a clash, PluginError."""
        return self._find("task", name, self.tasks, self.tasks)

    def importer(self, name: str) -> Registered[ImporterSpec]:
        """The importer called ``name``; raises UsageError or, for a clash, PluginError."""
        return self._find("importer", name, self.importers, self.importers)

    def exporter(self, name: str) -> Registered[ExporterSpec]:
        """The exporter called ``name``; raises UsageError or, for a clash, PluginError."""
        return self._find("exporter", name, self.exporters, self.exporters)

    def trainer(self, name: str) -> Registered[TrainerSpec]:
        """The trainer behind the command; raises UsageError or, for a clash, PluginError."""
        return self._find("trainer", name, self.trainers, self.trainers)

    def tracker(self, name: str) -> Registered[TrackerSpec]:
        """The tracker called ``name``; raises UsageError or, for a clash, PluginError."""
        return self._find("tracker", name, self.trackers, self.trackers)

    def laws(self) -> tuple[tuple[PluginInfo, object], ...]:
        """The scaling laws of all plugins; raises PluginError naming the one that fails."""
        found = []
        for info, manager in self.observers:
            try:
                offered = list(_flatten("harness_laws", manager.hook.harness_laws()))
            except Exception as error:
                raise PluginError(
                    f"Plugin {info.name} ({info.source}) failed in harness_laws: {_reason(error)}"
                ) from error
            found += [(info, law) for law in offered]
        return tuple(found)

    def _find(
        self,
        noun: str,
        name: str,
        table: Mapping[str, Registered[SpecT]],
        known: Iterable[str],
    ) -> Registered[SpecT]:
        clash = self.clashes.get(f"{noun} {name}")
        if clash:
            raise PluginError(clash)
        if name in table:
            return table[name]
        lines = [f"Unknown {noun} '{name}'. {suggestion(name, known)}".rstrip()]
        lines.append(f"`{LISTINGS.get(noun, f'harness {noun}s')}` lists all of them.")
        if self.broken:
            culprits = ", ".join(f"{p.name} ({p.source})" for p in self.broken)
            lines.append(f"Disabled plugins that may offer it: {culprits}; see `harness plugins`.")
        raise UsageError("\n".join(lines))


def load_registry(points: Iterable[EntryPoint] | None = None) -> Registry:
    """Load every plugin of the ``harness`` entry-point group (or the given ``points``)."""
    found = entry_points(group=GROUP) if points is None else points
    sources = _sources(set(found))
    loaded = [_load(point, source) for point, source in sources]
    models, model_clashes = _collect("model", loaded, lambda one: one.models)
    tasks, task_clashes = _collect("task", loaded, lambda one: one.tasks)
    importers, importer_clashes = _collect("importer", loaded, lambda one: one.importers)
    exporters, exporter_clashes = _collect("exporter", loaded, lambda one: one.exporters)
    trainers, trainer_clashes = _collect("trainer", loaded, lambda one: one.trainers)
    trackers, tracker_clashes = _collect("tracker", loaded, lambda one: one.trackers)
    clashes = model_clashes | task_clashes | importer_clashes | exporter_clashes
    clashes |= trainer_clashes | tracker_clashes
    return Registry(
        plugins=tuple(one.info for one in loaded),
        models=MappingProxyType(models),
        tasks=MappingProxyType(tasks),
        clashes=MappingProxyType(clashes),
        importers=MappingProxyType(importers),
        exporters=MappingProxyType(exporters),
        trainers=MappingProxyType(trainers),
        trackers=MappingProxyType(trackers),
        observers=tuple((one.info, one.manager) for one in loaded if one.manager is not None),
    )


def notify_cell(registry: Registry, record: CellRecord) -> list[str]:
    """Tell every observer of a finished cell; returns what went wrong, in words."""
    return _notify(registry, lambda m: m.hook.harness_cell_finished(record=record))


def notify_run(registry: Registry, run: RunRecord) -> list[str]:
    """Tell every observer of a finished run; returns what went wrong, in words."""
    return _notify(registry, lambda m: m.hook.harness_run_finished(run=run))


def new_manager() -> pluggy.PluginManager:
    """A pluggy manager that knows the harness's hooks and holds no plugin."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


@dataclass(frozen=True, kw_only=True)
class _Loaded:
    info: PluginInfo
    manager: pluggy.PluginManager | None = None
    models: tuple[ModelSpec, ...] = ()
    tasks: tuple[TaskSpec, ...] = ()
    importers: tuple[ImporterSpec, ...] = ()
    exporters: tuple[ExporterSpec, ...] = ()
    trainers: tuple[TrainerSpec, ...] = ()
    trackers: tuple[TrackerSpec, ...] = ()


def _sources(points: Iterable[EntryPoint]) -> list[tuple[EntryPoint, tuple[str, str]]]:
    """The points in order, with name and version of the distribution of each.

    A distribution reads its METADATA anew for each of the two, and is that of many points.
    """
    known: dict[int, tuple[str, str]] = {}
    found = []
    for point in points:
        if point.dist is not None and id(point.dist) not in known:
            metadata = point.dist.metadata
            known[id(point.dist)] = (metadata["Name"] or "", metadata["Version"] or "")
        found.append((point, known.get(id(point.dist), ("", ""))))
    return sorted(found, key=lambda one: (one[1][0], one[0].name, one[0].value))


def _load(point: EntryPoint, source: tuple[str, str]) -> _Loaded:
    distribution, version = source[0] or "?", source[1]

    def info(error: str | None, **offers: tuple[str, ...]) -> PluginInfo:
        return PluginInfo(
            name=point.name,
            target=point.value,
            distribution=distribution,
            version=version,
            error=error,
            **offers,
        )

    try:
        # What a plugin prints must not get into the one JSON document on stdout.
        with redirect_stdout(sys.stderr):
            manager = new_manager()
            plugin = point.load()
            _refuse_unmarked_hooks(plugin)
            manager.register(plugin, name=point.name)
            _refuse_unknown_hooks(manager)
            models = _specs("harness_models", manager.hook.harness_models, ModelSpec)
            tasks = _specs("harness_tasks", manager.hook.harness_tasks, TaskSpec)
            importers = _specs("harness_importers", manager.hook.harness_importers, ImporterSpec)
            exporters = _specs("harness_exporters", manager.hook.harness_exporters, ExporterSpec)
            trainers = _specs("harness_trainers", manager.hook.harness_trainers, TrainerSpec)
            trackers = _specs("harness_trackers", manager.hook.harness_trackers, TrackerSpec)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a stranger's import raises, SystemExit included
        return _Loaded(info=info(_reason(error)))
    return _Loaded(
        info=info(
            None,
            models=tuple(spec.name for spec in models),
            tasks=tuple(spec.name for spec in tasks),
            importers=tuple(spec.name for spec in importers),
            exporters=tuple(spec.name for spec in exporters),
            trainers=tuple(spec.name for spec in trainers),
            trackers=tuple(spec.name for spec in trackers),
        ),
        manager=manager,
        models=models,
        tasks=tasks,
        importers=importers,
        exporters=exporters,
        trainers=trainers,
        trackers=trackers,
    )


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split()) or "no message"
    return text if isinstance(error, PluginError) else f"{type(error).__name__}: {text}"


def _refuse_unmarked_hooks(plugin: object) -> None:
    """A hook without its marker would be ignored in silence; say so instead."""
    if inspect.isclass(plugin):
        raise PluginError(f"it names the class {plugin.__name__}; name a module or an instance")
    known = _hook_names()
    for name in (name for name in dir(plugin) if name.startswith("harness_")):
        value = getattr(plugin, name)
        if not inspect.isroutine(value) or hasattr(value, f"{hookspecs.PROJECT}_impl"):
            continue
        if name in known:
            raise PluginError(f"{name} is not marked: write @harness.hookimpl above it")
        meant = difflib.get_close_matches(name, known, n=1, cutoff=0.9)
        if meant:
            raise PluginError(f"{name} is no hook and not marked as one; '{meant[0]}' is near")


def _refuse_unknown_hooks(manager: pluggy.PluginManager) -> None:
    """Pluggy's check, with the name that was probably meant."""
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        unknown = re.search(r"unknown hook '([^']+)'", str(error))
        if unknown is None:
            raise
        name = unknown.group(1)
        hint = suggestion(name, _hook_names())
        raise PluginError(f"it implements an unknown hook '{name}'. {hint}") from error


def _hook_names() -> list[str]:
    return [name for name in vars(hookspecs) if name.startswith("harness_")]


def _specs(hook: str, call: pluggy.HookCaller, kind: type[SpecT]) -> tuple[SpecT, ...]:
    """Run one hook to its end; generators raise in here, not in the middle of a listing."""
    results = call()
    if call.get_hookimpls() and not results:
        raise PluginError(f"{hook} returned None; it must yield specs, or return a list of them")
    specs: list[SpecT] = []
    for offered in _flatten(hook, results):
        if not isinstance(offered, kind):
            raise PluginError(f"{hook} yielded {type(offered).__name__}, not {kind.__name__}")
        problem = _spec_problem(offered)
        if problem:
            raise PluginError(f"{hook} yielded {problem}")
        if any(offered.name == other.name for other in specs):
            raise PluginError(f"{hook} yielded the name '{offered.name}' twice")
        specs.append(offered)
    return tuple(sorted(specs, key=lambda spec: spec.name))


def _spec_problem(
    spec: ModelSpec | TaskSpec | ImporterSpec | ExporterSpec | TrainerSpec | TrackerSpec,
) -> str | None:
    """What would make planning fail later, far from the plugin that is to blame."""
    family = spec.family if isinstance(spec, ModelSpec) else ""
    for noun, name in (("name", spec.name), ("family", family or spec.name)):
        if not isinstance(name, str) or not NAME.match(name):
            return (
                f"the {noun} {name!r}; a {noun} is letters, digits, '.', '_', '+' or '-', and "
                "begins with a letter or digit"
            )
    if isinstance(spec, ImporterSpec):
        return None if callable(spec.read) else f"'{spec.name}' whose read cannot be called"
    if isinstance(spec, ExporterSpec):
        return None if callable(spec.write) else f"'{spec.name}' whose write cannot be called"
    if isinstance(spec, TrackerSpec):
        return None if callable(spec.open) else f"'{spec.name}' whose open cannot be called"
    if not callable(spec.build):
        return f"'{spec.name}' with build={spec.build!r}, which cannot be called"
    if isinstance(spec, TrainerSpec):
        known = get_args(TrainerName)
        return None if spec.name in known else f"'{spec.name}', which is none of {known}"
    if isinstance(spec, ModelSpec) and spec.kinds != frozenset() and not _are_kinds(spec.kinds):
        return f"'{spec.name}' with kinds={spec.kinds!r}; kinds are {_kinds_example()}"
    if isinstance(spec, TaskSpec):
        needs: object = spec.needs
        if not isinstance(needs, tuple | list) or not needs or not all(map(_are_kinds, needs)):
            return f"'{spec.name}' with needs={needs!r}; needs are ({_kinds_example()}, ...)"
    options: object = spec.options
    if not isinstance(options, tuple | list) or not all(isinstance(o, Option) for o in options):
        return f"'{spec.name}' with options={options!r}; options are a tuple of Option(...)"
    return None


def _are_kinds(kinds: object) -> bool:
    return isinstance(kinds, frozenset) and bool(kinds) and kinds <= KINDS


def _kinds_example() -> str:
    return f"frozenset({{...}}) of {', '.join(sorted(KINDS))}"


def _flatten(hook: str, results: Iterable[object]) -> Iterator[object]:
    for result in results:
        if not isinstance(result, Iterable):
            raise PluginError(f"{hook} returned {type(result).__name__}; it must yield specs")
        yield from result


def _collect(
    noun: str,
    loaded: Iterable[_Loaded],
    specs: Callable[[_Loaded], Iterable[SpecT]],
) -> tuple[dict[str, Registered[SpecT]], dict[str, str]]:
    """One table by name; a name offered by two plugins is nobody's, and said to be both's."""
    offers: dict[str, list[Registered[SpecT]]] = {}
    for one in loaded:
        for spec in specs(one):
            offers.setdefault(spec.name, []).append(Registered(spec=spec, plugin=one.info))
    table, clashes = {}, {}
    for name, entries in sorted(offers.items()):
        if len(entries) == 1:
            table[name] = entries[0]
            continue
        sources = " and ".join(f"{e.plugin.name} ({e.plugin.source})" for e in entries)
        clashes[f"{noun} {name}"] = (
            f"Two plugins offer the {noun} '{name}': {sources}.\n"
            "Neither is used; uninstall one of them or rename what it offers."
        )
    return table, clashes


def _notify(registry: Registry, tell: Callable[[pluggy.PluginManager], object]) -> list[str]:
    complaints = []
    for info, manager in registry.observers:
        try:
            tell(manager)
        except Exception as error:  # an observer must never end a run
            complaints.append(f"plugin {info.name} ({info.source}): {_reason(error)}")
    return complaints
