"""What the speed bench measures with, and that it runs on a device that is simulated."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
sys.path.append(str(Path(__file__).parents[1] / "bench"))
shapes = pytest.importorskip("shapes", reason="a distribution without benches")
import floors  # noqa: E402
import meter  # noqa: E402
import speed_side  # noqa: E402
from simulated import USED, simulated  # noqa: E402
from works import Work  # noqa: E402

from harness.types import Generate, Loglikelihood  # noqa: E402

PYTHIA = {"160M": 162_322_944, "410M": 405_334_016, "1B": 1_011_781_632, "1.4B": 1_414_647_808}
"""Parameters of EleutherAI's checkpoints of those names (Biderman et al. 2023, table 1)."""
ASKED = [{"prompt": "ba be bi =", "max_tokens": 6}, {"prompt": "ba be =", "max_tokens": 3}]


@pytest.mark.parametrize("size", shapes.SIZES)
def test_a_shape_counts_what_its_model_holds(size: str) -> None:
    shape = shapes.shape_of(size)
    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(shapes.config_of(shape))
    held = {name: p.numel() for name, p in model.named_parameters()}
    assert sum(held.values()) == shape.total
    assert sum(n for k, n in held.items() if "_proj" in k) == shape.matrices
    assert shape.total == pytest.approx(PYTHIA.get(size, shape.total), rel=2e-3)


def test_the_floor_counts_every_beginning_once_and_the_weights_at_each_step() -> None:
    shape = shapes.Shape(layers=2, width=8, hidden=16, heads=2, kv_heads=1, vocabulary=32)
    requests = (
        Generate(prompt="a b c", max_tokens=3),
        Generate(prompt="a b d", max_tokens=2),
    )
    work = Work(name="both", requests=requests)
    assert floors.distinct_tokens(work) == (4, 5)
    weights = 2 * (2 * 64 + 2 * 32 + 3 * 8 * 16) + 32 * 8
    kept = 2 * 2 * 4
    # The first step has two rows with a token each, the second one row with two.
    numbers = 3 * weights + (4 + 2 * 1) * kept + (4 + 1 * 2) * kept
    assert floors.bytes_read(work, shape, 2) == 2 * numbers
    slow = floors.Rates(operations=1.0, moved=1e9)
    arithmetic = 2 * 2 * (2 * 64 + 2 * 32 + 3 * 8 * 16) * 9
    assert floors.floor(work, shape, 2, slow) == floors.Floor(
        seconds=arithmetic, bound="arithmetic"
    )
    narrow = floors.Rates(operations=1e9, moved=2.0)
    assert floors.floor(work, shape, 2, narrow) == floors.Floor(seconds=numbers, bound="memory")
    scored = Work(name="s", requests=(Loglikelihood(context="a b", continuation=" c"),))
    assert floors.bytes_read(scored, shape, 4) == 4 * weights


@pytest.mark.parametrize("device", ["cuda:0", "mps"])
def test_the_clock_is_read_when_the_device_has_nothing_left_to_do(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Any] = []
    with simulated(device):
        monkeypatch.setattr(torch.cuda, "synchronize", events.append)
        monkeypatch.setattr(torch.mps, "synchronize", lambda: events.append("mps"))
        monkeypatch.setattr(time, "perf_counter", lambda: events.append("read") or 1.0)
        assert meter.now(device) == 1.0
    assert events == [device, "read"]


def test_memory_is_the_peak_since_the_start_less_the_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forgotten: list[str] = []
    with simulated("cuda:0"):
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", forgotten.append)
        metered = meter.Meter("cuda:0", USED - 100)
        metered.start()
        assert forgotten == ["cuda:0"]
        assert metered.stop()[1] == 100
    with simulated("mps"):
        metered = meter.Meter("mps", 0)
        metered.start()
        assert metered.stop()[1] is None


@pytest.mark.parametrize("device", ["cpu", "cuda:0", "mps"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_rates_are_measured_in_the_dtype_on_the_device(device: str, dtype: str) -> None:
    if device == "cpu":
        assert floors.matrix_rate(device, dtype, side=64) > 0
        assert floors.memory_rate(device, size=1 << 20) > 0
        return
    with simulated(device) as there:
        assert floors.matrix_rate(device, dtype, side=64) > 0
        assert there.calls["mm"] == 2 * floors.ROUNDS
        assert floors.memory_rate(device, size=1 << 20) > 0
        assert there.calls["neg"] == there.calls["sum"] == floors.ROUNDS + 1


def test_our_side_answers_on_a_device_as_on_the_cpu(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    shape = shapes.write_checkpoint(tmp_path, "1M")
    found = []
    for device in ("cpu", "cuda:0"):
        if device == "cpu":
            answer = speed_side.harness_side(str(tmp_path), device, "float32")
            found.append(speed_side.measured(answer, meter.Meter(device, 0), ASKED, None))
            continue
        with simulated(device):
            answer = speed_side.harness_side(str(tmp_path), device, "float32")
            metered = meter.Meter(device, shape.total * 4)
            found.append(speed_side.measured(answer, metered, ASKED, None))
    assert found[0]["answers"] == found[1]["answers"]
    assert all(one["seconds"] > 0 for one in found)
    assert found[1]["memory"] == 0  # the simulated device says less than the weights take


def test_a_side_whose_memory_runs_out_has_no_answers_and_goes_on() -> None:
    def answer(requests: Any, batch: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    reply = speed_side.measured(answer, meter.Meter("cpu", 0), ASKED, 8)
    assert reply == {"batch": 8, "seconds": None, "memory": None, "answers": None}
    with pytest.raises(RuntimeError, match="a bug"):
        speed_side.measured(lambda *_: raising("a bug"), meter.Meter("cpu", 0), ASKED, 8)


def raising(words: str) -> Any:
    raise RuntimeError(words)
