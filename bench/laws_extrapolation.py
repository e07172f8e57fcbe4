"""How well every one-variable law, and the choice among them, foretells larger sizes.

    python bench/laws_extrapolation.py DIR

DIR holds language.csv and vision.csv of the extrapolation benchmark of Alabdulmohsin et al. 2022
(columns Domain, Task, Model, Seen Examples, Loss, Training). Laws are fitted and chosen on the
part marked Training; the rest is used for nothing but the root mean squared error of the
logarithm (RMSLE) that is printed.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from harness.laws.choose import average, choose
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    laws = [BUILTIN[name] for name in AUTO]
    errors: dict[str, list[list[float]]] = defaultdict(list)
    began = time.process_time()
    for (domain, _, _), (data, x, y) in curves(folder).items():
        fits = [fit_point(law, data, LOSS) for law in laws]
        row = [rmsle(predictions(fit, x), y) for fit in fits]
        ranking = choose(laws, data, LOSS)
        row.append(row[AUTO.index(ranking.best)])
        row.append(rmsle(average(fits, ranking, {"N": x}), y))
        errors[domain].append(row)
    names = (*AUTO, "auto", "average")
    print(f"{'domain':8}{'curves':>7}" + "".join(f"{name:>15}" for name in names))
    for domain, table in errors.items():
        means = np.mean(table, axis=0)
        print(f"{domain:8}{len(table):7}" + "".join(f"{mean:15.5f}" for mean in means))
    print(f"CPU {time.process_time() - began:.0f} s")


if __name__ == "__main__":
    main()
