"""JSON replies of a server, read strictly: what is not there is not made up."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness_openai.faults import RetryableError, Setback, UnanswerableError

if TYPE_CHECKING:
    from harness.types import JSON
    from harness_openai.bodies import Route

BROKEN_OFF = frozenset({"error", "abort", "cancelled"})
"""Reasons to finish that some servers give for an answer that is none."""

CALLS = frozenset({"tool_calls", "function_call"})

STAND_IN = -9999.0
"""What vLLM and OpenAI write for a log-probability of minus infinity, or one that they do not know;
no token of a real vocabulary has it."""

MOST_TOKENS = 10**9
"""No reply costs more; a larger number is no count."""


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Tokens that a reply says it cost, as far as it says."""

    prompt: int | None = None
    generated: int | None = None


@dataclass(frozen=True, kw_only=True)
class Generated:
    """A continuation; ``truncated`` by the limit on tokens."""

    text: str
    truncated: bool
    spent: Spent


@dataclass(frozen=True, kw_only=True)
class Token:
    """One token of a prompt: its text and log-probability where the server gives them, and
    whether it was the most probable one."""

    text: str | None
    logprob: float | None
    best: bool | None


@dataclass(frozen=True, kw_only=True)
class Echoed:
    """The tokens of a prompt, in order; what was generated after them is left out."""

    tokens: tuple[Token, ...]
    spent: Spent


def parse(content: bytes) -> Mapping[str, JSON]:
    """The JSON object in a reply; raises RetryableError for anything else."""
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        shown = content[:60].decode("utf-8", errors="replace")
        raise _garbage(f"the answer is no JSON: {shown!r}") from None
    if not isinstance(data, dict):
        raise _garbage(f"the answer is {type(data).__name__} instead of a JSON object")
    return data


def read_generated(data: Mapping[str, JSON], *, chat: bool) -> Generated:
    """The continuation in a reply.

    Raises RetryableError for a reply that is none, UnanswerableError where the server withheld
    the answer.
    """
    choice = _choice(data)
    finish = choice.get("finish_reason")
    if not isinstance(finish, str) or finish in BROKEN_OFF:
        raise _garbage(f"the answer was not finished: finish_reason is {finish!r}")
    if finish == "content_filter":
        raise UnanswerableError("the server withheld the answer (finish_reason content_filter)")
    text = _message(choice) if chat else choice.get("text")
    if text is None and finish in CALLS:
        raise UnanswerableError("the server gives no text, but calls a tool")
    if not isinstance(text, str):
        raise _garbage("the answer has no text")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise _garbage("the answer holds a lone surrogate, which is no character") from None
    spent = read_spent(data)
    if text and not spent.generated:  # a text of no tokens: the count is none
        spent = Spent(prompt=spent.prompt)
    return Generated(text=text, truncated=finish == "length", spent=spent)


def read_echoed(data: Mapping[str, JSON], route: Route) -> Echoed:
    """The tokens of the prompt with their log-probabilities.

    Raises RetryableError for a reply that is none, UnanswerableError where it holds no
    log-probabilities.
    """
    choice, spent = _choice(data), read_spent(data)
    if route == "echo":
        return Echoed(tokens=_prompt_part(_echo_tokens(choice), spent), spent=spent)
    listed = choice.get("prompt_logprobs")
    if not isinstance(listed, list) or not listed:
        raise UnanswerableError("the answer has no prompt_logprobs")
    return Echoed(tokens=tuple(_vllm_token(entry) for entry in listed), spent=spent)


def read_spent(data: Mapping[str, JSON]) -> Spent:
    """The tokens that a reply says it cost."""
    usage = data.get("usage")
    if not isinstance(usage, dict):
        return Spent()
    return Spent(
        prompt=_count(usage.get("prompt_tokens")) or None,  # no prompt has no tokens
        generated=_count(usage.get("completion_tokens")),
    )


def _choice(data: Mapping[str, JSON]) -> Mapping[str, JSON]:
    choices = data.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        said = data.get("error") or data.get("message") or data.get("detail")
        number = f"{len(choices)} choices" if isinstance(choices, list) else "no choices"
        why = f"one choice was asked for, and {number} came" if said is None else json.dumps(said)
        raise _garbage(f"the reply holds no answer: {why[:100]}")
    return choices[0]


def _message(choice: Mapping[str, JSON]) -> JSON:
    """The text of a chat message; a refusal is what the model said, null an empty text unless the
    message calls a tool instead."""
    message = choice.get("message")
    if not isinstance(message, dict) or "content" not in message:
        return None
    if message["content"] is None:
        refusal = message.get("refusal")
        called = message.get("tool_calls") or message.get("function_call")
        return refusal if isinstance(refusal, str) else None if called else ""
    return message["content"]


def _echo_tokens(choice: Mapping[str, JSON]) -> tuple[Token, ...]:
    listed = choice.get("logprobs")
    if not isinstance(listed, dict):
        raise UnanswerableError("the answer has no logprobs")
    texts, logprobs = listed.get("tokens"), listed.get("token_logprobs")
    if not (isinstance(texts, list) and isinstance(logprobs, list) and len(texts) == len(logprobs)):
        raise UnanswerableError("the answer has no logprobs of its tokens")
    tops = listed.get("top_logprobs")
    if not isinstance(tops, list) or len(tops) != len(texts):
        tops = [None] * len(texts)
    return tuple(
        _token(text, logprob, top.values() if isinstance(top, dict) else None)
        for text, logprob, top in zip(texts, logprobs, tops, strict=True)
    )


def _prompt_part(tokens: tuple[Token, ...], spent: Spent) -> tuple[Token, ...]:
    """Without the token generated after the prompt."""
    if spent.prompt is not None and spent.prompt <= len(tokens) <= spent.prompt + 1:
        return tokens[: spent.prompt]
    return tokens[:-1]


def _vllm_token(entry: JSON) -> Token:
    """The prompt's token comes first among those listed; the first token has no entry."""
    if entry is None:
        return Token(text=None, logprob=None, best=None)
    rows = list(entry.values()) if isinstance(entry, dict) else []
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise UnanswerableError("the answer's prompt_logprobs cannot be read")
    first: Mapping[str, Any] = rows[0]
    return _token(
        first.get("decoded_token"), first.get("logprob"), [row.get("logprob") for row in rows]
    )


def _token(text: JSON, logprob: JSON, listed: Any) -> Token:
    known = _finite(logprob)
    rivals = [value for value in map(_finite, listed or ()) if value is not None]
    best = None if known is None or not rivals else known >= max(rivals)
    return Token(text=text if isinstance(text, str) else None, logprob=known, best=best)


def _finite(value: JSON) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value) if value > STAND_IN else None


def _count(value: JSON) -> int | None:
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None


def _garbage(reason: str) -> RetryableError:
    return RetryableError(Setback(reason=reason, billable=True, replied=True))
