"""From size to loss to score."""

from __future__ import annotations

import numpy as np
import pytest

from harness.errors import DataError, UsageError
from harness.laws.bound import Law
from harness.laws.chain import predict_through_loss
from harness.laws.estimate import Data
from harness.laws.fitting import Settings, fit_law
from harness.laws.forecast import ScoreMap
from harness.laws.losses import parse_loss
from harness.laws.records import Fit, unidentified
from harness.laws.resample import Plan
from harness.laws.scorelaws import LOSS_SIGMOID
from harness.laws.sums import POWER_FLOOR

SIZES = np.geomspace(1e7, 1e10, 12)


def fitted(law: Law, name: str, x: np.ndarray, y: np.ndarray, loss: str, top: float = 1.0) -> Fit:
    settings = Settings(
        loss=parse_loss(loss),
        plan=Plan(unit="residuals", replicates=300),
        scores=ScoreMap(unit=top, clip=(0.0, top)) if law is LOSS_SIGMOID else ScoreMap(),
        profiles=False,
    )
    return fit_law(law, Data(variables={name: x}, y=y, weights=np.ones(x.size)), settings)


def pair() -> tuple[Fit, Fit]:
    rng = np.random.default_rng(0)
    loss = 1.7 + 400 * SIZES**-0.34
    score = 1 / (1 + np.exp(3 * (loss - 2.5)))
    noisy = np.clip(score + 0.01 * rng.normal(size=12), 0.001, 0.999)
    losses = loss * np.exp(0.002 * rng.normal(size=12))
    return (
        fitted(POWER_FLOOR, "N", SIZES, losses, "log-mse"),
        fitted(LOSS_SIGMOID, "L", losses, noisy, "mse"),
    )


def test_the_score_of_a_larger_model_is_foretold_through_its_loss() -> None:
    loss, score = pair()
    truth = 1 / (1 + np.exp(3 * (1.7 + 400 * 1e11**-0.34 - 2.5)))
    found = predict_through_loss(loss, score, {"N": 1e11})
    assert found.lo <= truth <= found.hi <= 1
    assert found.value == pytest.approx(truth, abs=0.02)
    assert found.beyond == pytest.approx(10)


def test_a_chain_needs_a_law_of_the_loss_and_fits_that_can_tell() -> None:
    loss, score = pair()
    with pytest.raises(UsageError, match="law of the loss"):
        predict_through_loss(loss, loss, {"N": 1e11})
    with pytest.raises(UsageError, match="needs N"):
        predict_through_loss(loss, score, {"D": 1e11})
    blank = unidentified(law="power", formula="", names=("A",), n=3, loss="", note="No trend.")
    with pytest.raises(DataError, match="No trend"):
        predict_through_loss(blank, score, {"N": 1e11})
