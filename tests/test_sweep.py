"""``harness sweep`` and what is made of its table: laws, collinearity, isoFLOP figures."""

from __future__ import annotations

import csv
import json
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from harness.cli import invoke
from harness.errors import UsageError
from harness.laws.collinear import collinearity
from harness.laws.table import read_csv
from harness.laws.tablefit import fit_table
from harness.plots import ladder_of

SIZES = np.geomspace(1e3, 1e5, 9)
TOKENS = np.geomspace(1e5, 6.4e6, 7)


def points() -> dict[str, np.ndarray]:
    n, d = (axis.ravel() for axis in np.meshgrid(SIZES, TOKENS))
    return {"N": n, "D": d, "C": 6.0 * n * d}


def ladder(path: Path) -> Path:
    """Loss by a Chinchilla law with two seeds' noise, and D = 20·N beside it."""
    rng = np.random.default_rng(3)
    x = points()
    lines = ["N,D,C,loss"]
    for _ in range(2):
        loss = 0.3 + 30 * x["N"] ** -0.4 + 200 * x["D"] ** -0.5
        loss = loss * np.exp(0.01 * rng.normal(size=loss.size))
        lines += [
            ",".join(map(repr, map(float, row))) for row in zip(*x.values(), loss, strict=True)
        ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_compute_that_follows_from_size_and_tokens_is_said() -> None:
    x = points()
    told = collinearity(x)
    assert told.startswith("C = 6·N·D exactly") and "--x N,D." in told
    assert collinearity({"N": x["N"], "D": x["D"]}) == ""
    assert collinearity({"N": SIZES, "D": 20 * SIZES}).startswith("D = 20·N exactly")
    # Compute that counts embeddings follows nearly, compute with scatter of its own does not.
    near = 6.0 * (x["N"] + 3e3) * x["D"]
    assert " % at these points" in collinearity({**x, "C": near})
    loose = x["C"] * np.exp(np.random.default_rng(0).normal(size=x["C"].size))
    assert collinearity({**x, "C": loose}) == ""


def test_the_fit_of_all_three_says_why_it_has_no_exponents(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = ladder(tmp_path / "t.csv")
    assert invoke(["fit", str(table), "--law", "product", "--x", "N,D,C", "--y", "loss"]) == 0
    printed = capsys.readouterr().out
    assert "not-identifiable" in printed and "C = 6·N·D exactly" in printed


def test_isoflop_points_lie_on_the_measured_curves_and_optima_on_the_law(tmp_path: Path) -> None:
    from harness.cli.sources import known_laws
    from harness.laws.request import FitRequest

    table = read_csv(ladder(tmp_path / "t.csv"))
    asked = FitRequest(law="chinchilla", x=("N", "D"), y="loss", laws=known_laws())
    (group,) = fit_table(table, asked)
    shown = ladder_of("t", group.fit, "loss")
    assert len(shown.by_size) == 9
    assert all(line.x == pytest.approx(TOKENS) for line in shown.by_size)
    for line in shown.by_budget:
        budget = float(line.label)
        tokens = budget / (6 * line.x)
        # Read off between two numbers of tokens, never beyond them.
        assert (tokens >= TOKENS[0] * 0.9).all() and (tokens <= TOKENS[-1] * 1.1).all()
        assert line.optimum is not None
        assert line.optimum[1] <= line.law_y.min() * 1.001
    best = [one.n.value for one in shown.frontier]
    assert best == sorted(best)
    slope = np.polyfit(
        np.log([one.compute for one in shown.frontier]), np.log(np.array(best, dtype=float)), 1
    )[0]
    assert slope == pytest.approx(0.5 / 0.9, abs=0.1)  # beta / (alpha + beta), Hoffmann et al.
    with pytest.raises(UsageError, match="law in N and D"):
        (one,) = fit_table(table, FitRequest(law="power", x=("N",), y="loss", laws=known_laws()))
        ladder_of("t", one.fit, "loss")


def test_a_table_is_plotted_as_isoflop_curves_and_frontier(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    table, figure = ladder(tmp_path / "t.csv"), tmp_path / "a.svg"
    assert invoke(["plot", str(table), "--y", "loss", "-o", str(figure)]) == 0
    words = "\n".join(ElementTree.parse(figure).getroot().itertext())
    assert "isoFLOP curves" in words and "compute-optimal frontier" in words
    assert "best N, by parabolas" in words
    capsys.readouterr()
    assert invoke(["plot", str(table), "-o", str(figure)]) == 2
    assert invoke(["plot", str(table), "--y", "loss", "--law", "power", "-o", str(figure)]) == 2
    assert invoke(["plot", str(table), "--y", "loss", "-t", "x", "-o", str(figure)]) == 2
    said = capsys.readouterr().err
    assert "--y" in said and "N and D" in said and "--where 'task=NAME'" in said


def test_a_sweep_is_one_table_that_goes_on_where_it_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    output = tmp_path / "out"
    command = [
        *("sweep", "--corpus", "world", "--documents", "300", "--vocabulary", "300"),
        *("--family", "toy", "--sizes", "2", "--min-params", "1.5e3", "--max-params", "1e4"),
        *("--context", "64", "--network", "stacked", "--steps", "", "--checkpoints", "2"),
        *("--seeds", "2", "--test", "world-qa", "--limit", "3", "--batch-tokens", "512"),
        *("--device", "cpu", "-o", str(output)),
    ]
    if find_spec("tensorboardX"):
        command += ["--track", f"tensorboard:{tmp_path / 'curves'}"]
    assert invoke([*command, "--dry-run"]) == 0
    assert "4 of 4 to train" in capsys.readouterr().out
    assert not output.exists()
    assert invoke([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    rows = list(csv.DictReader((output / "sweep.csv").open(encoding="utf-8")))
    assert len(rows) == len(document["models"]) == 8
    assert len({row["model"] for row in rows}) == 8
    assert {(row["base"], row["seed"]) for row in rows} == {
        (row["base"], seed) for row in rows for seed in "01"
    }
    assert {float(row["share"]) for row in rows} == {0.5, 1.0}
    for row in rows:
        assert float(row["C"]) == 6 * float(row["params"]) * float(row["D"])
        assert 0 < float(row["U"]) <= float(row["D"])
        assert float(row["loss"]) > 0 and row["world-qa/exact_match"] != ""
    # Each seed has a curve of its own, called as its model; beside them are scores and tables.
    curves = {path.name for path in tmp_path.glob("curves/*")} - {"toy", "run", "sweep"}
    assert curves == ({row["model"] for row in rows} if find_spec("tensorboardX") else set())
    losses = {(r["base"], r["share"], r["seed"]): r["loss"] for r in rows}
    assert len(set(losses.values())) == 8  # another seed is another model
    before = (output / "sweep.csv").read_bytes()
    assert invoke(command) == 0
    printed = capsys.readouterr()
    assert "done before" in printed.err and "harness plot" in printed.out
    assert (output / "sweep.csv").read_bytes() == before
