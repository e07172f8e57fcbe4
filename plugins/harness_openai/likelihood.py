"""Log-likelihoods from the log-probabilities of an echoed prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.types import Response
from harness_openai.alignment import AlignmentError, first_after
from harness_openai.faults import UnanswerableError

if TYPE_CHECKING:
    from harness.types import Loglikelihood
    from harness_openai.replies import Echoed


ROUNDING = 1e-3
"""How far above 0 a log-probability may be by rounding, in nats."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A text to be echoed; what follows its first ``boundary`` characters is scored."""

    prompt: str
    boundary: int


def question(request: Loglikelihood, *, bos: str) -> Question:
    """Split as lm-evaluation-harness does: spaces at the end of the context belong to the
    continuation. ``bos`` stands before a text without a context."""
    kept = request.context.rstrip()
    continuation = request.context[len(kept) :] + request.continuation
    before = kept or bos
    return Question(prompt=before + continuation, boundary=len(before))


def read_likelihood(asked: Question, echoed: Echoed) -> Response:
    """The summed log-probability of the tokens that reach into the continuation.

    Raises UnanswerableError where a token has no log-probability, or nobody can tell which tokens
    they are.
    """
    tokens = echoed.tokens
    try:
        first = first_after([token.text for token in tokens], asked.prompt, asked.boundary)
    except AlignmentError as error:
        raise UnanswerableError(f"{error}, so its continuation cannot be scored") from None
    scored = tokens[first:]
    logprobs = [token.logprob for token in scored if token.logprob is not None]
    if len(logprobs) < len(scored):
        if first == 0:
            raise UnanswerableError(
                "the server gives no log-probability to the first token of a text; name what "
                "stands before it with the option bos=..., such as bos=<s>"
            )
        raise UnanswerableError("the server gives a token no log-probability")
    if first == 0 and tokens and tokens[0].text is None:
        raise UnanswerableError("the server gives the first token of a text no text")
    if not scored:
        raise UnanswerableError("the server gives the continuation no tokens")
    if any(logprob > ROUNDING for logprob in logprobs):
        raise UnanswerableError("the server gives a token a probability above 1")
    best = [token.best for token in scored]
    return Response(
        logprob=min(0.0, float(sum(logprobs))),
        greedy=None if None in best else all(best),
        prompt_tokens=first,
        tokens=len(scored),
    )
