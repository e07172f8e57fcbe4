"""One sample as text: exactly what a model was sent, what came back, what was right."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

from harness.types import (
    Classify,
    Generate,
    Loglikelihood,
    Request,
    Response,
    Sample,
    SampleRecord,
    Sent,
    Tag,
)

BAR = "│ "
LOST: Mapping[str, str] = MappingProxyType({"start": "beginning", "middle": "middle", "end": "end"})


Sends: TypeAlias = Callable[[Request], Sequence[Sent]]
"""What a model reads for a request, pass by pass."""


def render_sample(sample: Sample, sends: Sends | None = None) -> str:
    """A sample before it is asked: its requests and its reference; with ``sends`` the tokens of
    each request too."""
    lines = [_heading(sample.id, sample.group)]
    for request in sample.requests:
        lines += _request(request)
        lines += _tokens(request, sends)
    lines += _reference(sample.reference)
    return "\n".join(lines)


def render_record(
    record: SampleRecord, sends: Sends | None = None, reads: Sends | None = None
) -> str:
    """A graded sample: requests, answers, reference, and the statistics it gave; with ``sends``
    the tokens of each request too, with ``reads`` the text that they come to."""
    lines = [_heading(record.id, record.group)]
    for request, response in zip(record.requests, record.responses, strict=True):
        lines += _request(request)
        lines += _tokens(request, sends)
        lines += _read(request, reads)
        lines += _response(response, LOST[getattr(request, "cut", "start")])
    lines += _reference(record.reference)
    if record.unparseable:
        lines.append("unparseable: the answer could not be read as an answer")
    for name, stats in record.stats.items():
        lines.append(f"statistics of {name}: {' '.join(f'{value:g}' for value in stats)}")
    return "\n".join(lines)


def _heading(name: str, group: str | None) -> str:
    return f"── sample {name}" + (f" (group {group})" if group is not None else "")


def _request(request: Request) -> Iterator[str]:
    match request:
        case Generate():
            stop = f", stop at {_quoted(request.stop)}" if request.stop else ""
            how = f"at most {request.max_tokens} tokens{stop}{_drawn(request)}"
            yield f"generate, {how}; the prompt:"
            yield from _text(request.prompt)
        case Loglikelihood():
            yield "loglikelihood; the context:" if request.context else "loglikelihood of a text:"
            if request.context:
                yield from _text(request.context)
                yield "the continuation:"
            yield from _text(request.continuation)
        case Tag():
            types = f", looking for {', '.join(request.types)}" if request.types else ""
            yield f"tag{types}; the tokens:"
            yield from _text(" ".join(request.tokens))
        case Classify():
            yield f"classify as {' | '.join(names[0] for names in request.labels)}; the text:"
            yield from _text(request.texts[0])
            for text in request.texts[1:]:
                yield "the text beside it:"
                yield from _text(text)


def _drawn(request: Generate) -> str:
    """How the answer is drawn; nothing where it is the most probable one."""
    if not request.temperature:
        return ""
    nucleus = f" of the top {request.top_p:g}" if request.top_p < 1 else ""
    return (
        f", drawn at temperature {request.temperature:g}{nucleus} (seed {request.seed}, attempt "
        f"{request.attempt + 1})"
    )


def _tokens(request: Request, sends: Sends | None) -> Iterator[str]:
    """Each pass token by token: ``¦`` parts tokens, ``‖`` stands before those that are scored."""
    for sent in sends(request) if sends else ():
        scored = f", scores the last {sent.scored}" if sent.scored else ""
        cut = f", {sent.cut} were cut before number {sent.at + 1}" if sent.cut else ""
        yield f"the {sent.role or 'model'} reads {len(sent.ids)} tokens{scored}{cut}:"
        line = ""
        for number, piece in enumerate(sent.pieces):
            first_scored = sent.scored and number == len(sent.pieces) - sent.scored
            line += "‖" if first_scored else "¦" if number else ""
            line += _visible(piece)
            if "\n" in piece:
                yield BAR + line
                line = ""
        if line:
            yield BAR + line


def _read(request: Request, reads: Sends | None) -> Iterator[str]:
    """Each pass as a text."""
    for sent in reads(request) if reads else ():
        cut = f", after {sent.cut} tokens were cut before number {sent.at + 1}" if sent.cut else ""
        yield f"what the {sent.role or 'model'} reads{cut}:"
        yield from _text(sent.text)


def _response(response: Response, lost: str) -> Iterator[str]:
    if response.error is not None:
        yield f"no answer: {response.error}"
        return
    marks = [
        name
        for name, present in (
            ("cut at the token limit", response.truncated),
            (f"the prompt lost its {lost}", response.prompt_truncated),
        )
        if present
    ]
    remark = f" ({', '.join(marks)})" if marks else ""
    if response.text is not None:
        yield f"the answer{remark}:"
        yield from _text(response.text)
    if response.logprob is not None:
        tokens = f" over {response.tokens} tokens" if response.tokens is not None else ""
        yield f"the answer{remark}: {response.logprob:.4f} nats{tokens}"
    if response.tags is not None:
        yield f"the answer{remark}: {' '.join(response.tags)}"
    if response.logprobs is not None:
        yield f"the answer{remark}: {' '.join(f'{one:.4f}' for one in response.logprobs)} nats"


def _reference(reference: object) -> Iterator[str]:
    yield "the reference:"
    if isinstance(reference, str):
        yield from _text(reference)
    else:
        yield from _text(json.dumps(reference, ensure_ascii=False))


def _text(text: str) -> Iterator[str]:
    """Line by line behind a bar, so that spaces and empty lines at the ends can be seen."""
    for line in text.split("\n"):
        yield BAR + _visible(line)


def _visible(line: str) -> str:
    """Control characters, and marks that turn the writing direction, in a readable form."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in line
    )


def _quoted(stop: Sequence[str]) -> str:
    return " or ".join(json.dumps(one, ensure_ascii=False) for one in stop)
