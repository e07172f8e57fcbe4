"""Compute-optimal allocation: closed form, bands, isoFLOP estimates and their bias."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from harness.errors import DataError, UsageError
from harness.laws.estimate import Data
from harness.laws.fitting import Settings, fit_law
from harness.laws.frontier import (
    allocate,
    bias_warning,
    closed_form,
    isoflop,
    isoflop_beside,
    parabola_bias,
)
from harness.laws.losses import parse_loss
from harness.laws.records import Fit
from harness.laws.resample import Plan
from harness.laws.sums import CHINCHILLA, POWER

N = np.repeat(np.geomspace(1e7, 1e10, 6), 6)
D = np.tile(np.geomspace(1e9, 1e12, 6), 6)
TRUTH = {"amplitude_n": 400.0, "amplitude_d": 2000.0, "alpha": 0.34, "beta": 0.37}


def chinchilla_fit() -> Fit:
    noise = np.exp(0.002 * np.random.default_rng(0).normal(size=36))
    y = (1.8 + 400 * N**-0.34 + 2000 * D**-0.37) * noise
    data = Data(variables={"N": N, "D": D}, y=y, weights=np.ones(36))
    settings = Settings(loss=parse_loss("log-mse"), plan=Plan(unit="points", replicates=200))
    return fit_law(CHINCHILLA, data, settings)


def test_the_numeric_frontier_is_the_closed_form_with_a_band_about_the_truth() -> None:
    fit = chinchilla_fit()
    found = allocate(fit, 1e23)
    values = {name: estimate.value for name, estimate in fit.estimates.items()}
    form = closed_form(
        amplitude_n=values["A"], amplitude_d=values["B"], alpha=values["alpha"], beta=values["beta"]
    )
    assert found.n.value == pytest.approx(form.g * (1e23 / 6) ** form.a, rel=1e-6)
    assert found.n.value * found.d.value * 6 == pytest.approx(1e23)
    truth = closed_form(**TRUTH)
    best = truth.g * (1e23 / 6) ** truth.a
    assert found.n.ci is not None and found.n.ci.covers(best)
    assert found.beyond == pytest.approx(1e23 / (6 * 1e10 * 1e12))
    assert "beyond the largest budget" in found.note
    assert json.dumps(found.to_json(), allow_nan=False)


def test_an_allocation_needs_a_law_in_size_and_data() -> None:
    data = Data(variables={"N": N}, y=20 * N**-0.3 * (1 + 0.01 * np.sin(N)), weights=np.ones(36))
    settings = Settings(loss=parse_loss("log-mse"), plan=Plan(unit="points", replicates=200))
    fit = fit_law(POWER, data, settings)
    with pytest.raises(UsageError, match="law in N and D"):
        allocate(fit, 1e20)
    with pytest.raises(UsageError, match="positive"):
        allocate(chinchilla_fit(), -1)


# Open-Athena, tables 1 to 3 of the isoFLOP bias study: log10 D* = level + b·log10 C.
BIAS = [
    ((1.69, 400.0, 400.0, 0.31, 0.31), -0.389076, -0.389076, 0.5),
    ((1.69, 406.4, 410.7, 0.34, 0.28), -0.555357, -0.578092, 0.548387),
    ((1.69, 406.4, 410.7, 0.465, 0.155), -1.345791, -1.459957, 0.75),
]


@pytest.mark.parametrize(("surface", "true_level", "found_level", "slope"), BIAS)
def test_the_bias_of_parabolas_is_the_published_one(
    surface: tuple[float, ...], true_level: float, found_level: float, slope: float
) -> None:
    e, a, b, alpha, beta = surface
    form = closed_form(amplitude_n=a, amplitude_d=b, alpha=alpha, beta=beta)
    budgets = np.logspace(17, 21, 5)
    n = ((form.g * (budgets / 6) ** form.a)[:, None] * np.logspace(-1, 1, 15, base=16)).ravel()
    c = np.repeat(budgets, 15)
    found = isoflop(c, n, e + a * n**-alpha + b * (c / 6 / n) ** -beta)
    assert found.data_level == pytest.approx(found_level, abs=1e-6)
    assert found.b == pytest.approx(slope, abs=1e-6)
    factor = parabola_bias(e=e, a=a, b=b, alpha=alpha, beta=beta)
    assert np.log10(factor) == pytest.approx(found_level - true_level, abs=2e-6)
    assert bool(bias_warning(factor)) == (alpha != beta)


def test_parabolas_beside_a_law_come_with_the_bias_of_that_law() -> None:
    budgets = np.repeat(np.logspace(18, 21, 5), 9)
    form = closed_form(**TRUTH)
    n = form.g * (budgets / 6) ** form.a * np.tile(np.logspace(-1, 1, 9), 5)
    d = budgets / (6 * n)
    noise = np.exp(0.0005 * np.random.default_rng(1).normal(size=45))
    y = (1.8 + 400 * n**-0.34 + 2000 * d**-0.37) * noise
    settings = Settings(loss=parse_loss("log-mse"), plan=Plan(unit="points", replicates=200))
    data = Data(variables={"N": n, "D": d}, y=y, weights=np.ones(45))
    found, warning = isoflop_beside(fit_law(CHINCHILLA, data, settings))
    assert found is not None
    assert found.budgets.size == 5
    assert found.a == pytest.approx(form.a, abs=0.03)
    assert "times the optimal tokens" in warning


def test_points_without_equal_budgets_have_no_parabolas() -> None:
    n, d = np.exp(np.random.default_rng(2).uniform([[16], [21]], [[23], [27]], (2, 30)))
    data = Data(variables={"N": n, "D": d}, y=1.8 + 400 * n**-0.34 + 2000 * d**-0.37, weights=n**0)
    settings = Settings(loss=parse_loss("log-mse"), plan=Plan(unit="points", replicates=200))
    assert isoflop_beside(fit_law(CHINCHILLA, data, settings))[0] is None


def test_isoflop_needs_two_budgets_with_a_minimum() -> None:
    n = np.geomspace(1e6, 1e9, 6)
    with pytest.raises(DataError, match="two budgets"):
        isoflop(np.full(6, 1e18), n, np.log(n))


def test_porian_exponents(shared: Path) -> None:
    """Porian et al. 2024: from Kaplan's 0.83 to 0.50, within a fifth of their intervals' width."""
    folder = shared / "scaling/porian"
    with (folder / "isoflop_points.csv").open(encoding="utf-8") as file:
        points = list(csv.DictReader(file))
    with (folder / "published_fits.csv").open(encoding="utf-8") as file:
        published = list(csv.DictReader(file))
    keys = ("file", "dataset", "hparams", "warmup", "decay", "param_count", "val")
    for row in published:
        chosen = [p for p in points if all(p[key] == row[key] for key in keys)]
        c, n, loss = (np.array([float(p[name]) for p in chosen]) for name in ("flops", "N", "loss"))
        found = isoflop(c, n, loss, method="akima")
        assert found.a == pytest.approx(float(row["basic_n_exponent"]), abs=0.003)
