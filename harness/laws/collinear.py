"""Whether one variable of a law follows from the others, so that their exponents trade places."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

INFLATION = 10.0
"""Variance inflation factor from which on it is said (Marquardt 1970): intervals of exponents are
three times as wide as if the variable did not follow from the others."""


def collinearity(variables: Mapping[str, Array]) -> str:
    """A sentence that names the relation, such as C = 6·N·D; empty where there is none.

    Each variable's logarithm is regressed on those of the others; arrays are (n,), positive.
    """
    names = [name for name, column in variables.items() if np.ptp(np.log(column)) > 0]
    if len(names) < 2 or len(variables[names[0]]) <= len(names):
        return ""
    found = [(_left(name, names, variables), name) for name in names]
    # Of relations that hold as well, that of the last variable: C = 6·N·D, not N = C/(6·D).
    least = min(left for left, _ in found)
    target = [name for left, name in found if left <= 2 * least + 1e-12][-1]
    left = next(one for one, name in found if name == target)
    if left * INFLATION > 1:
        return ""
    others = [name for name in names if name != target]
    powers, scatter = _relation(target, others, variables)
    factors = "·".join(
        name if abs(p - 1) < 0.005 else f"{name}^{p:.3g}"
        for name, p in zip(others, powers[1:], strict=True)
        if abs(p) >= 0.005
    )
    level = float(np.exp(powers[0]))
    number = "" if abs(level - 1) < 0.005 else f"{level:.3g}·"
    share = f"within {100 * scatter:.2g} %" if scatter > 1e-6 else "exactly"
    return (
        f"{target} = {number}{factors or '1'} {share} at these points: their effects are "
        f"collinear. Leave one out, such as --x {','.join(others)}."
    )


def _left(name: str, names: list[str], variables: Mapping[str, Array]) -> float:
    """The share of a variable's log variance that the others leave: 1 / inflation."""
    _, scatter = _relation(name, [other for other in names if other != name], variables)
    return float((scatter / np.log(variables[name]).std()) ** 2)


def _relation(
    target: str, others: list[str], variables: Mapping[str, Array]
) -> tuple[Array, float]:
    """Intercept and powers (1 + k,), and the root mean square of what is left, in logs."""
    y = np.log(variables[target])
    design = np.column_stack([np.ones_like(y), *(np.log(variables[name]) for name in others)])
    powers = np.linalg.lstsq(design, y, rcond=None)[0]
    return powers, float(np.sqrt(np.mean((y - design @ powers) ** 2)))
