"""Answers to grade: an oracle's, empty ones, hostile ones."""

from __future__ import annotations

from collections.abc import Iterator

from harness.testing.results import CheckFailed
from harness.types import (
    JSON,
    Classify,
    Generate,
    Loglikelihood,
    Request,
    Response,
    Sample,
    Tag,
    Task,
)

IMPROBABLE = -50.0
HOSTILE_TEXTS = (
    "word " * 2000,
    "(" * 3000 + "[{<" * 50,
    "\x00\x07\x1b[2J\x7f\ufffd\u2028",
    "\u202eabc\u202c \u200f\u0627\u0644\u0639 \u200b\ufeff",
    "]]>}})|B-PER|</s> B- I- \\ \" ' %s {0}",
    " \t\n\r ",
    "\U0001f469\u200d\U0001f4bb e\u0301 ß İ",
    "-1e999 NaN None null",
)
HOSTILE_LOGPROBS = (0.0, -1e30, -1e-30)
HOSTILE_TAGS = ("B-", "I-PER", "-", "", "\u202e", "B-" * 500, "E-]", "none")


def oracle_responses(task: Task, sample: Sample) -> tuple[Response, ...]:
    """The right answers to a sample's requests.

    They come from ``task.oracle(sample)`` where the task has that method; else from a reference
    that is a text (or a list of texts: the first), a log-probability of 0 and, for tags, a
    reference that lists one tag per token. Raises CheckFailed where neither says them.
    """
    oracle = getattr(task, "oracle", None)
    if not callable(oracle):
        return tuple(_right(request, sample) for request in sample.requests)
    responses = tuple(oracle(sample))
    if len(responses) != len(sample.requests):
        raise CheckFailed(
            f"oracle() gave {len(responses)} responses for the {len(sample.requests)} requests of "
            f"sample '{sample.id}'.\nReturn one Response per request, in their order."
        )
    return responses


def empty_responses(sample: Sample) -> tuple[Response, ...]:
    """What a model answers that emits nothing."""
    return tuple(_empty(request) for request in sample.requests)


def hostile_responses(sample: Sample) -> Iterator[tuple[Response, ...]]:
    """Several sets of answers that no task expects."""
    for turn in range(len(HOSTILE_TEXTS)):
        yield tuple(_hostile(request, turn) for request in sample.requests)


def _right(request: Request, sample: Sample) -> Response:
    reference = sample.reference
    match request:
        case Loglikelihood():
            return Response(logprob=0.0, greedy=True)
        case Tag() if _texts(reference) and len(reference) == len(request.tokens):
            return Response(tags=tuple(reference))
        case Generate() if isinstance(reference, str):
            return Response(text=reference)
        case Generate() if _texts(reference) and reference:
            return Response(text=reference[0])
    raise CheckFailed(
        f"The reference of sample '{sample.id}' does not say the right answer to a {request.kind} "
        f"request: {reference!r:.100}\n"
        "Give the task a method oracle(sample) that returns one right Response per request."
    )


def _texts(reference: JSON) -> bool:
    return isinstance(reference, list | tuple) and all(isinstance(one, str) for one in reference)


def _empty(request: Request) -> Response:
    match request:
        case Generate():
            return Response(text="", tokens=0)
        case Loglikelihood():
            return Response(logprob=IMPROBABLE, greedy=False)
        case Tag():
            return Response(tags=("O",) * len(request.tokens))
        case Classify():
            return Response(logprobs=(IMPROBABLE,) * len(request.labels))


def _hostile(request: Request, turn: int) -> Response:
    match request:
        case Generate():
            return Response(text=HOSTILE_TEXTS[turn % len(HOSTILE_TEXTS)], truncated=True)
        case Loglikelihood():
            return Response(logprob=HOSTILE_LOGPROBS[turn % len(HOSTILE_LOGPROBS)])
        case Tag():
            several = range(turn, turn + len(request.tokens))
            return Response(tags=tuple(HOSTILE_TAGS[i % len(HOSTILE_TAGS)] for i in several))
        case Classify():
            several = range(turn, turn + len(request.labels))
            return Response(
                logprobs=tuple(HOSTILE_LOGPROBS[i % len(HOSTILE_LOGPROBS)] for i in several)
            )
