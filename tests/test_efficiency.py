"""What answers cost: differences of totals, rates, and quality beside cost."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import toys
from hypothesis import given
from hypothesis import strategies as st

import harness.metering
from harness.document import run_document
from harness.metering import Meter
from harness.table import efficiency_table
from harness.types import (
    CellRecord,
    Efficiency,
    Metric,
    ModelInfo,
    Request,
    Response,
    RunRecord,
    Score,
    Usage,
)

BLEU = Metric(name="bleu", bounds=(0, 100))
SCORE = Score(metric=BLEU, value=31.4, ci=(30.0, 33.0), n=5, signature="")
SPENT = Efficiency(
    requests=7,
    seconds=2.0,
    load_seconds=1.5,
    first_answer_seconds=0.25,
    prompt_tokens=3000,
    tokens=500,
    peak_host_bytes=800_000_000,
)


@dataclass
class Spender(toys.Adder):
    """An adder that says what it spends."""

    usage: Usage = field(default_factory=Usage)

    def respond(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        spent = self.usage
        self.usage = replace(
            spent,
            load_seconds=0.05,
            energy_joules=(spent.energy_joules or 0.0) + 12.0,
            cost=(spent.cost or 0.0) + 0.5,
        )
        time.sleep(0.05)
        yield from super().respond(requests)


def measured(model: Spender) -> Efficiency:
    requests = [r for sample in toys.Sums(3).samples() for r in sample.requests]
    meter = Meter(model)
    for _, response in model.respond(requests):
        meter.note(response)
    spent = meter.read()
    assert spent is not None
    return spent


def test_a_cell_gets_the_difference_of_a_models_totals() -> None:
    model = Spender(10)
    first, second = measured(model), measured(model)
    assert (first.energy_joules, first.cost, first.load_seconds) == (12.0, 0.5, 0.05)
    assert (second.energy_joules, second.cost, second.load_seconds) == (12.0, 0.5, 0.0)
    assert (first.requests, first.tokens, first.prompt_tokens) == (6, 6, None)


def test_loading_is_in_neither_time() -> None:
    model = Spender(10)
    started = time.monotonic()
    spent = measured(model)
    taken = time.monotonic() - started
    assert spent.first_answer_seconds is not None
    assert 0.0 <= spent.first_answer_seconds <= spent.seconds <= taken - 0.05


def cell(efficiency: Efficiency | None, name: str = "m-1") -> CellRecord:
    info = ModelInfo(name=name, family="m", identity=name)
    return CellRecord(
        model=info, task="t", status="complete", scores=(SCORE,), efficiency=efficiency
    )


def test_what_is_told_meanwhile_is_in_neither_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(harness.metering, "time", SimpleNamespace(monotonic=lambda: now[0]))
    meter = Meter(toys.Adder(1))
    now[0] = 2.0
    meter.note(Response(text="a"))
    with meter.paused():
        now[0] = 50.0
    now[0] = 51.0
    spent = meter.read()
    assert spent is not None
    assert (spent.first_answer_seconds, spent.seconds) == (2.0, 3.0)


def test_quality_stands_beside_cost_and_what_nobody_knows_has_no_column() -> None:
    title, header, _, row = efficiency_table([cell(SPENT)]).splitlines()
    assert title == "Efficiency"
    assert header.split("  ") != [] and "energy" not in header and "cost" not in header
    found = dict(zip(_cells(header), _cells(row), strict=True))
    assert found == {
        "model": "m-1",
        "task": "t",
        "asked": "7",
        "score": "bleu 31.4",
        "load s": "1.50",
        "answers s": "2.00",
        "first s": "0.25",
        "prompt tokens/s": "1,500",
        "tokens/s": "250",
        "peak host MB": "800",
    }


def test_what_one_cell_knows_is_a_dash_for_the_others() -> None:
    paid = replace(SPENT, cost=0.1234567, energy_joules=1234.0)
    lines = efficiency_table([cell(SPENT, "m-1"), cell(paid, "m-2"), cell(None, "m-3")])
    _, header, _, *rows = lines.splitlines()
    assert _cells(header)[-2:] == ["energy J", "cost"]
    assert [_cells(row)[-2:] for row in rows] == [["-", "-"], ["1,234", "0.1235"]]


def test_the_json_of_a_run_holds_the_rates(tmp_path: Path) -> None:
    run = RunRecord(directory=str(tmp_path), status="complete", cells=(cell(SPENT), cell(None)))
    known, unknown = run_document(run, [])["cells"]
    assert known["efficiency"]["prompt_tokens_per_second"] == 1500
    assert known["efficiency"]["tokens_per_second"] == 250
    assert unknown["efficiency"] is None
    assert replace(SPENT, seconds=0.0).tokens_per_second is None


def _cells(line: str) -> list[str]:
    return [part.strip() for part in line.split("  ") if part.strip()]


@given(st.integers(0, 2**62), st.integers(0, 2**62))
def test_energy_is_a_difference_of_millijoules_or_unknown(begin: int, now: int) -> None:
    from harness_hf.spending import drawn

    found = drawn(begin, now)
    if now < begin:  # the driver was loaded anew
        assert found is None
    else:
        assert found == pytest.approx((now - begin) / 1000)


def test_a_gpu_that_is_not_there_has_no_energy() -> None:
    from harness_hf.spending import Spending, energy_counter

    assert energy_counter("GPU-00000000-0000-0000-0000-000000000000") is None
    spending = Spending("cpu")
    assert spending.usage() == Usage()
    with spending.loading():
        pass
    usage = spending.usage()
    assert usage.device == "cpu" and usage.load_seconds is not None
    assert usage.energy_joules is None and usage.peak_device_bytes is None


def test_the_peak_of_the_host_holds_what_the_model_takes_and_little_more() -> None:
    """In a process of its own, as the mark never falls; what started that one must not count."""
    large = b"x" * (400 << 20)
    code = """
import sys
from harness.metering import Meter
from harness.types import Response

def peak(megabytes):
    meter = Meter(object())
    held = b"x" * (megabytes << 20)
    meter.note(Response(text=""))
    return meter.read().peak_host_bytes

before = peak(0)
print((peak(300) - before) >> 20)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 290 <= int(done.stdout) <= 320 < len(large) >> 20
