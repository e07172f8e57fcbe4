"""How well every one-variable law, and the choice among them, foretells larger sizes.

    python bench/laws_extrapolation.py DIR [--inside]

DIR holds language.csv and vision.csv of the extrapolation benchmark of Alabdulmohsin et al. 2022
(columns Domain, Task, Model, Seen Examples, Loss, Training). Laws are fitted and chosen on the
part marked Training; the rest is used for nothing but the root mean squared error of the
logarithm (RMSLE) that is printed. With --inside the test part is not read at all: the largest
factor of two in size of the training part takes its place, so that rules can be compared without
tuning them to the test. Below each domain: how often auto's mean is the lower one when curves are
resampled, against each law.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from harness.laws.choose import choose
from harness.laws.estimate import Data, PointFit, fit_point
from harness.laws.losses import inverse_link, parse_loss
from harness.laws.registry import AUTO, BUILTIN

LOSS = parse_loss("log-mse")
Curve = tuple[Data, np.ndarray, np.ndarray]


def curves(folder: Path) -> dict[tuple[str, str, str], Curve]:
    """Training points, and sizes and values of the test part; repeated rows once."""
    found: dict[tuple[str, str, str], set[tuple[float, float, str]]] = defaultdict(set)
    for name in ("language.csv", "vision.csv"):
        with (folder / name).open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                key = (row["Domain"], row["Task"], row["Model"])
                found[key].add((float(row["Seen Examples"]), float(row["Loss"]), row["Training"]))
    parts = {}
    for key, rows in found.items():
        train = np.array(sorted((x, y) for x, y, part in rows if part == "1" and y > 0))
        test = np.array(sorted((x, y) for x, y, part in rows if part == "0" and y > 0))
        data = Data(variables={"N": train[:, 0]}, y=train[:, 1], weights=np.ones(len(train)))
        parts[key] = (data, test[:, 0], test[:, 1])
    return parts


def rmsle(predicted: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(np.mean((np.log(predicted) - np.log(truth)) ** 2)))


def predictions(fit: PointFit, x: np.ndarray) -> np.ndarray:
    eta = fit.bound.at({"N": x}).eta(fit.theta[None])[0]
    return inverse_link(fit.link)(eta)


def inside(curve: Curve) -> Curve:
    """The training part alone, its largest factor of two in size held out."""
    data, _, _ = curve
    size = data.variables["N"]
    below = size <= size.max() / 2
    return data.take(below), size[~below], data.y[~below]


def errors_of(curve: Curve) -> list[float]:
    """RMSLE of every law, of the chosen one and of the average."""
    data, x, y = curve
    laws = [BUILTIN[name] for name in AUTO]
    errors = []
    for law in laws:
        few = data.y.size < len(law.parameters) + 1
        errors.append(np.nan if few else rmsle(predictions(fit_point(law, data, LOSS), x), y))
    ranking = choose(laws, data, LOSS)
    best = fit_point(BUILTIN[ranking.best], ranking.emphasised(data), LOSS)
    return [
        *errors,
        rmsle(predictions(best, x), y),
        rmsle(ranking.average({"N": x}), y),
    ]


def wins(table: np.ndarray) -> np.ndarray:
    """Share of 10,000 resamples of the curves in which auto's mean is below each column's."""
    rows = np.random.default_rng(0).integers(len(table), size=(10_000, len(table)))
    means = np.nanmean(table[rows], axis=1)
    return np.asarray((means[:, [-2]] < means).mean(axis=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--inside", action="store_true", help="never read the test part")
    arguments = parser.parse_args()
    errors: dict[str, list[list[float]]] = defaultdict(list)
    began = time.process_time()
    for (domain, _, _), curve in curves(arguments.folder).items():
        errors[domain].append(errors_of(inside(curve) if arguments.inside else curve))
    names = (*AUTO, "auto", "average")
    print(f"{'domain':8}{'curves':>7}" + "".join(f"{name:>15}" for name in names))
    for domain, rows in errors.items():
        table = np.array(rows)
        print(f"{domain:8}{len(rows):7}" + "".join(f"{v:15.5f}" for v in np.nanmean(table, axis=0)))
        print(f"{'':8}{'below':>7}" + "".join(f"{v:15.0%}" for v in wins(table)))
    print(f"CPU {time.process_time() - began:.0f} s")


if __name__ == "__main__":
    main()
