"""pass@k: would at least one of k attempts at a problem succeed?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import UsageError
from harness.metrics.scorer import signature
from harness.types import Metric, Stats


def estimate_pass_at_k(attempts: int, correct: int, k: int) -> float:
    """Unbiased estimate from ``correct`` of ``attempts``: 1 - C(n-c, k) / C(n, k), 0-1.

    Chen et al. 2021, equation 1. Raises :class:`UsageError` with fewer attempts than ``k``.
    """
    if attempts < k:
        raise UsageError(
            f"pass@{k} needs at least {k} attempts at each problem, but one has {attempts}.\n"
            "Ask for more attempts, or for a smaller k."
        )
    return 1.0 - math.comb(attempts - correct, k) / math.comb(attempts, k)


@dataclass(frozen=True, kw_only=True)
class PassAtK:
    """Statistics: 100 times the estimate for one problem, and 1."""

    metric: Metric
    k: int

    def stats(self, outcomes: Sequence[bool], reference: Any = None, /) -> Stats:
        """``(100 · estimate, 1)`` from whether each attempt passed."""
        correct = sum(map(bool, outcomes))
        return 100.0 * estimate_pass_at_k(len(outcomes), correct, self.k), 1.0


def pass_at_k(k: int = 1, *, name: str | None = None) -> PassAtK:
    """pass@k (Chen et al. 2021), mean over problems, 0-100; named ``pass@1`` and so on."""
    if k < 1:
        raise UsageError(f"pass@k needs a k of at least 1, not {k}.")
    metric = Metric(
        name=name or f"pass@{k}",
        bounds=(0.0, 100.0),
        signature=signature(k=k, estimate="unbiased"),
    )
    return PassAtK(metric=metric, k=k)
