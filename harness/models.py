"""Models at work in a run: under the user's names, made ready, and within a bound on costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from harness.codec import flaw
from harness.errors import HarnessError, PluginError, UsageError
from harness.plan import PlannedModel, named
from harness.types import (
    Costly,
    Drawing,
    ModelInfo,
    Preparing,
    Request,
    RequestKind,
    Response,
    Usage,
)


class NamedModel:
    """A model, built, under the name that the user gave it."""

    def __init__(self, planned: PlannedModel) -> None:
        """Build it and read its info; raises PluginError when that is none."""
        self.planned = planned
        self._model = planned.build()
        info: object = self._model.info
        wrong = flaw(info) if isinstance(info, ModelInfo) else f"it is {type(info).__name__}"
        if wrong is not None or not isinstance(info, ModelInfo):
            raise PluginError(f"{self._who} broke its contract: its info is no ModelInfo: {wrong}.")
        self.info = named(info, planned.text)

    def respond(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """The model's own answers."""
        return self._model.respond(requests)

    @property
    def usage(self) -> Usage:
        """What the model spent so far, as far as it says."""
        usage = getattr(self._model, "usage", None)
        return usage if isinstance(usage, Usage) else Usage()

    @property
    def prepares(self) -> bool:
        """Whether the model wants to be asked beforehand if it can answer."""
        return isinstance(self._model, Preparing)

    def prepare(self, kinds: frozenset[RequestKind]) -> None:
        """Let the model make sure that it can be asked; raises what it raises."""
        if isinstance(self._model, Preparing):
            model = self._model
            self._guarded("prepare", lambda: model.prepare(kinds))

    def check_drawing(self, task: str) -> None:
        """Raise UsageError unless the model can draw the answers that ``task`` asks for."""
        if not isinstance(self._model, Drawing):
            raise UsageError(
                f"Model '{self.planned.text}' gives its most probable answer alone, and task "
                f"'{task}' asks for answers drawn at a temperature.\n"
                "Leave the model out, or ask the task for one answer at temperature 0."
            )
        self._guarded("check_drawing", self._model.check_drawing)

    @property
    def costs(self) -> bool:
        """Whether the model's answers can cost something."""
        return isinstance(self._model, Costly)

    def limit_cost(self, most: float) -> None:
        """Bound what the model may spend in total; without a meaning for a model that is free."""
        if isinstance(self._model, Costly):
            model = self._model
            self._guarded("limit_cost", lambda: model.limit_cost(most))

    def close(self) -> None:
        """Free what the model holds, where it can."""
        close = getattr(self._model, "close", None)
        if callable(close):
            close()

    @property
    def _who(self) -> str:
        plugin = self.planned.spec.plugin
        return f"Model '{self.planned.text}' of plugin {plugin.name} ({plugin.source})"

    def _guarded(self, what: str, call: Callable[[], None]) -> None:
        try:
            call()
        except (HarnessError, KeyboardInterrupt):
            raise
        except BaseException as error:  # SystemExit too: a model must not end the program
            raise PluginError(
                f"{self._who} raised {type(error).__name__} in {what}(): {error}"
            ) from error


class Purse:
    """What all models of a run may spend together. ``most`` None: as much as they like."""

    def __init__(self, most: float | None) -> None:
        """Nothing is spent yet."""
        self._most = most
        self._spent = 0.0

    @contextmanager
    def open(self, model: NamedModel) -> Iterator[None]:
        """Allow ``model`` what is left while it is at work, and book what it spent.

        Raises UsageError for a model that knows no prices.
        """
        before = model.usage.cost or 0.0
        if self._most is not None:
            model.limit_cost(before + max(0.0, self._most - self._spent))
        try:
            yield
        finally:
            self._spent += (model.usage.cost or 0.0) - before


@dataclass(frozen=True, kw_only=True)
class Errand:
    """A cell, by its position in the plan, that will ask ``model`` requests of ``kinds``."""

    position: int
    model: NamedModel
    kinds: frozenset[RequestKind]


def prepare(errands: Iterable[Errand], purse: Purse) -> Mapping[int, HarnessError]:
    """Let models make sure, once each, that they can be asked; by position, why a cell cannot be.

    Raises the UsageError of a model that never can answer such requests: then nothing is asked.
    """
    by_model: dict[NamedModel, list[Errand]] = {}
    for errand in errands:
        by_model.setdefault(errand.model, []).append(errand)
    errors: dict[int, HarnessError] = {}
    for model, wanted in by_model.items():
        try:
            with purse.open(model):
                model.prepare(frozenset().union(*(errand.kinds for errand in wanted)))
        except UsageError:
            raise
        except HarnessError as error:
            errors |= {errand.position: error for errand in wanted}
    return errors
