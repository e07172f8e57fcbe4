"""The size that a target score needs, read off a fit backwards."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import exp, log
from typing import Any

from harness.errors import UsageError
from harness.laws.records import Fit, Interval, Prediction

FARTHEST = 1e6
"""Sizes up to this multiple of the largest one, and down to as small a share, are searched."""

_TARGET = re.compile(r"^\s*([^<>=\s]+)\s*(>=|<=)\s*([-+0-9.eE]+)\s*$")


@dataclass(frozen=True, kw_only=True)
class Target:
    """A score to reach: ``bleu>=30`` or ``bits_per_byte<=0.8``."""

    metric: str
    at_least: bool
    value: float

    def __str__(self) -> str:
        """As it is written on the command line."""
        return f"{self.metric}{'>=' if self.at_least else '<='}{self.value:g}"


@dataclass(frozen=True, kw_only=True)
class Needed:
    """The size at which the law meets a target.

    ``size`` is ``None`` where the law never meets it. A model of ``ci.lo`` may meet it and one of
    ``ci.hi`` will, each with 97.5 % probability; an end is ``None`` where no size searched does.
    ``beyond`` is the factor by which ``size`` exceeds the largest one fitted.
    """

    target: Target
    size: float | None
    ci: Interval
    beyond: float | None
    note: str

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "target": str(self.target),
            "size": self.size,
            "ci": [self.ci.lo, self.ci.hi],
            "beyond": self.beyond,
            "note": self.note,
        }


def parse_target(text: str) -> Target:
    """``METRIC>=VALUE`` or ``METRIC<=VALUE``; raises UsageError for anything else."""
    found = _TARGET.match(text)
    try:
        if found is not None:
            metric, sign, value = found.groups()
            return Target(metric=metric, at_least=sign == ">=", value=float(value))
    except ValueError:
        pass
    raise UsageError(f"Cannot read --target '{text}'. Write METRIC>=VALUE or METRIC<=VALUE.")


def needed_size(
    fit: Fit, target: Target, largest: float, others: Mapping[str, float] | None = None
) -> Needed:
    """The smallest size whose predicted score meets ``target``; ``largest``: the largest fitted.

    ``others`` are the law's further variables, such as the training tokens ``D``, held fixed.

    Raises:
        DataError: the fit is not identifiable.
        UsageError: a variable of the law is missing.
    """

    def foretold(size: float) -> Prediction:
        return fit.predict(size, **(others or {}))

    size = _first(lambda p: p.value, foretold, target, largest)
    eager = _first(lambda p: p.hi if target.at_least else p.lo, foretold, target, largest)
    sure = _first(lambda p: p.lo if target.at_least else p.hi, foretold, target, largest)
    beyond = None if size is None else size / largest
    return Needed(
        target=target,
        size=size,
        ci=Interval(lo=eager, hi=sure),
        beyond=beyond,
        note=_note(beyond, sure),
    )


def _note(beyond: float | None, sure: float | None) -> str:
    if beyond is None:
        return f"by this law no size up to {FARTHEST:g} times the largest meets it"
    parts = []
    if beyond > 1:
        parts.append(f"beyond the data by a factor of {beyond:.3g}")
    if sure is None:
        parts.append("no size searched is sure to meet it")
    return "; ".join(parts)


def _first(
    read: Callable[[Prediction], float],
    foretold: Callable[[float], Prediction],
    target: Target,
    largest: float,
) -> float | None:
    """The smallest size that meets the target, by bisection in the logarithm of size."""

    def met(log_size: float) -> bool:
        score = read(foretold(exp(log_size)))
        return score >= target.value if target.at_least else score <= target.value

    low, high = log(largest / FARTHEST), log(largest * FARTHEST)
    if met(low):
        return exp(low)
    if not met(high):
        return None
    while high - low > 1e-6:
        middle = (low + high) / 2
        if met(middle):
            high = middle
        else:
            low = middle
    return exp(high)
