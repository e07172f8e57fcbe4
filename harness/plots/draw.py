"""Panels on paper, by matplotlib; no state of its own or of matplotlib's is changed."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import SaveError, UsageError
from harness.plots.panels import Curve, Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's colours, which the colour-blind can tell apart."""

MARKERS = ("o", "s", "^", "D", "v", "P")
WIDTH, TALL = 3.5, 3.6
"""Inches of one panel: two fit beside each other on a page."""

WARNING = "#D55E00"
MANY = 30
"""More points than this are drawn small and faint."""

MOST_COLUMNS = 4
RC = {
    "font.size": 8.0,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 7.0,
    "svg.fonttype": "none",
    "svg.hashsalt": "harness",
    "pdf.fonttype": 42,
}


def check_target(path: Path) -> None:
    """Raise UsageError where no figure can be written to ``path``: its suffix, or no matplotlib."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"'{path}' names no format of figures; end it in {', '.join(SUFFIXES[:-1])} or "
            f"{SUFFIXES[-1]}."
        )
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "Figures need matplotlib, which is not installed.\npip install 'harness[plot]'"
        ) from error


def save_figure(panels: Sequence[Panel], path: Path, *, note: str = "") -> None:
    """Draw the panels, each with its residuals below, and write the figure whole.

    A ``note`` stands above all panels.

    Raises:
        UsageError: as :func:`check_target`. SaveError: the file cannot be written.
    """
    write_figure(lambda: _figure(panels), path, note=note)


def write_figure(draw: Callable[[], Figure], path: Path, *, note: str) -> None:
    """Write what ``draw`` draws, whole, in the house's style; raises as :func:`save_figure`."""
    check_target(path)
    import matplotlib

    data = io.BytesIO()
    with matplotlib.rc_context(RC), warnings.catch_warnings():
        # A name in a script that the font lacks is no reason to fail, or to complain.
        warnings.filterwarnings("ignore", message="Glyph")
        figure = draw()
        if note:
            figure.suptitle(plain_text(note), fontsize=9, color=WARNING)
        suffix = path.suffix.lower().lstrip(".")
        stamp: dict[str, Any] = {"Date": None} if suffix == "svg" else {}
        stamp = {"CreationDate": None} if suffix == "pdf" else stamp
        figure.savefig(data, format=suffix, dpi=200, metadata=stamp)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            temporary.write_bytes(data.getvalue())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise SaveError(
            f"'{path}' cannot be written: {error.strerror or error}.\n"
            "Make room, or name another file in a folder that exists."
        ) from error


def _figure(panels: Sequence[Panel]) -> Figure:
    from matplotlib.figure import Figure

    columns = min(MOST_COLUMNS, len(panels), 2 if len(panels) == 4 else MOST_COLUMNS)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(WIDTH * columns, TALL * rows), layout="constrained")
    grid = figure.add_gridspec(2 * rows, columns, height_ratios=[3.2, 1] * rows)
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        upper = figure.add_subplot(grid[2 * row, column])
        lower = figure.add_subplot(
            grid[2 * row + 1, column], sharex=None if panel.parity else upper
        )
        _draw(panel, upper, lower)
    return figure


def _draw(panel: Panel, upper: Axes, lower: Axes) -> None:
    upper.set_ylabel(plain_text(panel.y))
    for axes in (upper, lower):
        axes.set_xscale("log")
        axes.grid(True, which="major", linewidth=0.4, alpha=0.35)
    if panel.log_y:
        upper.set_yscale("log")
    for number, curve in enumerate(panel.curves):
        style: dict[str, Any] = {"color": COLOURS[number % 6]}
        marker = MARKERS[number % 6]
        (_parity if panel.parity else _law)(upper, curve, marker, style)
        _residuals(lower, curve, marker, style)
    lower.axhline(0, color="black", linewidth=0.6)
    lower.set_ylabel("residual")
    lower.margins(y=0.2)
    if panel.parity:
        upper.set_xscale("log" if panel.log_y else "linear")
        upper.set_xlabel(plain_text(panel.x))
        lower.set_xlabel(plain_text(panel.size))
    else:
        upper.tick_params(labelbottom=False)
        lower.set_xlabel(plain_text(panel.x))
    if panel.log_y:
        _plain_ticks(upper, panel)
    # Above the axes, where it hides no point; the layout makes room for it.
    upper.legend(
        title=plain_text(panel.title), title_fontproperties={"weight": "bold", "size": 9},
        alignment="left", loc="lower left", bbox_to_anchor=(-0.02, 1.0), borderaxespad=0.0,
        handlelength=1.6,
    )  # fmt: skip


def _law(axes: Axes, curve: Curve, marker: str, style: dict[str, Any]) -> None:
    """Points with intervals; law and band, dashed beyond the largest size."""
    sizes, scores = [m.x for m in curve.marks], [m.y for m in curve.marks]
    low = [m.y - m.ci[0] if m.ci else 0.0 for m in curve.marks]
    high = [m.ci[1] - m.y if m.ci else 0.0 for m in curve.marks]
    bars = [[max(0.0, v) for v in low], [max(0.0, v) for v in high]]
    many = len(sizes) > MANY
    axes.errorbar(
        sizes, scores, yerr=bars if any(m.ci for m in curve.marks) else None, fmt=marker,
        markersize=2.5 if many else 4, alpha=0.45 if many else 1.0, elinewidth=0.8,
        label=_label(curve), zorder=3, **style,
    )  # fmt: skip
    # The band may run far beyond the points; it must not set the scale.
    limits = axes.get_ylim()
    largest = max(sizes)
    for rows, line, shade in (
        ([r for r in curve.rows if r[0] <= largest * 1.0001], "-", 0.18),
        ([r for r in curve.rows if r[0] >= largest * 0.9999], "--", 0.09),
    ):
        if len(rows) < 2:
            continue
        x, y, lo, hi = zip(*rows, strict=True)
        # Over a cloud of points the law must stay visible.
        axes.plot(x, y, line, linewidth=1.2, zorder=4, **{"color": "black"} if many else style)
        axes.fill_between(x, lo, hi, alpha=shade, linewidth=0, **style)
    drawn = [r[1] for r in curve.rows]
    axes.set_ylim(min([limits[0], *drawn]), max([limits[1], *drawn]))
    if curve.beyond:
        _hollow(axes, [(m.x, m.y) for m in curve.beyond], marker, style)
        limits, measured = axes.get_ylim(), [m.y for m in curve.beyond]
        axes.set_ylim(min([limits[0], *measured]), max([limits[1], *measured]))
    if curve.check is not None:
        axes.plot(
            curve.check.x, curve.check.y, "D", markersize=5, markerfacecolor="none",
            label="largest, foretold by the smaller", zorder=4, **style,
        )  # fmt: skip


def _hollow(
    axes: Axes, points: Sequence[tuple[float, float]], marker: str, style: dict[str, Any]
) -> None:
    """Points that were held out of the fit."""
    x, y = zip(*points, strict=True)
    axes.plot(
        x, y, marker, markersize=4, markerfacecolor="none", label="held out", zorder=4, **style
    )


def _parity(axes: Axes, curve: Curve, marker: str, style: dict[str, Any]) -> None:
    """Measured against fitted, and the line on which they are equal."""
    fitted = [m.fitted if m.fitted is not None else m.y for m in curve.marks]
    measured = [m.y for m in curve.marks]
    axes.plot(fitted, measured, marker, markersize=3, alpha=0.6, label=_label(curve), **style)
    if curve.beyond:
        pairs = [(m.y if m.fitted is None else m.fitted, m.y) for m in curve.beyond]
        _hollow(axes, pairs, marker, style)
        fitted, measured = [*fitted, *(p[0] for p in pairs)], [*measured, *(p[1] for p in pairs)]
    ends = [min(*fitted, *measured), max(*fitted, *measured)]
    axes.plot(ends, ends, color="black", linewidth=0.6)


def _residuals(axes: Axes, curve: Curve, marker: str, style: dict[str, Any]) -> None:
    known = [(m.x, m.residual) for m in curve.marks if m.residual is not None]
    if known:
        x, y = zip(*known, strict=True)
        axes.plot(x, y, marker, markersize=3, alpha=0.45 if len(x) > MANY else 1.0, **style)


def _plain_ticks(axes: Axes, panel: Panel) -> None:
    """Within one decade, minor ticks carry the numbers; powers of ten alone would be too few."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    def number(value: float, _: object) -> str:
        return f"{value:.3g}"

    low, high = axes.get_ylim()
    few = 0 < low < high < 12 * low
    axis_list = [axes.yaxis, *([axes.xaxis] if panel.parity else [])]
    for axis in axis_list:
        axis.set_major_formatter(FuncFormatter(number))
        narrow = high < 4 * low
        axis.set_minor_locator(LogLocator(subs=range(2, 10) if narrow else (2, 5)))
        axis.set_minor_formatter(FuncFormatter(number) if few else NullFormatter())
        axis.set_tick_params(which="minor", labelsize=6.5)


def _label(curve: Curve) -> str:
    """The family or the formula, with the exponent as far as it is known."""
    exponent = curve.fit.exponent
    words = "" if curve.fit.verdict == "ok" else f", {curve.fit.verdict}"
    if exponent.value is not None:
        interval = "" if exponent.ci is None else f" {exponent.ci}"
        return plain_text(f"{curve.label}\nexponent {exponent.value:.3g}{interval}{words}")
    return plain_text(f"{curve.label}{words}")


def plain_text(text: str) -> str:
    """No dollar starts a formula, no control character reaches the file."""
    plain = "".join(c if c.isprintable() or c == "\n" else "�" for c in text)
    return plain.replace("\\", "∖").replace("$", r"\$")
