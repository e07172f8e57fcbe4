"""``harness doctor``: whether a model's answers depend on what they are batched with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import click

from harness.asking import responses
from harness.cli.common import echo_json
from harness.cli.run import BatchSize
from harness.codec import to_json
from harness.doctor import Diagnosis, diagnose, spread
from harness.errors import PartialError, UsageError
from harness.grading import Subject, draw_samples, requests_of
from harness.plan import Cell, RunRequest, plan, plan_models
from harness.plugins import Registry, load_registry
from harness.types import Generate, Loglikelihood, Model, ModelSpec, Request

TOLERANCE = 1e-3
SHOWN = 3


@click.command()
@click.argument("model")
@click.option(
    "--requests",
    "number",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="How many to ask.",
)
@click.option("--tasks", "-t", multiple=True, help="Whose requests; default: the embedded tasks'.")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=TOLERANCE,
    show_default=True,
    help="Nats that a log-likelihood may differ by.",
)
@click.option("--shots", type=int, help="Worked examples before each question.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@click.option("--dtype", default="auto", show_default=True, help="auto, float32, bfloat16, ...")
@click.option("--batch-size", type=BatchSize(), default="auto", help="auto or a number.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def doctor(
    model: str,
    number: int,
    tasks: tuple[str, ...],
    tolerance: float,
    as_json: bool,
    **asked: object,
) -> int:
    """Ask MODEL requests together, then each alone, and compare the answers.

    Nothing is stored. Exits with 1 when a log-likelihood differs by more than the tolerance, or a
    text or a tag at all; answers then depend on what is asked besides. Exits with 4 when some
    request has no answer.
    """
    if math.isnan(tolerance):
        raise UsageError(f"--tolerance {tolerance} is no number of nats, such as {TOLERANCE}.")
    registry = load_registry()
    request = RunRequest(models=(model,), tasks=tasks, **asked)  # type: ignore[arg-type]
    planned = plan_models(registry, request)
    if len(planned) > 1:
        raise UsageError(f"'{model}' stands for {len(planned)} models; name one.")
    chosen = tasks or _askable(registry, planned[0].spec.spec)
    cells = plan(registry, replace(request, tasks=chosen)).cells
    built = cells[0].model.build()
    requests = spread([_requests(cell, number) for cell in cells], number)
    found = diagnose(partial(responses, built, cells[0].model.spec.plugin), requests)
    healthy = found.largest <= tolerance and not found.changed
    if as_json:
        echo_json(_document(model, built, found, tolerance, healthy))
    else:
        for line in _lines(model, built, found, tolerance, healthy):
            click.echo(line)
    if not healthy:
        return 1
    return PartialError.exit_code if found.failed else 0


def _askable(registry: Registry, spec: ModelSpec) -> tuple[str, ...]:
    """The embedded tasks that ask what the model answers."""
    found = tuple(
        name
        for name, task in registry.tasks.items()
        if task.spec.default and any(kinds <= spec.kinds for kinds in task.spec.needs)
    )
    if not found:
        raise UsageError(
            f"No embedded task asks what {spec.name} answers ({', '.join(sorted(spec.kinds))}).\n"
            "Name one with --tasks."
        )
    return found


def _requests(cell: Cell, number: int) -> list[Request]:
    task = cell.task
    subject = Subject(
        task=task.build(), name=task.text, plugin=task.spec.plugin, kinds=task.settings.kinds
    )
    return requests_of(draw_samples(subject, number))


def _lines(name: str, model: Model, found: Diagnosis, tolerance: float, healthy: bool) -> list[str]:
    asked = len(found.found)
    written = [one.same for one in found.found if one.nats is None and one not in found.failed]
    dtype = model.info.settings.get("dtype")
    lines = [
        f"{name}{f' in {dtype}' if dtype else ''}: {asked} requests, asked together and each alone"
    ]
    if found.scored:
        lines.append(
            f"log-likelihoods: {found.scored}, the largest difference {found.largest:.2e} nats "
            f"(tolerance {tolerance:g})"
        )
    if written:
        lines.append(f"texts and tags: {len(written)}, of which {sum(written)} are the same")
    for one in found.changed[:SHOWN]:
        lines += [
            f"  differs: {_start(one.request)}",
            f"    together: {_said(to_json(one.together))}",
            f"    alone:    {_said(to_json(one.alone))}",
        ]
    if found.failed:
        lines.append(f"without an answer: {len(found.failed)}: {found.failed[0].alone.error}")
    if healthy:
        lines.append("healthy: no answer depends on what is asked besides")
    elif dtype in ("bfloat16", "float16"):
        lines.append(
            f"answers differ, which {dtype} explains where float32 agrees: --dtype float32"
        )
    else:
        lines.append("answers differ: a smaller --batch-size tells whether it is the batch")
    return lines


def _start(request: Request) -> str:
    match request:
        case Generate():
            text = request.prompt
        case Loglikelihood():
            text = request.context + request.continuation
        case _:
            text = str(to_json(request))
    return f"{request.kind} ...{text[-60:]!r}"


def _said(response: Mapping[str, object]) -> str:
    fields = ("error", "text", "tags")
    return ", ".join(f"{f} {response[f]!r:.200}" for f in fields if response[f] is not None)


def _document(
    name: str, model: Model, found: Diagnosis, tolerance: float, healthy: bool
) -> dict[str, object]:
    return {
        "schema": 1,
        "model": name,
        "settings": dict(model.info.settings),
        "requests": len(found.found),
        "loglikelihoods": found.scored,
        "largest_difference": found.largest if math.isfinite(found.largest) else None,
        "tolerance": tolerance,
        "changed": [
            {
                "request": to_json(one.request),
                "together": to_json(one.together),
                "alone": to_json(one.alone),
            }
            for one in found.changed
        ],
        "healthy": healthy,
    }
