"""The solver against certified truth: NIST's Statistical Reference Datasets.

From both starts every problem is solved to six digits or more. Every problem is written as a law
of one's own would be: a formula over jets, with an amplitude that may change by decades (MGH10's)
marked as positive, as in the built-in laws.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from harness.laws import jets
from harness.laws.bound import Variables
from harness.laws.estimate import Data, fit_point
from harness.laws.jetlaw import JetLaw, Parameter
from harness.laws.jets import Jet
from harness.laws.losses import parse_loss

GOLDEN = json.loads((Path(__file__).parent / "golden" / "nist_strd.json").read_text())
PROBLEMS = [name for name in GOLDEN if name != "provenance"]

Model = Callable[[list[Jet], np.ndarray], Jet]


def power(base: Jet, exponent: Jet | float) -> Jet:
    return jets.exp(jets.log(base) * exponent)


def rational(b: list[Jet], x: np.ndarray, top: int) -> Jet:
    above = sum((b[i] * x**i for i in range(1, top)), start=b[0])
    below = sum((b[top - 1 + i] * x**i for i in range(2, len(b) - top + 1)), start=b[top] * x)
    return above / (below + 1.0)


def decays(b: list[Jet], x: np.ndarray) -> Jet:
    return (
        b[0] * jets.exp(-(b[1] * x)) + b[2] * jets.exp(-(b[3] * x)) + b[4] * jets.exp(-(b[5] * x))
    )


def peak(height: Jet, place: Jet, width: Jet, x: np.ndarray) -> Jet:
    z = (x - place) / width
    return height * jets.exp(-(z * z))


def gauss(b: list[Jet], x: np.ndarray) -> Jet:
    base = b[0] * jets.exp(-(b[1] * x))
    return base + peak(b[2], b[3], b[4], x) + peak(b[5], b[6], b[7], x)


def enso(b: list[Jet], x: np.ndarray) -> Jet:
    turn = 2 * np.pi * x
    year = b[0] + b[1] * np.cos(turn / 12) + b[2] * np.sin(turn / 12)
    for period, cosine, sine in (b[3:6], b[6:9]):
        phase = turn / period
        year = year + cosine * jets.cos(phase) + sine * jets.sin(phase)
    return year


def chwirut(b: list[Jet], x: np.ndarray) -> Jet:
    return jets.exp(-(b[0] * x)) / (b[1] + b[2] * x)


def nelson(b: list[Jet], v: Variables) -> Jet:
    """Of the logarithm of y, in two predictors."""
    return b[0] - b[1] * v["x"] * jets.exp(-(b[2] * v["x2"]))


MODELS: Mapping[str, Model] = {
    "Misra1a": lambda b, x: b[0] * (1.0 - jets.exp(-(b[1] * x))),
    "BoxBOD": lambda b, x: b[0] * (1.0 - jets.exp(-(b[1] * x))),
    "Misra1b": lambda b, x: b[0] * (1.0 - power(b[1] * x / 2 + 1.0, -2.0)),
    "Misra1c": lambda b, x: b[0] * (1.0 - power(b[1] * (2 * x) + 1.0, -0.5)),
    "Misra1d": lambda b, x: b[0] * b[1] * x / (b[1] * x + 1.0),
    "Chwirut1": chwirut,
    "Chwirut2": chwirut,
    "DanWood": lambda b, x: b[0] * jets.exp(b[1] * np.log(x)),
    "Lanczos1": decays,
    "Lanczos2": decays,
    "Lanczos3": decays,
    "Gauss1": gauss,
    "Gauss2": gauss,
    "Gauss3": gauss,
    "Kirby2": lambda b, x: rational(b, x, 3),
    "Hahn1": lambda b, x: rational(b, x, 4),
    "Thurber": lambda b, x: rational(b, x, 4),
    "MGH17": lambda b, x: b[0] + b[1] * jets.exp(-(b[3] * x)) + b[2] * jets.exp(-(b[4] * x)),
    "Roszman1": lambda b, x: b[0] - b[1] * x - jets.arctan(b[2] / (x - b[3])) / np.pi,
    "ENSO": enso,
    "MGH09": lambda b, x: b[0] * (b[1] * x + x**2) / (b[2] * x + b[3] + x**2),
    "Rat42": lambda b, x: b[0] / (jets.exp(b[1] - b[2] * x) + 1.0),
    "Rat43": lambda b, x: b[0] / power(jets.exp(b[1] - b[2] * x) + 1.0, 1.0 / b[3]),
    "MGH10": lambda b, x: b[0] * jets.exp(b[1] / (b[2] + x)),
    "Eckerle4": lambda b, x: peak(b[0] / b[1], b[2], b[1] * 2**0.5, x),
    "Bennett5": lambda b, x: b[0] * power(b[1] + x, -1.0 / b[2]),
}


def law(name: str, start: list[float]) -> JetLaw:
    letters = [f"b{i + 1}" for i in range(len(start))]

    def model(b: list[Jet], v: Variables) -> Jet:
        return nelson(b, v) if name == "Nelson" else MODELS[name](b, v["x"])

    return JetLaw(
        name=name,
        formula=name,
        source=GOLDEN["provenance"]["source"],
        variables=("x", "x2") if name == "Nelson" else ("x",),
        terms=tuple(
            Parameter(name=letter, positive=(name, letter) == ("MGH10", "b1")) for letter in letters
        ),
        function=lambda p, v: model([p[letter] for letter in letters], v),
        starts=lambda x, y, w: np.array([start]),
        link="log" if name == "Nelson" else "identity",
        scaled=False,
    )


def digits(found: float, certified: float) -> float:
    """Log relative error, at most 11: what the certificate has."""
    return min(11.0, -np.log10(max(abs(found / certified - 1), 1e-11)))


def agreement(name: str, start: str) -> float:
    problem = GOLDEN[name]
    data = Data(
        variables={key: np.array(problem[key]) for key in ("x", "x2") if key in problem},
        y=np.array(problem["y"]),
        weights=np.ones(len(problem["y"])),
    )
    loss = parse_loss("log-mse" if name == "Nelson" else "mse")
    fit = fit_point(law(name, problem[start]), data, loss)
    found = list(fit.parameters.values())
    return min(map(digits, found, problem["certified"]))


@pytest.mark.parametrize("start", ["start1", "start2"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_certified_parameters_from_the_far_and_the_near_start(name: str, start: str) -> None:
    assert agreement(name, start) >= 6


if __name__ == "__main__":
    for problem_name in PROBLEMS:
        print(problem_name, agreement(problem_name, "start1"), agreement(problem_name, "start2"))
