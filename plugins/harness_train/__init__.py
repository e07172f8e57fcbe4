"""Trainers: ``harness finetune`` and ``harness pretrain`` on torch and transformers.

Each lives in a package of its own, which is imported when its command is called: declaring them
loads neither torch nor transformers.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness import hookimpl
from harness.errors import UsageError
from harness.training import TrainerSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.pretraining import PretrainRequest
    from harness.training import FinetuneRequest, TrainingJob


NEEDED = ("torch", "transformers", "tokenizers", "safetensors", "accelerate", "peft")


@contextmanager
def _installed(command: str) -> Iterator[None]:
    """Say which extra to install where a library is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in NEEDED:
            raise
        raise UsageError(
            f"`harness {command}` needs {error.name}, which is not installed.\n"
            "Install it: pip install 'harness[train]'"
        ) from error


def _finetune(request: FinetuneRequest) -> TrainingJob:
    with _installed("finetune"):
        from harness_train.finetune.job import FinetuneJob

        return FinetuneJob(request)


def _pretrain(request: PretrainRequest) -> TrainingJob:
    with _installed("pretrain"):
        from harness_train.pretrain.job import PretrainingJob

        return PretrainingJob(request)


@hookimpl
def harness_trainers() -> Iterator[TrainerSpec]:
    """Declare the trainers."""
    yield TrainerSpec(
        name="finetune",
        build=_finetune,
        description="full, LoRA, AdaLoRA, IA³, prefix and head-only training on a task's examples",
    )
    yield TrainerSpec(
        name="pretrain",
        build=_pretrain,
        description="causal, masked and next-sentence training of every size on a corpus",
    )
