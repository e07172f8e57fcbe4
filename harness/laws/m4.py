"""M4 of Alabdulmohsin et al. 2022: a power law between two levels, given by an equation for L."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product as every

import numpy as np
from numpy.typing import NDArray

from harness.laws import jets
from harness.laws.bound import Variables
from harness.laws.jetlaw import JetLaw, Parameter
from harness.laws.jets import Jet

Array = NDArray[np.float64]
Named = Mapping[str, Jet]


def _regress(x: Array, y: Array, weights: Array) -> tuple[Array, Array]:
    """Slopes and levels (R,) of weighted straight lines through ``y`` (R, n) at ``x`` (n,)."""
    share = weights / weights.sum()
    middle = share @ x
    slope = (y @ (share * (x - middle))) / (share @ (x - middle) ** 2)
    return slope, y @ share - slope * middle


def _m4(p: Named, x: Variables) -> Jet:
    """log L for (L − E)/(E0 − L)^k = A·N^-alpha, with v the logit of (L − E)/(E0 − E).

    G(v) = v + (k − 1)·softplus(v) is the right side's logarithm, less the scale of E0 − E; it is
    solved by Newton's method, and two more steps on jets carry the derivatives over.
    """
    height = p["E0"] - p["E"]
    k = p["k"]
    goal = p["log A"] - p["alpha"] * np.log(x["N"]) - (1.0 - k) * jets.log(height)
    root = _logit_root(goal.value, k.value)
    share = 0.5 * (1 + np.tanh(0.5 * root))
    slope = 1.0 + (k.value - 1.0) * share
    v = goal * 0.0 + root
    for _ in range(2):
        v = v - (v + (k - 1.0) * jets.softplus(v) - goal) * (1.0 / slope)
    return jets.log(p["E"] + height * jets.exp(-jets.softplus(-v)))


def _logit_root(goal: Array, k: Array) -> Array:
    """The root v of v + (k − 1)·softplus(v) = goal, which is monotone and bent one way only."""
    v = np.where(goal < 0, goal, goal / np.maximum(k, 1e-3))
    for _ in range(60):
        tail = np.exp(-np.abs(v))
        share = np.where(v >= 0, 1.0, tail) / (1.0 + tail)
        softplus = np.maximum(v, 0.0) + np.log1p(tail)
        step = (v + (k - 1.0) * softplus - goal) / (1.0 + (k - 1.0) * share)
        v = v - np.clip(step, -20.0, 20.0)
        if not (np.abs(step) > 1e-13 * (1.0 + np.abs(v))).any():
            break
    return v


def _m4_pull(theta: Array, x: Variables, first: Array, second: Array) -> tuple[Array, Array]:
    """The derivatives of :func:`_m4` by hand, at a small part of the cost of those by jets.

    With h = E0 − E, q = sigmoid(v) and D = 1 + (k − 1)·q, the root v has the slopes C·b, where
    b = (1, −log N, log h − softplus(v))/D are the same for all rows of C: log A (1, 0, 0), E
    (κ, 0, 0), E0 (−κ, 0, 0), alpha (0, 1, 0), k (0, 0, 1), κ = (1 − k)/h. By the equation's second
    derivatives D·v'' = −(k − 1)·q'·v'·v'ᵀ + (1 − k)/h²·h'·h'ᵀ, plus h'/h − q·v' in row and column
    of k. And η = log(E + h·q).
    """
    a, floor, ceiling, alpha, k = (theta[:, i, None] for i in range(5))
    top = np.exp(ceiling)
    size = np.log(x["N"])
    height = top - floor
    goal = a - alpha * size - (1.0 - k) * np.log(height)
    v = _logit_root(goal, k)
    tail = np.exp(-np.abs(v))
    small = tail / (1.0 + tail)
    q = np.where(v >= 0, 1.0 - small, small)
    rest = 1.0 - q
    bend = small * (1.0 - small)
    inverse = 1.0 / (1.0 + (k - 1.0) * q)
    softplus = np.maximum(v, 0.0) + np.log1p(tail)
    value = floor + height * q
    basis = np.stack([inverse, -size * inverse, (np.log(height) - softplus) * inverse], axis=1)
    chain = _root_slopes(height[:, 0], k[:, 0])
    slope = chain @ (basis * (height * bend / value)[:, None])
    slope[:, 1] += rest / value
    slope[:, 2] += q / value
    gradient = np.matmul(slope, first[:, :, None])[..., 0]
    hessian = np.matmul(slope * (second - first)[:, None], np.swapaxes(slope, 1, 2))

    weight = first * bend / value
    both = weight * height * ((rest - q) - (k - 1.0) * bend * inverse)
    inner = chain @ np.matmul(basis * both[:, None], np.swapaxes(basis, 1, 2))
    hessian += inner @ np.swapaxes(chain, 1, 2)
    # by h', and by k, once with v' and once with h'
    cross = np.zeros_like(hessian)
    cross[:, 2] += (chain @ np.matmul(basis, weight[:, :, None]))[..., 0]
    cross[:, 1] -= cross[:, 2]
    by_k = weight * inverse
    cross[:, 4] -= (chain @ np.matmul(basis, (by_k * height * q)[:, :, None]))[..., 0]
    total = by_k.sum(axis=1)
    cross[:, 4, 1] -= total
    cross[:, 4, 2] += total
    hessian += cross + np.swapaxes(cross, 1, 2)
    flat = total * ((1.0 - k) / height)[:, 0]
    for i, j, sign in ((1, 1, 1.0), (2, 2, 1.0), (1, 2, -1.0), (2, 1, -1.0)):
        hessian[:, i, j] += sign * flat
    return _by_logarithm(gradient, hessian, top[:, 0])


def _by_logarithm(gradient: Array, hessian: Array, top: Array) -> tuple[Array, Array]:
    """Derivatives by log E0 from those by E0."""
    gradient[:, 2] *= top
    hessian[:, 2] *= top[:, None]
    hessian[:, :, 2] *= top[:, None]
    hessian[:, 2, 2] += gradient[:, 2]
    return gradient, hessian


def _root_slopes(height: Array, k: Array) -> Array:
    """C (R, 5, 3) of :func:`_m4_pull`."""
    chain = np.zeros((len(height), 5, 3))
    chain[:, [0, 3, 4], [0, 1, 2]] = 1.0
    chain[:, 1, 0] = (1.0 - k) / height
    chain[:, 2, 0] = -chain[:, 1, 0]
    return chain


def _m4_starts(x: Variables, y: Array, weights: Array) -> Array:
    """E and E0 around the data and k on a grid; A and alpha by regression."""
    lows = (1e-4, 0.3, 0.6, 0.8, 0.9, 0.97, 0.995)
    grid = np.array(list(every(lows, (1.005, 1.05, 1.3, 3.0), (0.1, 0.4, 1.0, 2.0))))
    floor, top, k = (grid * [y.min(), y.max(), 1.0]).T[:, :, None]
    target = np.log(y - floor) - k * np.log(top - y)
    slope, level = _regress(np.log(x["N"]), target, weights)
    left = target - level[:, None] - slope[:, None] * np.log(x["N"])
    sensitive = 1.0 / ((1.0 / (y - floor) + k / (top - y)) * y)
    misfits = (weights * (left * sensitive) ** 2).sum(axis=1)
    starts = [np.exp(level), floor[:, 0], top[:, 0], np.maximum(-slope, 1e-2), k[:, 0]]
    return np.stack(starts, axis=1)[np.argsort(misfits, kind="stable")[:10]]


M4 = JetLaw(
    name="m4",
    formula="(L − E)/(E0 − L)^k = A·N^-alpha",
    source="Alabdulmohsin et al. 2022, arXiv:2209.06640",
    variables=("N",),
    terms=(
        Parameter(name="A", positive=True, shift=lambda m: {"alpha": m["N"]}),
        Parameter(name="E", lower=0.0),
        Parameter(name="E0", positive=True),
        Parameter(name="alpha", lower=1e-3, upper=5.0),
        Parameter(name="k", lower=0.01, upper=10.0),
    ),
    function=_m4,
    pull=_m4_pull,
    starts=_m4_starts,
    exponent="alpha",
)
