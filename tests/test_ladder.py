"""The committed ladder refitted by other code, and the page that tells of it held to that."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import least_squares

SCORE = "world-ner/entity_f1"


def table(root: Path, name: str) -> dict[str, np.ndarray]:
    path = root / "results" / "ladder" / name
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    for column in ("base", "share"):
        assert len({row[column] for row in rows}) == {"base": 6, "share": 5}[column]
    assert len(rows) == 60 and {row["seed"] for row in rows} == {"0", "1"}
    numbers = [name for name in ("N", "U", "D", "loss", SCORE) if name in rows[0]]
    return {name: np.array([float(row[name]) for row in rows]) for name in numbers}


def powers(y: np.ndarray, *columns: np.ndarray) -> list[float]:
    design = np.column_stack([np.ones(y.size), *map(np.log, columns)])
    return [float(v) for v in np.linalg.lstsq(design, np.log(y), rcond=None)[0][1:]]


def told(root: Path, law: str) -> list[float]:
    """The exponents that the page gives for a law, its intervals left out."""
    page = (root / "docs" / "ladder.md").read_text(encoding="utf-8").replace("−", "-")
    (line,) = [line for line in page.splitlines() if line.startswith(f"| {law}")]
    cells = [re.match(r" *(-?[0-9.]+) \[", cell) for cell in line.split("|")]
    return [float(found[1]) for found in cells if found]


def test_the_page_gives_the_exponents_that_the_tables_give(root: Path) -> None:
    decoders, encoders = table(root, "decoders.csv"), table(root, "encoders.csv")
    n, d, y = decoders["N"], decoders["D"], np.log(decoders["loss"])
    assert told(root, "`product`") == pytest.approx(powers(np.exp(y), n, d), abs=6e-4)

    def misfit(p: np.ndarray) -> np.ndarray:
        law = np.exp(p[0]) * n ** -p[1] + np.exp(p[2]) * d ** -p[3] + np.exp(p[4])
        return np.asarray(np.log(law) - y)

    found = least_squares(misfit, [3.0, 0.3, 6.0, 0.5, -5.0], xtol=1e-12, ftol=1e-14)
    assert told(root, "`chinchilla`") == pytest.approx(list(found.x[[1, 3]]), abs=6e-4)
    error = 100 - encoders[SCORE]
    n, u = encoders["N"], encoders["U"]
    assert told(root, "error 100") == pytest.approx(powers(error, n, u), abs=6e-4)
    assert told(root, "validation loss") == pytest.approx(powers(encoders["loss"], n, u), abs=6e-3)


def test_the_ladders_say_nothing_of_the_machine(root: Path) -> None:
    for path in (root / "results" / "ladder").iterdir():
        assert not re.search(r"[:,](/|~)", path.read_text(encoding="utf-8")), path.name
