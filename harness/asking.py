"""Getting answers: what is stored is not asked again, what is asked is stored at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from harness.codec import flaw
from harness.errors import HarnessError, ModelError, PluginError
from harness.metering import Meter
from harness.plugins import PluginInfo
from harness.store import ResponseStore, key_of
from harness.types import (
    Classify,
    Efficiency,
    Generate,
    Loglikelihood,
    Model,
    Request,
    Response,
    Tag,
)


@dataclass(frozen=True, kw_only=True)
class Answers:
    """One response per request, in the requests' order, and where they came from.

    ``ended`` is why the model stopped answering before the last request; the others then hold it.
    """

    responses: tuple[Response, ...]
    asked: int
    reused: int
    efficiency: Efficiency | None
    ended: ModelError | None = None


@dataclass(frozen=True, kw_only=True)
class Witness:
    """Who is told of progress: how many requests will be asked, then each answer."""

    begin: Callable[[int], None]
    advance: Callable[[], None]


def ask(
    model: Model,
    plugin: PluginInfo,
    requests: Sequence[Request],
    store: ResponseStore,
    witness: Witness,
) -> Answers:
    """Answer every request, identical ones once.

    A ModelError after the first answer leaves the others without one; before it, it is raised.
    Raises PluginError naming the ``plugin`` when the model breaks its contract; whatever it
    answered before that, or before Ctrl-C, is in the store.
    """
    keys = [key_of(model.info, request) for request in requests]
    known = store.get(list(dict.fromkeys(keys)))
    reused = len(known)
    missing = {
        key: request for key, request in zip(keys, requests, strict=True) if key not in known
    }
    witness.begin(len(missing))
    pending = list(missing.items())
    meter = Meter(model)
    ended: ModelError | None = None
    try:
        for position, response in responses(model, plugin, [request for _, request in pending]):
            key, request = pending[position]
            if response.error is None:
                store.put(key, model.info, request, response)
            known[key] = response
            meter.note(response)
            with meter.paused():  # progress and observers are no part of what the model takes
                witness.advance()
    except ModelError as error:
        if all(response.error is not None for response in known.values()):
            raise
        ended = error
    asked = len(known) - reused
    unanswered = Response(error=str(ended))
    return Answers(
        responses=tuple(known.get(key, unanswered) for key in keys),
        asked=asked,
        reused=reused,
        efficiency=meter.read(),
        ended=ended,
    )


def responses(
    model: Model, plugin: PluginInfo, requests: Sequence[Request]
) -> Iterator[tuple[int, Response]]:
    """The model's answers, each checked against the contract of ``Model.respond``.

    Raises PluginError naming the ``plugin`` where the model breaks it or raises what is no error
    of ours.
    """
    if not requests:
        return
    answered: set[int] = set()
    for answer in _guarded(model, plugin, requests):
        checked = _checked(answer, requests, answered)
        if isinstance(checked, str):
            raise PluginError(f"{_who(model, plugin)} broke its contract: {checked}.")
        answered.add(checked[0])
        yield checked
    if len(answered) < len(requests):
        lost = next(i for i in range(len(requests)) if i not in answered)
        raise PluginError(
            f"{_who(model, plugin)} broke its contract: it answered {len(answered)} of "
            f"{len(requests)} requests; the first without an answer is number {lost}.\n"
            "respond() must yield every index exactly once."
        )


def _guarded(model: Model, plugin: PluginInfo, requests: Sequence[Request]) -> Iterator[object]:
    try:
        yield from model.respond(requests)
    except (HarnessError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # SystemExit too: a model must not end the program
        raise PluginError(
            f"{_who(model, plugin)} raised {type(error).__name__} in respond(): {error}"
        ) from error


def _checked(
    answer: object, requests: Sequence[Request], answered: set[int]
) -> tuple[int, Response] | str:
    """One yielded answer as what it must be, or what is wrong with it."""
    if not isinstance(answer, tuple) or len(answer) != 2:
        return f"respond() yielded {type(answer).__name__}, not a pair (index, Response)"
    position, response = answer
    if not isinstance(position, int) or not 0 <= position < len(requests):
        return f"it yielded the index {position!r} for {len(requests)} requests"
    if position in answered:
        return f"it answered request number {position} twice"
    if not isinstance(response, Response):
        return f"it yielded {type(response).__name__} for request number {position}, not Response"
    wrong = flaw(response)
    if wrong is not None:
        return f"its answer to request number {position} is no proper Response: {wrong}"
    unfit = None if response.error is not None else _unfit(position, response, requests[position])
    return unfit or (position, response)


def _unfit(position: int, response: Response, request: Request) -> str | None:
    """Why a response does not answer this kind of request, or None."""
    match request:
        case Generate() if response.text is None:
            return f"its answer to generate request number {position} has no text"
        case Loglikelihood() if response.logprob is None or not math.isfinite(response.logprob):
            return (
                f"its answer to loglikelihood request number {position} has the logprob "
                f"{response.logprob}, not a finite number"
            )
        case Tag() if response.tags is None or len(response.tags) != len(request.tokens):
            given = "no tags" if response.tags is None else f"{len(response.tags)} tags"
            return f"it gave {given} for the {len(request.tokens)} tokens of request {position}"
        case Classify() if len(response.logprobs or ()) != len(request.labels) or not all(
            map(math.isfinite, response.logprobs or ())
        ):
            return (
                f"it gave the logprobs {response.logprobs} for the {len(request.labels)} labels of "
                f"request {position}, not a finite number each"
            )
    return None


def _who(model: Model, plugin: PluginInfo) -> str:
    return f"Model '{model.info.name}' of plugin {plugin.name} ({plugin.source})"
