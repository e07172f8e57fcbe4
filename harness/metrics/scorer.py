"""What a scorer is, and the general ones: a mean of anything, and accuracy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol, runtime_checkable

from harness.errors import UsageError
from harness.types import Metric, Stats


@runtime_checkable
class Scorer(Protocol):
    """One metric, and how one answer becomes its statistics.

    ``stats`` returns plain floats, as many for every sample as the metric's formula takes, and
    never raises, whatever text a model wrote.
    """

    @property
    def metric(self) -> Metric:
        """Name, formula, bounds and signature."""
        ...

    def stats(self, prediction: Any, reference: Any, /) -> Stats:
        """Sufficient statistics of one ``prediction`` against its ``reference``."""
        ...


@cache
def package_version(distribution: str) -> str:
    """The installed version of ``distribution``, without importing it; ``unknown`` if absent."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"


def signature(**parts: object) -> str:
    """``key:value|key:value`` in the given order, as sacreBLEU writes it; ``None`` left out."""
    words = {True: "yes", False: "no"}
    return "|".join(
        f"{key}:{words[value] if isinstance(value, bool) else value}"
        for key, value in parts.items()
        if value is not None
    )


def as_list(reference: Any) -> list[Any]:
    """A reference that may be one or several, as a list; ``None`` entries are dropped."""
    several = reference if isinstance(reference, list | tuple) else [reference]
    return [one for one in several if one is not None]


def texts(reference: Any) -> list[str]:
    """One or several reference texts as a list; none at all is one empty text."""
    return [str(one) for one in as_list(reference)] or [""]


def matches(bag: Mapping[Any, int], other: Mapping[Any, int]) -> int:
    """Size of the intersection of two bags of n-grams, given as counts."""
    get = other.get
    return sum(
        [
            count if count < there else there
            for gram, count in bag.items()
            if (there := get(gram, 0))
        ]
    )


@dataclass(frozen=True, kw_only=True)
class Mean:
    """The mean over samples of ``score(prediction, reference)``, a number on the metric's scale."""

    metric: Metric
    score: Callable[[Any, Any], float] = field(default=lambda prediction, reference: prediction)

    def stats(self, prediction: Any, reference: Any = None, /) -> Stats:
        """``(score, 1)``."""
        return float(self.score(prediction, reference)), 1.0


def mean(
    name: str,
    score: Callable[[Any, Any], float] | None = None,
    *,
    bounds: tuple[float | None, float | None] = (None, None),
    higher_is_better: bool = True,
    is_loss: bool = False,
    chance: float | None = None,
    settings: str = "",
) -> Mean:
    """A metric that is a mean of per-sample numbers, for a task's own scores.

    ``score(prediction, reference)`` gives the number, on the scale of ``bounds`` (0-100 where it
    is a share); without it, ``stats(number)`` takes the number itself. ``settings`` is the
    signature: whatever changes the number must be in it.
    """
    metric = Metric(
        name=name,
        formula="mean",
        higher_is_better=higher_is_better,
        is_loss=is_loss,
        bounds=bounds,
        chance=chance,
        signature=settings or signature(metric=name, average="mean"),
    )
    return Mean(metric=metric) if score is None else Mean(metric=metric, score=score)


def accuracy(name: str = "acc", *, choices: int | None = None) -> Mean:
    """Percent of predictions equal to the reference, or to one of a list of references.

    ``choices`` is the number of equally likely answers, which gives the chance level. Raises
    :class:`UsageError` for fewer than two.
    """
    if choices is not None and choices < 2:
        raise UsageError(f"A guess needs two choices or more, not {choices}.\nCorrect choices=.")
    return mean(
        name,
        lambda prediction, reference: 100.0 * (prediction in as_list(reference)),
        bounds=(0.0, 100.0),
        chance=100.0 / choices if choices else None,
        settings=signature(match="equal", choices=choices),
    )
