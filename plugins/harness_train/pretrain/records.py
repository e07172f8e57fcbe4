"""What ``harness_model.json`` says of a checkpoint, and what one cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import fmean
from types import MappingProxyType
from typing import Any

from harness.pretraining import PretrainRequest
from harness.training import TrainedModel
from harness.wording import short
from harness_train.pretrain.batches import MASKED
from harness_train.pretrain.contamination import note_of
from harness_train.pretrain.loop import Reached, Training
from harness_train.pretrain.preparation import Text
from harness_train.pretrain.shapes import Shape

VERSION = "2"
"""Raised when the way of training changes; the text has a digest of its own."""

CAUSAL_RULE = (
    "6 * total parameters * train tokens (the tied embedding is counted once, as the output "
    "projection)"
)
MASKED_RULE = (
    "6 * (parameters outside the embeddings * train tokens + vocabulary * width * predicted "
    f"tokens), {MASKED:.0%} of the tokens being predicted"
)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What every checkpoint of a family shares."""

    request: PretrainRequest
    text: Text
    digest: str


def flops(shape: Shape, tokens: int) -> float:
    """Training compute by the objective's rule, in floating-point operations."""
    if shape.objective == "causal":
        return 6.0 * shape.total * tokens
    output = shape.vocabulary * shape.width * MASKED
    return 6.0 * (shape.non_embedding + output) * tokens


def checkpoint_name(training: Training, branch: int, mark: str) -> str:
    """The size's name and ``mark``; between them the tokens, unless it is the last checkpoint."""
    ends = training.schedule.ends
    if branch == len(ends) - 1:
        return f"{training.shape.name}{mark}"
    return f"{training.shape.name}-d{short(training.feed.tokens(ends[branch])).lower()}{mark}"


def record_of(subject: Subject, training: Training, reached: Reached) -> dict[str, Any]:
    """The content of ``harness_model.json``."""
    shape, request = training.shape, subject.request
    tokens = training.feed.tokens(reached.steps)
    matrices, others = training.rates()
    checked = subject.text.overlaps
    return {
        "schema": 1,
        "name": checkpoint_name(training, reached.branch, request.mark),
        "size": shape.name,
        "share": reached.steps / training.schedule.steps,
        "family": request.family.name,
        "objective": request.objective,
        "parameters": {"total": shape.total, "non_embedding": shape.non_embedding},
        "shape": {
            "width": shape.width,
            "layers": shape.layers,
            "heads": shape.heads,
            "hidden": shape.hidden,
        },
        "train_tokens": tokens,
        "unique_tokens": min(tokens, training.feed.rows.used),
        "train_flops": flops(shape, tokens),
        "train_flops_rule": CAUSAL_RULE if request.objective == "causal" else MASKED_RULE,
        "seed": request.training.seed,
        "steps": reached.steps,
        "passes": round(reached.steps * shape.batch_rows / len(training.feed.rows), 3),
        "batch_tokens": shape.batch_rows * training.feed.rows.tokens.shape[1],
        "rates": {"matrices": matrices, "others": others},
        "wall_seconds": round(reached.seconds, 1),
        "losses": {
            "train_nats_per_token": round(reached.train_loss, 5),
            "held_out": reached.held_out,
        },
        "recipe": {"version": VERSION, "data_sha256": subject.digest},
        "preparation": [asdict(count) for count in subject.text.steps],
        "contamination": {
            "ngram": request.corpus.ngram,
            "tasks": [asdict(overlap) for overlap in checked],
        },
        "notes": [note_of(checked, request.corpus.ngram)] if checked else [],
    }


def settings_of(objective: str, size: str, share: float | None, seed: int) -> Mapping[str, str]:
    """Which cell of a sweep it is: ``share`` is the part of the longest training's steps."""
    return {
        "task": objective,
        "base": size,
        "method": "pretrain",
        "share": "" if share is None else f"{share:.4g}",
        "seed": str(seed),
        "training": f"{size}-s{seed}",
    }


def row_of(record: Mapping[str, Any], model: str) -> TrainedModel:
    """A row of the table that the command prints, from the record of a checkpoint.

    Its ``loss`` is the mean over the kinds of held-out text, in nats a predicted token.
    """
    held_out = record["losses"]["held_out"]
    scores = {
        f"{kind} {name}": float(value)
        for kind, said in held_out.items()
        for name, value in said.items()
    }
    if held_out:
        scores["loss"] = fmean(said["nats_per_token"] for said in held_out.values())
    return TrainedModel(
        name=record["name"],
        family=record["family"],
        outcome="complete",
        model=model,
        parameters=record["parameters"]["total"],
        non_embedding=record["parameters"]["non_embedding"],
        trainable=record["parameters"]["total"],
        unique_tokens=record.get("unique_tokens", 0),
        tokens=record["train_tokens"],
        flops=record["train_flops"],
        step=record["steps"],
        seconds=record["wall_seconds"],
        scores=MappingProxyType(scores),
        settings=settings_of(
            record["objective"],
            record.get("size", record["name"]),
            record.get("share"),
            record["seed"],
        ),
        notes=tuple(record.get("notes", ())),
    )
