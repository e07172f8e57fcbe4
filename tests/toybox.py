"""The toys as a plugin module, for tests that run the whole program."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import toys

from harness import hookimpl
from harness.errors import ModelError
from harness.types import Generate, ModelSettings, ModelSpec, Request, Response, TaskSpec

SIZES = (10, 40, 160, 640, 2560)


@dataclass
class Slow(toys.Adder):
    """An adder that takes its time, and writes down what it is asked."""

    def respond(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        log = Path(os.environ["TOY_LOG"])
        for index, answer in super().respond(requests):
            time.sleep(float(os.environ.get("TOY_DELAY", "0.02")))
            with log.open("a") as file:
                file.write(f"{requests[index]}\n")
            yield index, answer


@hookimpl
def harness_models() -> Iterator[ModelSpec]:
    for size in SIZES:
        spec = toys.model_spec(f"adder-{size}", toys.Adder(size), size=size)
        yield replace(spec, default=False)
    yield ModelSpec(
        name="slow", build=lambda settings: slow(settings), kinds=toys.BOTH, family="slow"
    )
    yield ModelSpec(name="failing", build=lambda settings: failing(settings), kinds=toys.BOTH)

    for name in ("broken", "broken-too"):
        yield ModelSpec(name=name, build=lambda settings: Broken(20), kinds=toys.BOTH)


class Broken(toys.Adder):
    """An adder that cannot be asked."""

    def respond(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        raise ModelError("broken: the fan is missing.\nPut one in.")


@dataclass
class Failing(toys.Adder):
    """An adder that has no answer to the first two sums."""

    def answer(self, request: Request) -> Response:
        if isinstance(request, Generate) and request.prompt in ("0+0=", "1+1="):
            return Response(error="overheated")
        return super().answer(request)


def failing(settings: ModelSettings) -> Failing:
    return Failing(30)


def slow(settings: ModelSettings) -> Slow:
    return Slow(100)


@hookimpl
def harness_laws() -> Iterator[object]:
    from harness.laws.sums import POWER

    yield replace(POWER, name="toy-power", source="the toy box")


@hookimpl
def harness_tasks() -> Iterator[TaskSpec]:
    yield replace(toys.task_spec("sums", toys.Sums()), default=False)
