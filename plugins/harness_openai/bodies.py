"""Requests as the JSON bodies that a server takes."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from harness.codec import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.types import JSON, Generate
    from harness_openai.options import Options

Route: TypeAlias = Literal["echo", "prompt_logprobs"]
"""How a server is asked for the log-probabilities of a prompt: OpenAI's way, or vLLM's."""

MOST_STOPS = 4
"""Stop strings that OpenAI's service takes; the answer is cut at all of them on this side."""

RENAMED = "max_completion_tokens"
"""What newer chat models of OpenAI call the limit on tokens, and say so when asked otherwise."""
_NO_STOPS = re.compile(r"\b(unsupported|not support\w*|not permitted)\b.*\bstop\b|\bstop\b.*\bnot ")


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """What a server's models take: the name of the limit on tokens, and whether stop strings."""

    tokens_name: str = "max_tokens"
    stops: bool = True

    def after(self, refusal: str) -> Dialect:
        """What to speak when the server has refused a request with these words."""
        if RENAMED in refusal:
            return replace(self, tokens_name=RENAMED)
        if _NO_STOPS.search(refusal.lower()):
            return replace(self, stops=False)
        return self


def generation(
    options: Options, request: Generate, dialect: Dialect = Dialect()
) -> Mapping[str, JSON]:
    """The body that asks for a continuation."""
    body: dict[str, JSON] = {"model": options.address.model}
    if options.endpoint == "chat":
        system = [{"role": "system", "content": options.system}] if options.system else []
        body["messages"] = [*system, {"role": "user", "content": request.prompt}]
    else:
        body["prompt"] = request.prompt
    body[dialect.tokens_name] = request.max_tokens
    if request.temperature > 0:
        body |= {"temperature": request.temperature, "seed": _seed(request)}
        body |= {"top_p": request.top_p} if request.top_p < 1 else {}
    elif options.temperature is not None:
        body["temperature"] = options.temperature
    stops = [stop for stop in dict.fromkeys(request.stop) if stop][:MOST_STOPS]
    if stops and dialect.stops:
        body["stop"] = stops
    return body


def _seed(request: Generate) -> int:
    """A seed of 31 bits, for each attempt at each prompt another one."""
    said = json.dumps(to_json(request), sort_keys=True, ensure_ascii=False)
    digest = hashlib.sha256(said.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def echo(options: Options, prompt: str, route: Route) -> Mapping[str, JSON]:
    """The body that asks for the log-probabilities of ``prompt``.

    One token more is generated, because not every server takes a limit of none.
    """
    body: dict[str, JSON] = {"model": options.address.model, "prompt": prompt, "max_tokens": 1}
    if options.temperature is not None:
        body["temperature"] = options.temperature
    if route == "echo":
        return body | {"echo": True, "logprobs": 1}
    return body | {"prompt_logprobs": 1}
