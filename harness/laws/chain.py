"""From size to loss to score: two fitted laws in a row, with the uncertainty of both.

A downstream score is often a smooth function of the loss when it is not one of size (Gadre et al.
2024, arXiv:2403.08540; Bhagia et al. 2024, arXiv:2412.04403). The loss law is fitted to many
small runs, the score law to those with scores, and a large run's score is read off both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError, UsageError
from harness.laws.forecast import Predictor
from harness.laws.losses import inverse_link
from harness.laws.records import LEVEL, Fit, Prediction

Array = NDArray[np.float64]

PAIRS = 1000
"""Pairs of replicates, one of each law, that the interval is made of."""


def predict_through_loss(
    loss: Fit, score: Fit, at: Mapping[str, float], *, seed: int = 0
) -> Prediction:
    """The score at size (and tokens) ``at``, through the loss that ``loss`` foretells there.

    Raises:
        UsageError: ``score`` is no law of a loss, or a variable of the loss law is missing.
        DataError: one of the fits is not identifiable.
    """
    first, second = _predictor(loss), _predictor(score)
    if second.fit.law.variables != ("L",):
        raise UsageError(f"A chain needs a law of the loss such as loss-to-score, not {score.law}.")
    expected = first(at)
    bound = second.fit.bound.at({"L": np.array([expected.value])})
    inverse = inverse_link(second.fit.link)
    point = second.scores.back(inverse(bound.eta(second.fit.theta[None])))[0, 0]
    generator = np.random.default_rng([seed, 17])
    losses = first.curve({name: np.array([at[name]]) for name in first.fit.law.variables})[:, 0]
    pairs = min(PAIRS, len(losses), len(second.theta))
    losses = generator.permutation(losses)[:pairs]
    theta = generator.permutation(second.theta)[:pairs]
    eta = np.array(
        [
            second.fit.bound.at({"L": losses[i : i + 1]}).eta(theta[i : i + 1])[0]
            for i in range(pairs)
        ]
    )
    draws = second.measured(eta, {"L": np.array([expected.value])}, [seed, 19])[:, 0]
    lo, hi = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Prediction(
        at=dict(expected.at),
        value=float(point),
        lo=float(min(lo, point)),
        hi=float(max(hi, point)),
        beyond=expected.beyond,
        note=expected.note,
    )


def chained(loss: Fit, score: Fit, *, seed: int = 0) -> Fit:
    """The fit of a score to a loss, made to foretell from size through the fit of that loss.

    Its estimates are those of ``score``; its verdict is the worse of the two.
    """
    order = ("ok", "weak", "not-identifiable")
    said = f"The loss: {loss.law}, {loss.verdict}. {loss.note}"
    worse = loss if order.index(loss.verdict) > order.index(score.verdict) else score
    both = replace(
        score,
        law=f"{score.law} through {loss.law}",
        verdict=worse.verdict,
        note=said if worse is loss else score.note,
        warnings=(*score.warnings, *(() if worse is loss else (said,))),
        forecast=(),
        predictor=None,
    )
    if not isinstance(loss.predictor, Predictor) or not isinstance(score.predictor, Predictor):
        return both

    def through(at: Mapping[str, float]) -> Prediction:
        return predict_through_loss(loss, score, at, seed=seed)

    forecast = tuple(through(p.at) for p in loss.forecast)
    return replace(both, predictor=through, forecast=forecast)


def _predictor(fit: Fit) -> Predictor:
    if not isinstance(fit.predictor, Predictor):
        raise DataError(f"No prediction through the {fit.law} fit: {fit.note}")
    return fit.predictor
