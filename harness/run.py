"""Running a plan: requests to the model, answers to the store, samples graded, cells recorded.

One cell is one model on one task. A cell that fails leaves the others alone; whatever was answered
is stored at once, so the same command goes on where this one stopped, however it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Protocol, TypeVar

from harness import __version__
from harness.asking import Witness, ask
from harness.errors import DataError, HarnessError, PluginError, SaveError, UsageError
from harness.grading import (
    Subject,
    count,
    draw_samples,
    fingerprint,
    grade,
    is_drawn,
    requests_of,
    score,
    signature_suffix,
)
from harness.models import Errand, NamedModel, Purse, prepare
from harness.plan import Cell, Plan
from harness.plugins import PluginInfo, Registry, notify_cell
from harness.results import RunDirectory
from harness.store import ResponseStore, key_of
from harness.types import CellRecord, ModelInfo, RequestKind, Response, Sample

BuiltT = TypeVar("BuiltT")


class Progress(Protocol):
    """Who is told how the run goes."""

    def begin(self, model: str, task: str, requests: int) -> None:
        """A cell starts; ``requests`` of its requests have no stored answer yet."""
        ...

    def advance(self) -> None:
        """One more answer is there."""
        ...

    def finish(self, record: CellRecord, *, kept: bool) -> None:
        """A cell is done; ``kept``: its record stood already and nothing was computed."""
        ...

    def warn(self, message: str) -> None:
        """Something the user should know; the run goes on."""
        ...


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A cell that could not be finished, and the error that says why."""

    cell: Cell
    error: HarnessError


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run came to: every record in order, and what failed."""

    records: tuple[CellRecord, ...]
    failures: tuple[Failure, ...]


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """What a run works with: where answers and records go, who is told, and what models that cost
    money may spend together (None: as much as they like)."""

    registry: Registry
    directory: RunDirectory
    store: ResponseStore
    progress: Progress
    max_cost: float | None = None


@dataclass(frozen=True, kw_only=True)
class _Material:
    """A task ready to be asked: drawn once, used for every model."""

    subject: Subject
    samples: tuple[Sample, ...]
    fingerprint: str


def execute(made: Plan, place: Workplace) -> Outcome:
    """Run every cell that is not done yet.

    Raises UsageError when a task or a model refuses its options, SaveError when results cannot be
    kept, and the first error when no cell can run at all; every other failure stays with its cell
    and ends up in the outcome.
    """
    materials = {
        _key(cell): _built(partial(_material, cell, made), cell.task.spec.plugin)
        for cell in made.cells
    }
    models = {
        cell.model.text: _built(partial(NamedModel, cell.model), cell.model.spec.plugin)
        for cell in made.cells
    }
    _require_one(made, models, materials)
    _require_drawing(made, models, materials)
    purse = Purse(place.max_cost)
    if place.max_cost is not None and not any(
        isinstance(model, NamedModel) and model.costs for model in models.values()
    ):
        place.progress.warn("--max-cost bounds nothing: no model of this run costs anything.")
    unready = prepare(_errands(made, models, materials, place), purse)
    records: list[CellRecord] = []
    failures: list[Failure] = []
    for position, cell in enumerate(made.cells):
        model = models[cell.model.text]
        try:
            ready, material = _or_raise(model), _or_raise(materials[_key(cell)])
            if position in unready:
                raise unready[position]
            with purse.open(ready):
                record = _run_cell(made, ready, material, place)
        except SaveError:
            raise
        except HarnessError as error:
            failures.append(Failure(cell=cell, error=error))
            record = _failed_record(made, cell, model, error)
            place.directory.write_cell(record, ())
            place.progress.finish(record, kept=False)
        records.append(record)
        if all(later.model.text != cell.model.text for later in made.cells[position + 1 :]):
            _close(models.pop(cell.model.text))
    return Outcome(records=tuple(records), failures=tuple(failures))


def _require_one(
    made: Plan,
    models: Mapping[str, NamedModel | HarnessError],
    materials: Mapping[tuple[str, frozenset[RequestKind]], _Material | HarnessError],
) -> None:
    """Raise the first error when no cell at all can run: then it is the command that failed."""
    errors = []
    for cell in made.cells:
        parts = (models[cell.model.text], materials[_key(cell)])
        error = next((part for part in parts if isinstance(part, HarnessError)), None)
        if error is None:
            return
        errors.append(error)
    raise errors[0]


def _require_drawing(
    made: Plan,
    models: Mapping[str, NamedModel | HarnessError],
    materials: Mapping[tuple[str, frozenset[RequestKind]], _Material | HarnessError],
) -> None:
    """Raise UsageError for a model that cannot draw the answers that one of its tasks asks for."""
    for cell in made.cells:
        model, material = models[cell.model.text], materials[_key(cell)]
        if isinstance(model, HarnessError) or isinstance(material, HarnessError):
            continue
        if any(is_drawn(request) for request in requests_of(material.samples)):
            model.check_drawing(cell.task.text)


def _errands(
    made: Plan,
    models: Mapping[str, NamedModel | HarnessError],
    materials: Mapping[tuple[str, frozenset[RequestKind]], _Material | HarnessError],
    place: Workplace,
) -> Iterator[Errand]:
    """The cells that have something to ask of a model that prepares for it, or costs money."""
    for position, cell in enumerate(made.cells):
        model, material = models[cell.model.text], materials[_key(cell)]
        if isinstance(model, HarnessError) or isinstance(material, HarnessError):
            continue
        if model.prepares or model.costs:
            keys = {key_of(model.info, request) for request in requests_of(material.samples)}
            if len(place.store.get(list(keys))) < len(keys):
                kinds = cell.task.settings.kinds
                yield Errand(position=position, model=model, kinds=kinds)


def _key(cell: Cell) -> tuple[str, frozenset[RequestKind]]:
    return cell.task.text, cell.task.settings.kinds


def _material(cell: Cell, made: Plan) -> _Material:
    subject = Subject(
        task=cell.task.build(),
        name=cell.task.text,
        plugin=cell.task.spec.plugin,
        kinds=cell.task.settings.kinds,
    )
    samples = draw_samples(subject, made.request.limit)
    return _Material(
        subject=subject, samples=samples, fingerprint=fingerprint(subject.task, samples)
    )


def _built(build: Callable[[], BuiltT], plugin: PluginInfo) -> BuiltT | HarnessError:
    """What ``build`` makes, or the error to raise when a cell needs it; options errors at once."""
    try:
        return build()
    except (UsageError, KeyboardInterrupt):
        raise
    except HarnessError as error:
        return error
    except BaseException as error:  # SystemExit too: a plugin must not end the program
        return PluginError(
            f"Plugin {plugin.name} ({plugin.source}) raised {type(error).__name__} while building: "
            f"{error}"
        )


def _or_raise(built: BuiltT | HarnessError) -> BuiltT:
    if isinstance(built, HarnessError):
        raise built
    return built


def _run_cell(made: Plan, model: NamedModel, material: _Material, place: Workplace) -> CellRecord:
    subject, samples = material.subject, material.samples
    standing = _standing(made, model, material, place)
    if standing is not None:
        place.progress.finish(standing, kept=True)
        return standing
    started = time.monotonic()
    answers = ask(
        model,
        model.planned.spec.plugin,
        requests_of(samples),
        place.store,
        Witness(
            begin=lambda requests: place.progress.begin(model.info.name, subject.name, requests),
            advance=place.progress.advance,
        ),
    )
    graded = grade(subject, samples, answers.responses)
    counts = count(graded)
    suffix = signature_suffix(
        subject.name, material.fingerprint, model.info.identity, made.request.seed
    )
    record = CellRecord(
        model=model.info,
        task=subject.name,
        status="partial" if counts.errors else "complete",
        fingerprint=material.fingerprint,
        scores=score(subject, graded, seed=made.request.seed, suffix=suffix),
        counts=counts,
        error=_first_error(answers.responses, counts.errors),
        seed=made.request.seed,
        shots=made.request.shots,
        limit=made.request.limit,
        asked=answers.asked,
        reused=answers.reused,
        seconds=time.monotonic() - started,
        efficiency=answers.efficiency,
        versions=_versions(model, material),
    )
    place.directory.write_cell(record, graded)
    place.progress.finish(record, kept=False)
    for complaint in notify_cell(place.registry, record):
        place.progress.warn(f"An observer failed: {complaint}")
    return record


def _standing(
    made: Plan, model: NamedModel, material: _Material, place: Workplace
) -> CellRecord | None:
    """The record of an earlier run of this very cell, if nothing it depends on has changed."""
    try:
        record = place.directory.read_cell(model.info.name, material.subject.name)
    except DataError as error:
        place.progress.warn(f"{error}\nThat cell is computed anew.")
        return None
    if record is None or record.status != "complete":
        return None
    same = (
        record.model == model.info
        and record.fingerprint == material.fingerprint
        and record.seed == made.request.seed
        and dict(record.versions) == dict(_versions(model, material))
    )
    return record if same else None


def _versions(model: NamedModel, material: _Material) -> Mapping[str, str]:
    """The distributions that made this record, each with its version."""
    plugins = (model.planned.spec.plugin, material.subject.plugin)
    return MappingProxyType(
        {"harness": __version__} | {plugin.distribution: plugin.version for plugin in plugins}
    )


def _first_error(responses: Sequence[Response], failed: int) -> str | None:
    errors = [response.error for response in responses if response.error is not None]
    if not errors:
        return None
    return f"{failed} of its samples have no answer; the first: {errors[0]}"


def _failed_record(
    made: Plan, cell: Cell, model: NamedModel | HarnessError, error: HarnessError
) -> CellRecord:
    if isinstance(model, NamedModel):
        info = model.info
    else:
        family = cell.model.spec.spec.family or cell.model.text
        info = ModelInfo(name=cell.model.text, family=family, identity="unknown")
    return CellRecord(
        model=info,
        task=cell.task.text,
        status="failed",
        error=str(error),
        seed=made.request.seed,
        shots=made.request.shots,
        limit=made.request.limit,
    )


def _close(model: NamedModel | HarnessError) -> None:
    if isinstance(model, NamedModel):
        model.close()
