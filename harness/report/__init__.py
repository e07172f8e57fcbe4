"""One self-contained page for people: curves, tables, every sample, and where it all came from."""

from __future__ import annotations

from harness.report.build import build_report, save_report

__all__ = ["build_report", "save_report"]
