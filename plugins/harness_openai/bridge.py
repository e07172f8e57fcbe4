"""An asynchronous stream consumed from synchronous code, also from within a running event loop."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
BEAT_SECONDS = 0.5
"""How often waiting is interrupted; only where signals cannot do that (Windows) it matters."""
GRACE_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class _End:
    error: BaseException | None


@dataclass(frozen=True, kw_only=True)
class _Item(Generic[T]):
    value: T


class _Pump(Generic[T]):
    """Runs the stream in a thread of its own and hands its items over."""

    def __init__(self, make: Callable[[], AsyncGenerator[T]]) -> None:
        self._make = make
        self._box: queue.SimpleQueue[_Item[T] | _End] = queue.SimpleQueue()
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[object] | None = None
        self._thread = threading.Thread(target=self._run, name="harness_openai", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def take(self) -> _Item[T] | _End:
        """The next item as soon as there is one; Ctrl-C gets through."""
        while True:
            with suppress(queue.Empty):
                return self._box.get(timeout=BEAT_SECONDS)

    def stop(self) -> None:
        """End the stream where it stands, and wait for it a little."""
        if not self._thread.is_alive():
            return
        self._started.wait(GRACE_SECONDS)
        if self._loop is not None and self._task is not None:
            with suppress(RuntimeError):  # it ended by itself meanwhile
                self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(GRACE_SECONDS)

    def left(self) -> Iterator[T]:
        """What was known before the stream was stopped and nobody took yet."""
        with suppress(queue.Empty):
            while True:
                entry = self._box.get_nowait()
                if isinstance(entry, _Item):
                    yield entry.value

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            asyncio.run(self._pour())
        except BaseException as raised:
            error = raised
        self._started.set()
        self._box.put(_End(error=error))

    async def _pour(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._started.set()
        async with aclosing(self._make()) as stream:
            async for value in stream:
                self._box.put(_Item(value=value))


def drain(make: Callable[[], AsyncGenerator[T]]) -> Iterator[T]:
    """Yield what the stream yields, as soon as it does, and raise what it raises.

    On Ctrl-C the stream is ended, and what it had yielded already is still handed over before
    KeyboardInterrupt goes on: answers that were paid for are stored.
    """
    pump = _Pump(make)
    pump.start()
    try:
        while isinstance(entry := pump.take(), _Item):
            yield entry.value
        if entry.error is not None:
            raise entry.error
    except KeyboardInterrupt:
        pump.stop()
        yield from pump.left()
        raise
    finally:
        pump.stop()
