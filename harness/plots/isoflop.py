"""What a figure of a law in N and D shows: data curves, isoFLOP curves, the frontier."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError, UsageError
from harness.laws import Fit
from harness.laws.forecast import Predictor
from harness.laws.frontier import Allocation, allocate, isoflop, six_nd

Array = NDArray[np.float64]

BUDGETS = 5
"""Isoflop curves drawn, at equal ratios over the budgets that several sizes reach."""

FINE = 60
ALIKE = 0.05
"""Numbers of tokens closer than this share of themselves are one."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """Points (k,) of one curve, and the law along it. ``optimum`` is the best (size, score)."""

    label: str
    x: Array
    y: Array
    law_x: Array
    law_y: Array
    optimum: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """Everything of the figure.

    ``by_size``: for each size the score over training tokens. ``by_budget``: for each budget of
    C = 6·N·D the score over size; its points are read off the measured curves of each size
    between two numbers of tokens, never beyond them. ``frontier``: the best size and data for each
    budget with bands; ``vertices``: (C, N) of parabolas through the points of a budget.
    """

    title: str
    y: str
    by_size: tuple[Line, ...]
    by_budget: tuple[Line, ...]
    frontier: tuple[Allocation, ...]
    vertices: tuple[tuple[float, float], ...] = ()
    note: str = ""


def ladder_of(title: str, fit: Fit, y: str) -> Ladder:
    """The figure of one fit.

    Raises:
        UsageError: the law is not one in N and D. DataError: it is not identifiable.
    """
    predictor = fit.predictor
    if predictor is None:
        raise DataError(f"No curves from the {fit.law} fit: {fit.note}")
    if not isinstance(predictor, Predictor) or predictor.fit.law.variables != ("N", "D"):
        raise UsageError(f"IsoFLOP curves need a law in N and D such as chinchilla, not {fit.law}.")
    curves = _measured(predictor)
    budgets = _budgets(curves)
    allocations = tuple(allocate(fit, float(c)) for c in budgets)
    iso = tuple(
        _isoflop(predictor, curves, float(c), best)
        for c, best in zip(budgets, allocations, strict=True)
    )
    notes = sorted({one.note for one in allocations if "infinity" in one.note})
    return Ladder(
        title=title,
        y=y,
        by_size=tuple(_by_size(predictor, n, d, score) for n, d, score in curves),
        by_budget=iso,
        frontier=allocations,
        vertices=tuple(_vertices(iso, budgets)),
        note="; ".join(notes),
    )


def _measured(predictor: Predictor) -> list[tuple[float, Array, Array]]:
    """For each size its tokens and scores, ascending; of repeats the means."""
    data = predictor.fit.data
    n, d = data.variables["N"], data.variables["D"]
    scores = predictor.scores.back(data.y)
    found = []
    for size in np.unique(n):
        order = np.argsort(d[n == size], kind="stable")
        tokens, values = d[n == size][order], scores[n == size][order]
        # Seeds read the same number of tokens but for a row or two.
        begins = np.flatnonzero(np.diff(np.log(tokens), prepend=-np.inf) > ALIKE)
        counts = np.diff(begins, append=tokens.size)
        found.append(
            (
                float(size),
                np.add.reduceat(tokens, begins) / counts,
                np.add.reduceat(values, begins) / counts,
            )
        )
    return found


def _budgets(curves: list[tuple[float, Array, Array]]) -> Array:
    """Budgets at equal ratios, between the second-least and second-most that a size begins at."""
    starts = sorted(six_nd(np.array(n), d[0]).item() for n, d, _ in curves)
    ends = sorted(six_nd(np.array(n), d[-1]).item() for n, d, _ in curves)
    low, high = starts[min(1, len(starts) - 1)], ends[max(0, len(ends) - 2)]
    return np.geomspace(min(low, high), max(low, high), BUDGETS)


def _by_size(predictor: Predictor, n: float, d: Array, score: Array) -> Line:
    fine = np.geomspace(d[0], d[-1], FINE)
    value, _ = predictor.draws({"N": np.full(FINE, n), "D": fine})
    return Line(label=f"{n:.3g}", x=d, y=score, law_x=fine, law_y=value)


def _isoflop(
    predictor: Predictor, curves: list[tuple[float, Array, Array]], c: float, best: Allocation
) -> Line:
    x, y = [], []
    for n, d, score in curves:
        tokens = c / (6.0 * n)
        if d[0] <= tokens <= d[-1] and d.size > 1:
            x.append(n)
            y.append(float(np.interp(np.log(tokens), np.log(d), score)))
    sizes = np.array([n for n, _, _ in curves])
    middle = best.n.value if best.n.value is not None else float(np.median(sizes))
    ends = np.clip([sizes.min(), sizes.max(), middle / 3, middle * 3], sizes.min() / 3, None)
    fine = np.geomspace(ends.min(), min(ends.max(), sizes.max() * 3), FINE)
    value, _ = predictor.draws({"N": fine, "D": c / (6.0 * fine)})
    optimum = None
    if best.n.value is not None and best.loss.value is not None:
        optimum = (best.n.value, best.loss.value)
    return Line(
        label=f"{c:.2g}", x=np.array(x), y=np.array(y), law_x=fine, law_y=value, optimum=optimum
    )


def _vertices(lines: tuple[Line, ...], budgets: Array) -> Iterator[tuple[float, float]]:
    """The parabolas' optima, where at least two budgets have one inside their sizes."""
    kept = [(c, line) for c, line in zip(budgets, lines, strict=True) if line.x.size]
    if not kept:
        return
    compute = np.concatenate([np.full(line.x.size, c) for c, line in kept])
    sizes = np.concatenate([line.x for _, line in kept])
    try:
        found = isoflop(compute, sizes, np.concatenate([line.y for _, line in kept]))
    except DataError:
        return
    yield from zip(map(float, found.budgets), map(float, found.sizes), strict=True)
