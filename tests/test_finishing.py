"""Cells graded beside the next one's questions: in order, each with its own errors, and stopped
without a trace of what was not done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import toys
from hypothesis import given
from hypothesis import strategies as st
from test_run import Watcher, full_disk, go

from harness import hookimpl
from harness.cli.progress import BarProgress
from harness.errors import PluginError, SaveError
from harness.finishing import Ended, Finisher
from harness.plan import RunRequest, plan
from harness.plugins import Registry, new_manager
from harness.results import RunDirectory
from harness.run import Workplace, execute
from harness.store import ResponseStore
from harness.types import CellRecord, ModelInfo, Request, Response, Sample, Stats

PATIENCE = 30.0


def record(task: str) -> CellRecord:
    return CellRecord(
        model=ModelInfo(name="m", family="m", identity="m"), task=task, status="complete"
    )


@given(st.lists(st.sampled_from(["put", "submit", "alone", "poll"]), max_size=12), st.booleans())
def test_cells_land_in_their_order_in_the_callers_thread(steps: list[str], beside: bool) -> None:
    landed: list[tuple[str, threading.Thread]] = []
    finisher = Finisher(
        lambda ended: landed.append((ended.record.task, threading.current_thread())), beside=beside
    )

    def work(name: str) -> Callable[[Callable[[], None]], Ended]:
        def graded(go_on: Callable[[], None]) -> Ended:
            go_on()
            return Ended(record=record(name))

        return graded

    names = [str(number) for number, step in enumerate(steps) if step != "poll"]
    for number, step in enumerate(steps):
        if step == "put":
            finisher.put(Ended(record=record(str(number))))
        elif step == "poll":
            finisher.poll()
        else:
            finisher.submit(work(str(number)), alone=step == "alone")
    finisher.drain()
    assert [name for name, _ in landed] == names
    assert {thread for _, thread in landed} <= {threading.current_thread()}


@dataclass
class Slow(toys.Sums):
    """Its grading waits until something else has happened; tells who called it."""

    wait_for: threading.Event | None = None
    begun: threading.Event = field(default_factory=threading.Event)
    threads: set[threading.Thread] = field(default_factory=set)
    number: int = 4

    def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
        self.begun.set()
        self.threads.add(threading.current_thread())
        if self.wait_for is not None and not self.wait_for.wait(PATIENCE):
            raise RuntimeError("graded alone")
        return super().grade(sample, responses)


@dataclass
class Watched(toys.Adder):
    """Calls ``before`` each time it is asked, with the number of times it was asked before."""

    before: Callable[[int], None] = lambda number: None
    times: int = 0

    def respond(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        self.times += 1
        self.before(self.times - 1)
        yield from super().respond(requests)


def two_tasks(first: Slow, model: Watched, **more: bool) -> Registry:
    tasks = [
        replace(toys.task_spec("first", first), **more),
        toys.task_spec("second", toys.Sums(number=6)),
    ]
    return toys.registry([toys.model_spec("m", model)], tasks)


def test_a_cell_is_graded_while_the_next_one_is_asked(tmp_path: Path) -> None:
    asked = threading.Event()
    first = Slow(wait_for=asked)
    model = Watched(10, before=lambda number: asked.set() if number == 1 else None)
    outcome, lines = go(two_tasks(first, model), tmp_path, tasks=("first", "second"))
    assert [r.status for r in outcome.records] == ["complete", "complete"]
    assert threading.main_thread() not in first.threads
    assert [line for line in lines if line != "advance"] == [
        "begin m first 8",
        "begin m second 4",  # the others were asked in the first
        "finish m complete kept=False",
        "finish m complete kept=False",
    ]


def test_a_task_that_asks_for_it_is_graded_in_the_main_thread_with_no_model_at_work(
    tmp_path: Path,
) -> None:
    first = Slow()
    model = Watched(10)
    go(two_tasks(first, model, graded_alone=True), tmp_path, tasks=("first", "second"))
    assert first.threads == {threading.main_thread()}


def test_an_error_in_grading_stays_with_its_cell(tmp_path: Path) -> None:
    class Faulty(Slow):
        def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
            raise ValueError("no such answer")

    outcome, _ = go(two_tasks(Faulty(), Watched(10)), tmp_path, tasks=("first", "second"))
    assert [(r.task, r.status) for r in outcome.records] == [
        ("first", "failed"),
        ("second", "complete"),
    ]
    (failure,) = outcome.failures
    assert isinstance(failure.error, PluginError) and failure.cell.task.text == "first"
    assert "ValueError in grade()" in str(outcome.records[0].error)
    assert RunDirectory(tmp_path).read_run().cells == outcome.records


def test_interrupted_in_the_next_cell_nothing_half_graded_is_kept_and_nothing_is_asked_twice(
    tmp_path: Path,
) -> None:
    """A program under grading may have got the Ctrl-C, too: its result must not count."""
    never = threading.Event()
    first = Slow(wait_for=never)

    def interrupt(number: int) -> None:
        if number == 1:
            assert first.begun.wait(PATIENCE)
            raise KeyboardInterrupt

    model = Watched(10, before=interrupt)
    registry = two_tasks(first, model)
    with pytest.raises(KeyboardInterrupt):
        go(registry, tmp_path, tasks=("first", "second"))
    never.set()
    for thread in first.threads:  # it goes on grading, and is not let write
        if thread is not threading.main_thread():
            thread.join(0.2)
    assert list((tmp_path / "cells").iterdir()) == []
    assert list((tmp_path / "samples").iterdir()) == []
    outcome, _ = go(registry, tmp_path, tasks=("first", "second"))
    assert [(r.status, r.reused) for r in outcome.records] == [("complete", 8), ("complete", 8)]


def test_interrupted_what_was_written_is_told(tmp_path: Path) -> None:
    def interrupt(number: int) -> None:
        if number == 1:
            path = RunDirectory(tmp_path).cell_path("m", "first")
            tries = iter(range(3000))
            while not path.is_file() and next(tries, None) is not None:
                threading.Event().wait(0.01)
            threading.Event().wait(0.05)
            raise KeyboardInterrupt

    seen: list[CellRecord] = []

    class Observer:
        @hookimpl
        def harness_cell_finished(self, record: CellRecord) -> None:
            seen.append(record)

    manager = new_manager()
    manager.register(Observer())
    registry = two_tasks(Slow(), Watched(10, before=interrupt))
    watched = replace(registry, observers=((toys.PLUGIN, manager),))
    with pytest.raises(KeyboardInterrupt):
        go(watched, tmp_path, tasks=("first", "second"))
    assert [r.task for r in seen] == ["first"]
    go(watched, tmp_path, tasks=("first", "second"))
    assert [r.task for r in seen] == ["first", "second"]


def test_a_disk_that_is_full_ends_the_run_while_the_next_cell_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = two_tasks(Slow(), Watched(10))
    go(registry, tmp_path, tasks=("first", "second"), limit=1)
    monkeypatch.setattr("harness.results.os.fsync", full_disk)
    made = plan(registry, RunRequest(tasks=("first", "second"), limit=2))
    with (
        ResponseStore(tmp_path / "responses.sqlite") as store,
        pytest.raises(SaveError, match="No space left on device"),
    ):
        place = Workplace(
            registry=registry,
            directory=RunDirectory(tmp_path / "other"),
            store=store,
            progress=Watcher([]),
        )
        place.directory.prepare()
        execute(made, place)
    assert list((tmp_path / "other" / "cells").iterdir()) == []


def test_one_processor_gives_the_same_records(tmp_path: Path) -> None:
    scores = []
    for beside in (True, False):
        registry = two_tasks(Slow(), Watched(10))
        made = plan(registry, RunRequest(tasks=("first", "second")))
        folder = tmp_path / str(beside)
        with ResponseStore(folder / "responses.sqlite") as store:
            place = Workplace(
                registry=registry,
                directory=RunDirectory(folder),
                store=store,
                progress=Watcher([]),
                beside=beside,
            )
            place.directory.prepare()
            scores.append([(r.task, r.scores) for r in execute(made, place).records])
    assert scores[0] == scores[1]


def test_the_bar_of_the_next_cell_stays_when_the_one_before_ends(
    capsys: pytest.CaptureFixture[str],
) -> None:
    progress = BarProgress(2)
    progress.begin("m", "first", 1)
    progress.begin("m", "second", 7)
    progress.finish(record("first"), kept=False)
    progress.advance()
    said = capsys.readouterr().err
    assert "[1/2] m first:" in said
    assert "[2/2] m second:" in said.rsplit("[1/2] m first:", 1)[1]  # drawn again below it
    progress.finish(record("second"), kept=False)
    progress.close()
    assert capsys.readouterr().err.rstrip().splitlines()[-1].startswith("[2/2] m second:")
