"""Figures: formats, what is drawn, hostile names, the words where matplotlib is missing."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from conftest import Program
from gate_toys import ACC, ToyCell, column, write_run

from harness.errors import SaveError, UsageError
from harness.plots import check_target, run_panels, save_figure
from harness.results import RunDirectory

SIZES = (10, 40, 160, 640, 2560)


def toy_run(folder: Path, *, task: str = "task", family: str = "toys") -> Path:
    cells = [
        ToyCell(
            stats={ACC: column([100.0] * right + [0.0] * (100 - right))},
            model=f"m{size}",
            family=family,
            size=size,
            task=task,
        )
        for size, right in zip(SIZES, (10, 40, 60, 74, 83), strict=True)
    ]
    return write_run(folder, *cells)


def texts(path: Path) -> str:
    """All text of an SVG; it must be XML."""
    return "\n".join(ElementTree.parse(path).getroot().itertext())


def test_a_panel_has_points_law_band_and_the_check_of_the_law(tmp_path: Path) -> None:
    run = RunDirectory(toy_run(tmp_path / "run"))
    (panel,) = run_panels(run.read_run(), run)
    (curve,) = panel.curves
    assert [mark.x for mark in curve.marks] == list(SIZES)
    assert [mark.residual for mark in curve.marks] == list(curve.fit.residuals)
    assert curve.rows[0][0] == pytest.approx(10) and curve.rows[-1][0] == pytest.approx(25600)
    assert all(low <= score <= high for _, score, low, high in curve.rows)
    assert curve.check is not None and curve.check.x == 2560
    assert curve.check.measured == 83.0
    with pytest.raises(UsageError, match="no metric 'bleu'"):
        run_panels(run.read_run(), run, metrics=("bleu",))
    with pytest.raises(UsageError, match="Did you mean 'task'"):
        run_panels(run.read_run(), run, tasks=("tsk",))


def test_every_format_is_written_and_the_same_twice(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run = RunDirectory(toy_run(tmp_path / "run"))
    panels = run_panels(run.read_run(), run)
    for suffix, start in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        one, two = tmp_path / f"one{suffix}", tmp_path / f"two{suffix}"
        save_figure(panels, one)
        save_figure(panels, two)
        assert one.read_bytes().startswith(start)
        assert one.read_bytes() == two.read_bytes()
    with pytest.raises(SaveError, match="cannot be written"):
        save_figure(panels, tmp_path / "nowhere" / "a.png")


def test_names_are_no_formulas_and_no_markup(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    name = "$x_{1$ <script>\x1b &\\frac 生成"
    run = RunDirectory(toy_run(tmp_path / "run", task=name, family=f"f{name}"))
    target = tmp_path / "a.svg"
    save_figure(run_panels(run.read_run(), run), target)
    assert "<script>" not in target.read_text(encoding="utf-8")
    assert "$x_{1$ <script>" in texts(target).replace("\\$", "$")


def test_without_matplotlib_the_command_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"pip install 'harness\[plot\]'"):
        check_target(tmp_path / "a.png")
    with pytest.raises(UsageError, match=r"end it in \.png, \.svg or \.pdf"):
        check_target(tmp_path / "a.jpeg")


def test_the_commands_draw_runs_and_tables(program: Program, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    toy_run(tmp_path / "run")
    done = program("plot", "run", "-o", "run.svg")
    assert done.returncode == 0, done.stderr
    assert "acc ↑" in texts(tmp_path / "run.svg") and "residual" in texts(tmp_path / "run.svg")
    done = program("fit", "run", "--plot", "fit.svg")
    assert done.returncode == 0, done.stderr
    assert "exponent" in texts(tmp_path / "fit.svg")
    rows = [
        f"{n},{d},{1.7 + 400 / n**0.34 + 410 / d**0.28}"
        for n in (1e7, 3e7, 1e8, 1e9)
        for d in (1e9, 1e10, 1e11)
    ]
    (tmp_path / "t.csv").write_text("\n".join(["N,D,loss", *rows]) + "\n")
    both = ("fit", "t.csv", "--y", "loss", "--replicates", "100", "--plot")
    done = program(*both, "joint.svg", "--law", "chinchilla", "--x", "N,D")
    assert done.returncode == 0, done.stderr
    assert "fitted loss" in texts(tmp_path / "joint.svg")
    done = program(*both, "one.svg", "--law", "power", "--x", "N", "--group", "D")
    assert done.returncode == 0, done.stderr
    assert texts(tmp_path / "one.svg").count("residual") == 3
