"""Figures for papers: points, law, band, the held-out size and residuals, as PNG, SVG or PDF."""

from __future__ import annotations

from harness.plots.draw import SUFFIXES, check_target, save_figure
from harness.plots.drawladder import save_ladders
from harness.plots.isoflop import ladder_of
from harness.plots.panels import Curve, Mark, Panel, fit_panel, run_panels

__all__ = [
    "SUFFIXES",
    "Curve",
    "Mark",
    "Panel",
    "check_target",
    "fit_panel",
    "ladder_of",
    "run_panels",
    "save_figure",
    "save_ladders",
]
