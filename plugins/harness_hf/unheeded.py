"""Settings of generation that ``generate`` of transformers heeds and our answers do without."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from harness_hf.checkpoint import GENERATION, own_generation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness_hf.checkpoint import Checkpoint

NEUTRAL: Mapping[str, float | None] = MappingProxyType(
    {
        "num_beams": 1,
        "repetition_penalty": 1,
        "encoder_repetition_penalty": 1,
        "no_repeat_ngram_size": 0,
        "encoder_no_repeat_ngram_size": 0,
        "min_length": 0,
        "min_new_tokens": 0,
        "guidance_scale": 1,
        "penalty_alpha": 0,
        "exponential_decay_length_penalty": None,
        "sequence_bias": None,
        "bad_words_ids": None,
        "suppress_tokens": None,
        "begin_suppress_tokens": None,
        "forced_bos_token_id": None,
        "forced_eos_token_id": None,
        "stop_strings": None,
        "dola_layers": None,
    }
)
"""What changes greedy text (``_get_logits_processor``, ``_get_stopping_criteria`` and the modes of
generation in transformers 5), and the value, besides nothing at all, with which it does not."""


def unheeded(checkpoint: Checkpoint) -> tuple[str, str] | None:
    """The settings that would make other texts, in words, and the file that holds them.

    ``None`` where there are none. As in transformers, ``config.json`` is asked only where there is
    no file of generation settings. Raises :class:`harness.errors.DataError` for a file that is no
    JSON.
    """
    own = own_generation(checkpoint)
    settings = checkpoint.config if own is None else own
    encodes = bool(checkpoint.config.get("is_encoder_decoder"))
    found = ", ".join(_words(settings, encodes=encodes))
    return (found, "config.json" if own is None else GENERATION) if found else None


def _words(settings: Mapping[str, Any], *, encodes: bool) -> Iterator[str]:
    for name, neutral in NEUTRAL.items():
        value = settings.get(name)
        if value in (None, [], {}, neutral) or (encodes and _is_heeded(name, value)):
            continue
        yield f"{name}={value}" if isinstance(value, int | float) else name


def _is_heeded(name: str, value: Any) -> bool:
    """Whether an encoder-decoder heeds it: see :func:`harness_hf.translator.never_written` and
    :func:`harness_hf.prompts.decoder_beginning`."""
    if name == "bad_words_ids":
        return isinstance(value, list) and all(
            isinstance(ids, list) and len(ids) == 1 for ids in value
        )
    return name in ("suppress_tokens", "forced_bos_token_id")
