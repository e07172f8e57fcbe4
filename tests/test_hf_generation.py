"""The loop of generation: several tokens between two looks, and memory that ends anywhere in it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from hf_tiny import CORPUS, write_checkpoint  # noqa: E402
from test_hf_models import ask, model_at  # noqa: E402

import harness_hf.engine  # noqa: E402
import harness_hf.generation  # noqa: E402
import harness_hf.readers  # noqa: E402
import harness_hf.scoring  # noqa: E402
import harness_hf.sharing  # noqa: E402
from harness.types import Generate, Loglikelihood  # noqa: E402
from harness_hf.batching import is_out_of_memory  # noqa: E402
from harness_hf.slots import Slots  # noqa: E402

HEADER = CORPUS[0][:40] + "\n"


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    write_checkpoint(folder, max_position_embeddings=128)
    return folder


def requests() -> list[Any]:
    return [
        Generate(prompt=HEADER + CORPUS[n % 3][: 3 + n], max_tokens=1 + n % 7, stop=("e", "fog"))
        for n in range(18)
    ] + [Generate(prompt=CORPUS[1][: 3 + n], max_tokens=12) for n in range(5)]


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "bloom"])
@pytest.mark.parametrize("rows", [3, None])
def test_answers_do_not_depend_on_when_they_are_looked_at(
    architecture: str, rows: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_checkpoint(tmp_path, architecture)
    expected = ask(model_at(tmp_path, rows), requests())
    looks = []

    class Frugal(harness_hf.readers.DecoderReader):
        """Never reads more tokens at once than it has to."""

        def read(self, rows: Any, header: Any) -> Any:
            known = len(header.ids) if header else 0
            assert len(rows) * max(len(row.known) - known for row in rows) <= 60 or len(rows) == 1
            return super().read(rows, header)

    class Distant(harness_hf.generation.Generator):
        """As on an accelerator."""

        def __init__(self, *arguments: Any, **keywords: Any) -> None:
            super().__init__(*arguments, **keywords)
            self.look = 4
            self.tokens = 60

        def _step(self, active: Any, slots: Slots) -> list[list[int]]:
            found = super()._step(active, slots)
            looks.append(len(found[0]))
            return found

    monkeypatch.setattr(harness_hf.engine, "Generator", Distant)
    monkeypatch.setattr(harness_hf.engine, "DecoderReader", Frugal)
    assert ask(model_at(tmp_path, rows), requests()) == expected
    assert max(looks) == 4


def no_memory(*_: Any, **__: Any) -> Any:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate a lot.")


@pytest.mark.parametrize("place", ["harness_hf.generation", "harness_hf.scoring"])
def test_without_memory_for_a_header_rows_read_it_themselves(
    place: str, made: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = requests() + [
        Loglikelihood(context=HEADER * 2 + CORPUS[n][:20], continuation=f" {end}")
        for n in range(6)
        for end in ("a", "fog")
    ]
    expected = ask(model_at(made), asked)
    monkeypatch.setattr(f"{place}.read_header", no_memory)
    monkeypatch.setattr(harness_hf.scoring, "LEAST_SAVED", 8)
    monkeypatch.setattr(harness_hf.sharing, "MOST_BRANCH_TOKENS", 60)  # several rows behind one
    with caplog.at_level(logging.WARNING, logger="harness.hf"):
        answers = ask(model_at(made), asked)
    assert "Out of memory with a common beginning, going on without" in caplog.text
    assert [a.text for a in answers] == [a.text for a in expected]
    assert [a.logprob for a in answers if a.text is None] == pytest.approx(
        [a.logprob for a in expected if a.text is None], abs=1e-4
    )


def test_without_memory_to_move_rows_they_are_read_again(
    made: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = ask(model_at(made), requests())
    drop, left = Slots.drop, [3]

    def tight(self: Slots, dead: Any) -> Any:
        left[0] -= 1
        return no_memory() if left[0] >= 0 else drop(self, dead)

    monkeypatch.setattr(Slots, "drop", tight)
    with caplog.at_level(logging.WARNING, logger="harness.hf"):
        answers = ask(model_at(made), requests())
    assert "going on with" in caplog.text
    assert [a.text for a in answers] == [a.text for a in expected]


def test_the_last_row_is_read_again_without_what_others_left(
    made: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = [Generate(prompt=CORPUS[2][: 3 + n], max_tokens=2 + 8 * (n > 3)) for n in range(5)]
    expected = ask(model_at(made, None), asked)
    step = harness_hf.lean.LeanNetwork.step

    def tight(self: Any, ids: Any, slots: Slots) -> Any:
        return no_memory() if slots.keys[0].shape[0] > len(ids) == 1 else step(self, ids, slots)

    monkeypatch.setattr(harness_hf.lean.LeanNetwork, "step", tight)
    with caplog.at_level(logging.WARNING, logger="harness.hf"):
        assert ask(model_at(made, None), asked) == expected
    assert "Out of memory" in caplog.text


def test_choices_that_do_not_fit_in_one_row_are_read_one_by_one(
    made: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = [Loglikelihood(context=HEADER, continuation=f" {end}") for end in ("a fog", "Ben", "a")]
    expected = ask(model_at(made), asked)
    model: Any = model_at(made)
    model._engine.network.branch = model._engine.network.together = no_memory
    with caplog.at_level(logging.WARNING, logger="harness.hf"):
        answers = ask(model, asked)
    assert "Out of memory" in caplog.text
    assert [a.logprob for a in answers] == pytest.approx([a.logprob for a in expected], abs=1e-4)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't "
            "allocate memory: you tried to allocate 400000000000 bytes."
        ),
        RuntimeError("MPS backend out of memory (MPS allocated: 18.00 GB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_what_running_out_of_memory_is_said_with(error: BaseException) -> None:
    assert is_out_of_memory(error)
    assert not is_out_of_memory(RuntimeError("CUDA error: device-side assert triggered"))


def test_the_processors_own_refusal_is_understood() -> None:
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        torch.empty(1 << 60, dtype=torch.float32)
    assert is_out_of_memory(caught.value)
