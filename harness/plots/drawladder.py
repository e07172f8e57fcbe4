"""A law in N and D on paper: curves over data, isoFLOP curves and the frontier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.laws.records import Estimate
from harness.plots.draw import TALL, WIDTH, plain_text, write_figure
from harness.plots.isoflop import Ladder, Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def save_ladders(ladders: Sequence[Ladder], path: Path, *, note: str = "") -> None:
    """Draw each ladder as a row of three panels; raises as :func:`harness.plots.save_figure`."""
    write_figure(lambda: _figure(ladders), path, note=note)


def _figure(ladders: Sequence[Ladder]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH * 3, TALL * len(ladders)), layout="constrained")
    rows = figure.subplots(len(ladders), 3, squeeze=False)
    for row, ladder in zip(rows, ladders, strict=True):
        data, budgets, frontier = row
        _lines(data, ladder.by_size, "N")
        data.set_xlabel("training tokens D")
        data.set_ylabel(plain_text(ladder.y))
        data.set_title(plain_text(ladder.title), loc="left", fontweight="bold", fontsize=9)
        _lines(budgets, ladder.by_budget, "C")
        _optima(budgets, ladder.by_budget)
        budgets.set_xlabel("parameters N")
        budgets.set_title("isoFLOP curves, C = 6 N D", loc="left", fontsize=8)
        _frontier(frontier, ladder)
    return figure


def _lines(axes: Axes, lines: Sequence[Line], name: str) -> None:
    """Measured points and the law's curves, darker from the least to the most."""
    from matplotlib import colormaps

    shades = colormaps["viridis"]
    for number, line in enumerate(lines):
        colour = shades(0.9 * (1 - number / max(1, len(lines) - 1)))
        label = plain_text(f"{name} = {line.label}")
        axes.plot(line.law_x, line.law_y, "-", linewidth=1.0, color=colour)
        axes.plot(line.x, line.y, "o", markersize=3.5, color=colour, label=label)
    axes.set_xscale("log")
    if all((line.law_y > 0).all() and (line.y > 0).all() for line in lines):
        from matplotlib.ticker import LogLocator, StrMethodFormatter

        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:.3g}"))
        axes.yaxis.set_minor_formatter("")
    axes.grid(True, which="major", linewidth=0.4, alpha=0.35)
    axes.legend(fontsize=6.5)


def _optima(axes: Axes, lines: Sequence[Line]) -> None:
    found = [line.optimum for line in lines if line.optimum is not None]
    low, high = axes.get_xlim()
    inside = [(x, y) for x, y in found if low <= x <= high]
    if inside:
        x, y = zip(*inside, strict=True)
        axes.plot(x, y, "*", markersize=8, color="black", label="least, by the law", zorder=5)
        axes.legend(fontsize=6.5)


def _frontier(axes: Axes, ladder: Ladder) -> None:
    """The best size and data over compute, with 95 % bands; parabolas' vertices besides."""
    compute = [one.compute for one in ladder.frontier]
    for name, colour, estimates in (
        ("N", "#0072B2", [one.n for one in ladder.frontier]),
        ("D", "#D55E00", [one.d for one in ladder.frontier]),
    ):
        _band(axes, compute, estimates, label=f"best {name}, by the law", color=colour)
    if ladder.vertices:
        c, n = zip(*ladder.vertices, strict=True)
        axes.plot(c, n, "s", markersize=4, color="#0072B2", markerfacecolor="none",
                  label="best N, by parabolas")  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("training compute C (FLOP)")
    axes.set_ylabel("parameters N, tokens D")
    axes.set_title("compute-optimal frontier", loc="left", fontsize=8)
    axes.grid(True, which="major", linewidth=0.4, alpha=0.35)
    axes.legend(fontsize=6.5)
    if ladder.note:
        axes.annotate(plain_text(ladder.note), (0.02, 0.02), xycoords="axes fraction", fontsize=6)


def _band(axes: Axes, x: Sequence[float], estimates: Sequence[Estimate], **style: Any) -> None:
    known = [(c, e.value, e.ci) for c, e in zip(x, estimates, strict=True) if e.value is not None]
    axes.plot([c for c, _, _ in known], [v for _, v, _ in known], "-", linewidth=1.2, **style)
    banded = [(c, ci.lo, ci.hi) for c, _, ci in known if ci is not None]
    if banded:
        axes.fill_between(
            [c for c, _, _ in banded],
            [v if lo is None else lo for (_, lo, _), (_, v, _) in zip(banded, known, strict=True)],
            [v if hi is None else hi for (_, _, hi), (_, v, _) in zip(banded, known, strict=True)],
            alpha=0.15, linewidth=0, color=style["color"],
        )  # fmt: skip
