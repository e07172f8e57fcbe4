"""Do 95 % intervals hold the truth 95 times in a hundred?

    python bench/laws_coverage.py [--sims N] [--only WORD]

Points are simulated from a known law with a known noise; the law is fitted with the unit of
resampling that matches the noise, and the share of intervals that hold the true exponent, and of
prediction intervals that hold a new measurement at ten times the largest size, is printed with
its Monte-Carlo error. The last rows break the law beyond the data or within it, which no interval
of a wrong law can know.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from harness.laws.bound import Law
from harness.laws.estimate import Data, fit_point
from harness.laws.forecast import Predictor, ScoreMap
from harness.laws.losses import parse_loss
from harness.laws.profiles import profile_interval
from harness.laws.registry import BUILTIN
from harness.laws.resample import Plan, Unit, bootstrap

REPLICATES = 200
Array = np.ndarray


@dataclass(frozen=True, kw_only=True)
class Draw:
    """Simulated points, a new measurement at ``far``, and each point's cluster."""

    data: Data
    far: dict[str, Array]
    new: float
    labels: Array | None = None


@dataclass(frozen=True, kw_only=True)
class Case:
    """A simulation and how it is fitted."""

    name: str
    law: str
    truth: tuple[str, float]
    unit: Unit
    simulate: Callable[[np.random.Generator], Draw]
    loss: str = "log-mse"


def one_variable(sizes: int, noise: float, *, bend: float = 0.0) -> Callable[..., Draw]:
    n = np.geomspace(1e7, 1e10, sizes)

    def value(x: Array) -> Array:
        broken = (1 + (x / 1e10) ** 4) ** (bend / 4)
        return 1.7 + 400 * x**-0.34 * broken

    def simulate(rng: np.random.Generator) -> Draw:
        y = value(n) * np.exp(noise * rng.normal(size=n.size))
        far = np.array([1e11])
        new = float(value(far)[0] * np.exp(noise * rng.normal()))
        data = Data(variables={"N": n}, y=y, weights=np.ones(n.size))
        return Draw(data=data, far={"N": far}, new=new)

    return simulate


def two_variables(kind: str) -> Callable[..., Draw]:
    sizes, tokens = np.geomspace(3e7, 1e10, 16), np.geomspace(1e9, 1e12, 15)
    n, d = np.repeat(sizes, 15), np.tile(tokens, 16)
    labels = np.repeat(np.arange(16), 15)
    few = d / n < 5

    def simulate(rng: np.random.Generator) -> Draw:
        noise, new = 0.006 * rng.normal(size=n.size), 0.006 * rng.normal()
        if kind == "uneven":
            noise = np.where(few, 3 * noise, noise)
        if kind == "outliers":
            noise += (rng.uniform(size=n.size) < 0.05) * 0.05 * rng.normal(size=n.size)
        if kind == "by size":
            noise += 0.006 * rng.normal(size=16)[labels]
            new += 0.006 * rng.normal()
        mean = 1.82 + 480 * n**-0.35 + 2100 * d**-0.37
        far = {"N": np.array([1e11]), "D": np.array([1e13])}
        truth = 1.82 + 480 * 1e11**-0.35 + 2100 * 1e13**-0.37
        data = Data(variables={"N": n, "D": d}, y=mean * np.exp(noise), weights=np.ones(n.size))
        return Draw(data=data, far=far, new=float(truth * np.exp(new)), labels=labels)

    return simulate


def accuracy(items: int) -> Callable[..., Draw]:
    n = np.geomspace(1e7, 1e10, 8)

    def simulate(rng: np.random.Generator) -> Draw:
        far = np.array([1e11])
        share, beyond = (1 / (1 + np.exp(7 - 0.35 * np.log(x))) for x in (n, far))
        y = rng.binomial(items, share) / items
        new = float(rng.binomial(items, beyond)[0] / items)
        data = Data(variables={"N": n}, y=y, weights=np.full(8, float(items)))
        return Draw(data=data, far={"N": far}, new=new)

    return simulate


def cases() -> Iterator[Case]:
    alpha = ("alpha", 0.34)
    for noise in (0.003, 0.01):
        yield Case(
            name=f"E + A·N^-α, 7 sizes, noise {noise:g}",
            law="power-floor",
            truth=alpha,
            unit="residuals",
            simulate=one_variable(7, noise),
        )
    yield Case(
        name="E + A·N^-α, 30 sizes, noise 0.01",
        law="power-floor",
        truth=alpha,
        unit="points",
        simulate=one_variable(30, 0.01),
    )
    units: dict[str, Unit] = {
        "even": "residuals",
        "uneven": "points",
        "outliers": "points",
        "by size": "cluster",
    }
    for kind, unit in units.items():
        yield Case(
            name=f"Chinchilla, 240 points, {kind}",
            law="chinchilla",
            truth=("alpha", 0.35),
            unit=unit,
            loss="huber:1e-3" if kind == "outliers" else "log-mse",
            simulate=two_variables(kind),
        )
    for items in (300, 1000, 10000):
        yield Case(
            name=f"accuracy of 8 sizes, {items} items",
            law="logit-linear",
            truth=("w1", 0.35),
            unit="residuals",
            loss="binomial",
            simulate=accuracy(items),
        )
    yield Case(
        name="WRONG: breaks beyond the data",
        law="power-floor",
        truth=alpha,
        unit="residuals",
        simulate=one_variable(7, 0.003, bend=-0.5),
    )
    yield Case(
        name="WRONG: noise by size, resampled by points",
        law="chinchilla",
        truth=("alpha", 0.35),
        unit="points",
        simulate=two_variables("by size"),
    )


def covered(case: Case, draw: Draw, seed: int) -> tuple[bool, bool, bool]:
    """Whether bootstrap and profile intervals hold the parameter, and the prediction the new."""
    law: Law = BUILTIN[case.law]
    fit = fit_point(law, draw.data, parse_loss(case.loss), quick=True)
    plan = Plan(unit=case.unit, replicates=REPLICATES, seed=seed, labels=draw.labels)
    drawn = bootstrap(fit, plan)
    theta = drawn.widened(fit)
    name, truth = case.truth
    at = fit.bound.natural.names.index(name)
    lo, hi = np.quantile(fit.bound.natural.values(theta)[:, at], [0.025, 0.975])
    profile = profile_interval(fit, name, drawn)
    predictor = Predictor(
        fit=fit, theta=theta, scores=ScoreMap(), seed=seed, clusters=plan.clusters
    )
    _, draws = predictor.draws(draw.far)
    low, high = np.quantile(draws[:, 0], [0.025, 0.975])
    return bool(lo <= truth <= hi), profile.covers(truth), bool(low <= draw.new <= high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sims", type=int, default=300)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    options = parser.parse_args()
    print(f"{'case':44}{'unit':>10}{'bootstrap':>11}{'profile':>9}{'10× ahead':>11}{'error':>7}")
    for case in cases():
        if options.only not in case.name:
            continue
        began = time.process_time()
        hits = [
            covered(case, case.simulate(np.random.default_rng([seed, 5])), seed)
            for seed in range(options.sims)
        ]
        shares = np.mean(hits, axis=0)
        error = np.sqrt(0.95 * 0.05 / options.sims)
        words = "".join(
            f"{share:{width}.3f}" for share, width in zip(shares, (11, 9, 11), strict=True)
        )
        seconds = time.process_time() - began
        print(f"{case.name:44}{case.unit:>10}{words}{error:7.3f}   {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
