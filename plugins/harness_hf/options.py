"""What the command line says about one checkpoint, checked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import UsageError, suggestion
from harness.types import Option

if TYPE_CHECKING:
    from harness.types import ModelSettings

DTYPES = ("auto", "float32", "bfloat16", "float16")
DTYPE_ALIASES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "half": "float16"}
ATTENTION = ("sdpa", "eager", "flash_attention_2", "flash_attention_3")
OPTIONS = (
    Option(name="dtype", help="precision of the weights: " + ", ".join(DTYPES)),
    Option(name="device", help="where to compute: auto, cpu, cuda, cuda:N or mps"),
    Option(name="revision", help="branch, tag or commit of a hub id"),
    Option(name="family", help="the family that the model belongs to in tables and fits"),
    Option(name="name", help="what the model is called in results"),
    Option(name="max_length", help="context length in tokens, if not the checkpoint's own"),
    Option(name="attn", help="attention implementation: " + ", ".join(ATTENTION)),
    Option(name="trust_remote_code", help="run Python code from the checkpoint: true or false"),
)
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The settings of one model. ``dtype`` and ``device`` may be ``auto``; ``None``: default."""

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


def read_options(
    settings: ModelSettings, *, name: str | None = None, family: str | None = None
) -> Options:
    """Check ``settings`` and return them typed; what the user wrote wins over the arguments.

    Raises :class:`harness.errors.UsageError` with what is allowed.
    """
    given = settings.options
    known = [option.name for option in OPTIONS]
    for key in given:
        if key not in known:
            raise UsageError(f"hf: unknown option {key!r}. {suggestion(key, known)}")
    if not settings.argument:
        raise UsageError("hf: which checkpoint? Write hf:PATH or hf:ORGANISATION/NAME.")
    if settings.batch_size is not None and settings.batch_size < 1:
        raise UsageError(f"hf: batch size {settings.batch_size} is not a positive number.")
    return Options(
        source=settings.argument,
        name=given.get("name", name),
        family=given.get("family", family),
        dtype=_dtype(given.get("dtype", settings.dtype)),
        device=_device(given.get("device", settings.device)),
        revision=given.get("revision"),
        max_length=_length(given.get("max_length")),
        attention=_choice("attn", given.get("attn"), ATTENTION),
        trust_remote_code=_flag("trust_remote_code", given.get("trust_remote_code", "false")),
        batch_size=settings.batch_size,
    )


def _dtype(text: str) -> str:
    value = _choice("dtype", DTYPE_ALIASES.get(text, text), DTYPES)
    return "auto" if value is None else value


def _device(text: str) -> str:
    if not _DEVICE.fullmatch(text):
        raise UsageError(f"hf: unknown device {text!r}. Use auto, cpu, cuda, cuda:N or mps.")
    return text


def _length(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or int(text) < 2:
        raise UsageError(f"hf: max_length={text} is not a whole number of at least 2 tokens.")
    return int(text)


def _flag(name: str, text: str) -> bool:
    answers = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in answers:
        raise UsageError(f"hf: {name}={text} is neither true nor false.")
    return answers[text.lower()]


def _choice(name: str, text: str | None, allowed: tuple[str, ...]) -> str | None:
    if text is not None and text not in allowed:
        raise UsageError(f"hf: unknown {name} {text!r}. Allowed: {', '.join(allowed)}.")
    return text
