"""Trains one size on packed rows."""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from harness_nano.corpus import Rows
from harness_nano.model import Nano, document_mask
from harness_nano.optimise import BFLOAT16_WIDTH, Muon, rate
from harness_nano.shapes import Shape

TAIL = 0.05  # share of the steps over which the running mean of the weights reaches back


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained model (its tail's mean) with what the training took and came to."""

    model: Nano
    wall_seconds: float
    steps: int
    loss: float  # nats per learnt token, mean over the last twentieth of training


def batch(rows: Rows, begin: int, stop: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Tokens, attention mask, flat positions that predict a learnt token, and those tokens."""
    tokens = torch.from_numpy(rows.tokens[begin:stop].astype(np.int64))
    mask = document_mask(torch.from_numpy(rows.documents[begin:stop].astype(np.int64)))
    # A learnt token is never a row's first, so the position before it is in the same row.
    targets = torch.from_numpy(np.flatnonzero(rows.learnt[begin:stop]))
    return tokens, mask, targets - 1, tokens.reshape(-1)[targets]


def train(
    shape: Shape, rows: Rows, seed: int, report: Callable[[int, int, float], None] | None = None
) -> Trained:
    """One pass over the rows with Muon and AdamW; the mean of the tail is kept."""
    model = Nano(shape, torch.Generator().manual_seed(seed))
    if shape.width >= BFLOAT16_WIDTH:
        model.dtype = torch.bfloat16
    muon = Muon(model.matrices(), lr=shape.matrix_rate)
    adam = torch.optim.AdamW(
        model.others(), lr=shape.other_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True
    )
    steps = len(rows.tokens) // shape.batch_rows
    mean = copy.deepcopy(model).requires_grad_(False)
    decay = 1 - 1 / max(1.0, TAIL * steps)
    started, losses = time.perf_counter(), torch.zeros(steps)
    for step in range(steps):
        share = rate(step, steps)
        muon.param_groups[0]["lr"] = shape.matrix_rate * share
        adam.param_groups[0]["lr"] = shape.other_rate * share
        pieces = batch(rows, step * shape.batch_rows, (step + 1) * shape.batch_rows)
        loss = model(*pieces).mean()
        loss.backward()
        muon.step()
        adam.step()
        model.zero_grad(set_to_none=True)
        losses[step] = loss.detach()
        for kept, current in zip(mean.parameters(), model.parameters(), strict=True):
            if step < steps * 0.75:
                continue
            kept.lerp_(current.data, 1 - decay if step > steps * 0.75 else 1.0)
        if report and (step + 1) % 100 == 0:
            report(step + 1, steps, float(losses[step - 99 : step + 1].mean()))
    tail = losses[-max(1, steps // 20) :]
    return Trained(
        model=mean,
        wall_seconds=time.perf_counter() - started,
        steps=steps,
        loss=float(tail.mean()),
    )


def progress(name: str) -> Callable[[int, int, float], None]:
    """A reporter that writes a line to standard error now and then."""

    def report(step: int, steps: int, loss: float) -> None:
        print(f"{name}: step {step}/{steps}, loss {loss:.4f}", file=sys.stderr, flush=True)

    return report


def tokens_in(rows: Rows, shape: Shape) -> int:
    """Tokens that a size is trained on, padding left out."""
    used = len(rows.tokens) // shape.batch_rows * shape.batch_rows
    return int((rows.documents[:used] > 0).sum())
