"""The batched power laws against closed forms and a general optimiser."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from harness.laws.power import MAX_ALPHA, fit_power, fit_power_floor

SIZES = np.array([1320.0, 3516, 9060, 23712, 64324, 227120, 584576])
LOG = np.log(SIZES) - np.log(SIZES).mean()


def test_power_is_the_regression_in_logs() -> None:
    z = np.random.default_rng(0).normal(size=(5, 7))
    rows = fit_power(LOG, z, np.ones_like(z))
    for row in range(5):
        slope, intercept = np.polyfit(LOG, z[row], 1)
        assert rows.alpha[row] == pytest.approx(-slope)
        assert rows.log_a[row] == pytest.approx(intercept)


def test_a_weight_of_two_is_a_row_given_twice() -> None:
    z = np.log(0.1 + np.exp(-0.4 * LOG)) + np.random.default_rng(1).normal(size=7) * 0.02
    weight = np.array([[1.0, 2, 0, 1, 1, 3, 1]])
    repeated = np.repeat(np.arange(7), weight[0].astype(int))
    for fit in (fit_power, fit_power_floor):
        weighted = fit(LOG, z[None], weight)
        copied = fit(LOG[repeated], z[None, repeated], np.ones((1, repeated.size)))
        assert weighted.alpha[0] == pytest.approx(copied.alpha[0], rel=1e-6)
        assert weighted.sse[0] == pytest.approx(copied.sse[0], rel=1e-9)


def test_power_floor_is_never_worse_than_a_general_optimiser_from_many_starts() -> None:
    rng = np.random.default_rng(2)
    floor, alpha = rng.uniform(0, 1, 12), rng.uniform(0.05, 1.2, 12)
    truth = floor[:, None] + np.exp(-alpha[:, None] * LOG)
    z = np.log(truth) + 0.05 * rng.normal(size=truth.shape)
    rows = fit_power_floor(LOG, z, np.ones_like(z))
    for row in range(12):
        best = min(_general(z[row], start) for start in ((0.1, 0.3), (0.5, 0.8), (0.01, 0.1)))
        assert rows.sse[row] <= best * (1 + 1e-6)


def _general(z: np.ndarray, start: tuple[float, float]) -> float:
    def residual(theta: np.ndarray) -> np.ndarray:
        return z - np.log(theta[2] + np.exp(theta[0] - theta[1] * LOG))

    bounds = ([-20, 1e-4, 0], [20, MAX_ALPHA, np.inf])
    found = least_squares(residual, [0.0, start[1], start[0]], bounds=bounds, xtol=1e-12)
    return float(2 * found.cost)


@settings(max_examples=40, deadline=None)
@given(
    floor=st.floats(0.05, 2.0),
    alpha=st.floats(0.1, 1.5),
    scale=st.floats(0.2, 5.0),
)
def test_exact_data_give_their_law_back(floor: float, alpha: float, scale: float) -> None:
    z = np.log(floor + scale * np.exp(-alpha * LOG))[None]
    rows = fit_power_floor(LOG, z, np.ones_like(z))
    assert rows.alpha[0] == pytest.approx(alpha, rel=1e-3)
    assert rows.floor[0] == pytest.approx(floor, rel=1e-3)


def test_rows_with_too_few_points_are_nan_and_harm_no_other() -> None:
    z = np.tile(np.log(0.2 + np.exp(-0.5 * LOG)), (2, 1))
    weight = np.ones_like(z)
    weight[0, 1:] = 0
    rows = fit_power_floor(LOG, z, weight)
    assert np.isnan(rows.alpha[0])
    assert rows.alpha[1] == pytest.approx(0.5, rel=1e-3)


def test_a_curve_that_rises_keeps_its_negative_exponent() -> None:
    rows = fit_power_floor(LOG, 0.3 * LOG[None], np.ones((1, 7)))
    assert rows.alpha[0] == pytest.approx(-0.3)
    assert rows.floor[0] == 0
