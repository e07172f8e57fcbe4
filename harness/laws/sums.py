"""Built-in laws that are sums of power laws."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.laws.bound import Variables
from harness.laws.expsum import ExpSumLaw

Array = NDArray[np.float64]

_EXPONENTS = tuple(float(a) for a in np.linspace(0.05, 1.2, 12))
_FINE = tuple(float(a) for a in np.geomspace(0.02, 2.5, 40))


def _columns(*logs: Array) -> Array:
    """Features of terms that each fall with one variable of their own: (K, n, K)."""
    count = len(logs)
    features = np.zeros((count, logs[0].size, count))
    for k, log in enumerate(logs):
        features[k, :, k] = -log
    return features


def _with_floor(features: Array) -> Array:
    """One more term, which depends on nothing."""
    return np.concatenate([features, np.zeros((1, *features.shape[1:]))])


def _power(x: Variables) -> Array:
    return _columns(np.log(x["N"]))


def _power_floor(x: Variables) -> Array:
    return _with_floor(_power(x))


def _chinchilla(x: Variables) -> Array:
    return _with_floor(_columns(np.log(x["N"]), np.log(x["D"])))


def _overtrained(x: Variables) -> Array:
    features = np.stack([-np.log(x["N"]), -np.log(x["D"])])[:, :, None]
    return _with_floor(features)


def _effective(x: Variables) -> Array:
    return _with_floor(_columns(np.log(effective_parameters(x["N"], x["D"]))))


def effective_parameters(n: Array, d: Array) -> Array:
    """N − N²/D; NaN where that is not positive (fewer tokens than parameters)."""
    left = n - n**2 / d
    effective: Array = np.where(left > 0, left, np.nan)
    return effective


POWER = ExpSumLaw(
    name="power",
    formula="L = A·N^-alpha",
    source="Hestness et al. 2017, arXiv:1712.00409",
    variables=("N",),
    parameters=("A", "alpha"),
    amplitudes=("A",),
    exponents=("alpha",),
    features=_power,
    exponent="alpha",
)

POWER_FLOOR = ExpSumLaw(
    name="power-floor",
    formula="L = E + A·N^-alpha",
    source="Henighan et al. 2020, arXiv:2010.14701",
    variables=("N",),
    parameters=("A", "E", "alpha"),
    amplitudes=("A", "E"),
    exponents=("alpha",),
    features=_power_floor,
    grids=(_FINE,),
    exponent_bounds=(1e-4, 5.0),
    exponent="alpha",
)

CHINCHILLA = ExpSumLaw(
    name="chinchilla",
    formula="L = E + A·N^-alpha + B·D^-beta",
    source="Hoffmann et al. 2022, arXiv:2203.15556",
    variables=("N", "D"),
    parameters=("A", "B", "E", "alpha", "beta"),
    amplitudes=("A", "B", "E"),
    exponents=("alpha", "beta"),
    features=_chinchilla,
    grids=(_EXPONENTS, _EXPONENTS),
    exponent_bounds=(1e-4, 5.0),
    exponent="alpha",
)

OVERTRAINED = ExpSumLaw(
    name="overtrained",
    formula="L = E + A·N^-alpha + B·D^-alpha",
    source="Gadre et al. 2024, arXiv:2403.08540",
    variables=("N", "D"),
    parameters=("A", "B", "E", "alpha"),
    amplitudes=("A", "B", "E"),
    exponents=("alpha",),
    features=_overtrained,
    grids=(_FINE,),
    exponent_bounds=(1e-4, 5.0),
    exponent="alpha",
)

EFFECTIVE = ExpSumLaw(
    name="effective-params",
    formula="L = E + A·N_eff^-alpha, N_eff = N − N²/D",
    source="power-floor in the effective number of parameters",
    variables=("N", "D"),
    parameters=("A", "E", "alpha"),
    amplitudes=("A", "E"),
    exponents=("alpha",),
    features=_effective,
    grids=(_FINE,),
    exponent_bounds=(1e-4, 5.0),
    exponent="alpha",
)


def product(variables: tuple[str, ...]) -> ExpSumLaw:
    """P = a·N^b·D^c·C^d with the factors of ``variables``, a subset of N, D and C in any order."""
    letters = {"N": "b", "D": "c", "C": "d"}
    chosen = tuple(name for name in letters if name in variables)

    def features(x: Variables) -> Array:
        return np.stack([np.log(x[name]) for name in chosen], axis=1)[None]

    factors = "·".join(f"{name}^{letters[name]}" for name in chosen)
    return ExpSumLaw(
        name="product",
        formula=f"P = a·{factors}",
        source="the power law in parameters, tokens and compute, as textbooks write it",
        variables=chosen,
        parameters=("a", *(letters[name] for name in chosen)),
        amplitudes=("a",),
        exponents=tuple(letters[name] for name in chosen),
        features=features,
        exponent="b" if "N" in chosen else None,
    )
