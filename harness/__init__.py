"""Evaluate every size of a language-model family, and fit how its scores grow with size."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.hookspecs import hookimpl

__version__ = "0.1.0"
__all__ = ["__version__", "hookimpl"]


def __getattr__(name: str) -> object:
    """``hookimpl`` when it is first asked for: the nouns behind it would double `--help`'s time."""
    if name == "hookimpl":
        from harness.hookspecs import hookimpl

        return hookimpl
    raise AttributeError(f"module 'harness' has no attribute {name!r}")
