"""When what happens: the learning rate at each step, and the steps of the checkpoints.

The rate warms up, stays, and falls to zero before each checkpoint. A checkpoint that is not the
last is a branch: from where its fall begins, the state is kept, the branch is trained to its end,
and the training goes on from the state kept. So each checkpoint is a model trained to its end on
its tokens, as a curve in D needs it, for a fraction of what separate trainings would cost
(Hägele et al. 2024, arXiv:2405.18392).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.errors import UsageError

HIGHEST = 1.01
"""A warm-up over a broken number of steps ends a little above 1, as the embedded family's did."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """``ends``: steps after which a checkpoint is complete, ascending."""

    ends: tuple[int, ...]
    warmup: float
    decay: float

    @property
    def steps(self) -> int:
        """Steps of the longest training."""
        return self.ends[-1]

    def begin(self, branch: int) -> int:
        """The first step of a branch that is not the stem's."""
        return math.ceil((1 - self.decay) * self.ends[branch])

    def rate(self, step: int, branch: int) -> float:
        """Share of the peak rate on the way to a checkpoint.

        Warm-up over a share of all steps, at most a tenth of the first checkpoint's.
        """
        warm = (
            min(self.warmup, 0.1 * self.ends[0] / self.steps) if len(self.ends) > 1 else self.warmup
        )
        done = step / self.steps
        if done < warm:
            return min((done + 1 / self.steps) / warm, HIGHEST)
        done = step / self.ends[branch]
        return 1.0 if done < 1 - self.decay else (1 - done) / self.decay


def schedule_of(steps: int, checkpoints: int, warmup: float, decay: float) -> Schedule:
    """Checkpoints at steps that double each time. Raises UsageError for too few steps."""
    if checkpoints < 1 or not 0 <= warmup < 1 or not 0 < decay <= 1 - warmup:
        raise UsageError(
            "There is at least one checkpoint; warm-up and decay are shares of the steps, "
            "together at most 1, the decay above 0."
        )
    ends = tuple(round(steps / 2**power) for power in reversed(range(checkpoints)))
    if ends[0] < 2:
        raise UsageError(
            f"{steps} steps are too few for {checkpoints} checkpoints, each twice the one before.\n"
            "Give --tokens a larger number, or --batch-tokens or --checkpoints a smaller one."
        )
    return Schedule(ends=ends, warmup=warmup, decay=decay)
