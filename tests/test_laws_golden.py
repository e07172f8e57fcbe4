"""Published fits, reproduced from the published points."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from harness.laws.bound import Law
from harness.laws.estimate import Data, PointFit, fit_point
from harness.laws.forecast import inverse_link
from harness.laws.joint import KAPLAN
from harness.laws.losses import parse_loss
from harness.laws.resample import Plan, bootstrap
from harness.laws.scorelaws import LOSS_EXPONENTIAL
from harness.laws.sums import CHINCHILLA, OVERTRAINED


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def column(table: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(row[name]) for row in table])


@pytest.fixture(scope="module")
def chinchilla(shared: Path) -> Data:
    """The 240 points of Hoffmann et al. 2022, figure 4, less the five largest losses."""
    table = rows(shared / "scaling/chinchilla/points.csv")
    n, c, loss = (column(table, name) for name in ("Model Size", "Training FLOP", "loss"))
    keep = np.argsort(loss)[:-5]
    n, c, loss = n[keep], c[keep], loss[keep]
    return Data(variables={"N": n, "D": c / (6 * n)}, y=loss, weights=np.ones(240))


def test_chinchilla_by_hubers_loss_to_six_digits(chinchilla: Data) -> None:
    """The true optimum of Besiroglu et al. 2024's objective (arXiv:2404.10102)."""
    fit = fit_point(CHINCHILLA, chinchilla, parse_loss("huber:1e-3"))
    assert fit.parameters == pytest.approx(
        {"A": 477.826, "B": 2143.417, "E": 1.817218, "alpha": 0.3473105, "beta": 0.3671724},
        rel=2e-6,
    )
    assert fit.objective == pytest.approx(1.0182740178e-3, rel=1e-10)
    assert fit.certificate.share == 1.0
    assert fit.certificate.gradient < 1e-8


def test_chinchilla_by_least_absolute_deviations(chinchilla: Data) -> None:
    """Besiroglu et al. 2024's headline, whose free scale collapses to absolute deviations."""
    fit = fit_point(CHINCHILLA, chinchilla, parse_loss("lad"))
    assert fit.parameters == pytest.approx(
        {"A": 482.01, "B": 2085.43, "E": 1.81686, "alpha": 0.34781, "beta": 0.36585}, rel=1.5e-5
    )
    assert np.abs(fit.residuals).sum() <= 1.1294946996283404


def test_chinchilla_bootstrap_errors_within_monte_carlo_error(chinchilla: Data) -> None:
    """Besiroglu et al. 2024's standard errors from 4,000 draws; ours from 1,500."""
    fit = fit_point(CHINCHILLA, chinchilla, parse_loss("huber:1e-3"))
    drawn = bootstrap(fit, Plan(unit="points", replicates=1500))
    assert drawn.failures == 0
    spread = fit.bound.natural.values(drawn.theta).std(axis=0)
    published = {"A": 124.52232, "B": 1293.2841, "E": 0.02566, "alpha": 0.0154, "beta": 0.0206}
    for name, value in zip(fit.bound.natural.names, spread, strict=True):
        assert value == pytest.approx(published[name], rel=0.2 if name == "B" else 0.08)


def loss_to_loss(shared: Path) -> list[tuple[Law, Data, dict[str, str]]]:
    folder = shared / "scaling/loss_to_loss"
    sweep, cases = rows(folder / "sweep.csv"), []
    for row in rows(folder / "published_fits.csv"):
        runs = [run for run in sweep if run["data"] == row["data"] and run[row["loss_name"]]]
        n, d, y = (column(runs, name) for name in ("params", "tokens", row["loss_name"]))
        law: Law = KAPLAN if row["kaplan"] == "True" else CHINCHILLA
        data = Data(variables={"N": n, "D": d}, y=y, weights=np.ones(y.size))
        cases.append((law, data, row))
    return cases


def test_loss_to_loss_objectives_are_at_or_below_the_published(shared: Path) -> None:
    """A ninth of the 92 published fits here, every one in bench/laws_speed.py."""
    for law, data, row in loss_to_loss(shared)[::9]:
        a, b, e, alpha, beta = (float(row[k]) for k in ("A", "B", "E", "alpha", "beta"))
        n, d = data.variables["N"], data.variables["D"]
        if law is KAPLAN:
            fitted = ((a / n) ** (alpha / beta) + b / d) ** beta + e
        else:
            fitted = e + a * n**-alpha + b * d**-beta
        left = np.minimum(np.abs(np.log(data.y / fitted)), np.inf)
        published = np.where(left < 1e-3, left**2 / 2, 1e-3 * (left - 5e-4)).sum()
        fit = fit_point(law, data, parse_loss("huber:1e-3"))
        assert fit.objective <= published * (1 + 1e-9)
        assert published / data.y.size == pytest.approx(float(row["loss"]), rel=1e-5)


# --- Gadre et al. 2024: losses and errors of two large runs from small ones ----------------------


SMALL = {
    ("d=96_l=8_h=4", 1.0),
    ("d=512_l=8_h=4", 1.0),
    ("d=576_l=24_h=8", 1.0),
    ("d=1024_l=24_h=8", 1.0),
    ("d=96_l=8_h=4", 16.0),
}


def predicted(fit: PointFit, **at: float) -> float:
    variables = {name: np.array([value]) for name, value in at.items()}
    eta = fit.bound.at(variables).eta(fit.theta[None])
    return float(inverse_link(fit.link)(eta)[0, 0])


@pytest.fixture(scope="module")
def runs(shared: Path) -> list[dict[str, str]]:
    return rows(shared / "scaling/gadre/redpajama_runs.csv")


@pytest.fixture(scope="module")
def loss_fit(runs: list[dict[str, str]]) -> PointFit:
    """Four parameters on five runs: theirs, which our tables warn of."""
    small = [run for run in runs if (run["model"], float(run["chinchilla_multiplier"])) in SMALL]
    assert len(small) == 5
    data = Data(
        variables={"N": column(small, "N"), "D": column(small, "D")},
        y=column(small, "loss_c4_val"),
        weights=np.ones(5),
    )
    return fit_point(OVERTRAINED, data, parse_loss("mse"))


LARGE = ("rpj-open_lm_1b-32.0", "rpj-open_lm_7b-1.0")


@pytest.mark.parametrize(("name", "published"), [(LARGE[0], 0.7103), (LARGE[1], 0.7320)])
def test_gadre_losses_of_the_large_runs(
    runs: list[dict[str, str]], loss_fit: PointFit, name: str, published: float
) -> None:
    """Relative errors in per cent: 1B with 32 times Chinchilla's tokens, and 7B."""
    (run,) = [run for run in runs if run["name"] == name]
    value = predicted(loss_fit, N=float(run["N"]), D=float(run["D"]))
    truth = float(run["loss_c4_val"])
    assert 100 * abs(value - truth) / truth == pytest.approx(published, abs=1e-4)


# Their 17 tasks: a 154M model is ten points above chance on them.
TASKS = [
    "arc_easy",
    "bigbench_cs_algorithms",
    "bigbench_dyck_languages",
    "bigbench_novel_concepts",
    "bigbench_operators",
    "bigbench_qa_wikidata",
    "boolq",
    "commonsense_qa",
    "copa",
    "coqa",
    "hellaswag",
    "hellaswag_zeroshot",
    "lambada_openai",
    "piqa",
    "pubmed_qa_labeled",
    "squad",
    "winograd",
]


def error(run: dict[str, str]) -> float:
    return 1 - float(np.mean([float(run[f"acc_{task}"]) for task in TASKS]))


@pytest.mark.parametrize(("name", "published"), [(LARGE[0], 3.6365), (LARGE[1], 0.0464)])
def test_gadre_errors_of_the_large_runs_through_their_losses(
    runs: list[dict[str, str]], loss_fit: PointFit, name: str, published: float
) -> None:
    """Relative errors in per cent of the mean error on 17 tasks."""
    six = [
        run
        for run in runs
        if (run["model"], float(run["chinchilla_multiplier"])) in SMALL
        or run["name"] == "rpj-open_lm_1b-1.0"
    ]
    assert len(six) == 6
    data = Data(
        variables={"L": column(six, "loss_c4_val")},
        y=np.array([error(run) for run in six]),
        weights=np.ones(6),
    )
    fit = fit_point(LOSS_EXPONENTIAL, data, parse_loss("mse"))
    (run,) = [run for run in runs if run["name"] == name]
    loss = predicted(loss_fit, N=float(run["N"]), D=float(run["D"]))
    value = predicted(fit, L=loss)
    assert 100 * abs(value - error(run)) / error(run) == pytest.approx(published, abs=1e-3)
