"""A checkpoint that answers nothing yet: it is there to be fine-tuned."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.types import ModelInfo, Parameters, Response

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from harness.types import Request


class Encoder:
    """See :class:`harness.types.Model`; ``folder`` holds the checkpoint."""

    def __init__(self, folder: Path, *, name: str, family: str) -> None:
        """Remember where it lies; no file is read yet."""
        self.folder = folder
        self._name = name
        self._family = family

    @cached_property
    def info(self) -> ModelInfo:
        """From the record of its training. Raises UsageError without the plugin hf."""
        try:
            from harness_hf.checkpoint import digest, open_checkpoint
        except ImportError as error:
            raise UsageError(
                f"Model '{self._name}' needs the plugin hf, which cannot be imported: {error}.\n"
                "Install it: pip install 'harness[hf]'"
            ) from error
        checkpoint = open_checkpoint(self.folder)
        notes = checkpoint.notes
        return ModelInfo(
            name=self._name,
            family=self._family,
            identity=f"sha256:{digest(checkpoint)}",
            parameters=Parameters(**notes["parameters"]),
            train_tokens=notes["train_tokens"],
            train_flops=notes["train_flops"],
            context_length=checkpoint.config["max_position_embeddings"],
            notes=tuple(notes["notes"]),
        )

    def respond(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Say to every request what to do first."""
        said = f"fine-tune it first: harness finetune --models {self._name}"
        yield from ((index, Response(error=said)) for index in range(len(requests)))
