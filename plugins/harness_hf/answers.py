"""From requests to jobs and from what was found to responses, for every language model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.types import Generate, Loglikelihood, Response
from harness_hf.drawing import Draw
from harness_hf.rows import Job
from harness_hf.tokens import Stops, TokenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from harness.types import Request
    from harness_hf.prompts import Prompts, Scoring
    from harness_hf.rows import Continuation
    from harness_hf.scoring import Likelihood
    from harness_hf.tokens import Prompt

    Score = Callable[[Sequence[Scoring]], Iterator[tuple[int, Likelihood | None]]]
    Continue = Callable[[Sequence[Job]], Iterator[tuple[int, Continuation | None]]]

NO_MEMORY = "out of memory even for this request alone"
NO_TOKENS = "the tokenizer makes no token of the continuation"
NO_NUMBERS = "the model computes logits that are no finite numbers"


def answer_language(
    requests: Sequence[Request],
    prompts: Prompts,
    ends: frozenset[int],
    score: Score,
    generate: Continue,
) -> Iterator[tuple[int, Response]]:
    """Yield ``(number, response)`` for every request, likelihoods first; ``ends`` end a text."""
    for number, request in enumerate(requests):
        if not isinstance(request, Loglikelihood | Generate):
            said = f"a language model cannot answer a {request.kind} request"
            yield number, Response(error=said)
    scored = [n for n, r in enumerate(requests) if isinstance(r, Loglikelihood)]
    for place, response in _score([requests[n] for n in scored], prompts, score):
        yield scored[place], response
    asked = [n for n, r in enumerate(requests) if isinstance(r, Generate)]
    for place, response in _generate([requests[n] for n in asked], prompts, ends, generate):
        yield asked[place], response


def _score(
    requests: Sequence[Request], prompts: Prompts, score: Score
) -> Iterator[tuple[int, Response]]:
    scored = [r for r in requests if isinstance(r, Loglikelihood)]
    prompts.prepare(scored)
    numbers: list[int] = []
    jobs: list[Scoring] = []
    for number, request in enumerate(scored):
        try:
            job = prompts.scoring(request)
        except TokenError as error:
            yield number, Response(error=str(error))
            continue
        if request.continuation and not job.scored:  # of no tokens, it would be certain
            yield number, Response(error=NO_TOKENS)
            continue
        numbers.append(number)
        jobs.append(job)
    for place, found in score(jobs):
        job = jobs[place]
        yield numbers[place], _scored(job, found)


def _scored(job: Scoring, found: Likelihood | None) -> Response:
    if found is None:
        return Response(error=NO_MEMORY)
    if not math.isfinite(found.logprob):
        return Response(error=f"the model computes {found.logprob} instead of a probability")
    return Response(
        logprob=found.logprob,
        greedy=found.greedy,
        prompt_tokens=job.read,
        tokens=job.scored,
        prompt_truncated=job.lost > 0,
    )


def _generate(
    requests: Sequence[Request], prompts: Prompts, ends: frozenset[int], generate: Continue
) -> Iterator[tuple[int, Response]]:
    asked = [r for r in requests if isinstance(r, Generate)]
    prompts.prepare(asked)
    numbers: list[int] = []
    jobs: list[Job] = []
    for number, request in enumerate(asked):
        try:
            opening = prompts.opening(request)
        except TokenError as error:
            yield number, Response(error=str(error))
            continue
        if opening.most < 1:
            yield number, _written(opening.prompt, "", tokens=0, truncated=True)
            continue
        numbers.append(number)
        jobs.append(
            Job(
                prompt=opening.prompt,
                before=opening.before,
                most=opening.most,
                stops=Stops(strings=request.stop),
                ends=ends | prompts.codec.special_ids(request.stop),
                draw=Draw.of(request),
            )
        )
    for place, found in generate(jobs):
        if found is None:
            yield numbers[place], Response(error=NO_MEMORY)
            continue
        if found.broken:
            yield numbers[place], Response(error=NO_NUMBERS)
            continue
        tokens, prompt = len(found.ids), jobs[place].prompt
        response = _written(prompt, found.text, tokens=tokens, truncated=found.truncated)
        yield numbers[place], response


def _written(prompt: Prompt, text: str, *, tokens: int, truncated: bool) -> Response:
    return Response(
        text=text,
        prompt_tokens=len(prompt.ids),
        tokens=tokens,
        truncated=truncated,
        prompt_truncated=prompt.cut > 0,
    )
