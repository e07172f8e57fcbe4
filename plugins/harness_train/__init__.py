"""Trainers: ``harness finetune`` and ``harness pretrain`` on torch and transformers.

Each lives in a package of its own, which is imported when its command is called: declaring them
loads neither torch nor transformers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import hookimpl
from harness.training import TrainerSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.pretraining import PretrainRequest
    from harness.training import FinetuneRequest, TrainingJob


def _finetune(request: FinetuneRequest) -> TrainingJob:
    from harness_train.finetune.job import FinetuneJob

    return FinetuneJob(request)


def _pretrain(request: PretrainRequest) -> TrainingJob:
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
