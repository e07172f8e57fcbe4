"""Many tests at once."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Holm's adjusted p-values, in the given order (Holm 1979, Scand. J. Statist. 6:65).

    Rejecting those at most α keeps the chance of any false rejection at most α, however the tests
    depend on one another.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [1.0] * len(p_values)
    running = 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = running
    return tuple(adjusted)


def affordable_draws(tests: int, alpha: float) -> int:
    """How many random draws a p-value must be worth when ``tests`` are corrected for.

    With B plain draws no p-value lies below 1/(B + 1), and Holm multiplies by up to ``tests``: with
    too few nothing could ever be significant. At least 10,000.
    """
    return int(max(10_000, 5 * tests / alpha))
