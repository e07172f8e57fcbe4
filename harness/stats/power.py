"""How large a difference must be for a test to find it 4 times in 5.

By the observed spread, so of a data set like this one (Card et al. 2020, arXiv:2010.06595). The
normal approximation promises too much where few samples differ between the systems: tests by
swapping see nothing of the others, so that Student's t takes as many as do, and McNemar's exact
test is inverted exactly.
"""

from __future__ import annotations

import numpy as np

POWER = 0.8


def detectable(
    standard_error: float, *, alpha: float = 0.05, two_sided: bool = True, differing: int = 0
) -> float:
    """The smallest true difference that a test at ``alpha`` finds 4 times in 5.

    (quantile of 1 - alpha/2, or of 1 - alpha one-sided, plus that of 0.8) times the standard error:
    normal quantiles, or Student's for ``differing`` units that are not the same on both sides.
    """
    from scipy.special import ndtri, stdtrit

    tail = 1 - (alpha / 2 if two_sided else alpha)
    if not differing:
        return float(ndtri(tail) + ndtri(POWER)) * standard_error
    freedom = max(differing, fewest(alpha, two_sided=two_sided)) - 1
    return float(stdtrit(freedom, tail) + stdtrit(freedom, POWER)) * standard_error


def fewest(alpha: float, *, two_sided: bool) -> int:
    """So few units that differ can be significant at all: 1/2 to their number, once or twice."""
    return int(np.ceil(np.log2((2.0 if two_sided else 1.0) / alpha)))


def detectable_mcnemar(differing: int, *, alpha: float = 0.05, two_sided: bool = True) -> float:
    """As :func:`detectable`, in net samples lost or won, for the exact test of so many that differ.

    The smallest k of m is sought that is significant, then the share of losses among the m at which
    k or more are met 4 times in 5 (the binomial's quantile by the beta distribution).
    """
    from scipy.special import bdtrc, betaincinv

    m = max(differing, fewest(alpha, two_sided=two_sided))
    tails = (2.0 if two_sided else 1.0) * bdtrc(np.arange(m) - 0.0, m, 0.5)
    k = int(np.flatnonzero(tails <= alpha)[0]) + 1 if (tails <= alpha).any() else m
    share = float(betaincinv(k, m - k + 1, POWER))
    return (2 * share - 1) * m
