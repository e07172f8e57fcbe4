"""Running a plan: requests to the model, answers to the store, samples graded, cells recorded.

One cell is one model on one task. A cell that fails leaves the others alone; whatever was answered
is stored at once, so the same command goes on where this one stopped, however it stopped. While a
cell is graded and written, the next one is asked already.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from harness.asking import Witness, ask
from harness.cells import Job, Material, draw_material, failed, finish, still_stands
from harness.errors import DataError, HarnessError, PluginError, SaveError, UsageError
from harness.finishing import Ended, Finisher
from harness.grading import is_drawn, requests_of
from harness.models import Errand, NamedModel, Purse, prepare
from harness.plan import Cell, Plan
from harness.plugins import PluginInfo, Registry, notify_cell
from harness.results import RunDirectory
from harness.store import ResponseStore, key_of
from harness.types import CellRecord, RequestKind

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
    """What a run works with: where answers and records go, who is told, what models that cost
    money may spend together (None: as much as they like), and whether a cell may be graded beside
    the next one's questions, which wants a second processor."""

    registry: Registry
    directory: RunDirectory
    store: ResponseStore
    progress: Progress
    max_cost: float | None = None
    beside: bool = True


def execute(made: Plan, place: Workplace) -> Outcome:
    """Run every cell that is not done yet.

    Raises UsageError when a task or a model refuses its options, SaveError when results cannot be
    kept, and the first error when no cell can run at all; every other failure stays with its cell
    and ends up in the outcome.
    """
    materials = {
        _key(cell): _built(partial(draw_material, cell, made), cell.task.spec.plugin)
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
    landing = _Landing(place)
    finisher = Finisher(landing.land, beside=place.beside)
    try:
        for position, cell in enumerate(made.cells):
            model = models[cell.model.text]
            try:
                ready, material = _or_raise(model), _or_raise(materials[_key(cell)])
                if position in unready:
                    raise unready[position]
                with purse.open(ready):
                    job = Job(made=made, cell=cell, model=ready, material=material)
                    _run_cell(job, place, finisher)
            except SaveError:
                raise
            except HarnessError as error:
                finisher.put(failed(made, cell, model, error, place.directory))
            if all(later.model.text != cell.model.text for later in made.cells[position + 1 :]):
                _close(models.pop(cell.model.text))
        finisher.drain()
    except BaseException:
        finisher.abandon()
        raise
    return Outcome(
        records=tuple(ended.record for ended in landing.ended),
        failures=tuple(
            Failure(cell=cell, error=ended.error)
            for cell, ended in zip(made.cells, landing.ended, strict=True)
            if ended.error is not None
        ),
    )


class _Landing:
    """Cells that ended, in the run's order, and what is told of them."""

    def __init__(self, place: Workplace) -> None:
        self._place = place
        self.ended: list[Ended] = []

    def land(self, ended: Ended) -> None:
        place, record = self._place, ended.record
        self.ended.append(ended)
        place.progress.finish(record, kept=ended.kept)
        if ended.kept or ended.error is not None:
            return
        for complaint in notify_cell(place.registry, record):
            place.progress.warn(f"An observer failed: {complaint}")


def _require_one(
    made: Plan,
    models: Mapping[str, NamedModel | HarnessError],
    materials: Mapping[tuple[str, frozenset[RequestKind]], Material | HarnessError],
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
    materials: Mapping[tuple[str, frozenset[RequestKind]], Material | HarnessError],
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
    materials: Mapping[tuple[str, frozenset[RequestKind]], Material | HarnessError],
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


def _run_cell(job: Job, place: Workplace, finisher: Finisher) -> None:
    """Ask what is not known, and hand the cell over to be graded and written."""
    standing = _standing(job, place)
    if standing is not None:
        finisher.put(Ended(record=standing, kept=True))
        return
    model, name = job.model, job.material.subject.name

    def advance() -> None:
        place.progress.advance()
        finisher.poll()

    started = time.monotonic()
    answers = ask(
        model,
        model.planned.spec.plugin,
        requests_of(job.material.samples),
        place.store,
        Witness(
            begin=lambda requests: place.progress.begin(model.info.name, name, requests),
            advance=advance,
        ),
    )
    asking = time.monotonic() - started
    finisher.submit(
        lambda go_on: finish(job, place.directory, answers, asking, go_on),
        alone=job.cell.task.spec.spec.graded_alone,
    )


def _standing(job: Job, place: Workplace) -> CellRecord | None:
    """The record of an earlier run of this very cell, if nothing it depends on has changed."""
    try:
        record = place.directory.read_cell(job.model.info.name, job.material.subject.name)
        if record is not None and record.status == "complete":
            # A record without its samples cannot be compared; the store has the answers still.
            place.directory.read_stats(record)
    except DataError as error:
        place.progress.warn(f"{error}\nThat cell is computed anew.")
        return None
    return record if record is not None and still_stands(record, job) else None


def _close(model: NamedModel | HarnessError) -> None:
    if isinstance(model, NamedModel):
        model.close()
