"""Small linear systems, thousands side by side, for the steps of the solver."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_FEW = 64
"""Up to this many systems are solved one by one, more of them side by side."""


def damped_solve(
    hessian: Array, gradient: Array, damping: Array
) -> tuple[Array, NDArray[np.bool_]]:
    """-(H + damping·diag H)⁻¹ g, and where H was positive definite."""
    index = np.arange(gradient.shape[1])
    damped = hessian.copy()
    damped[:, index, index] += damping[:, None] * np.abs(hessian[:, index, index])
    return _cholesky_solve(damped, -gradient)


def along_eigenvectors(hessian: Array, gradient: Array, damping: Array) -> Array:
    """A step with the magnitudes of the eigenvalues of the Hessian, scaled to a unit diagonal."""
    index = np.arange(gradient.shape[1])
    scale = np.sqrt(np.abs(np.nan_to_num(hessian[:, index, index])))
    scale = np.where(scale > 0, scale, 1.0)
    unit = hessian / (scale[:, :, None] * scale[:, None, :])
    unit = np.nan_to_num(unit, nan=0.0, posinf=0.0, neginf=0.0)
    values, vectors = np.linalg.eigh(unit)
    size = np.abs(values) + np.maximum(damping, 1e-8)[:, None]
    along = np.einsum("rij,ri->rj", vectors, -np.nan_to_num(gradient) / scale) / size
    step: Array = np.einsum("rij,rj->ri", vectors, along) / scale
    return step


def _cholesky_solve(matrix: Array, right: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Solve R small systems by a factorisation, and say which are positive definite."""
    if len(right) <= _FEW:
        try:
            factor = np.linalg.cholesky(matrix)
        except np.linalg.LinAlgError:
            factor = None  # one of them is not
        if factor is not None:
            pivots = np.diagonal(factor, axis1=1, axis2=2) ** 2
            if (pivots > 1e-14 * np.diagonal(matrix, axis1=1, axis2=2)).all():
                step: Array = np.asarray(np.linalg.solve(matrix, right[:, :, None]))[..., 0]
                return step, np.full(len(right), True)
    return _side_by_side(matrix, right)


def _side_by_side(matrix: Array, right: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Cholesky's factorisation, entry by entry, for all rows at once."""
    p = right.shape[1]
    lower = [[matrix[:, i, j].copy() for j in range(i + 1)] for i in range(p)]
    good = np.ones(len(right), dtype=bool)
    with np.errstate(all="ignore"):
        for j in range(p):
            for k in range(j):
                lower[j][j] -= lower[j][k] ** 2
            good &= lower[j][j] > 1e-14 * np.abs(matrix[:, j, j])
            lower[j][j] = np.sqrt(lower[j][j])
            for i in range(j + 1, p):
                for k in range(j):
                    lower[i][j] -= lower[i][k] * lower[j][k]
                lower[i][j] /= lower[j][j]
        x = [right[:, i].copy() for i in range(p)]
        for i in range(p):
            for k in range(i):
                x[i] -= lower[i][k] * x[k]
            x[i] /= lower[i][i]
        for i in reversed(range(p)):
            for k in range(i + 1, p):
                x[i] -= lower[k][i] * x[k]
            x[i] /= lower[i][i]
    step = np.stack(x, axis=1)
    good &= np.isfinite(step).all(axis=1)
    return np.where(good[:, None], step, 0.0), good
