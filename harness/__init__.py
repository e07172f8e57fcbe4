"""Evaluate every size of a language-model family, and fit how its scores grow with size."""

from harness.hookspecs import hookimpl

__version__ = "0.1.0"
__all__ = ["__version__", "hookimpl"]
