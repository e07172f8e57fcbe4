"""The adapter: a checkpoint behind :class:`harness.types.Model`."""

from __future__ import annotations

import sys
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from harness.errors import DataError
from harness.types import Generate, Usage
from harness_hf.batching import LOG, free_memory
from harness_hf.described import Described
from harness_hf.loading import load, load_tokenizer
from harness_hf.prompts import CausalPrompts, SourcePrompts, language_prompts, sent
from harness_hf.spending import Spending
from harness_hf.threads import threads_for, uncollected
from harness_hf.unheeded import unheeded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import Any

    from harness.types import ModelInfo, Request, Response, Sent
    from harness_hf.loading import Loaded
    from harness_hf.options import Options


class Engine(Protocol):
    """Answers requests with loaded weights."""

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Yield ``(number, response)`` for every request, each as soon as it is known."""
        ...


@runtime_checkable
class Writer(Engine, Protocol):
    """An engine that continues texts."""

    def computes(self) -> bool:
        """Whether logits are numbers, as those of broken weights are not."""
        ...


class HFModel:
    """A checkpoint in Hugging Face format; weights load at the first request."""

    def __init__(self, options: Options) -> None:
        """Remember the settings; no file is read yet."""
        self._described = Described(options)
        self._told = False

    @property
    def info(self) -> ModelInfo:
        """See :attr:`harness_hf.described.Described.info`."""
        return self._described.info

    @property
    def folder(self) -> Path:
        """Where the checkpoint lies, for those who train on from it."""
        return self._described.checkpoint.folder

    def respond(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Yield the answer to every request as soon as its batch or row is done."""
        wanted: dict[Request, list[int]] = {}
        for index, request in enumerate(requests):
            wanted.setdefault(request, []).append(index)
        if not wanted:
            return
        distinct = list(wanted)
        if "_engine" not in self.__dict__:
            with uncollected():
                _ = self._engine
        if any(isinstance(request, Generate) for request in distinct):
            self._check_writing()
        with threads_for(self._described.parameters.total, self._described.device):
            for number, response in self._engine.answer(distinct):
                yield from ((index, response) for index in wanted[distinct[number]])

    def check_drawing(self) -> None:
        """Language models draw in any setting; others are asked for no texts."""

    def tokens(self, request: Request) -> tuple[Sent, ...]:
        """What is read for ``request``; loads the tokenizer alone."""
        return _sent(self._described, self._tokenizer, request)

    @property
    def usage(self) -> Usage:
        """Seconds to load the weights and settle how to compute; the device's memory and energy."""
        return self._spending.usage() if "_spending" in self.__dict__ else Usage()

    def close(self) -> None:
        """Let go of the weights and give the device's memory back."""
        engine = self.__dict__.pop("_engine", None)
        del engine  # the last reference: on a CPU that is all there is to free
        if self._described.device != "cpu" and "torch" in sys.modules:
            free_memory()

    def _check_writing(self) -> None:
        """Refuse to write by what are no numbers, which would come to empty texts; say once what
        ``generate`` of transformers would do otherwise."""
        if self._told or not isinstance(self._engine, Writer):
            return
        if not self._engine.computes():
            raise DataError(
                f"hf: {self._described.options.source}: the model computes NaN instead of logits: "
                "its weights are broken, or too large for the dtype.\n"
                "Try dtype=float32, or fetch or save the checkpoint again."
            )
        self._told = True
        found = unheeded(self._described.checkpoint)
        if found is not None:
            LOG.warning(
                "%s: texts are written without %s, which its %s asks for: model.generate() of "
                "transformers would write others",
                self._described.options.source,
                *found,
            )

    @cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self._described.checkpoint, self._described.options)

    @cached_property
    def _engine(self) -> Engine:
        with self._spending.loading():
            return _engine(self._described, load(self._described))

    @cached_property
    def _spending(self) -> Spending:
        return Spending(self._described.device)


def _engine(described: Described, loaded: Loaded) -> Engine:
    """What answers the requests of the scheme, on loaded weights."""
    rows = described.options.batch_size
    if described.options.scheme == "hf-tagger":
        from harness_hf.tagger import Tagger, Tagging

        return Tagger(loaded, Tagging.of(described, loaded.tokenizer), rows=rows)
    if described.options.scheme == "hf-classifier":
        from harness_hf.classifier import Classifier, Classifying

        return Classifier(loaded, Classifying.of(described, loaded.tokenizer), rows=rows)
    prompts = language_prompts(described, loaded.tokenizer, loaded.embedded)
    if isinstance(prompts, SourcePrompts):
        from harness_hf.translator import TranslatorEngine

        return TranslatorEngine(loaded, prompts, rows=rows)
    from harness_hf.engine import DecoderEngine

    assert isinstance(prompts, CausalPrompts)
    return DecoderEngine(loaded, prompts, rows=rows)


def _sent(described: Described, tokenizer: Any, request: Request) -> tuple[Sent, ...]:
    """What the scheme reads for ``request``, without weights."""
    if described.options.scheme == "hf-tagger":
        from harness_hf.tagger import Tagging

        return Tagging.of(described, tokenizer).sent(request)
    if described.options.scheme == "hf-classifier":
        from harness_hf.classifier import Classifying

        return Classifying.of(described, tokenizer).sent(request)
    return sent(language_prompts(described, tokenizer, len(tokenizer)), request)
