"""Compute-optimal size and data, from a law in N and D or from isoFLOP curves.

From a law the loss is minimised along C = 6·N·D for every replicate, which gives bands. From
isoFLOP points each budget's optimum is the vertex of a parabola (Hoffmann et al. 2022, approach
2) or the minimum of an Akima spline (Porian et al. 2024). The parabola is biased where the valley
is not symmetric, that is for alpha ≠ beta, even without noise; the bias can be computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError, UsageError
from harness.laws.forecast import Predictor
from harness.laws.losses import inverse_link
from harness.laws.records import LEVEL, Estimate, Fit, Interval

Array = NDArray[np.float64]
Flops = Callable[[Array, Array], Array]
"""Training compute of N parameters on D tokens."""

_GRID = 160
LEAST_PER_BUDGET = 4


def six_nd(n: Array, d: Array) -> Array:
    """C = 6·N·D (Kaplan et al. 2020)."""
    return 6.0 * n * d


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """The best N and D for a budget of ``compute`` FLOP, and the loss to expect."""

    compute: float
    n: Estimate
    d: Estimate
    loss: Estimate
    beyond: float
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        parts = {"N": self.n, "D": self.d, "loss": self.loss}
        return {
            "compute": self.compute,
            **{
                name: {"value": e.value, "ci": None if e.ci is None else [e.ci.lo, e.ci.hi]}
                for name, e in parts.items()
            },
            "beyond": self.beyond,
            "note": self.note,
        }


def allocate(fit: Fit, compute: float) -> Allocation:
    """The compute-optimal N and D of a fitted law in N and D, with 95 % bands.

    Raises:
        UsageError: the law is not one in N and D, or the budget is not positive.
        DataError: the fit is not identifiable.
    """
    if not 0 < compute < np.inf:
        raise UsageError(f"--compute must be a positive number of FLOP, not {compute:g}.")
    predictor = fit.predictor
    if predictor is None:
        raise DataError(f"No allocation from the {fit.law} fit: {fit.note}")
    if not isinstance(predictor, Predictor) or predictor.fit.law.variables != ("N", "D"):
        raise UsageError(f"--compute needs a law in N and D such as chinchilla, not {fit.law}.")
    theta = np.concatenate([predictor.fit.theta[None], predictor.theta])
    size, at_edge = _optimal_sizes(predictor, theta, compute)
    data = compute / (6.0 * size)
    loss = np.array(
        [_loss_at(predictor, row, n, compute) for row, n in zip(theta, size, strict=True)]
    )
    used = predictor.fit.data.variables
    largest = float((6.0 * used["N"] * used["D"]).max())
    beyond = compute / largest
    note = f"{beyond:.3g} times beyond the largest budget" if beyond > 1 else ""
    if at_edge > 0.025:
        note = "the optimum runs off to infinity for some replicates; " + note
    return Allocation(
        compute=compute,
        n=_band(size),
        d=_band(data),
        loss=_band(loss),
        beyond=beyond,
        note=note.strip("; "),
    )


def _band(values: Array) -> Estimate:
    lo, hi = np.quantile(values[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value=float(values[0]), ci=Interval(lo=float(lo), hi=float(hi)))


def _along(predictor: Predictor, theta: Array, log_n: Array, compute: float) -> Array:
    """η of rows (R, p) at sizes (G,) with the data that the budget leaves, (R, G)."""
    n = np.exp(log_n)
    return predictor.fit.bound.at({"N": n, "D": compute / (6.0 * n)}).eta(theta)


def _optimal_sizes(predictor: Predictor, theta: Array, compute: float) -> tuple[Array, float]:
    """The size of least loss for every row, and the share of rows without one inside the search."""
    center = 0.5 * np.log(compute / 6.0)
    low, high = center - 16.0, center + 16.0
    grid = np.linspace(low, high, _GRID)
    at = np.argmin(_along(predictor, theta, grid, compute), axis=1)
    edge = float(((at == 0) | (at == _GRID - 1)).mean())
    best = np.empty(len(theta))
    for row, index in enumerate(at):
        best[row] = _refine(predictor, theta[row : row + 1], grid, int(index), compute)
    return np.exp(best), edge


def _refine(predictor: Predictor, theta: Array, grid: Array, index: int, compute: float) -> float:
    """Successive finer grids about the least point, ended by a parabola."""
    step = float(grid[1] - grid[0])
    center = float(grid[index])
    for _ in range(4):
        near = center + step * np.linspace(-1, 1, 21)
        value = _along(predictor, theta, near, compute)[0]
        at = int(np.clip(np.argmin(value), 1, 19))
        center, step = float(near[at]), step / 10.0
    left, middle, right = value[at - 1], value[at], value[at + 1]
    bend = left - 2 * middle + right
    return center + (0.5 * step * (left - right) / bend if bend > 0 else 0.0)


def _loss_at(predictor: Predictor, theta: Array, n: float, compute: float) -> float:
    eta = _along(predictor, theta[None], np.log(np.array([n])), compute)
    return float(predictor.scores.back(inverse_link(predictor.fit.link)(eta))[0, 0])


@dataclass(frozen=True, kw_only=True)
class ClosedForm:
    """The frontier of a Chinchilla law: N* = G·(C/6)^a, D* = (C/6)^b / G."""

    a: float
    b: float
    g: float


def closed_form(*, amplitude_n: float, amplitude_d: float, alpha: float, beta: float) -> ClosedForm:
    """Hoffmann et al. 2022, eq. 4."""
    total = alpha + beta
    g = (alpha * amplitude_n / (beta * amplitude_d)) ** (1.0 / total)
    return ClosedForm(a=beta / total, b=alpha / total, g=g)


# --- isoFLOP curves -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class IsoFlop:
    """Optima by budget and the power laws through them.

    budgets, sizes, data
        compute and the optimal N and D = C/(6N) of each budget, (k,)
    a, b
        exponents of N* ∝ C^a and D* ∝ C^b
    size_level, data_level
        log10 N* = size_level + a·log10 C, and the same for D
    left_out
        budgets without a minimum inside their sizes
    """

    budgets: Array
    sizes: Array
    data: Array
    a: float
    b: float
    size_level: float
    data_level: float
    left_out: tuple[float, ...]
    method: str


def isoflop(
    compute: Array, n: Array, loss: Array, *, method: Literal["parabola", "akima"] = "parabola"
) -> IsoFlop:
    """Compute-optimal sizes from points grouped by equal ``compute``; all arrays (n,).

    Raises:
        DataError: fewer than two budgets have a minimum inside their sizes.
    """
    budgets, sizes, lost = [], [], []
    for budget in np.unique(compute):
        rows = compute == budget
        vertex = (_parabola if method == "parabola" else _akima)(np.log10(n[rows]), loss[rows])
        if vertex is None:
            lost.append(float(budget))
        else:
            budgets.append(float(budget))
            sizes.append(10.0**vertex)
    if len(budgets) < 2:
        raise DataError("IsoFLOP estimates need two budgets with a minimum inside their sizes.")
    c, optimum = np.array(budgets), np.array(sizes)
    data = c / (6.0 * optimum)
    a, size_level = np.polyfit(np.log10(c), np.log10(optimum), 1)
    b, data_level = np.polyfit(np.log10(c), np.log10(data), 1)
    return IsoFlop(
        budgets=c,
        sizes=optimum,
        data=data,
        a=float(a),
        b=float(b),
        size_level=float(size_level),
        data_level=float(data_level),
        left_out=tuple(lost),
        method=method,
    )


def parabola_bias(
    *, e: float, a: float, b: float, alpha: float, beta: float, width: float = 16.0
) -> float:
    """The factor by which isoFLOP parabolas miss a Chinchilla law's optimal D, without noise.

    ``width``: sizes run from the optimum over this factor to it times this factor.
    """
    budgets = np.logspace(17, 21, 5)
    frontier = closed_form(amplitude_n=a, amplitude_d=b, alpha=alpha, beta=beta)
    spread = np.logspace(-np.log10(width), np.log10(width), 15)
    best = frontier.g * (budgets / 6.0) ** frontier.a
    n = (best[:, None] * spread).ravel()
    c = np.repeat(budgets, spread.size)
    d = c / (6.0 * n)
    found = isoflop(c, n, e + a * n**-alpha + b * d**-beta)
    return float(np.exp(np.mean(np.log(found.data / (budgets / (6.0 * best))))))


def bias_warning(factor: float) -> str:
    """A sentence about :func:`parabola_bias`."""
    if abs(np.log(factor)) < 0.01:
        return ""
    word = "many" if factor > 1 else "few"
    return (
        f"IsoFLOP parabolas are biased for this law: they give {factor:.3g} times the optimal "
        f"tokens, too {word}, even without noise."
    )


def isoflop_beside(fit: Fit) -> tuple[IsoFlop | None, str]:
    """The parabola estimate from the points of a fit in N and D, and a warning of its bias.

    Points whose 6·N·D agree within about one per cent are one budget; without two budgets of
    enough sizes there is no estimate. The warning is for a Chinchilla law as fitted.
    """
    predictor = fit.predictor
    if not isinstance(predictor, Predictor) or predictor.fit.law.variables != ("N", "D"):
        return None, ""
    n, d = predictor.fit.data.variables["N"], predictor.fit.data.variables["D"]
    compute = np.power(10.0, np.round(np.log10(six_nd(n, d)), 2), dtype=np.float64)
    warning = ""
    if fit.law == "chinchilla":
        p = predictor.fit.parameters
        if min(p["A"], p["B"]) > 0:
            factor = parabola_bias(e=p["E"], a=p["A"], b=p["B"], alpha=p["alpha"], beta=p["beta"])
            warning = bias_warning(factor)
    try:
        return isoflop(compute, n, predictor.fit.data.y), warning
    except DataError:
        return None, warning


def _parabola(log_n: Array, loss: Array) -> float | None:
    if np.unique(log_n).size < LEAST_PER_BUDGET:
        return None
    center = log_n.mean()
    bend, slope, _ = np.polyfit(log_n - center, loss, 2)
    if bend <= 0:
        return None
    vertex = float(center - slope / (2.0 * bend))
    return vertex if log_n.min() <= vertex <= log_n.max() else None


def _akima(log_n: Array, loss: Array) -> float | None:
    """The least point of an Akima spline of log loss through the points."""
    from scipy.interpolate import Akima1DInterpolator

    order = np.argsort(log_n)
    x, first = np.unique(log_n[order], return_index=True)
    if x.size < LEAST_PER_BUDGET:
        return None
    curve = Akima1DInterpolator(x, np.log(loss[order][first]))
    fine = np.linspace(x[0], x[-1], 4001)
    at = int(np.argmin(curve(fine)))
    return None if at in (0, fine.size - 1) else float(fine[at])
