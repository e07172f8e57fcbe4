"""``MODEL[@BASE_URL]``: cut, checked, and brought to one form."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from harness.errors import UsageError

OPENAI = "https://api.openai.com/v1"
ENDPOINTS = ("/chat/completions", "/completions")
_URL = re.compile(r"@(?=https?://)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Address:
    """A model's name on a server. ``base_url`` has no credentials, query or trailing slash."""

    model: str
    base_url: str

    @property
    def is_openai(self) -> bool:
        """Whether it is OpenAI's own service, which takes no request without a key."""
        return self.base_url == OPENAI


def read_address(text: str) -> Address:
    """Cut ``text`` at the ``@`` before the base URL; without one, OpenAI's own is meant.

    Raises :class:`harness.errors.UsageError`. What may hold a password is never repeated in it.
    """
    if not text:
        raise UsageError("openai: which model? Write openai:MODEL or openai:MODEL@BASE_URL.")
    parts = _URL.split(text, maxsplit=1)
    model = parts[0]
    if not model:
        raise UsageError("openai: no model is named before '@'. Write openai:MODEL@BASE_URL.")
    if any(not c.isprintable() or c.isspace() for c in model):
        raise UsageError(f"openai: {model!r} is no name of a model: it holds white space.")
    if len(parts) == 2:
        return Address(model=model, base_url=_base_url(parts[1]))
    name, at, rest = text.partition("@")
    if at:
        shown = "what follows '@'" if "@" in rest else f"'{rest}'"
        raise UsageError(
            f"openai: {shown} is no base URL: it does not begin with http:// or https://.\n"
            f"Write openai:{name}@http://HOST:PORT/v1."
        )
    return Address(model=model, base_url=OPENAI)


def _base_url(text: str) -> str:
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError:
        host, port, url = None, None, urlsplit("")
    if "@" in text:
        raise UsageError(
            "openai: the base URL holds a user name or a password, which results would repeat.\n"
            "Leave them out and put the key into an environment variable (option key=VARIABLE)."
        )
    if "?" in text or "#" in text:
        raise UsageError(
            "openai: the base URL holds '?' or '#', and a path is appended to it.\n"
            "Write it as https://HOST/v1; a key belongs into an environment variable."
        )
    for end in ENDPOINTS:
        if url.path.rstrip("/").endswith(end):
            whole = text.rstrip("/")
            raise UsageError(
                f"openai: '{text}' is an endpoint, and a base URL is wanted, to which '{end}' is "
                f"added.\nWrite {whole[: -len(end)]}; the option endpoint=... says which endpoint."
            )
    if not host or any(not c.isprintable() or c.isspace() for c in text):
        raise UsageError(f"openai: {text!r} is no base URL. Write it as http://HOST:PORT/v1.")
    place = f"[{host}]" if ":" in host else host
    return f"{url.scheme}://{place}{f':{port}' if port else ''}{url.path}".rstrip("/")
