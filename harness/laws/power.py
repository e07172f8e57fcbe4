"""Thousands of power laws at once: e = A·x^-α, and e = E + A·x^-α with E >= 0.

Each row of the arrays is one resampled data set over the same sizes. Residuals are logarithmic,
so errors of every magnitude count alike. The law without a floor is a weighted regression and has
a closed form; the law with one starts from variable projection (α on a grid shared by all rows,
non-negative least squares for E and A) and is finished by a damped Newton iteration over all rows
together, from which converged rows retire.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MAX_ALPHA = 3.0
"""Exponents are sought up to here; a row that ends here has no upper bound for its exponent."""

_START_ALPHAS = np.geomspace(0.02, MAX_ALPHA, 16)
_ITERATIONS = 80
_GAIN = 1e-10


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Fits of R rows. ``log_a`` is at the centre of log x that was subtracted from ``l``.

    All arrays are (R,); ``sse`` sums weighted squared log residuals; rows that cannot be fitted
    hold NaN.
    """

    log_a: Array
    alpha: Array
    floor: Array
    sse: Array

    def curve(self, l: Array) -> Array:  # noqa: E741 - log size, as in the formulas
        """log e at centred log sizes ``l`` (k,), as (R, k)."""
        power = np.exp(self.log_a[:, None] - self.alpha[:, None] * l)
        curve: Array = np.log(self.floor[:, None] + power)
        return curve

    def take(self, rows: NDArray[np.intp] | slice) -> Rows:
        """The chosen rows."""
        return Rows(
            log_a=self.log_a[rows],
            alpha=self.alpha[rows],
            floor=self.floor[rows],
            sse=self.sse[rows],
        )


def fit_power(l: Array, z: Array, w: Array) -> Rows:  # noqa: E741
    """Weighted regression of log errors ``z`` (R, m) on log sizes ``l`` (m,), weights (R, m)."""
    # Products are summed as they are made: sums over so few points cost more than the products.
    total = w @ np.ones_like(l)
    with np.errstate(invalid="ignore", divide="ignore"):
        l_mean = (w @ l) / total
        z_mean = np.einsum("rm,rm->r", w, z) / total
        l_row = l - l_mean[:, None]
        weighed = w * l_row
        spread = np.einsum("rm,rm->r", weighed, l_row)
        spread = np.where(spread > 1e-12 * total, spread, np.nan)
        slope = np.einsum("rm,rm->r", weighed, z) / spread
    log_a = z_mean - slope * l_mean
    residual = z - log_a[:, None] - slope[:, None] * l
    sse = np.einsum("rm,rm,rm->r", w, residual, residual)
    return Rows(log_a=log_a, alpha=-slope, floor=np.zeros_like(log_a), sse=sse)


def fit_power_floor(l: Array, z: Array, w: Array) -> Rows:  # noqa: E741
    """As :func:`fit_power`, with a floor E >= 0.

    Rows that do not fall with size, and rows whose best floor is zero, equal the plain power law.
    """
    plain = fit_power(l, z, w)
    able = np.flatnonzero((plain.alpha > 0) & ((w > 0).sum(axis=1) >= 3))
    theta = _starts(l, z[able], w[able])
    gain = (w[able] * np.exp(-plain.curve(l)[able]) * (z[able] - plain.curve(l)[able])).sum(axis=1)
    hopeful = (gain > 0) | (theta[2] > 0)
    able, theta = able[hopeful], theta[:, hopeful]
    if able.size == 0:
        return plain
    theta, sse = _descend(l, z[able], w[able], theta)
    better = sse < plain.sse[able] * (1 - 1e-10)
    chosen = able[better]
    log_a, alpha, floor, total = (
        array.copy() for array in (plain.log_a, plain.alpha, plain.floor, plain.sse)
    )
    log_a[chosen], alpha[chosen], floor[chosen] = theta[:, better]
    total[chosen] = sse[better]
    return Rows(log_a=log_a, alpha=alpha, floor=floor, sse=total)


def _starts(l: Array, z: Array, w: Array) -> Array:  # noqa: E741
    """Best (log A, α, E) on the grid of α by relative least squares, as (3, R)."""
    x = np.exp(-np.outer(_START_ALPHAS, l))
    inverse = np.exp(-z) * w
    v = inverse * np.exp(-z)
    s0, s1, s2 = v.sum(axis=1)[:, None], v @ x.T, v @ (x**2).T
    t0, t1 = inverse.sum(axis=1)[:, None], inverse @ x.T
    # Where all sizes look alike to an alpha the determinant vanishes; such starts are refused.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        determinant = np.maximum(s0 * s2 - s1**2, 1e-300)
        floor = (s2 * t0 - s1 * t1) / determinant
        scale = (s0 * t1 - s1 * t0) / determinant
        scale = np.where(floor < 0, t1 / s2, scale)
        floor = np.maximum(floor, 0.0)
        objective = -2 * (floor * t0 + scale * t1) + floor**2 * s0 + 2 * floor * scale * s1
        objective = objective + scale**2 * s2
        objective = np.where((scale > 0) & np.isfinite(objective), objective, np.inf)
    best = np.argmin(objective, axis=1)
    rows = np.arange(len(z))
    scale = np.maximum(scale[rows, best], 1e-12)
    return np.stack([np.log(scale), _START_ALPHAS[best], floor[rows, best]])


def _descend(l: Array, z: Array, w: Array, theta: Array) -> tuple[Array, Array]:  # noqa: E741
    """Damped Newton over all rows; returns parameters (3, R) and sums of squares (R,)."""
    theta = theta.copy()
    value, sse = _evaluate(l, z, w, theta)
    damping = np.full(len(z), 1e-4)
    active = np.arange(len(z))
    za, wa, at, f, now = z, w, theta, value, sse.copy()
    for _ in range(_ITERATIONS):
        trial = at + _step(l, za, wa, at, f, damping)
        np.clip(trial[1], 1e-4, MAX_ALPHA, out=trial[1])
        np.maximum(trial[2], 0.0, out=trial[2])
        trial_f, trial_sse = _evaluate(l, za, wa, trial)
        accept = trial_sse <= now
        gain = now - trial_sse
        f = np.where(accept[:, None], trial_f, f)
        at = np.where(accept, trial, at)
        now = np.where(accept, trial_sse, now)
        damping *= np.where(accept, 0.1, 8.0)
        done = (accept & (gain <= _GAIN * now + 1e-20)) | (damping > 1e12)
        theta[:, active[done]], sse[active[done]] = at[:, done], now[done]
        left = ~done
        if not left.any():
            break
        if done.any():
            active, za, wa, at = active[left], za[left], wa[left], at[:, left]
            f, now, damping = f[left], now[left], damping[left]
    theta[:, active], sse[active] = at, now
    return theta, sse


def _evaluate(l: Array, z: Array, w: Array, theta: Array) -> tuple[Array, Array]:  # noqa: E741
    """Fitted errors (R, m) and weighted sums of squared log residuals (R,)."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        value = theta[2][:, None] + np.exp(theta[0][:, None] - theta[1][:, None] * l)
        residual = z - np.log(value)
        total = np.einsum("rm,rm,rm->r", w, residual, residual)
    return value, np.where(np.isfinite(total), total, np.inf)


def _step(l: Array, z: Array, w: Array, theta: Array, f: Array, damping: Array) -> Array:  # noqa: E741
    """One step per row, (3, R): Newton's where the Hessian is positive, else Gauss-Newton's.

    With q = A·x^-α / f and residual r = z - log f, every entry is a sum over points of q, r and
    1/f times a power of l, so that sums over points are products with the columns [1, l, l²].
    """
    share = 1.0 - theta[2][:, None] / f
    residual = z - np.log(f)
    inverse = w / f
    columns = np.stack([np.ones_like(l), l, l**2], axis=1)
    down = (w * share * residual) @ columns[:, :2]
    gradient = np.stack([down[:, 0], -down[:, 1], (inverse * residual).sum(axis=1)])
    held = np.zeros(gradient.shape, dtype=bool)
    held[1] = (theta[1] >= MAX_ALPHA) & (gradient[1] > 0)
    held[2] = (theta[2] <= 0) & (gradient[2] < 0)
    gauss = _hessian(w * share**2, inverse * share, inverse / f, columns)
    bent = residual * w * share * (1.0 - share)
    over = 1.0 + residual
    newton = _hessian(w * share**2 - bent, inverse * share * over, inverse / f * over, columns)
    gradient = np.where(held, 0.0, gradient)
    step, positive = _solve(newton, gradient, held, damping)
    if not positive.all():
        other, _ = _solve(gauss, gradient, held, damping)
        step = np.where(positive, step, other)
    return step


def _hessian(aa: Array, ae: Array, ee: Array, columns: Array) -> Array:
    """Entries (aa, aα, αα, aE, αE, EE) of the Hessian, (6, R)."""
    first, second = aa @ columns, ae @ columns[:, :2]
    return np.stack(
        [first[:, 0], -first[:, 1], first[:, 2], second[:, 0], -second[:, 1], ee.sum(axis=1)]
    )


def _solve(h: Array, g: Array, held: NDArray[np.bool_], damping: Array) -> tuple[Array, Array]:
    """Cholesky by hand for R damped 3 × 3 systems; also says which were positive definite."""
    free = ~held
    h00 = np.where(free[0], h[0] * (1 + damping) + 1e-14, 1.0)
    h11 = np.where(free[1], h[2] * (1 + damping) + 1e-14, 1.0)
    h22 = np.where(free[2], h[5] * (1 + damping) + 1e-14, 1.0)
    h10 = h[1] * (free[0] & free[1])
    h20 = h[3] * (free[0] & free[2])
    h21 = h[4] * (free[1] & free[2])
    with np.errstate(all="ignore"):
        d1 = h11 - h10 * h10 / h00
        m = h21 - h20 * h10 / h00
        d2 = h22 - h20 * h20 / h00 - m * m / d1
        y1 = g[1] - h10 / h00 * g[0]
        x2 = (g[2] - h20 / h00 * g[0] - m / d1 * y1) / d2
        x1 = (y1 - m * x2) / d1
        x0 = (g[0] - h10 * x1 - h20 * x2) / h00
    positive = (h00 > 0) & (d1 > 0) & (d2 > 0)
    step = np.where(positive, np.stack([x0, x1, x2]), 0.0)
    return step, positive
