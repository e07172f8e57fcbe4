"""What a checkpoint says of itself, from its files alone, without its weights."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from harness.errors import DataError, UsageError
from harness.types import ModelInfo
from harness_hf.chat import find_template
from harness_hf.checkpoint import digest, generation_settings, read_tensors
from harness_hf.counts import count_parameters
from harness_hf.devices import resolve_device, resolve_dtype
from harness_hf.memory import check_capacity
from harness_hf.resolve import default_family, default_name, find
from harness_hf.work import reject_other_heads

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from harness.types import Parameters
    from harness_hf.chat import Template
    from harness_hf.checkpoint import Checkpoint, Tensor
    from harness_hf.options import Options

ADAPTER_VERSION = "3"
"""Moves when the adapter's answers may move: tokenisation rules, boundaries, windows."""

CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")
RELATIVE = {"t5", "mt5", "umt5", "longt5", "switch_transformers", "bloom", "mpt"}
"""Architectures that tell positions by their distance: a stated length is only that of training."""
BEHIND_PADDING = (
    *("roberta", "camembert", "longformer", "mpnet", "esm", "data2vec-text"),
    *("ibert", "lilt", "luke", "markuplm", "xmod"),
)
"""Architectures whose positions begin behind the padding id, by default 1, which uses some up."""


class Described:
    """A checkpoint under the settings of ``options``; what is asked for is read, and only once."""

    def __init__(self, options: Options) -> None:
        """Remember the settings; no file is read yet."""
        self.options = options

    @cached_property
    def info(self) -> ModelInfo:
        """Name, family, sizes and identity.

        Raises :class:`harness.errors.UsageError`, :class:`harness.errors.DataError` or
        :class:`harness.errors.ModelError` for a checkpoint that is not there or is broken.
        """
        try:
            return self._info()
        except OSError as error:  # a folder or file that may not be read, a disk that fails
            raise DataError(
                f"{self.options.who}: {error.filename or 'a file'} cannot be read: "
                f"{error.strerror or error}.\nMake it readable, or fetch the checkpoint again."
            ) from error

    def _info(self) -> ModelInfo:
        checkpoint = self.checkpoint
        notes = checkpoint.notes
        said = notes.get("parameters")
        trainable = _number(said, "trainable", int) if isinstance(said, dict) else None
        commit = checkpoint.commit
        if not commit:
            check_capacity(self)
        return ModelInfo(
            name=default_name(checkpoint, self.options),
            family=default_family(checkpoint, self.options),
            identity=f"{checkpoint.hub_id}@{commit}" if commit else f"sha256:{digest(checkpoint)}",
            parameters=replace(self.parameters, trainable=trainable),
            train_tokens=_number(notes, "train_tokens", int),
            train_flops=_number(notes, "train_flops", float),
            context_length=self.context,
            settings=self._settings(),
            notes=_texts(notes, "notes"),
            unique_tokens=_number(notes, "unique_tokens", int),
            train_samples=_number(notes, "train_samples", int),
        )

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The files, found or fetched; of the kind that the scheme answers with."""
        checkpoint = find(self.options)
        reject_other_heads(checkpoint.config, self.options)
        return checkpoint

    @cached_property
    def tensors(self) -> tuple[Tensor, ...]:
        """What the weight files hold."""
        return read_tensors(self.checkpoint)

    @cached_property
    def parameters(self) -> Parameters:
        """Counts, from the headers of the weight files."""
        return count_parameters(self.tensors, self.checkpoint.config)

    @cached_property
    def generation(self) -> Mapping[str, Any]:
        """Settings of generation: those of their own file, else of the configuration."""
        return generation_settings(self.checkpoint)

    @cached_property
    def device(self) -> str:
        """Where to compute."""
        return resolve_device(self.options.device, scheme=self.options.scheme)

    @cached_property
    def dtype(self) -> str:
        """The number type to compute in."""
        return resolve_dtype(self.options.dtype, self.device, self.tensors)

    @cached_property
    def context(self) -> int | None:
        """The most tokens the model reads, ``None`` where the checkpoint states no bound.

        Raises :class:`harness.errors.UsageError` for a ``max_length`` beyond the positions that
        the model was made for.
        """
        config = self.checkpoint.config
        asked, scheme = self.options.max_length, self.options.scheme
        stated = stated_context(config, self.options.source, scheme=scheme)
        if asked and stated and asked > stated and config.get("model_type") not in RELATIVE:
            raise UsageError(
                f"{self.options.scheme}: max_length={asked:,} is more than the {stated:,} tokens "
                f"that {self.options.source} can read.\nLower it, or leave it out."
            )
        return asked or stated

    @cached_property
    def template(self) -> Template | None:
        """The chat template that prompts are put into, if any."""
        return find_template(self.checkpoint.folder, self.options)

    def _settings(self) -> Mapping[str, str]:
        options = self.options
        settings = {
            "adapter": f"{options.scheme}-{ADAPTER_VERSION}",
            "dtype": self.dtype,
            "trust_remote_code": str(options.trust_remote_code).lower(),
        }
        optional = {
            "revision": options.revision,
            "attn": options.attention,
            "max_length": str(options.max_length) if options.max_length else None,
            "chat_template": self.template.digest if self.template else None,
            "system": options.system,
            "labels": ";".join(f"{label}={word}" for label, word in options.labels),
        }
        return settings | {key: value for key, value in optional.items() if value}


def room_beside(context: int | None, around: int, who: str) -> int | None:
    """How many of ``context`` tokens are left beside ``around`` that the tokenizer puts around a
    text, ``None`` for any number; raises :class:`harness.errors.UsageError` where none is."""
    if context is not None and context <= around:
        raise UsageError(
            f"{who}: {context} tokens hold no text beside the {around} that its tokenizer puts "
            f"around one.\nGive max_length={around + 1} or more, or leave it out."
        )
    return None if context is None else context - around


def stated_context(config: Mapping[str, Any], source: str, *, scheme: str = "hf") -> int | None:
    """How many tokens the ``config`` of the checkpoint ``source`` says that the model reads.

    Raises :class:`harness.errors.DataError` where what it says is no number of tokens.
    """
    text = config.get("text_config")
    parts = (config, text if isinstance(text, dict) else {})
    found = next(((k, c[k]) for c in parts for k in CONTEXT_KEYS if c.get(k)), None)
    if found is None:
        return None
    name, value = found
    before = 0
    if any(kind in str(config.get("model_type")) for kind in BEHIND_PADDING):
        before = config.get("pad_token_id", 1)
        before = before + 1 if isinstance(before, int) else 1
    if not isinstance(value, int) or value - before < 1:
        said = f"{name}={str(value)[:40]}"
        said += f" and pad_token_id={before - 1}" if before else ""
        raise DataError(
            f"{scheme}: {source}: config.json says {said}: that is no number of tokens to read.\n"
            "Take the config.json that the weights were saved with."
        )
    return value - before


def _texts(notes: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = notes.get(key)
    return tuple(str(text) for text in found) if isinstance(found, list) else ()


def _number(notes: Mapping[str, Any], key: str, kind: type[int] | type[float]) -> Any:
    value = notes.get(key)
    return kind(value) if isinstance(value, int | float) else None
