from __future__ import annotations

import errno
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import toys

from harness import metrics
from harness.errors import DataError, ModelError, PluginError, SaveError, UsageError
from harness.manifest import new_manifest
from harness.plan import RunRequest, plan
from harness.plugins import Registry
from harness.results import RunDirectory
from harness.run import Outcome, Workplace, execute
from harness.store import ResponseStore
from harness.types import (
    CellRecord,
    Metric,
    ModelSettings,
    Request,
    Response,
    Sample,
    Stats,
    Tag,
    TaskSettings,
)


@dataclass
class Watcher:
    """A progress that remembers."""

    lines: list[str]

    def begin(self, model: str, task: str, requests: int) -> None:
        self.lines.append(f"begin {model} {task} {requests}")

    def advance(self) -> None:
        self.lines.append("advance")

    def finish(self, record: CellRecord, *, kept: bool) -> None:
        self.lines.append(f"finish {record.model.name} {record.status} kept={kept}")

    def warn(self, message: str) -> None:
        self.lines.append(f"warn {message}")


def go(
    registry: Registry, path: Path, max_cost: float | None = None, **wanted: object
) -> tuple[Outcome, list[str]]:
    made = plan(registry, RunRequest(**wanted))  # type: ignore[arg-type]
    directory = RunDirectory(path)
    directory.prepare()
    manifest = new_manifest(made, registry, ("harness",), directory.earlier_manifest())
    directory.write_manifest(manifest)
    watcher = Watcher([])
    with ResponseStore(path / "responses.sqlite") as store:
        place = Workplace(
            registry=registry,
            directory=directory,
            store=store,
            progress=watcher,
            max_cost=max_cost,
        )
        return execute(made, place), watcher.lines


def adder_registry(*sizes: int) -> tuple[list[toys.Adder], Registry]:
    models, specs = toys.adders(*sizes)
    return models, toys.registry(specs, [toys.task_spec("sums", toys.Sums())])


def test_every_cell_is_scored_and_saved(tmp_path: Path) -> None:
    _, registry = adder_registry(10, 1000)
    outcome, lines = go(registry, tmp_path)
    assert [r.status for r in outcome.records] == ["complete", "complete"]
    assert lines[0] == "begin adder-10 sums 80"
    assert lines.count("advance") == 160
    run = RunDirectory(tmp_path).read_run()
    assert run.status == "complete"
    assert run.cells == outcome.records
    small, large = (r.scores[0] for r in run.cells)
    assert small.metric.name == "exact_match"
    assert 0 < small.value < large.value < 100
    assert small.ci[0] < small.value < small.ci[1]
    assert small.n == 40
    assert "task:sums@" in small.signature and "model:adder-10" in small.signature


def test_the_samples_file_holds_what_was_asked_and_answered(tmp_path: Path) -> None:
    _, registry = adder_registry(10)
    outcome, _ = go(registry, tmp_path, limit=3)
    samples = list(RunDirectory(tmp_path).read_samples(outcome.records[0]))
    assert [s.id for s in samples] == ["sum-0", "sum-1", "sum-2"]
    assert samples[1].requests[0].kind == "generate"
    assert samples[1].responses[0].text == samples[1].reference
    stats = RunDirectory(tmp_path).read_stats(outcome.records[0])
    assert set(stats.tables) == {"exact_match", "bits_per_byte"}
    assert (stats.ids, stats.groups) == (("sum-0", "sum-1", "sum-2"), None)


def test_the_same_run_again_asks_nothing_and_keeps_the_records(tmp_path: Path) -> None:
    models, registry = adder_registry(10)
    first, _ = go(registry, tmp_path)
    models[0].asked.clear()
    second, lines = go(registry, tmp_path)
    assert second.records == first.records
    assert models[0].asked == []
    assert lines == ["finish adder-10 complete kept=True"]


def test_a_longer_run_asks_only_what_is_new(tmp_path: Path) -> None:
    models, registry = adder_registry(10)
    go(registry, tmp_path, limit=10)
    models[0].asked.clear()
    made = plan(registry, RunRequest(limit=15))
    with ResponseStore(tmp_path / "responses.sqlite") as store:
        directory = RunDirectory(tmp_path / "longer")
        directory.prepare()
        place = Workplace(registry=registry, directory=directory, store=store, progress=Watcher([]))
        (record,) = execute(made, place).records
    assert (record.asked, record.reused) == (10, 20)
    assert len(models[0].asked) == 10


def test_another_models_answers_are_never_served(tmp_path: Path) -> None:
    models, registry = adder_registry(10, 1000)
    outcome, _ = go(registry, tmp_path)
    assert [r.reused for r in outcome.records] == [0, 0]
    assert len(models[1].asked) == 80


def test_a_damaged_record_is_computed_anew_from_stored_answers(tmp_path: Path) -> None:
    models, registry = adder_registry(10)
    first, _ = go(registry, tmp_path)
    RunDirectory(tmp_path).cell_path("adder-10", "sums").write_text("{")
    models[0].asked.clear()
    second, lines = go(registry, tmp_path)
    assert second.records[0].scores == first.records[0].scores
    assert models[0].asked == []
    assert "is not JSON" in lines[0] and "computed anew" in lines[0]


def test_a_changed_task_is_not_mistaken_for_the_old_one(tmp_path: Path) -> None:
    _, specs = toys.adders(10)
    before = toys.registry(specs, [toys.task_spec("sums", toys.Sums(20))])
    after = toys.registry(specs, [toys.task_spec("sums", toys.Sums(30))])
    first, _ = go(before, tmp_path)
    second, _ = go(after, tmp_path)
    assert second.records[0].counts.samples == 30
    assert second.records[0].fingerprint != first.records[0].fingerprint


def test_a_directory_with_other_settings_is_refused(tmp_path: Path) -> None:
    _, registry = adder_registry(10)
    go(registry, tmp_path, limit=5)
    with pytest.raises(UsageError, match="limit 5, and this\\s+command has limit 6"):
        go(registry, tmp_path, limit=6)


def test_further_models_join_a_run(tmp_path: Path) -> None:
    _, registry = adder_registry(10, 1000)
    go(registry, tmp_path, models=("adder-10",))
    go(registry, tmp_path, models=("adder-1000",))
    run = RunDirectory(tmp_path).read_run()
    assert [r.model.name for r in run.cells] == ["adder-10", "adder-1000"]


# --- plugins that break their contract ---


@dataclass
class Broken(toys.Adder):
    """An adder whose respond() goes wrong in the way that ``how`` names."""

    how: str = ""

    def respond(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        answers = list(super().respond(requests))
        match self.how:
            case "few":
                yield from answers[:-1]
            case "twice":
                yield from answers
                yield answers[0]
            case "index":
                yield len(requests), Response(text="x")
            case "type":
                yield 0, "x"  # type: ignore[misc]
            case "field":
                yield from ((i, Response(error=None)) for i, _ in answers)
            case "bare":
                yield Response(text="x")  # type: ignore[misc]
            case "tokens":
                yield 0, Response(text="x", tokens=1.5)  # type: ignore[arg-type]
            case "surrogate":
                yield 0, Response(text="\ud800")
            case "infinite":
                yield 1, Response(logprob=-math.inf)
            case "exit":
                raise SystemExit("done")
            case "raise":
                yield from answers[:3]
                raise RuntimeError("the GPU fell out")
            case "gone":
                yield from answers[: 3 if len(answers) == 80 else 0]
                raise ModelError("the server is gone")
            case "fail":
                for index, answer in answers:
                    yield index, Response(error="overheated") if index < 4 else answer


def broken(how: str) -> Registry:
    model = Broken(10, how=how)
    good = toys.Adder(20)
    specs = [
        toys.model_spec("broken", model, size=10),
        toys.model_spec("good", good, size=20),
    ]
    return toys.registry(specs, [toys.task_spec("sums", toys.Sums())])


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("few", "answered 79 of 80 requests; the first without an answer is number 0"),
        ("twice", "answered request number 79 twice"),
        ("index", "yielded the index 80 for 80 requests"),
        ("type", "yielded str for request number 0, not Response"),
        ("bare", r"respond\(\) yielded Response, not a pair \(index, Response\)"),
        ("tokens", "is no proper Response: int was expected, not 1.5"),
        ("surrogate", "is no proper Response: a text holds a lone surrogate"),
        ("infinite", "has the logprob -inf, not a finite number"),
        ("exit", r"raised SystemExit in respond\(\): done"),
        ("field", "generate request number .* has no text|has the logprob None"),
        ("raise", "raised RuntimeError in respond\\(\\): the GPU fell out"),
    ],
)
def test_a_broken_model_is_named_and_leaves_the_others_alone(
    tmp_path: Path, how: str, words: str
) -> None:
    outcome, _ = go(broken(how), tmp_path)
    (failure,) = outcome.failures
    assert isinstance(failure.error, PluginError)
    with pytest.raises(PluginError, match=words):
        raise failure.error
    assert "'broken' of plugin toys (toy-box 1.2)" in str(failure.error)
    assert [r.status for r in outcome.records] == ["failed", "complete"]
    assert RunDirectory(tmp_path).read_run().status == "partial"


def test_answers_given_before_a_failure_are_not_asked_again(tmp_path: Path) -> None:
    registry = broken("raise")
    go(registry, tmp_path, models=("broken",))
    _, lines = go(registry, tmp_path, models=("broken",))
    assert lines[0] == "begin broken sums 77"


def test_a_model_that_stops_answering_leaves_the_scores_of_what_it_answered(tmp_path: Path) -> None:
    registry = broken("gone")
    outcome, _ = go(registry, tmp_path, models=("broken",))
    for _ in range(2):  # nothing more is answered the second time, and nothing is lost by that
        (record,) = outcome.records
        assert (record.status, record.counts.errors, record.scores[0].n) == ("partial", 39, 1)
        assert "39 of its samples have no answer; the model ended: the server" in str(record.error)
        outcome, lines = go(registry, tmp_path, models=("broken",))
        assert lines[0] == "begin broken sums 77"
    assert (outcome.records[0].asked, outcome.records[0].reused) == (0, 3)


def test_a_model_that_never_answered_fails_its_cell(tmp_path: Path) -> None:
    outcome, _ = go(broken("gone"), tmp_path, models=("broken",), limit=5)
    assert [record.status for record in outcome.records] == ["failed"]


def test_failed_samples_are_counted_and_left_out_of_the_score(tmp_path: Path) -> None:
    outcome, _ = go(broken("fail"), tmp_path)
    record = outcome.records[0]
    assert record.status == "partial"
    assert record.counts.samples == 40
    assert record.counts.errors == 2  # requests 0-3 belong to the first two samples
    assert record.scores[0].n == 38
    assert record.error is not None and "overheated" in record.error


@dataclass
class Faulty(toys.Sums):
    """Sums whose task side goes wrong in the way that ``how`` names."""

    how: str = ""

    @property
    def metrics(self) -> Sequence[Metric]:
        match self.how:
            case "scorers":
                return (metrics.exact_match(),)  # type: ignore[return-value]
            case "formula":
                return (Metric(name="x", formula="beauty"),)
            case "no metrics":
                return ()
        return super().metrics

    def samples(self) -> Iterator[Sample]:
        match self.how:
            case "none":
                return
            case "twice":
                yield from super().samples()
                yield from super().samples()
            case "reference":
                yield from (replace(s, reference=object()) for s in super().samples())
            case "requests":
                yield from (replace(s, requests=s.requests[0]) for s in super().samples())
            case "kind":
                yield Sample(id="x", requests=(Tag(tokens=("a",)),), reference="")
            case "samples":
                yield from super().samples()
                raise RuntimeError("no more paper")
            case _:
                yield from super().samples()

    def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
        stats = dict(super().grade(sample, responses))
        match self.how:
            case "grade":
                raise RuntimeError("no red ink")
            case "metric":
                return stats | {"beauty": (1.0, 1.0)}
            case "none given":
                return None  # type: ignore[return-value]
            case "scalar":
                return {"exact_match": 1.0}  # type: ignore[dict-item]
            case "nan":
                return stats | {"exact_match": (float("nan"), 1.0)}
            case "width":
                wide = (1.0, 1.0, 1.0) if sample.id == "sum-3" else (1.0, 1.0)
                return stats | {"exact_match": wide}
        return stats


@pytest.mark.parametrize(
    ("how", "kind", "words"),
    [
        ("none", DataError, "Task 'sums' has no samples"),
        ("twice", PluginError, "the sample id 'sum-0' occurs twice"),
        ("samples", PluginError, "raised RuntimeError in samples\\(\\): no more paper"),
        ("grade", PluginError, "raised RuntimeError in grade\\(\\) for sample 'sum-0': no red ink"),
        ("metric", PluginError, "statistics for 'beauty', which is none of its metrics"),
        ("none given", PluginError, "returned NoneType for sample 'sum-0', not a mapping"),
        ("scalar", PluginError, "gave 1.0 as statistics of 'exact_match'"),
        ("nan", PluginError, r"gave \(nan, 1.0\) as statistics of 'exact_match'"),
        ("reference", PluginError, "no proper Sample: Object of type object is not JSON"),
        ("requests", PluginError, "no proper Sample: a list was expected, not dict"),
        ("kind", PluginError, "asks tag in sample 'x', which its spec does not say it needs"),
        ("scorers", PluginError, "its metrics hold .*, not Metric; a scorer's metric is its"),
        ("formula", PluginError, "broke its contract in metric 'x': .*beauty"),
        ("no metrics", PluginError, "it has no metrics"),
        ("width", PluginError, "gave 3 statistics of 'exact_match' for sample 'sum-3' and 2"),
    ],
)
def test_a_faulty_task_is_named(
    tmp_path: Path, how: str, kind: type[Exception], words: str
) -> None:
    _, specs = toys.adders(10)
    tasks = [toys.task_spec("sums", Faulty(how=how)), toys.task_spec("good", toys.Sums())]
    outcome, _ = go(toys.registry(specs, tasks), tmp_path)
    failure = next(f for f in outcome.failures if f.cell.task.text == "sums")
    assert isinstance(failure.error, kind)
    with pytest.raises(kind, match=words):
        raise failure.error
    assert next(r for r in outcome.records if r.task == "good").status == "complete"


def test_when_no_cell_can_run_the_reason_is_raised(tmp_path: Path) -> None:
    _, specs = toys.adders(10, 100)
    registry = toys.registry(specs, [toys.task_spec("sums", Faulty(how="none"))])
    with pytest.raises(DataError, match="has no samples"):
        go(registry, tmp_path)


def test_a_plugin_that_fails_to_build_is_named(tmp_path: Path) -> None:
    def build(settings: ModelSettings | TaskSettings) -> toys.Adder:
        raise KeyError("weights")

    _, specs = toys.adders(10)
    bad = replace(specs[0], name="bad", build=build)
    registry = toys.registry([*specs, bad], [toys.task_spec("sums", toys.Sums())])
    outcome, _ = go(registry, tmp_path)
    assert "Plugin toys (toy-box 1.2) raised KeyError while building" in str(
        outcome.failures[0].error
    )


def test_a_usage_error_while_building_stops_the_run_at_once(tmp_path: Path) -> None:
    def build(settings: ModelSettings | TaskSettings) -> toys.Adder:
        raise UsageError("dtype 'float3' is unknown")

    models, specs = toys.adders(10)
    bad = replace(specs[0], name="bad", build=build)
    registry = toys.registry([*specs, bad], [toys.task_spec("sums", toys.Sums())])
    with pytest.raises(UsageError, match="float3"):
        go(registry, tmp_path)
    assert models[0].asked == []


@dataclass
class Silent(toys.Adder):
    """A model that emits nothing."""

    def answer(self, request: Request) -> Response:
        answer = super().answer(request)
        return answer if answer.text is None else Response(text="")


def test_a_model_that_emits_nothing_scores_nothing_and_is_shown_as_empty(tmp_path: Path) -> None:
    specs = [toys.model_spec("silent", Silent(10))]
    registry = toys.registry(specs, [toys.task_spec("sums", toys.Sums())])
    outcome, _ = go(registry, tmp_path)
    assert outcome.records[0].scores[0].value == 0
    assert outcome.records[0].counts.empty == 40


# --- interruption and bad disks ---


@dataclass
class Interrupted(toys.Adder):
    """Ctrl-C comes after ten answers."""

    armed: bool = True

    def respond(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        for number, answer in enumerate(super().respond(requests)):
            if self.armed and number == 10:
                self.armed = False
                raise KeyboardInterrupt
            yield answer


def test_ctrl_c_keeps_what_was_answered(tmp_path: Path) -> None:
    model = Interrupted(10)
    registry = toys.registry([toys.model_spec("m", model)], [toys.task_spec("sums", toys.Sums())])
    with pytest.raises(KeyboardInterrupt):
        go(registry, tmp_path)
    model.asked.clear()
    outcome, _ = go(registry, tmp_path)
    assert outcome.records[0].reused == 10
    assert len(model.asked) == 70


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_said_and_never_a_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, registry = adder_registry(10)
    go(registry, tmp_path, limit=5)
    (tmp_path / "cells" / "adder-10--sums.json").unlink()
    monkeypatch.setattr("harness.results.os.fsync", full_disk)
    made = plan(registry, RunRequest(limit=5))
    with (
        ResponseStore(tmp_path / "responses.sqlite") as store,
        pytest.raises(SaveError, match="No space left on device"),
    ):
        place = Workplace(
            registry=registry,
            directory=RunDirectory(tmp_path),
            store=store,
            progress=Watcher([]),
        )
        execute(made, place)
    assert not list((tmp_path / "cells").iterdir())


def test_a_missing_cell_is_said(tmp_path: Path) -> None:
    _, registry = adder_registry(10, 1000)
    go(registry, tmp_path)
    RunDirectory(tmp_path).cell_path("adder-10", "sums").unlink()
    run = RunDirectory(tmp_path).read_run()
    assert run.status == "partial"
    assert run.errors == ("adder-10 on sums: not finished; run the same command again.",)


def test_observers_are_told_and_their_failure_ends_nothing(tmp_path: Path) -> None:
    from harness import hookimpl
    from harness.plugins import new_manager

    class Good:
        def __init__(self) -> None:
            self.seen: list[CellRecord] = []

        @hookimpl
        def harness_cell_finished(self, record: CellRecord) -> None:
            self.seen.append(record)

    class Bad:
        @hookimpl
        def harness_cell_finished(self, record: CellRecord) -> None:
            raise RuntimeError("tracker is down")

    observers: list[tuple[object, object]] = []
    good = Good()
    for plugin in (Bad(), good):
        manager = new_manager()
        manager.register(plugin)
        observers.append((toys.PLUGIN, manager))
    _, registry = adder_registry(10)
    watched: Registry = replace(registry, observers=tuple(observers))  # type: ignore[arg-type]
    outcome, lines = go(watched, tmp_path)
    assert good.seen == list(outcome.records)
    assert any("toys (toy-box 1.2): RuntimeError: tracker is down" in line for line in lines)
