"""Writes the held-out sets anew: ``python -m harness_world``."""

from __future__ import annotations

import sys
from pathlib import Path

from harness_world.examples import TASKS, held_out
from harness_world.records import data_name, written


def main() -> int:
    """Write every set beside this module; returns the exit code."""
    folder = Path(__file__).parent / "data"
    folder.mkdir(exist_ok=True)
    for task in TASKS:
        text = written(held_out(task))
        (folder / data_name(task)).write_text(text, encoding="utf-8")
        print(f"{data_name(task)}: {len(text.encode())} bytes", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
