"""The built-in laws, offered through the hook that a stranger's laws come in by."""

from __future__ import annotations

from collections.abc import Iterator

from harness.hookspecs import hookimpl


@hookimpl
def harness_laws() -> Iterator[object]:
    """Every law of :data:`harness.laws.registry.BUILTIN`."""
    from harness.laws.registry import BUILTIN

    yield from BUILTIN.values()
