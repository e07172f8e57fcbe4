"""Time and memory of a training before it starts."""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import median

import torch

from harness.training import Estimate
from harness.wording import short
from harness_train.memory import available_bytes
from harness_train.pretrain.loop import Training
from harness_train.pretrain.networks import build_network, build_optimisers
from harness_train.pretrain.records import flops

TIMED = 3
PER_PARAMETER = 16
"""Bytes of a parameter in training: weight, gradient and the two moments of AdamW in float32."""


def memory_of(training: Training) -> int:
    """Bytes that a step takes at its peak.

    Weights with their optimiser's state, and activations by Korthikanti et al. 2022
    (arXiv:2205.05198, equation 2), rows * length * width * (34 + 5 heads * length / width) bytes a
    layer in half precision, twice as much in float32; and the logits with their gradient.
    """
    shape = training.shape
    rows, length = shape.batch_rows, training.feed.rows.tokens.shape[1]
    size = 2 if shape.dtype == "float32" else 1
    layer = rows * length * (34 * shape.width + 5 * shape.heads * length) * size
    logits = rows * length * shape.vocabulary * 4 * 3
    if shape.objective != "causal":
        logits //= 6
    return int(PER_PARAMETER * shape.total + shape.layers * layer + logits)


def estimate(training: Training, *, done: bool) -> Estimate:
    """What a size will cost; the time by a few steps of it, if it fits and is not done."""
    shape, schedule = training.shape, training.schedule
    needed, free = memory_of(training), available_bytes(str(training.device))
    tokens = training.feed.tokens(schedule.steps)
    said = Estimate(
        name=shape.name,
        parameters=shape.total,
        trainable=shape.total,
        samples=schedule.steps * shape.batch_rows,
        tokens=tokens,
        flops=flops(shape, tokens),
        seconds=None,
        memory=needed,
        available=free,
        done=done,
    )
    if free is not None and needed > free and not done:
        refused = f"it needs {short(needed)}B of memory, and {short(free)}B are free"
        return replace(said, refused=refused)
    if done:
        return replace(said, seconds=0.0)
    begun = sum(end - schedule.begin(k) for k, end in enumerate(schedule.ends[:-1]))
    return replace(said, seconds=_seconds_of_a_step(training) * (schedule.steps + begun))


def _seconds_of_a_step(training: Training) -> float:
    network = build_network(training.options, training.shape)
    assert isinstance(network, torch.nn.Module)
    network.to(training.device)
    optimisers = build_optimisers(training.options, network, training.rates())
    times = []
    for step in range(TIMED + 1):  # the first one also pays for what happens once
        started = time.perf_counter()
        loss = network(training.feed.batch(step).to(training.device)).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        float(loss.detach())
        times.append(time.perf_counter() - started)
    return median(times[1:])
