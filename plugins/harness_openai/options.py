"""What the command line says about one model behind a server, checked."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from harness.errors import UsageError, suggestion
from harness.sizes import parse_size
from harness.types import Option
from harness.wording import family_of
from harness_openai.address import Address, read_address

if TYPE_CHECKING:
    from harness.types import ModelSettings

Endpoint: TypeAlias = Literal["chat", "completions"]
OPTIONS = (
    Option(name="endpoint", help="chat (default) or completions; log-likelihoods need the latter"),
    Option(name="key", help="environment variable that holds the key; default OPENAI_API_KEY"),
    Option(name="price_in", help="price of a million prompt tokens, for costs and --max-cost"),
    Option(name="price_out", help="price of a million generated tokens"),
    Option(name="concurrency", help="most requests under way at once; default 32"),
    Option(name="timeout", help="seconds until an attempt without an answer is given up: 120"),
    Option(name="retries", help="attempts after the first for a request that fails; default 8"),
    Option(name="backoff", help="seconds that the first retry waits at most, then doubled: 0.5"),
    Option(name="max_wait", help="seconds to obey a server that only refuses; default 600"),
    Option(name="temperature", help="0 (greedy, default), another number, or none: not sent"),
    Option(name="system", help="text of a system message, for chat"),
    Option(name="bos", help="text that stands for the beginning of a text, such as <s>"),
    Option(name="family", help="the family that the model belongs to in tables and fits"),
    Option(name="params", help="parameters in total, such as 70M, as no server tells them"),
    Option(name="revision", help="any label of what the server runs; another one asks anew"),
)
DEFAULT_KEY = "OPENAI_API_KEY"
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*\Z")
"""In capitals, as such variables are written, because many a key is an identifier otherwise."""


@dataclass(frozen=True, kw_only=True)
class Prices:
    """Prices of a million tokens, in any currency."""

    prompt: float
    generated: float


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How hard and how long a server is asked. Times in seconds."""

    concurrency: int = 32
    timeout: float = 120.0
    retries: int = 8
    backoff: float = 0.5
    max_wait: float = 600.0


@dataclass(frozen=True, kw_only=True)
class Options:
    """The settings of one model. ``temperature`` ``None``: not sent."""

    address: Address
    endpoint: Endpoint = "chat"
    key: str = DEFAULT_KEY
    prices: Prices | None = None
    limits: Limits = Limits()
    temperature: float | None = 0.0
    system: str = ""
    bos: str = ""
    family: str = ""
    params: int | None = None
    revision: str = ""


def read_options(settings: ModelSettings) -> Options:
    """Check ``settings`` and return them typed.

    Raises :class:`harness.errors.UsageError` with what is allowed.
    """
    given = settings.options
    known = [option.name for option in OPTIONS]
    for name in given:
        if name not in known:
            raise UsageError(f"openai: unknown option {name!r}. {suggestion(name, known)}")
    address = read_address(settings.argument)
    endpoint = given.get("endpoint", "chat")
    if endpoint not in ("chat", "completions"):
        raise UsageError(f"openai: endpoint={endpoint} is neither chat nor completions.")
    if endpoint == "completions" and given.get("system"):
        raise UsageError("openai: system=... is for endpoint=chat; completions know no messages.")
    return Options(
        address=address,
        endpoint="chat" if endpoint == "chat" else "completions",
        key=_variable(given.get("key", DEFAULT_KEY)),
        prices=_prices(given.get("price_in"), given.get("price_out")),
        limits=_limits(settings),
        temperature=_temperature(given.get("temperature", "0")),
        system=given.get("system", ""),
        bos=given.get("bos", ""),
        family=given.get("family", "") or family_of(address.model),
        params=parse_size(given["params"]) if "params" in given else None,
        revision=given.get("revision", ""),
    )


def _limits(settings: ModelSettings) -> Limits:
    given, default = settings.options, Limits()
    most = given.get("concurrency", str(settings.batch_size or default.concurrency))
    return Limits(
        concurrency=_whole("concurrency", most, least=1),
        timeout=_number("timeout", given.get("timeout"), default.timeout, least=0.001),
        retries=_whole("retries", given.get("retries", str(default.retries)), least=0),
        backoff=_number("backoff", given.get("backoff"), default.backoff, least=0.0),
        max_wait=_number("max_wait", given.get("max_wait"), default.max_wait, least=0.0),
    )


def _variable(text: str) -> str:
    """A name, and never its value: whoever writes the key itself must not see it repeated."""
    if not _VARIABLE.match(text):
        raise UsageError(
            "openai: key=... names an environment variable in capitals, such as "
            "key=MY_SERVER_KEY; what is given is no such name.\n"
            "Never write a key itself on a command line."
        )
    return text


def _prices(prompt: str | None, generated: str | None) -> Prices | None:
    if prompt is None and generated is None:
        return None
    if prompt is None or generated is None:
        raise UsageError("openai: price_in and price_out belong together; give both or none.")
    return Prices(
        prompt=_number("price_in", prompt, 0.0, least=0.0),
        generated=_number("price_out", generated, 0.0, least=0.0),
    )


def _temperature(text: str) -> float | None:
    return None if text == "none" else _number("temperature", text, 0.0, least=0.0)


def _whole(name: str, text: str, *, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise UsageError(f"openai: {name}={text} is not a whole number of at least {least}.")
    return int(text)


def _number(name: str, text: str | None, default: float, *, least: float) -> float:
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < least:
        raise UsageError(f"openai: {name}={text} is not a number of at least {least:g}.")
    return value
