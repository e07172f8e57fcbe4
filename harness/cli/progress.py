"""How a run goes, on stderr: a bar on a terminal, a plain line per cell anywhere else."""

from __future__ import annotations

import sys
from typing import Any

import click

from harness.table import value_text
from harness.types import CellRecord
from harness.wording import short_names

SHOWN = 3


class PlainProgress:
    """One line when a cell ends; nothing that a log file would choke on."""

    def __init__(self, cells: int) -> None:
        """``cells`` is how many there will be."""
        self.cells = cells
        self.done = 0
        self._told: set[str] = set()

    def begin(self, model: str, task: str, requests: int) -> None:
        """Nothing to say yet."""

    def advance(self) -> None:
        """Too much to say."""

    def finish(self, record: CellRecord, *, kept: bool) -> None:
        """The cell's scores and what they cost, or why it failed."""
        self.done += 1
        said = self._failure(record) if record.status == "failed" else _summary(record, kept)
        label = f"{_plain(record.model.name)} {_plain(record.task)}:"
        self._line(f"[{self.done}/{self.cells}] {label} {said}")

    def warn(self, message: str) -> None:
        """A line of its own."""
        self._line(f"warning: {message}")

    def close(self) -> None:
        """Nothing is open."""

    def _failure(self, record: CellRecord) -> str:
        """That ``record`` failed; why, if that is news: below the last cell the whole reason
        follows, which of a run of one cell is here and now."""
        reason = (record.error or "").partition("\n")[0]
        if self.cells == 1:
            return "failed"
        if reason in self._told:
            return "failed, for the same reason"
        self._told.add(reason)
        return f"failed: {reason}"

    def _line(self, text: str) -> None:
        click.echo(text, err=True)


class BarProgress(PlainProgress):
    """The same lines, with a bar over the answers of the cell at work."""

    def __init__(self, cells: int) -> None:
        """No bar until the first cell asks something."""
        super().__init__(cells)
        self._bar: Any = None
        self._open: set[tuple[str, str]] = set()

    def begin(self, model: str, task: str, requests: int) -> None:
        """Open a bar. The cell before may still be graded."""
        from tqdm import tqdm

        self.close()
        self._open.add((model, task))
        label = f"[{self.done + len(self._open)}/{self.cells}] {_plain(model)} {_plain(task)}"
        self._bar = tqdm(total=requests, desc=label, unit="answer", leave=False, file=sys.stderr)

    def advance(self) -> None:
        """One answer further."""
        if self._bar is not None:
            self._bar.update(1)

    def finish(self, record: CellRecord, *, kept: bool) -> None:
        """The same line; the bar of the next cell stays."""
        self._open.discard((record.model.name, record.task))
        super().finish(record, kept=kept)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _line(self, text: str) -> None:
        if not self._open:
            self.close()
        if self._bar is None:
            super()._line(text)
        else:
            self._bar.clear()
            super()._line(text)
            self._bar.refresh()


def make_progress(cells: int) -> PlainProgress:
    """Bars when stderr is a terminal, else plain lines."""
    return BarProgress(cells) if sys.stderr.isatty() else PlainProgress(cells)


def _summary(record: CellRecord, kept: bool) -> str:
    scores = ", ".join(
        f"{s.metric.name} {value_text(s.metric, s.value)}" for s in record.scores[:SHOWN]
    )
    if kept:
        return f"{scores} (done before)"
    cost = f"{record.seconds:.1f} s, {record.asked} asked, {record.reused} from the store"
    spent = record.efficiency.cost if record.efficiency else None
    if spent is not None:
        cost += f", cost {spent:.4g}"
    if record.counts.errors:
        cost += f", {record.counts.errors} without an answer"
    return f"{scores} ({cost})".lstrip()


def _plain(name: str) -> str:
    return short_names([name])[name]
