"""Does a model answer alone what it answers in company? Batches must change no answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import TypeAlias

from harness.types import Request, Response

Respond: TypeAlias = Callable[[Sequence[Request]], Iterable[tuple[int, Response]]]
"""Answers requests, as :meth:`harness.types.Model.respond` does."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What became of one request: how far apart its log-probabilities are, in nats (infinite
    where one has none), and whether what was written is the same."""

    request: Request
    together: Response
    alone: Response
    nats: float | None
    same: bool


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Every request that was asked twice, with its two answers."""

    found: tuple[Difference, ...]

    @property
    def largest(self) -> float:
        """The largest difference of log-probabilities, in nats; 0 where none was asked."""
        return max((one.nats for one in self.found if one.nats is not None), default=0.0)

    @property
    def scored(self) -> int:
        """How many requests asked for log-probabilities."""
        return sum(one.nats is not None for one in self.found)

    @property
    def failed(self) -> tuple[Difference, ...]:
        """Those without an answer, neither together nor alone."""
        return tuple(one for one in self.found if one.together.error and one.alone.error)

    @property
    def changed(self) -> tuple[Difference, ...]:
        """Those whose text or tags differ, or that were answered only once."""
        return tuple(one for one in self.found if not one.same)


def spread(groups: Sequence[Sequence[Request]], most: int) -> tuple[Request, ...]:
    """At most ``most`` different requests, taken in turn from each group."""
    turns = chain.from_iterable(zip_longest(*groups))
    return tuple(dict.fromkeys(one for one in turns if one is not None))[:most]


def diagnose(respond: Respond, requests: Sequence[Request]) -> Diagnosis:
    """Ask all ``requests`` at once, then each alone; what ``respond`` raises is handed on."""
    together = _answers(respond(requests), len(requests))
    alone = [_answers(respond([request]), 1)[0] for request in requests]
    return Diagnosis(
        found=tuple(map(_compared, requests, together, alone)),
    )


def _answers(answers: Iterable[tuple[int, Response]], number: int) -> list[Response]:
    found = dict(answers)
    return [found.get(index, Response(error="it gave no answer")) for index in range(number)]


def _compared(request: Request, together: Response, alone: Response) -> Difference:
    written = [(one.text, one.tags, one.error) for one in (together, alone)]
    return Difference(
        request=request,
        together=together,
        alone=alone,
        nats=_apart(_logprobs(together), _logprobs(alone)),
        same=written[0] == written[1],
    )


def _logprobs(response: Response) -> tuple[float, ...]:
    if response.logprob is not None:
        return (response.logprob,)
    return response.logprobs or ()


def _apart(one: tuple[float, ...], other: tuple[float, ...]) -> float | None:
    if not one and not other:
        return None
    if len(one) != len(other):
        return math.inf
    return max(abs(a - b) for a, b in zip(one, other, strict=True))
