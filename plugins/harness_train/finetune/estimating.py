"""What a cell will cost, before it starts: by rule and formula, and its time by trial."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.errors import ModelError
from harness.training import Estimate
from harness_hf.quiet import quiet
from harness_hf.threads import threads_for
from harness_train import memory
from harness_train.finetune import costs, saving
from harness_train.finetune.methods import apply_method, trainable_parameters
from harness_train.finetune.starting import empty_model
from harness_train.finetune.training import Plan, seconds_per_batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.training import FinetuneRequest, Method
    from harness_train.finetune.ready import Ready
    from harness_train.finetune.starting import Base

TIMED = 6
"""Batches by which the time is told."""

FORWARD = 1 / 3
"""A text read for validation costs a third of one learnt from: no way back."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Parameters of a model under its new head, and how many of them are trained."""

    total: int
    trainable: int


def count_parts(
    base: Base, method: Method, request: FinetuneRequest, labels: Sequence[str]
) -> Counts:
    """Build the model without memory for its weights, apply the method, and count.

    Raises UsageError where the method cannot be applied to the architecture.
    """
    import torch

    with quiet(), torch.device("meta"):
        model = empty_model(base, request.kind, labels)
        total = sum(parameter.numel() for parameter in model.parameters())
        trainable = trainable_parameters(apply_method(model, method, request.kind, 10))
    return Counts(total=total, trainable=trainable)


def estimate(ready: Ready, counts: Counts, request: FinetuneRequest, device: str) -> Estimate:
    """All but the time."""
    cell, data = ready.cell, ready.data
    inner = ready.base.parameters.non_embedding or 0
    needed = costs.memory_bytes(
        costs.Shape.of(ready.base.config),
        total=counts.total,
        trained=counts.trainable,
        rows=min(request.batch_size, len(data.train.rows)),
        length=max(len(row["input_ids"]) for row in data.train.rows),
        checkpointing=request.gradient_checkpointing,
    )
    available = memory.available_bytes(device)
    tokens = data.train.tokens * request.epochs
    done = saving.finished(request.output, cell.name) is not None
    return Estimate(
        name=cell.name,
        parameters=counts.total,
        trainable=counts.trainable,
        samples=len(data.train.rows) * request.epochs,
        tokens=tokens,
        flops=tokens * costs.flops_per_token(inner, min(counts.trainable, inner), cell.method),
        seconds=None,
        memory=needed,
        available=available,
        done=done,
        refused="" if done else _too_much(needed, available, device),
    )


def refuse_memory(one: Estimate) -> None:
    """Raise ModelError where the device cannot hold the training."""
    if one.refused:
        raise ModelError(
            f"'{one.name}' cannot be trained here: {one.refused}.\n"
            "Use a smaller --batch-size with --accumulate, --gradient-checkpointing, or lora."
        )


def seconds_per_text(
    ready: Ready, request: FinetuneRequest, device: str, dtype: str
) -> float | None:
    """Wall time to learn from one text, by a few batches of texts of middle length.

    None where the loss is no number from the first.
    """
    rows = sorted(ready.data.train.rows, key=lambda row: len(row["input_ids"]))
    size = min(request.batch_size, len(rows))
    start = max(0, min(len(rows) // 2 - size // 2, len(rows) - size))
    few = tuple(rows[start : start + size]) * TIMED
    data = replace(ready.data, train=replace(ready.data.train, rows=few))
    plan = Plan(
        name=ready.cell.name,
        kind=request.kind,
        seed=ready.cell.seed,
        device=device,
        dtype=dtype,
        learning_rate=ready.rate,
        steps=TIMED,
    )
    with threads_for(ready.base.parameters.total, device):
        seconds = seconds_per_batch(ready.model(request), data, plan, request)
    return None if seconds is None else seconds / size


def texts_read(ready: Ready, request: FinetuneRequest) -> float:
    """Texts learnt from in all epochs, and those of the evaluations as parts of one."""
    learnt = len(ready.data.train.rows) * request.epochs
    return learnt + FORWARD * len(ready.data.validation.rows) * (request.epochs + 1)


def _too_much(needed: int, available: int | None, device: str) -> str:
    if available is None or needed <= available:
        return ""
    return (
        f"it needs about {needed / 2**30:.1f} GiB and {device} has {available / 2**30:.1f} GiB free"
    )
