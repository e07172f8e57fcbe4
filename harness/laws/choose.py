"""Which law to believe: the one that foretold the largest sizes best, when they were held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.laws.bound import Law
from harness.laws.estimate import Data, PointFit, fit_point
from harness.laws.losses import Loss, inverse_link, parse_loss

Array = NDArray[np.float64]

ORIGINS = (2.0**-0.5, 2.0**-1.0, 2.0**-1.5, 2.0**-2.0)
"""Fits are made to sizes up to these shares of the largest, and judged on the sizes above."""

NEGLIGIBLE = 0.02
"""Held-out errors that differ by less than this share are equal."""

FEWEST = 2
"""Held-out points that an origin needs."""


@dataclass(frozen=True, kw_only=True)
class LawScore:
    """How a law did.

    held_out
        root mean squared error of the logarithm of held-out values, geometric mean over origins
    behind
        by how many standard errors its logarithm lies behind the best law's, origin by origin
    aicc
        Akaike's criterion with the small-sample correction, on all points; lower is better
    weight
        share in the average over laws
    """

    law: str
    held_out: float
    behind: float
    aicc: float
    origins: int
    weight: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Laws, best first."""

    laws: tuple[LawScore, ...]

    @property
    def best(self) -> str:
        """The law to use."""
        return self.laws[0].law

    def to_json(self) -> list[dict[str, Any]]:
        """For ``--json``."""
        return [
            {
                "law": score.law,
                "held_out_rmsle": score.held_out if np.isfinite(score.held_out) else None,
                "behind": score.behind if np.isfinite(score.behind) else None,
                "aicc": score.aicc if np.isfinite(score.aicc) else None,
                "origins": score.origins,
                "weight": score.weight,
            }
            for score in self.laws
        ]


def choose(laws: Sequence[Law], data: Data, loss: Loss) -> Ranking:
    """Rank one-variable ``laws`` by rolling origins over scale.

    Each is fitted to the smaller sizes and judged on the larger ones. Laws that are behind the
    best by no more than one standard error, origin by origin, are within reach; among them AICc
    decides, and shares out the weights of the average (Burnham and Anderson 2002). Losses of log
    residuals are compared by their squares, which is quicker and hardly ranks otherwise.

    Raises:
        DataError: there are too few sizes to hold any out.
    """
    loss = parse_loss("log-mse") if loss.scale == "log" else loss
    held = np.array([[_held_out(law, data, loss, share) for share in ORIGINS] for law in laws])
    if not np.isfinite(held).any():
        raise DataError(
            "--law auto holds out the largest sizes, and there are too few of them. "
            "Choose a law with --law."
        )
    logs = np.log(np.maximum(held, 1e-12))
    behind = _behind(logs)
    aicc = np.array([_aicc(law, data, loss) for law in laws])
    reach = behind <= 1.0
    least = aicc[reach].min()
    weight = np.where(reach, np.exp(-0.5 * np.minimum(aicc - least, 700.0)), 0.0)
    weight /= weight.sum()
    order = sorted(
        range(len(laws)), key=lambda i: (not reach[i], aicc[i] if reach[i] else behind[i])
    )
    return Ranking(
        laws=tuple(
            LawScore(
                law=laws[i].name,
                held_out=_geometric(logs[i]),
                behind=float(behind[i]),
                aicc=float(aicc[i]),
                origins=int(np.isfinite(held[i]).sum()),
                weight=float(weight[i]),
            )
            for i in order
        )
    )


def average(fits: Sequence[PointFit], ranking: Ranking, variables: dict[str, Array]) -> Array:
    """Predictions (k,) of the laws within reach, averaged in logs by the ranking's weights."""
    weights = {score.law: score.weight for score in ranking.laws}
    total = np.zeros(next(iter(variables.values())).size)
    for fit in fits:
        if weights.get(fit.law.name, 0.0) > 0:
            eta = fit.bound.at(variables).eta(fit.theta[None])[0]
            total += weights[fit.law.name] * np.log(inverse_link(fit.link)(eta))
    averaged: Array = np.exp(total)
    return averaged


def _geometric(logs: Array) -> float:
    finite = logs[np.isfinite(logs)]
    return float(np.exp(finite.mean())) if finite.size else float("nan")


def _behind(logs: Array) -> Array:
    """Standard errors by which each row's logs (laws, origins) lie behind the best row's."""
    means = np.array(
        [row[np.isfinite(row)].mean() if np.isfinite(row).any() else np.inf for row in logs]
    )
    best = int(np.argmin(means))
    behind = np.full(len(logs), np.inf)
    for i, row in enumerate(logs):
        gap = row - logs[best]
        gap = gap[np.isfinite(gap)]
        if gap.size >= 2:
            error = max(float(gap.std(ddof=1)) / np.sqrt(gap.size), NEGLIGIBLE)
            behind[i] = gap.mean() / error
        elif gap.size == 1 and gap[0] <= 0:
            behind[i] = 0.0
    behind[best] = min(behind[best], 0.0)
    return behind


def _held_out(law: Law, data: Data, loss: Loss, share: float) -> float:
    """RMSLE above ``share`` of the largest size of the fit below it; NaN where impossible."""
    size = data.variables[law.variables[0]]
    below = size <= share * size.max()
    if below.sum() < len(law.parameters) + 2 or (~below).sum() < FEWEST:
        return float("nan")
    fit = fit_point(law, data.take(below), loss, quick=True)
    rest = data.take(~below)
    eta = fit.bound.at(rest.variables).eta(fit.theta[None])[0]
    with np.errstate(all="ignore"):
        left = np.log(inverse_link(fit.link)(eta)) - np.log(rest.y)
    error = float(np.sqrt(np.mean(left**2)))
    return error if np.isfinite(error) else float("nan")


def _aicc(law: Law, data: Data, loss: Loss) -> float:
    """AICc of the residuals, taken as Gaussian (Hurvich and Tsai 1989)."""
    fit = fit_point(law, data, loss, quick=True)
    n, k = data.y.size, fit.theta.size + 1
    square = max(float((fit.data.weights * fit.residuals**2).mean()), 1e-300)
    if n <= k + 1:
        return float("inf")
    return float(n * np.log(square) + 2 * k + 2 * k * (k + 1) / (n - k - 1))
