"""Built-in laws in one variable that are not sums of power laws."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product as every

import numpy as np
from numpy.typing import NDArray

from harness.laws import jets
from harness.laws.bound import Variables
from harness.laws.expsum import nonnegative
from harness.laws.jetlaw import JetLaw, Parameter
from harness.laws.jets import Jet

Array = NDArray[np.float64]
Named = Mapping[str, Jet]


# --- P ∝ N and P = a + b·log N --------------------------------------------------------------------


def _linear(p: Named, x: Variables) -> Jet:
    return p["log A"] + np.log(x["N"])


def _linear_starts(x: Variables, y: Array, weights: Array) -> Array:
    return np.array([[np.exp(np.average(np.log(np.abs(y) / x["N"]), weights=weights))]])


LINEAR = JetLaw(
    name="linear",
    formula="P = A·N",
    source="proportionality, as a yardstick",
    variables=("N",),
    terms=(Parameter(name="A", positive=True, shift=lambda m: {"": -m["N"]}),),
    function=_linear,
    starts=_linear_starts,
)


def _log_linear(p: Named, x: Variables) -> Jet:
    return p["a"] + p["b"] * np.log(x["N"])


def _log_linear_starts(x: Variables, y: Array, weights: Array) -> Array:
    slope, level = np.polyfit(np.log(x["N"]), y, 1, w=np.sqrt(weights))
    return np.array([[level, slope]])


LOG_LINEAR = JetLaw(
    name="log-linear",
    formula="P = a + b·log N",
    source="a straight line against log size, as a yardstick",
    variables=("N",),
    terms=(Parameter(name="a", shift=lambda m: {"b": -m["N"]}), Parameter(name="b")),
    function=_log_linear,
    starts=_log_linear_starts,
    link="identity",
)


# --- a power law with its beginning shifted -------------------------------------------------------


def _shifted(p: Named, x: Variables) -> Jet:
    return p["log A"] + p["alpha"] * jets.log(p["g"] + 1.0 / x["N"])


def _shifted_starts(x: Variables, y: Array, weights: Array) -> Array:
    """g at quantiles of 1/N, and all but zero; the rest by regression."""
    inverse = 1.0 / x["N"]
    starts, misfits = [], []
    for g in (1e-8 * inverse.min(), *np.quantile(inverse, np.linspace(0, 1, 24))):
        slope, level = np.polyfit(np.log(inverse + g), np.log(y), 1, w=np.sqrt(weights))
        left = np.log(y) - level - slope * np.log(inverse + g)
        starts.append([np.exp(level), max(slope, 1e-3), g])
        misfits.append(float((weights * left**2).sum()))
    return np.array(starts)[np.argsort(misfits, kind="stable")[:6]]


SHIFTED_POWER = JetLaw(
    name="shifted-power",
    formula="L = A·(1/N + g)^alpha",
    source="the form M3 of Alabdulmohsin et al. 2022, arXiv:2209.06640",
    variables=("N",),
    terms=(
        Parameter(name="A", positive=True, shift=lambda m: {"alpha": m["N"]}),
        Parameter(name="alpha", lower=1e-4, upper=10.0),
        Parameter(name="g", positive=True, shift=lambda m: {"": -m["N"]}),
    ),
    function=_shifted,
    starts=_shifted_starts,
    exponent="alpha",
)


# --- a level, then a power law --------------------------------------------------------------------


def _plateau(p: Named, x: Variables) -> Jet:
    size = np.log(x["N"])
    bend = jets.softplus((size - p["log d"]) / p["f"])
    return jets.log(p["E"] + jets.exp(p["log B"] - p["alpha"] * p["f"] * bend))


def _plateau_starts(x: Variables, y: Array, weights: Array) -> Array:
    """alpha, and place and width of the bend, on a grid; E and B by least squares."""
    size = np.log(x["N"])
    places = (*np.quantile(size, np.linspace(0, 0.95, 7)), size.max() + 1.0)
    grid = np.array(list(every((0.05, 0.15, 0.3, 0.6, 1.0, 2.0), places, (0.1, 0.4, 1.2, 2.5))))
    alpha, d, f = (grid[:, i, None] for i in range(3))
    branch = -alpha * f * np.logaddexp(0.0, (size - d) / f)
    columns = np.stack([1.0 / y + 0 * branch, np.exp(branch) / y], axis=2)
    amplitudes, misfit = nonnegative(columns, weights)
    best = np.argsort(misfit, kind="stable")[:8]
    floor = np.maximum(amplitudes[best, 0], 1e-3 * y.min())
    level = np.maximum(amplitudes[best, 1], 1e-12)
    alpha, d, f = grid[best].T
    return np.stack([floor, level, alpha, np.exp(d), f], axis=1)


PLATEAU_POWER = JetLaw(
    name="plateau-power",
    formula="L = E + B·(1 + (N/d)^(1/f))^(-alpha·f)",
    source="Caballero et al. 2023, arXiv:2210.14891, with a level before the break (c0 = 0)",
    variables=("N",),
    terms=(
        Parameter(name="E", lower=0.0),
        Parameter(name="B", positive=True),
        Parameter(name="alpha", lower=1e-4, upper=20.0),
        Parameter(name="d", positive=True, shift=lambda m: {"": m["N"]}),
        Parameter(name="f", positive=True, lower=0.02, upper=8.0),
    ),
    function=_plateau,
    starts=_plateau_starts,
    exponent="alpha",
)


# --- broken neural scaling laws -------------------------------------------------------------------


def bnsl(breaks: int) -> JetLaw:
    """L = a + b·N^-c0 · Π (1 + (N/d_i)^(1/f_i))^(−c_i·f_i), with i from 1 to ``breaks``."""
    numbers = range(1, breaks + 1)

    def function(p: Named, x: Variables) -> Jet:
        size = np.log(x["N"])
        branch = p["log b"] - p["c0"] * size
        for i in numbers:
            width = p[f"f{i}"]
            bend = jets.softplus((size - p[f"log d{i}"]) / width)
            branch = branch - p[f"c{i}"] * width * bend
        return jets.log(p["a"] + jets.exp(branch))

    terms = [
        Parameter(name="a", lower=0.0),
        Parameter(name="b", positive=True, shift=lambda m: {"c0": m["N"]}),
        Parameter(name="c0", lower=-1.0, upper=10.0),
    ]
    for i in numbers:
        terms += [
            Parameter(name=f"c{i}", lower=-20.0, upper=20.0),
            Parameter(name=f"d{i}", positive=True, shift=lambda m: {"": m["N"]}),
            Parameter(name=f"f{i}", positive=True, lower=0.02, upper=8.0),
        ]
    return JetLaw(
        name="bnsl" if breaks == 1 else f"bnsl-{breaks}",
        formula="L = a + b·N^-c0·"
        + "·".join(f"(1+(N/d{i})^(1/f{i}))^(-c{i}·f{i})" for i in numbers),
        source="Caballero et al. 2023, arXiv:2210.14891",
        variables=("N",),
        terms=tuple(terms),
        function=function,
        starts=lambda x, y, w: _bnsl_starts(breaks, x, y, w),
        exponent="c0",
    )


def _bnsl_starts(breaks: int, x: Variables, y: Array, weights: Array) -> Array:
    """Exponents, place and width of the break on a grid, a and b by least squares.

    Further breaks start flat (c = 0) at the quantiles of size that are left.
    """
    size = np.log(x["N"])
    places = (*np.quantile(size, np.linspace(0.1, 0.95, 7)), size.max() + 1.0)
    grid = np.array(
        list(
            every((0.02, 0.15, 0.4, 0.8), (-0.5, -0.1, 0.2, 0.6, 1.5, 4.0), places, (0.1, 0.4, 1.2))
        )
    )
    c0, c1, d, f = (grid[:, i, None] for i in range(4))
    branch = -c0 * size - c1 * f * np.logaddexp(0.0, (size - d) / f)
    branch -= branch.mean(axis=1, keepdims=True)
    columns = np.stack([1.0 / y + 0 * branch, np.exp(branch) / y], axis=2)
    amplitudes, misfit = nonnegative(columns, weights)
    best = np.argsort(misfit, kind="stable")[:20]
    raw = -c0 * size - c1 * f * np.logaddexp(0.0, (size - d) / f)
    scale = amplitudes[best, 1] * np.exp(-raw[best].mean(axis=1))
    floor = np.maximum(amplitudes[best, 0], 1e-3 * y.min())
    columns_out = [floor, np.maximum(scale, 1e-12), *grid[best, :2].T, np.exp(grid[best, 2])]
    start = np.stack([*columns_out, grid[best, 3]], axis=1)
    for extra in range(1, breaks):
        place = np.exp(np.quantile(size, extra / breaks))
        flat = np.tile([0.05, place, 0.4], (len(start), 1))
        start = np.concatenate([start, flat], axis=1)
    return start
