"""One attempt: a body to a server through the official SDK, its reply or what went wrong."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from harness.errors import ModelError, UsageError
from harness_openai.faults import ForbiddenError, RetryableError, Setback, UnanswerableError
from harness_openai.replies import parse

if TYPE_CHECKING:
    import openai

    from harness.types import JSON
    from harness_openai.options import Options
    from harness_openai.secret import Secret

CONNECT_SECONDS = 10.0
RETRYABLE = frozenset({408, 409, 425, 429})
PERMANENT = frozenset({501, 505})
"""Server errors that say that the server cannot do this at all."""
UNSENT = frozenset({"ConnectError", "ConnectTimeout", "LocalProtocolError", "ProxyError"})
"""What the SDK's client raises when a request never reached the server."""
WORDS = 200


class Server:
    """A connection pool to one server; belongs to one event loop. Use it as a context manager."""

    def __init__(self, options: Options, secret: Secret) -> None:
        """Nothing is sent yet. Raises UsageError when the SDK is not installed."""
        sdk = import_sdk()
        self._sdk = sdk
        self._options = options
        self._secret = secret
        self._seconds = options.limits.timeout
        try:
            self._client = self._connect()
        except Exception as error:  # whatever a proxy or a certificate of the environment is not
            raise self._fatal(
                f"cannot be asked: {type(error).__name__}: {self._words(str(error))}.\n"
                "Look at the variables of the environment that name a proxy or certificates "
                "(HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE)"
            ) from None

    def _connect(self) -> openai.AsyncOpenAI:
        sdk = self._sdk
        client: openai.AsyncOpenAI = sdk.AsyncOpenAI(
            api_key=self._secret.reveal(),
            base_url=self._options.address.base_url,
            max_retries=0,  # retries are ours: they know the pace and the account
            # what another server says is no answer of the one that was named
            http_client=sdk.DefaultAsyncHttpxClient(follow_redirects=False),
            timeout=sdk.Timeout(self._seconds, connect=min(self._seconds, CONNECT_SECONDS)),
        )
        return client

    async def __aenter__(self) -> Server:
        """The server itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection."""
        await self._client.close()

    async def post(self, body: Mapping[str, JSON]) -> Mapping[str, JSON]:
        """Send ``body`` once; its ``messages`` or ``prompt`` say to which endpoint.

        Raises RetryableError for what may go away, UnanswerableError for a request that the server
        refuses, ModelError for what all requests would meet: a wrong key, model or address. No
        message holds the key, and none is chained to an exception that does.
        """
        try:
            async with asyncio.timeout(self._seconds):
                content = await self._send(dict(body))
        except (TimeoutError, self._sdk.APITimeoutError):
            raise RetryableError(
                Setback(reason=f"no answer within {self._seconds:g} s", crowded=True, billable=True)
            ) from None
        except self._sdk.APIConnectionError as error:
            raise RetryableError(self._connection(error)) from None
        except self._sdk.APIStatusError as error:
            raise self._refusal(error) from None
        except self._sdk.OpenAIError as error:
            raise self._fatal(f"cannot be asked: {self._words(str(error))}") from None
        except Exception as error:  # what a transport raises below the SDK's own errors
            raise RetryableError(
                Setback(reason=self._words(str(_innermost(error))), absent=True)
            ) from None
        self._keep_secret(content.decode("utf-8", errors="replace"))
        data = parse(content)
        self._keep_secret(json.dumps(data))  # escapes and encodings undone
        return data

    def _keep_secret(self, text: str) -> None:
        if self._secret.is_in(text):
            said = "the answer repeats the key, and is not kept for that reason"
            raise UnanswerableError(said, billable=True)

    async def _send(self, body: dict[str, JSON]) -> bytes:
        model = body.pop("model")
        if "messages" in body:
            messages = body.pop("messages")
            chat = self._client.chat.completions.with_raw_response
            reply = await chat.create(model=model, messages=messages, extra_body=body)
            return bytes(reply.content)
        prompt = body.pop("prompt")
        plain = self._client.completions.with_raw_response
        answer = await plain.create(model=model, prompt=prompt, extra_body=body)
        return bytes(answer.content)

    def _connection(self, error: openai.APIConnectionError) -> Setback:
        cause = error.__cause__
        said = self._words(str(cause or "")) or "the connection was lost"
        absent = type(cause).__name__ in UNSENT
        return Setback(reason=said, crowded=True, billable=not absent, absent=absent)

    def _refusal(self, error: openai.APIStatusError) -> Exception:
        """What a status code means."""
        status, said = error.status_code, self._said(error)
        if status in RETRYABLE and getattr(error, "code", None) == "insufficient_quota":
            return self._fatal(f"says that the quota is used up ({status}: {said})")
        if status in RETRYABLE or (status >= 500 and status not in PERMANENT):
            return RetryableError(
                Setback(
                    reason=f"{status}: {said}",
                    wait=retry_after(error.response.headers),
                    refused=status == 429,
                    crowded=status not in (408, 409),
                    replied=True,
                )
            )
        if status == 403:
            return ForbiddenError(_refused(status, said), self._wrong_key(status, said))
        if status in (401, 402):
            return self._wrong_key(status, said)
        if status < 400:
            place = self._words(error.response.headers.get("Location", "an unnamed place"))
            return self._fatal(
                f"sends requests elsewhere ({status}: {place}), where nothing was asked.\n"
                "Name that address instead, if you trust it"
            )
        if status in (404, 405, 501):
            return self._fatal(
                f"knows no model '{self._options.address.model}', or has no endpoint "
                f"{self._options.endpoint} there ({status}: {said}).\n"
                "Check the model's name and the address, which usually ends in /v1"
            )
        hint = "; temperature=none sends none" if "temperature" in said.lower() else ""
        return UnanswerableError(_refused(status, said) + hint)

    def _wrong_key(self, status: int, said: str) -> ModelError:
        variable = self._secret.variable
        unset = f"a request without a key ({variable} is not set)"
        return self._fatal(
            f"refuses {f'the key in {variable}' if self._secret else unset} ({status}: {said}).\n"
            "Set the variable to a valid key, or name another one with the option key=VARIABLE"
        )

    def _fatal(self, what: str) -> ModelError:
        return ModelError(f"openai: {self._options.address.base_url} {what}.")

    def _said(self, error: openai.APIStatusError) -> str:
        """The server's own words, wherever it put them."""
        body: Any = error.body
        for name in ("error", "message", "detail"):
            if isinstance(body, Mapping) and body.get(name):
                body = body[name]
        return self._words(str(body) if body else error.message)

    def _words(self, text: str) -> str:
        """One line without the key, of a bearable length."""
        line = " ".join(self._secret.scrub(text).split()).rstrip(".")
        return line if len(line) <= WORDS else line[: WORDS - 3] + "..."


def _refused(status: int, said: str) -> str:
    return f"the server refuses the request ({status}: {said})"


def _innermost(error: BaseException) -> BaseException:
    """What a group of errors is about."""
    return _innermost(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait: ``retry-after-ms``, or ``Retry-After`` as seconds or as
    a date (RFC 9110, 10.2.3); None where it asks nothing that can be read."""
    for name, units in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = headers.get(name)
        if text is None:
            continue
        try:
            seconds = float(text) / units
        except ValueError:
            try:
                seconds = parsedate_to_datetime(text).timestamp() - time.time()
            except (ValueError, TypeError):
                continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return None


def import_sdk() -> Any:
    """The module ``openai``; raises UsageError when it is not installed."""
    try:
        import openai
    except ImportError:
        raise UsageError(
            "openai: the package openai is not installed, which models behind a server need.\n"
            "pip install 'harness[openai]'"
        ) from None
    return openai
