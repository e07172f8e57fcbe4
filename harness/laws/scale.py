"""Between a metric's own scale and the positive error that a power law describes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.types import Metric

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ErrorScale:
    """e = sign · (score − bound): positive, and falling as models get better.

    ``bound`` is the perfect score, and ``other`` the far end of the metric's range where known.
    ``words`` is the error in a formula.
    """

    bound: float
    sign: float
    other: float | None
    words: str

    def error(self, score: Array) -> Array:
        """Errors of scores, of the same shape; zero or negative at or past the perfect score."""
        error: Array = self.sign * (np.asarray(score, dtype=float) - self.bound)
        return error

    def score(self, error: Array) -> Array:
        """Scores of errors, kept inside the metric's range."""
        score: Array = self.bound + self.sign * np.asarray(error, dtype=float)
        if self.other is not None:
            low, high = sorted((self.bound, self.other))
            score = np.clip(score, low, high)
        return score


def error_scale(metric: Metric) -> ErrorScale | None:
    """The error scale of ``metric``; ``None`` for a score without a known perfect value."""
    low, high = metric.bounds
    if metric.is_loss:
        return ErrorScale(bound=0.0, sign=1.0, other=high, words="L")
    if metric.higher_is_better:
        if high is None:
            return None
        return ErrorScale(bound=high, sign=-1.0, other=low, words=f"{high:g} − S")
    bound = 0.0 if low is None else low
    return ErrorScale(bound=bound, sign=1.0, other=high, words=f"S − {bound:g}" if bound else "S")
