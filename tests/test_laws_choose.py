"""The choice of a law: what is chosen where the truth is known, and what the choice rests on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.errors import DataError, UsageError
from harness.laws.candidates import EFFECTIVE
from harness.laws.choose import Ranking, choose
from harness.laws.estimate import Data, fit_point
from harness.laws.losses import inverse_link, parse_loss
from harness.laws.origins import fit_cuts
from harness.laws.registry import AUTO_PAIR, BUILTIN, auto_laws
from harness.laws.request import FitRequest
from harness.laws.table import read_csv
from harness.laws.tablefit import BY_SIZE, GroupFit, fit_table

LOSS = parse_loss("log-mse")


def points(n: np.ndarray, y: np.ndarray, scatter: float, seed: int = 0) -> Data:
    noise = np.random.default_rng(seed).normal(size=n.size)
    return Data(variables={"N": n}, y=y * np.exp(scatter * noise), weights=np.ones(n.size))


def chosen(data: Data) -> Ranking:
    return choose(auto_laws(("N",)), data, LOSS)


def fit(tmp_path: Path, names: str, *columns: np.ndarray, **options: object) -> GroupFit:
    rows = "".join(",".join(map(str, row)) + "\n" for row in zip(*columns, strict=True))
    path = tmp_path / "points.csv"
    path.write_text(f"{names}\n{rows}", encoding="utf-8")
    request = FitRequest(y="loss", law="auto", replicates=200, **options)  # type: ignore[arg-type]
    (group,) = fit_table(read_csv(path), request)
    return group


@pytest.mark.parametrize("name", ["power", "power-floor", "shifted-power", "plateau-power", "bnsl"])
def test_fits_to_a_cut_equal_the_engines_own(name: str) -> None:
    n = np.geomspace(1e6, 1e10, 30)
    data = points(n, 1.5 + 40 * (n + 1e7) ** -0.3, 0.005)
    cut = n <= 1e9
    fits = fit_cuts(BUILTIN[name], data, [np.ones(30, dtype=bool), cut], log=True)
    for row, part in enumerate((data, data.take(cut))):
        exact = fit_point(BUILTIN[name], part, LOSS)
        assert fits.square[row] <= 2 * exact.objective / part.y.size * 1.01
    eta = exact.bound.at({"N": n}).eta(exact.theta[None])[0]
    assert fits.at({"N": n})[1] == pytest.approx(inverse_link("log")(eta), rel=5e-3)


@pytest.mark.parametrize(
    ("law", "truth"),
    [
        ("power", lambda n: 30 * n**-0.2),
        ("power-floor", lambda n: 1.7 + 400 * n**-0.35),
    ],
)
def test_the_simplest_law_is_chosen_where_it_is_true(law: str, truth: object) -> None:
    n = np.geomspace(1e6, 1e10, 24)
    ranking = chosen(points(n, truth(n), 0.003))  # type: ignore[operator]
    assert ranking.best == law


def test_a_beginning_that_no_power_law_has_asks_for_more_parameters() -> None:
    n = np.geomspace(1e6, 1e10, 40)
    ranking = chosen(points(n, 0.1 + 0.9 * (1 + n / 3e7) ** -0.4, 0.002))
    assert ranking.best in ("plateau-power", "m4", "bnsl") or ranking.laws[0].by_size
    held = {score.law: score.held_out for score in ranking.laws if not score.by_size}
    assert held["power"] > 5 * held["plateau-power"]


def test_the_choice_foretells_a_larger_size(tmp_path: Path) -> None:
    n = np.geomspace(1e6, 1e10, 40)

    def truth(size: np.ndarray) -> np.ndarray:
        return np.asarray(0.1 + 0.9 * (1 + size / 3e7) ** -0.4)

    data = points(n, truth(n), 0.002)
    beyond = {"N": np.array([2e10, 4e10])}
    assert chosen(data).average(beyond) == pytest.approx(truth(beyond["N"]), rel=0.02)


def test_points_beyond_the_origin_do_not_move_its_record() -> None:
    n = np.geomspace(1e6, 1e10, 24)
    data = points(n, 1.7 + 400 * n**-0.35, 0.003)
    spoilt = Data(variables={"N": n}, y=np.where(n > 3e9, 9.0, data.y), weights=data.weights)
    cut = [n <= 3e9]
    for law in auto_laws(("N",)):
        ours = fit_cuts(law, data, cut, log=True).at({"N": n})
        theirs = fit_cuts(law, spoilt, cut, log=True).at({"N": n})
        assert ours == pytest.approx(theirs, rel=1e-9), law.name


def test_points_count_by_size_only_where_enough_are_left(tmp_path: Path) -> None:
    few, many = np.geomspace(1e6, 1e8, 12), np.geomspace(1e6, 1e8, 40)
    assert EFFECTIVE > 12
    for n, expected in ((few, False), (many, True)):
        ranking = chosen(points(n, 1.7 + 400 * n**-0.35, 0.003))
        assert any(score.by_size for score in ranking.laws) is expected


def test_a_law_of_the_largest_sizes_says_so(tmp_path: Path) -> None:
    n = np.geomspace(1e6, 1e9, 48)
    early = 0.3 * np.exp(-((np.log(n / 1e6) / 2) ** 2))
    noise = np.random.default_rng(4).normal(size=n.size)
    group = fit(tmp_path, "N,loss", n, (2 + 50 * n**-0.25) * (1 + early) * np.exp(0.001 * noise))
    assert group.ranking is not None
    assert (BY_SIZE in group.fit.warnings) is group.ranking.laws[0].by_size


def test_two_variables_are_ranked_by_holding_out_the_most_compute(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    n, d = np.exp(generator.uniform(np.log(1e7), np.log(1e10), (2, 60)))
    d = 20 * d
    loss = 1.7 + 1500 * n**-0.45 + 300 * d**-0.25
    loss = loss * np.exp(0.001 * generator.normal(size=60))
    group = fit(tmp_path, "N,D,loss", n, d, loss, x=("N", "D"))
    assert group.ranking is not None
    assert group.fit.law == group.ranking.best == "chinchilla"
    assert {score.law for score in group.ranking.laws} <= set(AUTO_PAIR)
    assert json.dumps(group.ranking.to_json(), allow_nan=False)


def test_three_variables_are_refused_in_words(tmp_path: Path) -> None:
    n = np.geomspace(1e6, 1e9, 12)
    with pytest.raises(UsageError, match="one or two variables, not 3"):
        fit(tmp_path, "N,D,U,loss", n, 9 * n, 8 * n, 30 * n**-0.2, x=("N", "D", "U"))


def test_values_must_be_positive() -> None:
    n = np.geomspace(1e6, 1e9, 12)
    with pytest.raises(DataError, match="must be positive"):
        chosen(Data(variables={"N": n}, y=1 - n / 1e8, weights=np.ones(12)))


def test_many_points_are_ranked_as_few_are() -> None:
    n = np.geomspace(1e6, 1e10, 300)
    ranking = chosen(points(n, 1.7 + 400 * n**-0.35, 0.003))
    assert ranking.best == "power-floor"
    assert sum(score.weight for score in ranking.laws) == pytest.approx(1)


def test_the_average_over_laws_is_marked_as_such(tmp_path: Path) -> None:
    n = np.geomspace(1e6, 1e10, 25)
    noise = np.random.default_rng(6).normal(size=25)
    group = fit(tmp_path, "N,loss", n, 30 * n**-0.2 * np.exp(0.003 * noise))
    assert group.fit.forecast and len(group.average) == len(group.fit.forecast)
    for alone, together in zip(group.fit.forecast, group.average, strict=True):
        assert together.note.startswith("average over ")
        assert together.lo <= together.value <= together.hi
        assert together.value == pytest.approx(alone.value, rel=0.05)
