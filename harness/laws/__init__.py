"""Scaling laws: forms, fits with honest intervals, forecasts, and verdicts in words."""

from __future__ import annotations

from harness.laws.records import Estimate, Fit, Interval, Prediction, Resampling
from harness.laws.series import SERIES_LAWS, Series, fit_series

__all__ = [
    "SERIES_LAWS",
    "Estimate",
    "Fit",
    "Interval",
    "Prediction",
    "Resampling",
    "Series",
    "fit_series",
]
