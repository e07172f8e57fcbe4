"""What is said of a finished cell: its row, and the record beside its weights."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.codec import to_json
from harness.training import TrainedModel
from harness_hf.checkpoint import digest, open_checkpoint, read_tensors
from harness_hf.counts import count_parameters
from harness_train.finetune import costs

if TYPE_CHECKING:
    from pathlib import Path

    from harness_train.finetune.ready import Ready
    from harness_train.finetune.training import Data, Trained


def row_of(ready: Ready, task: str, *, trainable: int, device: str, dtype: str) -> TrainedModel:
    """What is known of a cell before it is trained."""
    cell, data = ready.cell, ready.data
    return TrainedModel(
        name=cell.name,
        family=cell.family,
        outcome="complete",
        trainable=trainable,
        samples=ready.samples,
        unique_tokens=data.train.tokens,
        settings={
            "task": task,
            "base": cell.start.name,
            "method": cell.method,
            "share": f"{cell.share:g}",
            "seed": str(cell.seed),
            "learning_rate": f"{ready.rate:.4g}",
            "device": device,
            "dtype": dtype,
        },
        notes=notes_of(data),
    )


def with_training(row: TrainedModel, trained: Trained, peak: int | None) -> TrainedModel:
    """The row with what training came to."""
    return replace(
        row,
        tokens=trained.tokens,
        step=trained.step,
        seconds=round(trained.seconds, 3),
        peak_bytes=peak,
        scores=trained.scores,
    )


def with_counts(row: TrainedModel, folder: Path, ready: Ready) -> TrainedModel:
    """The row with parameters counted from the saved files, and C by the rule."""
    checkpoint = open_checkpoint(folder)
    parameters = count_parameters(read_tensors(checkpoint), checkpoint.config)
    total, inner = parameters.total or 0, parameters.non_embedding or 0
    each = costs.flops_per_token(inner, min(row.trainable, inner), ready.cell.method)
    return replace(row, parameters=total, non_embedding=inner, flops=row.tokens * each)


def record_of(row: TrainedModel, ready: Ready, trained: Trained) -> dict[str, Any]:
    """What ``harness_model.json`` says."""
    base = ready.base.checkpoint
    return {
        "schema": 1,
        "name": row.name,
        "family": row.family,
        "parameters": {
            "total": row.parameters,
            "non_embedding": row.non_embedding,
            "trainable": row.trainable,
        },
        "train_tokens": row.tokens,
        "unique_tokens": row.unique_tokens,
        "train_samples": row.samples,
        "train_flops": row.flops,
        "train_flops_rule": costs.RULE,
        "seed": ready.cell.seed,
        "steps": row.step,
        "notes": base.notes.get("notes") or [],
        "training": {
            "row": to_json(replace(row, model="")),
            "digest": ready.digest,
            "base": {
                "name": ready.cell.start.name,
                "identity": f"sha256:{digest(base)}",
                "train_tokens": base.notes.get("train_tokens"),
                "train_flops": base.notes.get("train_flops"),
            },
            "first_validation_loss": trained.first_loss,
            "spent_tokens": trained.spent_tokens,
            "samples_seen": trained.samples_seen,
        },
    }


def notes_of(data: Data) -> tuple[str, ...]:
    """What of the texts is not learnt as it stands."""
    found = []
    train = data.train
    if train.cut:
        found.append(f"training texts that lose a part, longer than the model takes: {train.cut}")
    if train.left:
        found.append(f"training texts left out, longer than the model takes: {train.left}")
    if train.unread:
        what = "words" if train.places else "texts"
        found.append(f"{what} of which the tokenizer leaves nothing: {train.unread}")
    return tuple(found)
