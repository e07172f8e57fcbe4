"""The entry points: a whole plugin, one model, one task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from harness import __version__
from harness.errors import UsageError, suggestion
from harness.names import parse_items
from harness.plan import PlannedModel, PlannedTask, RunRequest, plan
from harness.plugins import PluginInfo, Registered, Registry, load_registry
from harness.testing import discovery, models, tasks
from harness.testing.results import CheckResult, run_checks
from harness.types import Model, ModelSettings, ModelSpec, RequestKind, Task, TaskSettings, TaskSpec

_STAND_IN = PluginInfo(name="stand-in", target="", distribution="harness", version=__version__)


def check_plugin(
    name: str,
    models: Sequence[str] = (),
    tasks: Sequence[str] = (),
    registry: Registry | None = None,
) -> tuple[CheckResult, ...]:
    """Check the plugin of the entry point ``name`` and all it offers.

    What needs an argument or a required option is skipped, with words, unless ``models`` or
    ``tasks`` name it as ``harness run`` would (``"hf:some/path"``). Raises UsageError for an
    unknown plugin and for names that are not the plugin's.
    """
    registry = registry or load_registry()
    found = [info for info in registry.plugins if info.name == name]
    if not found:
        hint = suggestion(name, [info.name for info in registry.plugins])
        raise UsageError(f"Unknown plugin '{name}'. {hint}\n`harness plugins` lists all of them.")
    results: list[CheckResult] = []
    for info in found:
        subject = discovery.PluginSubject(info=info, registry=registry)
        checks = discovery.CHECKS[:1] if info.error else discovery.CHECKS
        results += run_checks(subject.label, checks, subject)
    for noun, table, named in (
        ("model", registry.models, models),
        ("task", registry.tasks, tasks),
    ):
        specs = {key: entry.spec for key, entry in table.items() if entry.plugin in found}
        _refuse_foreign(noun, name, specs, registry, named)
        results += _check_specs(noun, specs, named, registry)
    return tuple(results)


def check_model(text: str, registry: Registry | None = None) -> tuple[CheckResult, ...]:
    """Check one model, or all sizes of a family, named as ``harness run --models`` names it."""
    return tuple(
        result
        for planned in _planned_models(registry or load_registry(), text)
        for result in _model_results(planned)
    )


def check_task(text: str, registry: Registry | None = None) -> tuple[CheckResult, ...]:
    """Check one task, named as ``harness run --tasks`` names it, for each of its alternatives."""
    return tuple(
        result
        for planned in _planned_tasks(registry or load_registry(), text)
        for result in _task_results(planned)
    )


def assert_conforms(name: str, models: Sequence[str] = (), tasks: Sequence[str] = ()) -> None:
    """For pytest: raises AssertionError with every check that failed. See :func:`check_plugin`."""
    failed = [r for r in check_plugin(name, models, tasks) if r.status == "failed"]
    if failed:
        lines = "\n\n".join(result.line for result in failed)
        raise AssertionError(f"Plugin {name} fails {len(failed)} checks:\n\n{lines}")


def _model_results(planned: PlannedModel) -> tuple[CheckResult, ...]:
    subject = models.ModelSubject(planned=planned)
    results = run_checks(subject.label, models.CHECKS, subject)
    close = getattr(vars(subject).get("model"), "close", None)
    if callable(close):
        close()
    return results


def _task_results(planned: PlannedTask) -> tuple[CheckResult, ...]:
    subject = tasks.TaskSubject(planned=planned)
    return run_checks(subject.label, tasks.CHECKS, subject)


def _check_specs(
    noun: str,
    specs: Mapping[str, ModelSpec | TaskSpec],
    named: Sequence[str],
    registry: Registry,
) -> Iterator[CheckResult]:
    check = check_model if noun == "model" else check_task
    spoken_for = {item.name for text in named for item in parse_items(text)}
    for text in named:
        yield from check(text, registry)
    for name, spec in sorted(specs.items()):
        if name in spoken_for:
            continue
        required = next((option.name for option in spec.options if option.required), None)
        if not spec.argument and required is None:
            yield from check(name, registry)
            continue
        example = f"{name}:{spec.argument}" if spec.argument else f"{name}:{required}=..."
        yield CheckResult(
            subject=f"{noun} {name}",
            check="all checks",
            status="skipped",
            reason=f"it needs an argument: name one as --{noun}s {example}",
        )


def _refuse_foreign(
    noun: str,
    plugin: str,
    specs: Mapping[str, ModelSpec | TaskSpec],
    registry: Registry,
    named: Sequence[str],
) -> None:
    families = {spec.family for spec in specs.values() if isinstance(spec, ModelSpec)}
    for text in named:
        for item in parse_items(text, what=f"{noun} name"):
            if item.name not in specs and item.name not in families:
                hint = suggestion(item.name, [*specs, *(f for f in families if f)])
                raise UsageError(
                    f"Plugin '{plugin}' offers no {noun} '{item.name}'. {hint}".rstrip()
                )


def _planned_models(registry: Registry, text: str) -> tuple[PlannedModel, ...]:
    """Planned as ``harness run`` does it, against a task that asks nothing.

    In float32, because only there may an answer be asked to be the same in any batch.
    """
    task = TaskSpec(name="stand-in", build=_no_task, needs=(frozenset(),))
    stage = replace(registry, tasks={task.name: Registered(spec=task, plugin=_STAND_IN)})
    made = plan(stage, RunRequest(models=(text,), tasks=(task.name,), dtype="float32"))
    return tuple(cell.model for cell in made.cells)


def _planned_tasks(registry: Registry, text: str) -> tuple[PlannedTask, ...]:
    """Planned as ``harness run`` does it, once for each alternative of what the task needs."""
    planned: dict[tuple[str, frozenset[RequestKind]], PlannedTask] = {}
    for item in parse_items(text, what="task name"):
        for kinds in registry.task(item.name).spec.needs:
            model = ModelSpec(name="stand-in", build=_no_model, kinds=kinds)
            stage = replace(registry, models={model.name: Registered(spec=model, plugin=_STAND_IN)})
            made = plan(stage, RunRequest(models=(model.name,), tasks=(item.text,)))
            for cell in made.cells:
                planned[cell.task.text, cell.task.settings.kinds] = cell.task
    return tuple(planned.values())


def _no_task(settings: TaskSettings) -> Task:
    raise NotImplementedError("a stand-in for planning only")


def _no_model(settings: ModelSettings) -> Model:
    raise NotImplementedError("a stand-in for planning only")
