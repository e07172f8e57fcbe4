"""Cells ended in their order, graded and written on a thread beside the model's work.

A cell whose answers are all there needs the model no more. While it is graded, bootstrapped and
written, the model answers the next cell, or the next model loads. What others are told of it
(progress, observers, the list of records) is told in the main thread and in the run's order.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from harness.errors import HarnessError
from harness.types import CellRecord

BEAT_SECONDS = 0.5
"""How often waiting is interrupted; only where signals cannot do that (Windows) it matters."""
GRACE_SECONDS = 5.0
"""How long an interrupted run waits for a file that is being written."""


class AbandonedError(Exception):
    """The run was interrupted before this cell was written; its answers are in the store."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A cell at its end: finished, failed (with the ``error``), or ``kept`` from an earlier run."""

    record: CellRecord
    error: HarnessError | None = None
    kept: bool = False


Work: TypeAlias = Callable[[Callable[[], None]], Ended]
"""Grades and writes one cell. What it is given is called before writing, and raises AbandonedError
where that is not wanted any more: a program that was graded as Ctrl-C came may have got it, too."""


@dataclass(kw_only=True, eq=False)
class _Place:
    """A cell's place in the order, and what became of it."""

    done: threading.Event = field(default_factory=threading.Event)
    ended: Ended | None = None
    error: BaseException | None = None


class Finisher:
    """Ends cells in the order in which they are handed over; at most one is graded meanwhile.

    ``land`` is told of each in the caller's thread. Without ``beside`` everything happens there:
    for machines with one processor.
    """

    def __init__(self, land: Callable[[Ended], None], *, beside: bool = True) -> None:
        """No thread runs before the first cell."""
        self._land = land
        self._beside = beside
        self._places: deque[_Place] = deque()
        self._box: queue.SimpleQueue[tuple[_Place, Work]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._stopped = False
        self._writing = False

    def put(self, ended: Ended) -> None:
        """A cell that has nothing to be graded."""
        place = _Place(ended=ended)
        place.done.set()
        self._places.append(place)
        self.poll()

    def submit(self, work: Work, *, alone: bool = False) -> None:
        """A cell to be graded and written; waits for the one before, so that answers do not pile
        up. ``alone``: now, in this thread, while no model is at work.

        Raises what :meth:`drain` raises.
        """
        self.drain()
        place = _Place()
        self._places.append(place)
        if alone or not self._beside:
            self._run(place, work)
            self.poll()
            return
        if self._thread is None:
            # a daemon: an interrupted run must not wait for whatever a task does in grade()
            self._thread = threading.Thread(target=self._serve, name="finisher", daemon=True)
            self._thread.start()
        self._box.put((place, work))

    def poll(self) -> None:
        """Tell of the cells that are done by now; raises as :meth:`drain` does."""
        while self._places and self._places[0].done.is_set():
            place = self._places.popleft()
            if place.error is not None:
                raise place.error
            assert place.ended is not None
            self._land(place.ended)

    def drain(self) -> None:
        """Wait for all cells that were handed over, and tell of them.

        Raises SaveError where one could not be written, and what is our own fault.
        """
        while self._places:
            while not self._places[0].done.wait(BEAT_SECONDS):
                pass
            self.poll()

    def abandon(self) -> None:
        """The run is over: nothing more is written; what was written already is told of.

        Waits for a file that is being written, but for no grading.
        """
        with self._lock:
            self._stopped = True
            writing = self._writing
        if writing:
            self._places[-1].done.wait(GRACE_SECONDS)
        while self._places and (ended := self._places[0].ended) is not None:
            self._places.popleft()
            self._land(ended)

    def _serve(self) -> None:
        while True:
            self._run(*self._box.get())

    def _run(self, place: _Place, work: Work) -> None:
        try:
            place.ended = work(self._go_on)
        except BaseException as error:
            place.error = error
        with self._lock:
            self._writing = False
        place.done.set()

    def _go_on(self) -> None:
        with self._lock:
            if self._stopped:
                raise AbandonedError
            self._writing = True
