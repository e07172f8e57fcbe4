"""What the command line says about one checkpoint, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.errors import UsageError, suggestion
from harness.types import Option

if TYPE_CHECKING:
    from harness.types import ModelSettings

DTYPES = ("auto", "float32", "bfloat16", "float16")
DTYPE_ALIASES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "half": "float16"}
ATTENTION = ("sdpa", "eager", "flash_attention_2", "flash_attention_3")
COMMON = (
    Option(name="dtype", help="precision of the weights: " + ", ".join(DTYPES)),
    Option(name="device", help="where to compute: auto, cpu, cuda, cuda:N or mps"),
    Option(name="revision", help="branch, tag or commit of a hub id"),
    Option(name="family", help="the family that the model belongs to in tables and fits"),
    Option(name="name", help="what the model is called in results"),
    Option(name="max_length", help="context length in tokens, if not the checkpoint's own"),
    Option(
        name="attn",
        help="compute by transformers' modules, with this attention: " + ", ".join(ATTENTION),
    ),
    Option(name="trust_remote_code", help="run Python code from the checkpoint: true or false"),
)
CHAT = (
    Option(
        name="chat_template",
        help="put prompts into a chat: default (the tokenizer's own), a FILE, or a NAME of its own",
    ),
    Option(name="system", help="with chat_template: the system message"),
)
LABELS = Option(
    name="labels",
    help="other words for the checkpoint's labels: PER=person;LOC=address",
)
OPTIONS_OF: Mapping[str, tuple[Option, ...]] = MappingProxyType(
    {"hf": (*COMMON, *CHAT), "hf-tagger": (*COMMON, LABELS), "hf-classifier": (*COMMON, LABELS)}
)
"""The options of each scheme."""
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The settings of one model. ``dtype`` and ``device`` may be ``auto``; ``None``: default.

    ``labels`` are pairs of the checkpoint's label and the word that stands for it.
    """

    scheme: str
    source: str
    name: str | None = None
    family: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    revision: str | None = None
    max_length: int | None = None
    attention: str | None = None
    trust_remote_code: bool = False
    batch_size: int | None = None
    labels: tuple[tuple[str, str], ...] = ()
    chat_template: str | None = None
    system: str | None = None

    @property
    def who(self) -> str:
        """How messages begin: as the user called the model."""
        return f"{self.scheme}: {self.source}"


def read_options(
    scheme: str, settings: ModelSettings, *, name: str | None = None, family: str | None = None
) -> Options:
    """Check the ``settings`` of a model of ``scheme`` and return them typed.

    What the user wrote wins over the arguments.

    Raises :class:`harness.errors.UsageError` with what is allowed.
    """
    given = settings.options
    known = [option.name for option in OPTIONS_OF[scheme]]
    for key in given:
        if key not in known:
            raise UsageError(f"{scheme}: unknown option {key!r}. {suggestion(key, known)}")
    if not settings.argument:
        raise UsageError(
            f"{scheme}: which checkpoint? Write {scheme}:PATH or {scheme}:ORGANISATION/NAME."
        )
    if settings.batch_size is not None and settings.batch_size < 1:
        raise UsageError(f"{scheme}: batch size {settings.batch_size} is not a positive number.")
    if given.get("system") and not given.get("chat_template"):
        raise UsageError(
            f"{scheme}: a system message needs a chat template to stand in.\n"
            "Add --chat-template, or chat_template=default to the model."
        )
    return Options(
        scheme=scheme,
        source=settings.argument,
        name=given.get("name", name),
        family=given.get("family", family),
        dtype=_dtype(scheme, given.get("dtype", settings.dtype)),
        device=_device(scheme, given.get("device", settings.device)),
        revision=given.get("revision"),
        max_length=_length(scheme, given.get("max_length")),
        attention=_choice(scheme, "attn", given.get("attn"), ATTENTION),
        trust_remote_code=_flag(
            scheme, "trust_remote_code", given.get("trust_remote_code", "false")
        ),
        batch_size=settings.batch_size,
        labels=_labels(scheme, given.get("labels", "")),
        chat_template=given.get("chat_template"),
        system=given.get("system") or None,
    )


def _dtype(scheme: str, text: str) -> str:
    value = _choice(scheme, "dtype", DTYPE_ALIASES.get(text, text), DTYPES)
    return "auto" if value is None else value


def _device(scheme: str, text: str) -> str:
    if not _DEVICE.fullmatch(text):
        raise UsageError(f"{scheme}: unknown device {text!r}. Use auto, cpu, cuda, cuda:N or mps.")
    return text


def _length(scheme: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or int(text) < 2:
        raise UsageError(f"{scheme}: max_length={text} is not a whole number of at least 2 tokens.")
    return int(text)


def _labels(scheme: str, text: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for part in filter(None, (piece.strip() for piece in text.split(";"))):
        label, equals, word = (piece.strip() for piece in part.partition("="))
        if not (label and equals and word):
            raise UsageError(
                f"{scheme}: labels={text}: {part!r} is no pair. "
                "Write labels=PER=person;LOC=address."
            )
        pairs.append((label, word))
    return tuple(pairs)


def _flag(scheme: str, name: str, text: str) -> bool:
    answers = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in answers:
        raise UsageError(f"{scheme}: {name}={text} is neither true nor false.")
    return answers[text.lower()]


def _choice(scheme: str, name: str, text: str | None, allowed: tuple[str, ...]) -> str | None:
    if text is not None and text not in allowed:
        raise UsageError(f"{scheme}: unknown {name} {text!r}. Allowed: {', '.join(allowed)}.")
    return text
