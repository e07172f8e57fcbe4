"""The adapter on a GPU that is simulated: equal answers, nothing on the wrong device, few waits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from hf_tiny import SEQ2SEQ, write_checkpoint, write_head, write_seq2seq  # noqa: E402
from simulated import FREE, WHOLE, OnDevice, simulated  # noqa: E402

import harness_hf  # noqa: E402
from harness.types import (  # noqa: E402
    Classify,
    Generate,
    Loglikelihood,
    ModelSettings,
    Request,
    Response,
    Tag,
)
from harness_hf import batching  # noqa: E402
from harness_hf.checkpoint import Tensor  # noqa: E402
from harness_hf.devices import resolve_dtype  # noqa: E402
from harness_hf.generation import LOOK  # noqa: E402
from harness_hf.memory import free_bytes, whole_bytes  # noqa: E402
from harness_hf.spending import Spending  # noqa: E402

DEVICES = ("cuda:0", "mps")
HEADER = "Once upon a time there was a little boy named Ben who loved the sea. Then "
WRITTEN: tuple[Request, ...] = tuple(
    Generate(prompt=prompt, max_tokens=most, stop=("\n",))
    for prompt, most in (("Once", 12), ("The keeper wrote", 20), ("No ship", 9), ("fog", 2))
)
SCORED: tuple[Request, ...] = (
    *(
        Loglikelihood(context=HEADER + end, continuation=text)
        for end in ("he", "fog", "ship")
        for text in (" slept", " was there", "s")
    ),
    Loglikelihood(context="", continuation="The keeper of the lighthouse slept. " * 4),
)
DRAWN = tuple(
    Generate(prompt="Once upon", max_tokens=8, temperature=0.9, top_p=p, seed=n)
    for n, p in enumerate((1.0, 0.8))
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def ask(
    folder: Path, device: str, requests: Sequence[Request], scheme: str = "hf", **more: Any
) -> list[Response]:
    settings = ModelSettings(argument=str(folder), device=device, dtype="float32", **more)
    found = dict(harness_hf._build(scheme, settings).respond(requests))
    return [found[number] for number in range(len(requests))]


def same(found: Sequence[Response], expected: Sequence[Response]) -> None:
    assert [a.text for a in found] == [a.text for a in expected]
    assert [a.tags for a in found] == [a.tags for a in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.logprob == (None if other.logprob is None else pytest.approx(other.logprob))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", ["llama", "gpt_neox", "gpt2", "mistral_window", "t5", "bart"])
def test_answers_are_those_of_the_cpu(kind: str, device: str, tmp_path: Path) -> None:
    (write_seq2seq if kind in SEQ2SEQ else write_checkpoint)(tmp_path, kind)
    requests = WRITTEN + SCORED + DRAWN
    expected = ask(tmp_path, "cpu", requests)
    with simulated(device) as there:
        same(ask(tmp_path, device, requests), expected)
    assert there.calls["linear"] + there.calls["addmm"] > 10
    if device == "mps":  # whose kernel is wrong in silence
        assert not there.calls["scaled_dot_product_attention"]


@pytest.mark.parametrize("device", DEVICES)
def test_heads_answer_as_on_the_cpu(device: str, tmp_path: Path) -> None:
    asked: dict[str, tuple[str, tuple[Request, ...]]] = {
        "TokenClassification": (
            "hf-tagger",
            tuple(Tag(tokens=("Ben", "loved", "the", "sea")[:n], types=("X",)) for n in (4, 2)),
        ),
        "SequenceClassification": (
            "hf-classifier",
            (Classify(texts=("the sea", "fog"), labels=(("B-X",), ("O",))),),
        ),
    }
    for head, (scheme, requests) in asked.items():
        folder = tmp_path / head
        write_head(folder, "bert", head, ["O", "B-X"])
        expected = ask(folder, "cpu", requests, scheme)
        with simulated(device):
            found = ask(folder, device, requests, scheme)
        same(found, expected)
        for one, other in zip(found, expected, strict=True):
            if other.logprobs is not None:
                assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def test_the_host_looks_once_in_eight_tokens(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, "llama", eos_token_id=None)
    waits = []
    for most in (LOOK + 1, 3 * LOOK + 1):
        with simulated("cuda:0") as there:
            ask(tmp_path, "cuda:0", [Generate(prompt="Once upon", max_tokens=most)])
        waits.append(sum(there.waits.values()))
    more = waits[1] - waits[0]
    assert more <= 2 * 2  # 16 tokens: two looks, each a copy there and one back


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 18.00 GB)"),
        RuntimeError("Invalid buffer size: 16.00 GiB"),
        MemoryError(),
    ],
)
def test_too_large_batches_are_split(error: BaseException, tmp_path: Path, caplog: Any) -> None:
    write_checkpoint(tmp_path, "llama")
    requests = WRITTEN + SCORED
    expected = ask(tmp_path, "cpu", requests)
    device = "mps" if "MPS" in str(error) or "buffer" in str(error) else "cuda:0"
    with simulated(device) as there:
        there.error, there.most_rows = error, 120
        found = ask(tmp_path, device, requests)
    assert there.failed
    same(found, expected)
    assert "Out of memory with" in caplog.text


def test_the_simulated_device_refuses_what_a_real_one_does() -> None:
    with simulated("cuda:0") as there, torch.inference_mode():
        here = torch.ones(3)
        other = here.to("cuda:0")
        assert isinstance(other, OnDevice) and other.device == torch.device("cuda:0")
        assert (other + torch.tensor(1.0)).tolist() == [2.0] * 3  # one number may come from the CPU
        assert other[torch.tensor([0])].shape == (1,)  # and so may indices
        for wrong in (lambda: other + here, lambda: here[torch.zeros_like(other).long()]):
            with pytest.raises(RuntimeError, match="same device"):
                wrong()
        with pytest.raises(TypeError, match="numpy"):
            other.numpy()
        assert there.waits["to host"] == 1
    with simulated("mps"), torch.inference_mode(), pytest.raises(TypeError, match="float64"):
        torch.ones(3).to("mps").double()


TENSORS = {
    kind: (Tensor(name="w", shape=(4, 4), dtype=kind, file=Path("w")),)
    for kind in ("F32", "F16", "BF16")
}


@pytest.mark.parametrize(
    ("device", "capability", "stored", "dtype"),
    [
        ("cpu", None, "BF16", "float32"),
        ("mps", None, "BF16", "float32"),
        ("cuda:0", (9, 0), "F32", "bfloat16"),
        ("cuda:1", (8, 0), "F16", "bfloat16"),
        ("cuda:0", (7, 5), "F16", "float16"),
        ("cuda:0", (7, 5), "BF16", "float32"),
        ("cuda:0", (7, 5), "F32", "float32"),
    ],
)
def test_the_number_type_where_none_is_asked(
    device: str, capability: Any, stored: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda of: capability)
    assert resolve_dtype("auto", device, TENSORS[stored]) == dtype
    assert resolve_dtype("float16", device, TENSORS[stored]) == "float16"


def test_what_torch_keeps_for_itself_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with simulated("cuda:0"):
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda of: 500)
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda of: 200)
        assert free_bytes("cuda:0") == FREE + 300


def test_each_model_has_a_peak_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    with simulated("cuda:0"):
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", begun.append)
        with Spending("cuda:0").loading():
            assert begun == ["cuda:0"]


@pytest.mark.parametrize("device", DEVICES)
def test_a_device_tells_its_memory(device: str) -> None:
    with simulated(device):
        assert free_bytes(device) == FREE
        assert whole_bytes(device) == (WHOLE if device == "cuda:0" else FREE + (1 << 20))
        spending = Spending(device)
        with spending.loading():
            pass
        usage = spending.usage()
    assert usage.peak_device_bytes == 1 << 20
    assert usage.device == ("Simulated GPU" if device == "cuda:0" else "mps")


def test_energy_is_counted_from_the_end_of_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter((5_000, 12_500))
    asked: list[str] = []
    nvml = SimpleNamespace(
        NVMLError=OSError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=asked.append,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: next(readings),
    )
    monkeypatch.setitem(__import__("sys").modules, "pynvml", nvml)
    with simulated("cuda:0"):
        spending = Spending("cuda:0")
        with spending.loading():
            pass
        assert spending.usage().energy_joules == pytest.approx(7.5)
    assert asked == ["GPU-5f2c"]


@pytest.mark.parametrize("device", DEVICES)
def test_memory_is_given_back(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    emptied: list[str] = []
    with simulated(device):
        monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append("cuda:0"))
        monkeypatch.setattr(torch.mps, "empty_cache", lambda: emptied.append("mps"))
        batching.free_memory()
    assert emptied == [device]
