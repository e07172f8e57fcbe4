"""Built-in laws of bounded scores: in size, in loss, and BLEU's own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from harness.laws import jets
from harness.laws.bound import Variables
from harness.laws.jetlaw import JetLaw, Parameter
from harness.laws.jets import Jet

Array = NDArray[np.float64]
Named = Mapping[str, Jet]

_EDGE = 1e-3


def _logit(y: Array) -> Array:
    inside = np.clip(y, _EDGE, 1 - _EDGE)
    logit: Array = np.log(inside) - np.log1p(-inside)
    return logit


# --- logit-linear in log size ---------------------------------------------------------------------


def logit_linear(variables: tuple[str, ...]) -> JetLaw:
    """logit((S − c)/(u − c)) = w0 + w1·log N + w2·log D, for the ``variables`` given."""
    slopes = [f"w{i}" for i in range(1, len(variables) + 1)]
    pairs = tuple(zip(slopes, variables, strict=True))

    def function(p: Named, x: Variables) -> Jet:
        total = p["w0"]
        for slope, name in pairs:
            total = total + p[slope] * np.log(x[name])
        return total

    def starts(x: Variables, y: Array, weights: Array) -> Array:
        columns = [np.ones_like(y), *(np.log(x[name]) for name in variables)]
        root = np.sqrt(weights)
        design = np.stack(columns, axis=1) * root[:, None]
        solution, *_ = np.linalg.lstsq(design, root * _logit(y), rcond=None)
        start: Array = solution[None, :]
        return start

    terms = " + ".join(f"{slope}·log {name}" for slope, name in pairs)
    return JetLaw(
        name="logit-linear",
        formula=f"logit((S − c)/(u − c)) = w0 + {terms}",
        source="Owen 2024, arXiv:2401.04757; Ruan et al. 2024, arXiv:2405.10938",
        variables=variables,
        terms=(
            Parameter(name="w0", shift=lambda m: {slope: -m[name] for slope, name in pairs}),
            *(Parameter(name=slope) for slope in slopes),
        ),
        function=function,
        starts=starts,
        exponent="w1" if variables[0] == "N" else None,
        link="logit",
    )


# --- from a loss to a score -----------------------------------------------------------------------


def _sigmoid(p: Named, x: Variables) -> Jet:
    return -(p["k"] * (-p["L0"] + x["L"]))


def _sigmoid_starts(x: Variables, y: Array, weights: Array) -> Array:
    slope, level = np.polyfit(x["L"], _logit(y), 1, w=np.sqrt(weights))
    steep = min(slope, -1e-3)
    return np.array([[-steep, -level / steep], [1.0, float(np.median(x["L"]))]])


LOSS_SIGMOID = JetLaw(
    name="loss-to-score",
    formula="S = c + (u − c)/(1 + e^(k·(L − L0)))",
    source="Grattafiori et al. 2024, arXiv:2407.21783; Bhagia et al. 2024, arXiv:2412.04403",
    variables=("L",),
    terms=(Parameter(name="k", lower=-100.0, upper=100.0), Parameter(name="L0")),
    function=_sigmoid,
    starts=_sigmoid_starts,
    link="logit",
    scaled=False,
)


def _exponential(p: Named, x: Variables) -> Jet:
    return p["eps"] - p["k"] * jets.exp(-(p["gamma"] * x["L"]))


def _exponential_starts(x: Variables, y: Array, weights: Array) -> Array:
    """γ on a grid, the two others by least squares."""
    root, starts, misfits = np.sqrt(weights), [], []
    for gamma in np.geomspace(0.05, 10.0, 40):
        design = np.stack([np.ones_like(y), -np.exp(-gamma * x["L"])], axis=1) * root[:, None]
        solution, *_ = np.linalg.lstsq(design, root * y, rcond=None)
        starts.append([solution[0], max(solution[1], 1e-12), gamma])
        misfits.append(float(((design @ solution - root * y) ** 2).sum()))
    return np.array(starts)[np.argsort(misfits, kind="stable")[:4]]


LOSS_EXPONENTIAL = JetLaw(
    name="loss-to-error",
    formula="Err = eps − k·e^(−gamma·L)",
    source="Gadre et al. 2024, arXiv:2403.08540",
    variables=("L",),
    terms=(
        Parameter(name="eps"),
        Parameter(name="k", positive=True),
        Parameter(name="gamma", lower=1e-3, upper=50.0),
    ),
    function=_exponential,
    starts=_exponential_starts,
    link="identity",
    scaled=False,
)


# --- BLEU's logarithm of a power ------------------------------------------------------------------


def _bleu_log(p: Named, x: Variables) -> Jet:
    return p["beta"] * jets.log(p["log A"] + p["alpha"] * np.log(x["D"]))


def _bleu_starts(x: Variables, y: Array, weights: Array) -> Array:
    """For a given beta the law is linear: y^(1/beta) = log A + alpha·log D."""
    starts, misfits = [], []
    for beta in np.geomspace(0.2, 8.0, 30):
        target = y ** (1 / beta)
        slope, level = np.polyfit(np.log(x["D"]), target, 1, w=np.sqrt(weights))
        line = level + slope * np.log(x["D"])
        if line.min() <= 0 or slope <= 0 or level > 600:
            continue
        starts.append([np.exp(level), slope, beta])
        misfits.append(float((weights * (np.log(y) - beta * np.log(line)) ** 2).sum()))
    if not starts:
        return np.array([[np.exp(1.0), 0.01, 1.0]])
    return np.array(starts)[np.argsort(misfits, kind="stable")[:5]]


BLEU_LOG = JetLaw(
    name="bleu-log",
    formula="S = (log(A·D^alpha))^beta",
    source="Isik et al. 2024, arXiv:2402.04177",
    variables=("D",),
    terms=(
        Parameter(name="A", positive=True, shift=lambda m: {"alpha": -m["D"]}),
        Parameter(name="alpha", lower=1e-6, upper=1e3),
        Parameter(name="beta", lower=1e-2, upper=50.0),
    ),
    function=_bleu_log,
    starts=_bleu_starts,
)
