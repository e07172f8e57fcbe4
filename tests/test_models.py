"""Models that prepare for a run and models that cost money, as a run treats them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import toys
from test_run import go

from harness.errors import HarnessError, ModelError, PluginError, UsageError
from harness.plugins import Registry
from harness.types import Request, RequestKind, Response, Usage


@dataclass
class Careful(toys.Adder):
    """An adder that looks before it leaps, and takes one for each answer."""

    refusal: Exception | None = None
    prepared: list[frozenset[RequestKind]] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)
    spent: float = 0.0

    @property
    def usage(self) -> Usage:
        return Usage(cost=self.spent)

    def prepare(self, kinds: frozenset[RequestKind]) -> None:
        self.prepared.append(kinds)
        if self.refusal is not None:
            raise self.refusal

    def limit_cost(self, most: float) -> None:
        self.limits.append(most)

    def respond(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        for index, response in super().respond(requests):
            if self.limits and self.spent + 1 > self.limits[-1]:
                yield index, Response(error="too dear")
            else:
                self.spent += 1
                yield index, response


def registry(*models: toys.Adder) -> Registry:
    specs = [toys.model_spec(f"adder-{m.size}", m, size=m.size) for m in models]
    return toys.registry(specs, [toys.task_spec("sums", toys.Sums(3))])


def test_a_model_is_prepared_for_what_it_will_be_asked_and_not_again(tmp_path: Path) -> None:
    model = Careful(10)
    go(registry(model), tmp_path)
    go(registry(model), tmp_path)  # every answer is stored by now
    assert model.prepared == [toys.BOTH]
    assert model.limits == []


def test_a_model_that_never_can_stops_the_run_before_anything_is_asked(tmp_path: Path) -> None:
    able, unable = Careful(10), Careful(20, refusal=UsageError("it has no log-probabilities"))
    with pytest.raises(UsageError, match="log-probabilities"):
        go(registry(able, unable), tmp_path)
    assert able.asked == []


@pytest.mark.parametrize(
    ("refusal", "kind", "words"),
    [
        (ModelError("it is down"), ModelError, "it is down"),
        (KeyError("x"), PluginError, r"Model 'adder-20' of plugin .* raised KeyError in prepare"),
    ],
)
def test_a_model_that_cannot_now_fails_its_own_cells(
    tmp_path: Path, refusal: Exception, kind: type[HarnessError], words: str
) -> None:
    able, unable = Careful(10), Careful(20, refusal=refusal)
    outcome, _ = go(registry(able, unable), tmp_path)
    assert [record.status for record in outcome.records] == ["complete", "failed"]
    assert unable.asked == []
    with pytest.raises(kind, match=words):
        raise outcome.failures[0].error


def test_stored_answers_need_no_preparation(tmp_path: Path) -> None:
    go(registry(Careful(10)), tmp_path)
    shutil.rmtree(tmp_path / "cells")  # the answers are all that is left
    outcome, _ = go(registry(Careful(10, refusal=ModelError("it is down"))), tmp_path)
    assert [record.status for record in outcome.records] == ["complete"]


def test_models_share_what_may_be_spent_in_the_order_of_the_run(tmp_path: Path) -> None:
    first, second = Careful(10), Careful(20)
    outcome, _ = go(registry(first, second), tmp_path, max_cost=10.0)
    assert (first.spent, second.spent) == (6, 4)
    assert [record.status for record in outcome.records] == ["complete", "partial"]
    costs = [record.efficiency.cost for record in outcome.records if record.efficiency]
    assert costs == [6, 4]


def test_a_bound_on_costs_that_bounds_nothing_is_said(tmp_path: Path) -> None:
    _, lines = go(registry(toys.Adder(10)), tmp_path, max_cost=1.0)
    assert [line for line in lines if "--max-cost bounds nothing" in line]
