"""Built-in laws in size and data that are not sums of power laws."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product as every

import numpy as np
from numpy.typing import NDArray

from harness.laws import jets
from harness.laws.bound import Variables
from harness.laws.estimate import Data, fit_point
from harness.laws.expsum import nonnegative
from harness.laws.jetlaw import JetLaw, Parameter
from harness.laws.jets import Jet
from harness.laws.losses import parse_loss
from harness.laws.sums import CHINCHILLA

Array = NDArray[np.float64]
Named = Mapping[str, Jet]


def _kaplan(p: Named, x: Variables) -> Jet:
    alpha, beta = p["alpha"], p["beta"]
    by_size = (p["log A"] - np.log(x["N"])) * (alpha / beta)
    by_data = p["log B"] - np.log(x["D"])
    return jets.log(p["E"] + jets.exp(beta * jets.logaddexp(by_size, by_data)))


def _kaplan_pull(theta: Array, x: Variables, first: Array, second: Array) -> tuple[Array, Array]:
    """The derivatives of :func:`_kaplan` by hand, a fifth of the time of those by jets.

    With z = beta·m, m = log(e^s + e^t), s = (log A − log N)·alpha/beta, t = log B − log D and p the
    share of e^s, z has the slopes Z below and the Hessian beta·p·(1 − p)·V·Vᵀ (V the slopes of
    s − t), plus p for (log A, alpha) and 1 − p for (log B, beta). And η = log(E + e^z).
    """
    a, b, floor, alpha, beta = (theta[:, i, None] for i in range(5))
    size = a - np.log(x["N"])
    ratio = alpha / beta
    s = ratio * size
    gap = s - (b - np.log(x["D"]))
    p = 0.5 * (1.0 + np.tanh(0.5 * gap))
    q = 1.0 - p
    m = s + np.log1p(np.exp(-np.abs(gap))) - np.minimum(gap, 0.0)
    power = np.exp(beta * m)
    total = floor + power
    share = power / total
    z = np.stack([alpha * p, beta * q, p * size, m - p * s], axis=1)
    v = np.stack([ratio + 0 * s, -1.0 + 0 * s, size / beta, -s / beta], axis=1)
    slope = np.empty((len(theta), 5, s.shape[1]))
    slope[:, _KAPLAN_OTHERS] = share[:, None] * z
    slope[:, 2] = 1.0 / total
    gradient = np.matmul(slope, first[:, :, None])[..., 0]
    hessian = np.matmul(slope * (second - first)[:, None], np.swapaxes(slope, 1, 2))
    weight = first * share
    inner = np.matmul(z * weight[:, None], np.swapaxes(z, 1, 2))
    inner += np.matmul(v * (weight * beta * p * q)[:, None], np.swapaxes(v, 1, 2))
    for i, j, part in ((0, 2, p), (1, 3, q)):
        added = (weight * part).sum(axis=1)
        inner[:, i, j] += added
        inner[:, j, i] += added
    hessian[:, _KAPLAN_OTHERS[:, None], _KAPLAN_OTHERS] += inner
    return gradient, hessian


_KAPLAN_OTHERS = np.array([0, 1, 3, 4])
"""Where log A, log B, alpha and beta stand in θ."""


def _chinchilla_fit(x: Variables, y: Array, weights: Array) -> dict[str, float]:
    """The Chinchilla law in squared log residuals: near enough to start other laws from."""
    data = Data(variables=x, y=y, weights=weights)
    return fit_point(CHINCHILLA, data, parse_loss("log-mse")).parameters


def _kaplan_starts(x: Variables, y: Array, weights: Array) -> Array:
    """E, beta and alpha/beta on a grid; then (L − E)^(1/beta) is linear in A^(alpha/beta) and B."""
    floors = (0.0, 0.4, 0.6, 0.75, 0.85, 0.93)
    betas, ratios = np.geomspace(0.08, 1.2, 10), (0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0)
    grid = np.array(list(every(floors, betas, ratios)))
    floor, beta, ratio = (grid[:, i, None] for i in range(3))
    above = y - floor * y.min()
    target = beta * above / y
    scale = target / above ** (1.0 / beta)
    columns = np.stack([scale * x["N"] ** -ratio, scale / x["D"]], axis=2)
    amplitudes, _ = nonnegative(columns, weights, target)
    power = (columns / scale[:, :, None] @ amplitudes[:, :, None])[..., 0]
    with np.errstate(divide="ignore"):
        left = np.log(y) - np.log(floor * y.min() + power**beta)
    misfit = (weights * left**2).sum(axis=1)
    best = np.argsort(misfit, kind="stable")[:4]
    best = best[misfit[best] <= 3.0 * misfit[best[0]]]
    size, data = np.maximum(amplitudes[best], 1e-8).T
    floor, beta, ratio = grid[best].T
    return np.stack([size ** (1.0 / ratio), data, floor * y.min(), ratio * beta, beta], axis=1)


KAPLAN = JetLaw(
    name="kaplan",
    formula="L = E + [(A/N)^(alpha/beta) + B/D]^beta",
    source="Kaplan et al. 2020, arXiv:2001.08361, eq. 1.5, with a floor",
    variables=("N", "D"),
    terms=(
        Parameter(name="A", positive=True, shift=lambda m: {"": m["N"]}),
        Parameter(name="B", positive=True, shift=lambda m: {"": m["D"]}),
        Parameter(name="E", lower=0.0),
        Parameter(name="alpha", lower=1e-3, upper=5.0),
        Parameter(name="beta", lower=1e-3, upper=5.0),
    ),
    function=_kaplan,
    pull=_kaplan_pull,
    starts=_kaplan_starts,
    exponent="alpha",
)


def _repeated(unique: Jet, ratio: Jet, constant: Jet) -> Jet:
    """log of U·(1 + R*·(1 − e^(−R/R*))) from log U and R, the times it was repeated."""
    gain = constant * (1.0 - jets.exp(-(ratio / constant)))
    return unique + jets.log(gain + 1.0)


def _data_constrained(p: Named, x: Variables) -> Jet:
    alpha, beta = p["alpha"], p["beta"]
    n, d, u = (np.log(x[name]) for name in ("N", "D", "U"))
    a, b = p["log A"], p["log B"]
    g = (jets.log(alpha) + a - jets.log(beta) - b) / (alpha + beta)
    enough = (g + u) * (beta / alpha) + g
    excess = (n - enough).value > 0
    unique_n = enough * excess + n * (1.0 - excess)
    effective_n = _repeated(unique_n, jets.exp(n - unique_n) - 1.0, p["RN"])
    zero = alpha * 0.0
    effective_d = _repeated(zero + u, zero + np.expm1(d - u), p["RD"])
    size, data = a - alpha * effective_n, b - beta * effective_d
    return jets.log(p["E"] + jets.exp(size) + jets.exp(data))


def _data_constrained_starts(x: Variables, y: Array, weights: Array) -> Array:
    """Chinchilla's law on the points seen hardly more than once (all, if few), R* on a grid."""
    fresh = x["D"] / x["U"] < 1.5
    if fresh.sum() < 8:
        fresh = np.ones_like(fresh)
    part = {name: column[fresh] for name, column in x.items() if name != "U"}
    near = _chinchilla_fit(part, y[fresh], weights[fresh])
    floor = max(near["E"], 1e-3 * y.min())
    return np.array(
        [
            [near["A"], near["B"], floor, near["alpha"], near["beta"], rn, rd]
            for rn, rd in every((2.0, 20.0), (3.0, 15.0, 80.0))
        ]
    )


DATA_CONSTRAINED = JetLaw(
    name="data-constrained",
    formula="L = E + A·N'^-alpha + B·D'^-beta, D' = U·(1 + RD·(1 − e^(−(D/U − 1)/RD))), N' alike",
    source="Muennighoff et al. 2023, arXiv:2305.16264",
    variables=("N", "D", "U"),
    terms=(
        Parameter(name="A", positive=True, shift=lambda m: {"alpha": m["N"]}),
        Parameter(name="B", positive=True, shift=lambda m: {"beta": m["D"]}),
        Parameter(name="E", lower=0.0),
        Parameter(name="alpha", lower=1e-3, upper=5.0),
        Parameter(name="beta", lower=1e-3, upper=5.0),
        Parameter(name="RN", positive=True, lower=1e-2, upper=1e5),
        Parameter(name="RD", positive=True, lower=1e-2, upper=1e5),
    ),
    function=_data_constrained,
    starts=_data_constrained_starts,
    exponent="alpha",
    shared_scale=("D", "U"),
)
