"""Intervals that know their noise: clusters, uneven scatter, counts, few units."""

from __future__ import annotations

import numpy as np
import pytest

from harness.laws.bound import Law
from harness.laws.estimate import Data
from harness.laws.fitting import Settings, fit_law
from harness.laws.losses import parse_loss
from harness.laws.records import Fit
from harness.laws.resample import Plan, Unit, bootstrap, student
from harness.laws.scorelaws import logit_linear
from harness.laws.sums import POWER

SIZES = np.repeat(np.geomspace(1e6, 1e10, 12), 6)
LABELS = np.repeat(np.arange(12), 6)


def fitted(
    law: Law, y: np.ndarray, unit: Unit, loss: str = "log-mse", weights: np.ndarray | None = None
) -> Fit:
    n = SIZES[: y.size] if weights is None else np.geomspace(1e7, 1e10, y.size)
    labels = LABELS if unit == "cluster" else None
    plan = Plan(unit=unit, replicates=400, labels=labels, column="size")
    data = Data(variables={"N": n}, y=y, weights=np.ones(y.size) if weights is None else weights)
    return fit_law(law, data, Settings(loss=parse_loss(loss), plan=plan))


def width(fit: Fit, kind: str) -> float:
    interval = fit.estimates["alpha"].kinds[kind]
    assert interval.lo is not None and interval.hi is not None
    return interval.hi - interval.lo


def clustered() -> np.ndarray:
    rng = np.random.default_rng(3)
    return (
        30 * SIZES**-0.2 * np.exp(0.03 * rng.normal(size=12)[LABELS] + 0.003 * rng.normal(size=72))
    )


def test_a_profile_over_clusters_is_as_wide_as_their_noise_asks() -> None:
    points, clusters = (fitted(POWER, clustered(), unit) for unit in ("points", "cluster"))
    assert width(clusters, "profile") > 1.7 * width(points, "profile")
    assert width(clusters, "profile") == pytest.approx(width(clusters, "cluster:size"), rel=0.25)


def test_a_new_size_is_a_new_cluster() -> None:
    y = clustered()
    fit = fitted(POWER, y, "cluster")
    scale = np.log(y / (30 * SIZES**-0.2)).std()
    at = fit.predict(1e8)
    assert np.log(at.hi / at.lo) > 2 * student(10) * scale


def test_uneven_noise_is_that_of_the_points_nearby() -> None:
    rng = np.random.default_rng(5)
    y = 30 * SIZES**-0.2 * np.exp(np.where(SIZES < 1e8, 0.1, 0.005) * rng.normal(size=72))
    fit = fitted(POWER, y, "points")
    small, large = fit.predict(1e6), fit.predict(1e10)
    assert np.log(small.hi / small.lo) > 4 * np.log(large.hi / large.lo)


def test_few_clusters_widen_the_draws_as_students_t_does() -> None:
    y = clustered()
    drawn_fit = fitted(POWER, y, "cluster").predictor
    point = drawn_fit.fit  # type: ignore[union-attr]
    plan = Plan(unit="cluster", replicates=200, labels=LABELS % 4, column="g")
    drawn = bootstrap(point, plan)
    factor = np.sqrt(4 / 3) * student(3) / student(None)
    moved = drawn.widened(point) - point.theta
    np.testing.assert_allclose(moved, factor * (drawn.theta - point.theta), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scatter", [0.0, 0.5])
def test_a_foretold_accuracy_has_the_noise_of_its_items_and_of_its_scatter(scatter: float) -> None:
    rng = np.random.default_rng(8)
    n = np.geomspace(1e7, 1e10, 12)
    logit = -7 + 0.35 * np.log(n) + scatter * rng.normal(size=12)
    y = rng.binomial(500, 1 / (1 + np.exp(-logit))) / 500
    fit = fitted(logit_linear(("N",)), y, "residuals", "binomial", np.full(12, 500.0))
    at = fit.predict(1e9)
    least = 2 * 1.96 * np.sqrt(at.value * (1 - at.value) / 500)
    assert at.hi - at.lo > (3 if scatter else 0.95) * least
    if not scatter:
        assert at.hi - at.lo < 2 * least
