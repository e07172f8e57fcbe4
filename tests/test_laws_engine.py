"""Laws, losses and the solver: derivatives, recovery of exact parameters, agreement with scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from harness.errors import UsageError
from harness.laws.bound import Law
from harness.laws.curves import LINEAR, LOG_LINEAR, SHIFTED_POWER, bnsl
from harness.laws.estimate import Data, fit_point
from harness.laws.expsum import nonnegative
from harness.laws.joint import DATA_CONSTRAINED, KAPLAN
from harness.laws.losses import parse_loss
from harness.laws.m4 import M4
from harness.laws.scorelaws import BLEU_LOG, LOSS_EXPONENTIAL, LOSS_SIGMOID, logit_linear
from harness.laws.solver import Goal, minimise
from harness.laws.sums import CHINCHILLA, EFFECTIVE, OVERTRAINED, POWER, POWER_FLOOR, product

RNG = np.random.default_rng(0)
ONE = {"N": np.geomspace(1e6, 1e10, 15)}
TWO = {
    "N": np.repeat(np.geomspace(1e7, 1e10, 5), 5),
    "D": np.tile(np.geomspace(1e9, 1e12, 5), 5),
}
AMPLE = {"N": TWO["N"], "D": 20 * TWO["D"]}
UNIQUE = np.exp(RNG.uniform(np.log(1e8), np.log(1e10), 60))
REPEATED = {
    "N": np.exp(RNG.uniform(np.log(1e7), np.log(1e10), 60)),
    "U": UNIQUE,
    "D": UNIQUE * np.exp(RNG.choice([0.0, 0, 1, 2, 3, 4], 60)),
}
LOSSES = {"L": np.linspace(2, 4, 12)}

CASES = [
    pytest.param(law, variables, values, id=law.name)
    for law, variables, values in [
        (POWER, ONE, [20, 0.3]),
        (POWER_FLOOR, ONE, [30, 0.5, 0.3]),
        (CHINCHILLA, TWO, [400, 2000, 1.8, 0.34, 0.37]),
        (OVERTRAINED, TWO, [400, 2000, 1.8, 0.34]),
        (EFFECTIVE, AMPLE, [30, 0.5, 0.3]),
        (product(("N", "D")), TWO, [2, 0.3, 0.2]),
        (LINEAR, ONE, [3]),
        (LOG_LINEAR, ONE, [3, 0.5]),
        (SHIFTED_POWER, ONE, [30, 0.3, 1e-8]),
        (M4, ONE, [1000, 0.2, 0.9, 0.5, 0.7]),
        (bnsl(1), ONE, [0.3, 30, 0.2, 0.5, 1e8, 0.5]),
        (KAPLAN, TWO, [1e8, 2e9, 1.8, 0.34, 0.37]),
        (DATA_CONSTRAINED, REPEATED, [500, 1500, 1.8, 0.35, 0.35, 5, 15]),
        (logit_linear(("N", "D")), TWO, [-20, 0.5, 0.4]),
        (LOSS_SIGMOID, LOSSES, [3, 2.8]),
        (LOSS_EXPONENTIAL, LOSSES, [0.9, 3, 0.8]),
        (BLEU_LOG, {"D": np.geomspace(1e6, 1e9, 8)}, [0.01, 0.6, 1.5]),
    ]
]


def working(law: Law, variables: dict[str, np.ndarray], values: list[float]) -> np.ndarray:
    """θ (1, p) of the paper's parameters."""
    natural = law.bind(variables).natural
    linear = np.array(values, dtype=float)
    linear[natural.positive] = np.log(linear[natural.positive])
    return np.linalg.solve(natural.matrix, linear - natural.offset)[None]


@pytest.mark.parametrize(("law", "variables", "values"), CASES)
def test_derivatives_agree_with_differences(
    law: Law, variables: dict[str, np.ndarray], values: list[float]
) -> None:
    bound, theta = law.bind(variables), working(law, variables, values)
    n = next(iter(variables.values())).size
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(1, n)), rng.uniform(size=(1, n))
    gradient, hessian = bound.pull(theta, first, second)
    step = 1e-5 * np.eye(theta.shape[1])

    def eta(shift: np.ndarray) -> np.ndarray:
        return bound.eta(theta + shift)[0]

    slopes = np.array([(eta(h) - eta(-h)) / 2e-5 for h in step])
    np.testing.assert_allclose(gradient[0], slopes @ first[0], rtol=1e-5, atol=1e-6)
    zero = np.zeros_like(first)
    bends = np.array(
        [
            (bound.pull(theta + h, first, zero)[0] - bound.pull(theta - h, first, zero)[0])[0]
            for h in step
        ]
    )
    expected = bends / 2e-5 + (slopes * second[0]) @ slopes.T
    np.testing.assert_allclose(hessian[0], expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize(("law", "variables", "values"), CASES)
def test_exact_points_give_the_parameters_back(
    law: Law, variables: dict[str, np.ndarray], values: list[float]
) -> None:
    bound = law.bind(variables)
    eta = bound.eta(working(law, variables, values))[0]
    inverse = {"log": np.exp, "identity": lambda v: v, "logit": lambda v: 1 / (1 + np.exp(-v))}
    y = inverse[law.link](eta)
    loss = parse_loss("log-mse" if law.link == "log" else "mse")
    fit = fit_point(law, Data(variables=variables, y=y, weights=np.ones_like(y)), loss)
    assert list(fit.parameters.values()) == pytest.approx(values, rel=1e-5)
    assert fit.certificate.converged


@settings(max_examples=10, deadline=None)
@given(unit=st.floats(1e-9, 1e3), scale=st.floats(0.01, 100), seed=st.integers(0, 100))
def test_units_of_size_and_of_the_loss_change_amplitudes_only(
    unit: float, scale: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    y = (1.8 + 400 * TWO["N"] ** -0.34 + 2000 * TWO["D"] ** -0.37) * np.exp(
        0.01 * rng.normal(size=25)
    )
    order = rng.permutation(25)
    loss, ones = parse_loss("huber:1e-2"), np.ones(25)
    first = fit_point(CHINCHILLA, Data(variables=TWO, y=y, weights=ones), loss).parameters
    moved = {name: column[order] * unit for name, column in TWO.items()}
    other = fit_point(CHINCHILLA, Data(variables=moved, y=scale * y[order], weights=ones), loss)
    second = other.parameters
    assert second["alpha"] == pytest.approx(first["alpha"], rel=1e-5)
    assert second["E"] == pytest.approx(scale * first["E"], rel=1e-5, abs=1e-9 * scale)
    assert second["A"] == pytest.approx(scale * first["A"] * unit ** first["alpha"], rel=1e-4)


@pytest.mark.parametrize("loss", ["huber:1e-2", "log-mse", "mse"])
def test_the_optimum_is_at_or_below_what_scipy_finds(loss: str) -> None:
    rng = np.random.default_rng(3)
    y = (0.3 + 20 * ONE["N"] ** -0.3) * np.exp(0.02 * rng.normal(size=15))
    fit = fit_point(POWER_FLOOR, Data(variables=ONE, y=y, weights=np.ones(15)), parse_loss(loss))

    def objective(theta: np.ndarray) -> float:
        return float(fit.goal.value(theta[None], fit.loss.delta)[0])

    found = minimize(objective, fit.theta + 0.1, method="Nelder-Mead", options={"maxiter": 4000})
    assert fit.objective <= found.fun * (1 + 1e-9)
    assert fit.certificate.gradient < 1e-6


def test_rows_of_weights_are_fits_of_copies() -> None:
    rng = np.random.default_rng(4)
    y = (1.8 + 400 * TWO["N"] ** -0.34 + 2000 * TWO["D"] ** -0.37) * np.exp(
        0.01 * rng.normal(size=25)
    )
    loss, ones = parse_loss("log-mse"), np.ones(25)
    point = fit_point(CHINCHILLA, Data(variables=TWO, y=y, weights=ones), loss)
    drawn = rng.integers(0, 25, 25)
    goal = Goal(
        bound=point.bound,
        loss=loss,
        link="log",
        y=y,
        weights=np.stack([ones, np.bincount(drawn, minlength=25).astype(float)]),
    )
    solution = minimise(goal, np.repeat(point.theta[None], 2, axis=0))
    copies = {name: column[drawn] for name, column in TWO.items()}
    copied = fit_point(CHINCHILLA, Data(variables=copies, y=y[drawn], weights=ones), loss)
    assert solution.objective[0] == pytest.approx(point.objective, rel=1e-10)
    assert solution.objective[1] == pytest.approx(copied.objective, rel=1e-8)
    assert solution.converged.all()


def test_a_floor_at_zero_is_reported_as_an_active_bound() -> None:
    y = 20 * ONE["N"] ** -0.3 * (1 - 0.02 * np.log(ONE["N"] / 1e8))
    data = Data(variables=ONE, y=y, weights=np.ones(15))
    assert fit_point(POWER_FLOOR, data, parse_loss("log-mse")).certificate.active == ("E",)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_small_nonnegative_least_squares_agrees_with_scipy(seed: int) -> None:
    from scipy.optimize import nnls

    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(4, 9, 3))
    amplitudes, misfit = nonnegative(columns, np.ones(9))
    for design, found, value in zip(columns, amplitudes, misfit, strict=True):
        expected, norm = nnls(design, np.ones(9))
        assert value == pytest.approx(norm**2, rel=1e-6, abs=1e-9)
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("text", ["hubert", "huber:zero", "huber:-1", "mse:3"])
def test_a_loss_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="loss"):
        parse_loss(text)


def test_binomial_fits_of_a_logit_line_are_logistic_regression() -> None:
    n = ONE["N"]
    y = 1 / (1 + np.exp(8 - 0.4 * np.log(n)))
    data = Data(variables=ONE, y=y, weights=np.full(15, 300.0))
    fit = fit_point(logit_linear(("N",)), data, parse_loss("binomial"))
    assert list(fit.parameters.values()) == pytest.approx([-8, 0.4], rel=1e-6)
