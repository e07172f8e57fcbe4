"""Scaling laws: forms, fits with honest intervals, forecasts, and verdicts in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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


def __getattr__(name: str) -> object:
    """A public name when it is first asked for: the list of laws is a plugin like any other, and
    numpy behind it would double the time that it takes to list tasks."""
    if name not in __all__:
        raise AttributeError(f"module 'harness.laws' has no attribute {name!r}")
    from harness.laws import records, series

    found: object = getattr(series if hasattr(series, name) else records, name)
    return found
