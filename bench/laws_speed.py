"""Speed of the fitting engine beside a scipy multi-start script, in one run on one core.

    python bench/laws_speed.py [--data DIR]

DIR holds the published points (chinchilla/, loss_to_loss/, learning_curves/); without it, points
of the same size are simulated. Times are CPU seconds of this process, wall seconds in brackets:
run it on a quiet machine with one thread (OMP_NUM_THREADS=1).
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

from harness.laws import Series, fit_series
from harness.laws.curves import bnsl
from harness.laws.estimate import Data, PointFit, fit_point
from harness.laws.joint import KAPLAN
from harness.laws.losses import parse_loss
from harness.laws.resample import Plan, bootstrap
from harness.laws.sums import CHINCHILLA
from harness.types import Metric

HUBER = parse_loss("huber:1e-3")
BOOTSTRAPS, SCIPY_BOOTSTRAPS, SCIPY_STARTS = 4000, 40, 30


def timed(job: Callable[[], Any]) -> tuple[Any, str, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    result = job()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return result, f"{cpu:8.3f} s ({wall:.2f})", cpu


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def numbers(table: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(row[name]) for row in table])


def points(n: np.ndarray, d: np.ndarray, y: np.ndarray) -> Data:
    return Data(variables={"N": n, "D": d}, y=y, weights=np.ones(y.size))


def chinchilla_points(folder: Path | None) -> Data:
    if folder is None:
        rng = np.random.default_rng(0)
        n, d = np.exp(rng.uniform(17, 23.5, 240)), np.exp(rng.uniform(21, 26, 240))
        y = (1.8172 + 477.8 * n**-0.3473 + 2143.4 * d**-0.3672) * np.exp(
            0.006 * rng.standard_t(3, 240)
        )
        return points(n, d, y)
    table = rows(folder / "chinchilla/points.csv")
    n, c, y = (numbers(table, name) for name in ("Model Size", "Training FLOP", "loss"))
    keep = np.argsort(y)[:-5]
    return points(n[keep], (c / (6 * n))[keep], y[keep])


# --- the script that people write -----------------------------------------------------------------


def scipy_objective(data: Data, weights: np.ndarray) -> Callable[[np.ndarray], float]:
    n, d, z = np.log(data.variables["N"]), np.log(data.variables["D"]), np.log(data.y)

    def objective(theta: np.ndarray) -> float:
        a, b, e, alpha, beta = theta
        terms = np.logaddexp(np.logaddexp(a - alpha * n, b - beta * d), e)
        size = np.abs(z - terms)
        rho = np.where(size <= 1e-3, 0.5 * size**2, 1e-3 * (size - 5e-4))
        return float((weights * rho).sum())

    return objective


def scipy_fit(data: Data, weights: np.ndarray, starts: np.ndarray) -> tuple[float, np.ndarray]:
    objective = scipy_objective(data, weights)
    found = [minimize(objective, start, method="BFGS") for start in starts]
    best = min(found, key=lambda result: result.fun)
    return float(best.fun), np.array([result.fun for result in found])


def hoffmann_starts(count: int) -> np.ndarray:
    """Some of the 4,500 starts of Hoffmann et al. 2022, drawn by a fixed seed."""
    rng = np.random.default_rng(0)
    axes = (np.arange(0, 30, 5), np.arange(0, 30, 5), np.arange(-1, 1.5, 0.5))
    exponents = np.arange(0, 2.5, 0.5)
    columns = [rng.choice(axis, count) for axis in (*axes, exponents, exponents)]
    return np.stack(columns, axis=1).astype(float)


# --- rows of the table ----------------------------------------------------------------------------


def point_fits(data: Data) -> PointFit:
    fit, words, _ = timed(lambda: fit_point(CHINCHILLA, data, HUBER))
    c = fit.certificate
    print(f"point fit with certificate   {words}   objective {fit.objective:.10e}, ")
    print(f"{'':29}{c.share:.0%} of {c.starts} starts at it, gradient {c.gradient:.1e}")
    starts = hoffmann_starts(SCIPY_STARTS)
    (best, all_found), words, cpu = timed(lambda: scipy_fit(data, data.weights, starts))
    reached = (all_found < fit.objective * (1 + 1e-6)).mean()
    print(f"scipy BFGS, {SCIPY_STARTS} starts        {words}   best {best:.10e}, ")
    print(
        f"{'':29}{reached:.0%} of starts reach ours; "
        f"4,500 starts: {cpu * 4500 / SCIPY_STARTS:.0f} s"
    )
    return fit


def bootstraps(data: Data, fit: PointFit) -> None:
    plan = Plan(unit="points", replicates=BOOTSTRAPS)
    drawn, words, _ = timed(lambda: bootstrap(fit, plan))
    print(f"{BOOTSTRAPS} bootstraps             {words}   {drawn.failures} not converged")
    rng = np.random.default_rng([0, 11])
    counts = rng.multinomial(240, np.full(240, 1 / 240), size=SCIPY_BOOTSTRAPS).astype(float)
    start = np.array([6.0073404, 6.0179186, 0.5267228, 0.33917084, 0.2849083])[None]
    found, words, cpu = timed(lambda: [scipy_fit(data, w, start)[0] for w in counts])
    ours = [
        float(fit.goal.loss.terms(fit.bound.eta(t[None]), data.y, "log", 1e-3)[0][0] @ w)
        for t, w in zip(drawn.theta, counts, strict=False)
    ]
    worse = np.mean(np.array(found) > np.array(ours) * (1 + 1e-6))
    print(f"scipy BFGS, 1 start, {SCIPY_BOOTSTRAPS} of them{words}   4,000: {cpu * 100:.0f} s;")
    print(f"{'':29}{worse:.0%} end above ours by more than 1e-6")


def loss_to_loss(folder: Path) -> None:
    sweep = rows(folder / "loss_to_loss/sweep.csv")
    cases = []
    for row in rows(folder / "loss_to_loss/published_fits.csv"):
        runs = [run for run in sweep if run["data"] == row["data"] and run[row["loss_name"]]]
        columns = (numbers(runs, name) for name in ("params", "tokens", row["loss_name"]))
        cases.append((KAPLAN if row["kaplan"] == "True" else CHINCHILLA, points(*columns), row))
    fits, words, _ = timed(lambda: [fit_point(law, data, HUBER) for law, data, _ in cases])
    above = 0
    for fit, (_, data, row) in zip(fits, cases, strict=True):
        a, b, e, alpha, beta = (float(row[key]) for key in ("A", "B", "E", "alpha", "beta"))
        n, d = data.variables["N"], data.variables["D"]
        kaplan = ((a / n) ** (alpha / beta) + b / d) ** beta + e
        fitted = kaplan if row["kaplan"] == "True" else e + a * n**-alpha + b * d**-beta
        size = np.abs(np.log(data.y / fitted))
        published = np.where(size < 1e-3, size**2 / 2, 1e-3 * (size - 5e-4)).sum()
        above += fit.objective > published * (1 + 1e-9)
    print(f"92 loss-to-loss fits         {words}   {above} above the published objective")


def curve(folder: Path | None) -> None:
    x = np.geomspace(2e6, 2e9, 70)
    y = 0.2 + 3 * x**-0.1 * (1 + (x / 1e8) ** 2) ** -0.1
    if folder is not None:
        table = rows(folder / "learning_curves/vision.csv")
        chosen = [r for r in table if (r["Task"], r["Model"]) == ("bird_5", "MiX/B/16")]
        chosen = [r for r in chosen if r["Training"] == "1"]
        x, y = numbers(chosen, "Seen Examples"), numbers(chosen, "Loss")
    data = Data(variables={"N": x}, y=y, weights=np.ones(y.size))
    fit, words, _ = timed(lambda: fit_point(bnsl(1), data, parse_loss("log-mse")))
    print(f"a curve with BNSL, {y.size} points  {words}   R² {fit.r2:.4f}")


def run_table() -> None:
    rng = np.random.default_rng(0)
    sizes = np.geomspace(1e3, 1e6, 7)
    loss = Metric(name="bits_per_byte", is_loss=True, higher_is_better=False)
    score = Metric(name="f1", bounds=(0.0, 1.0))
    series = []
    for index in range(30):
        error = 0.02 + 9 * sizes**-0.35 * np.exp(0.03 * rng.normal(size=7))
        error = np.minimum(error, 0.95)
        drawn = error * np.exp(0.02 * rng.normal(size=(1000, 7)))
        metric = loss if index % 2 else score
        values = error if index % 2 else 1 - error
        replicates = drawn if index % 2 else 1 - np.minimum(drawn, 1)
        series.append(
            Series(sizes=tuple(sizes), values=tuple(values), metric=metric, replicates=replicates)
        )
    _, words, _ = timed(lambda: [fit_series(one) for one in series])
    print(f"30 series, 1000 draws × 8    {words}   a run's table of fits")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of published points")
    folder = parser.parse_args().data
    print("CPU seconds (wall)")
    fit_series(Series(sizes=(1.0, 10.0), values=(1.0, 2.0), metric=Metric(name="warm up")))
    data = chinchilla_points(folder)
    fit = point_fits(data)
    bootstraps(data, fit)
    curve(folder)
    run_table()
    if folder is not None:
        loss_to_loss(folder)


if __name__ == "__main__":
    main()
