"""Two scores of which only the standard errors are known: the unpaired z-test.

What two systems have in common on the same samples cancels in a paired test and does not here, so
this one sees less; it serves where no samples are kept, such as for imported tables.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.types import Score

UNPAIRED = "unpaired z"
Z = 1.959963984540054
"""Half the width of a normal 95 % interval, in standard errors."""


@dataclass(frozen=True, kw_only=True)
class Unpaired:
    """Second minus first on the metric's own scale, with the standard error of the difference.

    ``sign`` is 1 where a positive difference is a gain, -1 where it is a loss.
    """

    difference: float
    standard_error: float
    sign: float

    @property
    def p(self) -> float:
        """Two-sided; 1 where nothing differs."""
        if self.difference == 0 or self.standard_error == 0:
            return 1.0 if self.difference == 0 else 0.0
        return 2 * _upper(abs(self.difference) / self.standard_error)

    def p_worse(self, margin: float = 0.0) -> float:
        """One-sided: the second is worse by more than ``margin``."""
        gain = self.sign * self.difference + margin
        if self.standard_error == 0:
            return 1.0 if gain >= 0 else 0.0
        return 1 - _upper(gain / self.standard_error)

    def interval(self) -> tuple[float, float]:
        """Of the difference, 95 %."""
        half = Z * self.standard_error
        return self.difference - half, self.difference + half

    def largest_loss(self, alpha: float) -> float:
        """The largest loss that is left open, one-sided at ``alpha``."""
        from scipy.special import ndtri

        return -self.sign * self.difference + float(ndtri(1 - alpha)) * self.standard_error


def standard_error(score: Score) -> float | None:
    """The file's own, or what the interval's width implies; ``None`` where neither is known.

    An error of 0 beside an interval of some width is a formula at its end (all right, all wrong).
    """
    width = score.ci[1] - score.ci[0]
    if score.stderr is not None and math.isfinite(score.stderr) and score.stderr > 0:
        return score.stderr
    return width / (2 * Z) if math.isfinite(width) else score.stderr


def unpaired(first: Score, second: Score) -> Unpaired | None:
    """What two scores say of each other; ``None`` where a standard error is not known."""
    error_a, error_b = standard_error(first), standard_error(second)
    if error_a is None or error_b is None or not math.isfinite(error_a + error_b):
        return None
    return Unpaired(
        difference=second.value - first.value,
        standard_error=math.hypot(error_a, error_b),
        sign=1.0 if second.metric.higher_is_better else -1.0,
    )


def _upper(z: float) -> float:
    """The normal distribution's upper tail."""
    return 0.5 * math.erfc(z / math.sqrt(2))
