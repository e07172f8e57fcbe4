"""The adapter: a checkpoint behind :class:`harness.types.Model`."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING

from harness.types import Generate, Loglikelihood, ModelInfo, Response, Usage
from harness_hf.batching import free_memory
from harness_hf.checkpoint import digest, read_tensors
from harness_hf.counts import count_parameters
from harness_hf.loading import load, reject_unsupported, resolve_device, resolve_dtype
from harness_hf.resolve import default_family, default_name, find
from harness_hf.threads import threads_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from harness.types import Request
    from harness_hf.checkpoint import Checkpoint, Tensor
    from harness_hf.engine import Engine
    from harness_hf.options import Options

ADAPTER_VERSION = "1"
"""Moves when the adapter's answers may move: tokenisation rules, boundaries, windows."""

CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")


class HFModel:
    """A causal language model in Hugging Face format; weights load at the first request."""

    def __init__(self, options: Options) -> None:
        """Remember the settings; no file is read yet."""
        self._options = options
        self._load_seconds: float | None = None

    @cached_property
    def info(self) -> ModelInfo:
        """Name, family, sizes and identity, from the checkpoint's files without its weights.

        Raises :class:`harness.errors.UsageError`, :class:`harness.errors.DataError` or
        :class:`harness.errors.ModelError` for a checkpoint that is not there or is broken.
        """
        checkpoint = self._checkpoint
        tensors = self._tensors
        notes = checkpoint.notes
        commit = checkpoint.commit
        return ModelInfo(
            name=default_name(checkpoint, self._options),
            family=default_family(checkpoint, self._options),
            identity=f"{checkpoint.hub_id}@{commit}" if commit else f"sha256:{digest(checkpoint)}",
            parameters=count_parameters(tensors, checkpoint.config),
            train_tokens=_number(notes, "train_tokens", int),
            train_flops=_number(notes, "train_flops", float),
            context_length=self._context,
            settings=self._settings(),
        )

    def respond(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Yield the answer to every request as soon as its batch or row is done."""
        wanted: dict[Request, list[int]] = {}
        for index, request in enumerate(requests):
            wanted.setdefault(request, []).append(index)
        scored = [r for r in wanted if isinstance(r, Loglikelihood)]
        generated = [r for r in wanted if isinstance(r, Generate)]
        for request, indices in wanted.items():
            if not isinstance(request, Loglikelihood | Generate):
                said = f"a causal language model cannot answer a {request.kind} request"
                yield from ((index, Response(error=said)) for index in indices)
        if scored or generated:
            with threads_for(self.info.parameters.total, self._device):
                for number, response in self._engine.score(scored):
                    yield from ((index, response) for index in wanted[scored[number]])
                for number, response in self._engine.generate(generated):
                    yield from ((index, response) for index in wanted[generated[number]])

    @property
    def usage(self) -> Usage:
        """Seconds to load the weights and settle how to compute; the device's peak memory."""
        return Usage(
            load_seconds=self._load_seconds,
            peak_device_bytes=self._peak_device_bytes(),
            device=self._device_name() if "_engine" in self.__dict__ else None,
        )

    def close(self) -> None:
        """Let go of the weights and give the device's memory back."""
        if self.__dict__.pop("_engine", None) is not None:
            free_memory()

    def _device_name(self) -> str:
        """The device, a GPU by its product name."""
        if not self._device.startswith("cuda"):
            return self._device
        import torch

        return str(torch.cuda.get_device_name(self._device))

    def _peak_device_bytes(self) -> int | None:
        if "_engine" not in self.__dict__ or not self._device.startswith("cuda"):
            return None
        import torch

        return int(torch.cuda.max_memory_allocated(self._device))

    @cached_property
    def _checkpoint(self) -> Checkpoint:
        checkpoint = find(self._options)
        reject_unsupported(checkpoint.config, self._options.source)
        return checkpoint

    @cached_property
    def _tensors(self) -> tuple[Tensor, ...]:
        return read_tensors(self._checkpoint)

    @cached_property
    def _device(self) -> str:
        return resolve_device(self._options.device)

    @cached_property
    def _dtype(self) -> str:
        return resolve_dtype(self._options.dtype, self._device, self._tensors)

    @cached_property
    def _context(self) -> int | None:
        if self._options.max_length:
            return self._options.max_length
        config = self._checkpoint.config
        text = config.get("text_config")
        found = [c[k] for c in (config, text or {}) for k in CONTEXT_KEYS if c.get(k)]
        return int(found[0]) if found else None

    @cached_property
    def _engine(self) -> Engine:
        from harness_hf.engine import Engine

        started = time.monotonic()
        loaded = load(self._checkpoint, self._options, self._device, self._dtype)
        engine = Engine(loaded, context=self._context, rows=self._options.batch_size)
        self._load_seconds = time.monotonic() - started
        return engine

    def _settings(self) -> Mapping[str, str]:
        options = self._options
        settings = {
            "adapter": f"hf-{ADAPTER_VERSION}",
            "dtype": self._dtype,
            "trust_remote_code": str(options.trust_remote_code).lower(),
        }
        optional = {
            "revision": options.revision,
            "attn": options.attention,
            "max_length": str(options.max_length) if options.max_length else None,
        }
        return settings | {key: value for key, value in optional.items() if value}


def _number(notes: Mapping[str, Any], key: str, kind: type[int] | type[float]) -> Any:
    value = notes.get(key)
    return kind(value) if isinstance(value, int | float) else None
