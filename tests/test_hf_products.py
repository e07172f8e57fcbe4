"""Matrices laid out for the processor, and attention in blocks: the same numbers, sooner."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from hf_tiny import CORPUS, write_checkpoint  # noqa: E402
from test_hf_models import ask, generated, logprob, model_at, tokenizer_at  # noqa: E402

from harness.types import Generate, Loglikelihood  # noqa: E402
from harness_hf import products  # noqa: E402
from harness_hf.attention import BLOCK, causal_strip, in_blocks, plain  # noqa: E402
from harness_hf.logits import pick_from_parts, pick_targets  # noqa: E402
from harness_hf.network import read_header  # noqa: E402
from harness_hf.parts import Layer  # noqa: E402

HEADER = CORPUS[0] + "\n"


def requests() -> list[Any]:
    draw = random.Random(0)
    starts = [HEADER * (n % 2) + text[: draw.randint(3, 30)] for n, text in enumerate(CORPUS[:6])]
    asked: list[Any] = [Generate(prompt=start, max_tokens=9) for start in starts]
    return asked + [
        Loglikelihood(context=start, continuation=end)
        for start in starts
        for end in (" sea.", " the fog", "x")
    ]


def expected(model: Any, tokenizer: Any) -> list[Any]:
    found: list[Any] = []
    for request in requests():
        if isinstance(request, Generate):
            found.append(generated(model, tokenizer, request.prompt, request.max_tokens))
            continue
        kept = request.context.rstrip()
        before = tokenizer(kept).input_ids
        whole = tokenizer(request.context + request.continuation).input_ids
        after = tuple(whole[len(before) :])
        found.append(pytest.approx(logprob(model, tuple(before), after), abs=1e-4))
    return found


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("architecture", "large"),
    [("llama_tied", 1), ("qwen3", 1), ("gpt_neox", 1), ("qwen2", 1 << 18)],
)
def test_answers_are_those_of_the_modules(
    architecture: str, large: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "LARGE", large)
    model = write_checkpoint(tmp_path, architecture, max_position_embeddings=128)
    adapter = model_at(tmp_path)
    answers = ask(adapter, requests())
    assert [a.text if a.logprob is None else a.logprob for a in answers] == expected(
        model, tokenizer_at(tmp_path)
    )
    layer = adapter._engine.network.decoder.layers[0]  # type: ignore[attr-defined]
    assert (layer.down.packed is not None) == (large == 1)
    assert (layer.down.weight is None) == (large == 1)


def test_weights_that_nobody_reads_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "LARGE", 1)
    write_checkpoint(tmp_path)
    model = model_at(tmp_path, trust_remote_code="true")  # loaded by transformers
    decoder = model._engine.network.decoder  # type: ignore[attr-defined]
    (module,) = decoder.layers[0].down.sources
    assert module.weight.numel() == 0
    assert decoder.layers[0].gate_and_up is None


def test_weights_from_files_are_not_held_in_both_layouts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain: list[weakref.ref[Layer]] = []
    held = []
    laid_out = Layer.laid_out

    def watched(self: Layer) -> Layer:
        plain.append(weakref.ref(self))
        held.append(sum(layer() is not None for layer in plain))
        return laid_out(self)

    monkeypatch.setattr(products, "LARGE", 1)
    monkeypatch.setattr(Layer, "laid_out", watched)
    write_checkpoint(tmp_path, num_hidden_layers=5)
    decoder = model_at(tmp_path)._engine.network.decoder  # type: ignore[attr-defined]
    assert held == [1] * 5
    assert all(layer.down.weight is None for layer in decoder.layers)


@pytest.mark.parametrize("trouble", ["missing", "wrong"])
def test_without_the_layout_the_lean_pass_goes_on(
    trouble: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(self: Any) -> Any:
        raise RuntimeError("no such operator")

    fused = products.Linear._fused

    def wrong(self: Any, *given: Any) -> Any:
        return fused(self, *given) * 0

    monkeypatch.setattr(products, "LARGE", 1)
    if trouble == "missing":
        monkeypatch.setattr(products.Linear, "laid_out", missing)
    else:
        monkeypatch.setattr(products.Linear, "_fused", wrong)
    model = write_checkpoint(tmp_path, max_position_embeddings=128)
    adapter = model_at(tmp_path)
    answers = ask(adapter, requests())
    assert [a.text if a.logprob is None else a.logprob for a in answers] == expected(
        model, tokenizer_at(tmp_path)
    )
    network = adapter._engine.network  # type: ignore[attr-defined]
    assert type(network).__name__ == "LeanNetwork"
    assert network.decoder.layers[0].down.packed is None


@pytest.mark.parametrize("chosen", [[0], [9], [3, 15, 17, 47], [0, 1, 2, 3, 16, 40]])
@pytest.mark.parametrize("known", [(), (5, 6, 7)])
@pytest.mark.parametrize("architecture", ["llama_tied", "qwen2", "gpt_neox"])
def test_the_last_layer_of_few_tokens_gives_their_logits(
    architecture: str, known: tuple[int, ...], chosen: list[int], tmp_path: Path
) -> None:
    model = write_checkpoint(tmp_path, architecture, max_position_embeddings=128)
    network = model_at(tmp_path)._engine.network  # type: ignore[attr-defined]
    ids = torch.randint(20, (3, 16), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        header = read_header(network, known) if known else None
        found, slots = network.trunk(ids, torch.tensor(chosen), header=header, keep=True)
        before = torch.tensor([known] * 3, dtype=torch.long).reshape(3, len(known))
        wanted = model(torch.cat([before, ids], dim=1)).logits[:, len(known) :].reshape(48, -1)
        torch.testing.assert_close(found.table(), wanted[chosen], atol=1e-5, rtol=1e-4)
        # the others' keys and values are there for what goes on from them
        step = network.step(torch.tensor([[1], [2], [3]]), slots).table()
        rows = torch.cat([before, ids, torch.tensor([[1], [2], [3]])], dim=1)
        torch.testing.assert_close(step, model(rows).logits[:, -1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("width", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5])
@pytest.mark.parametrize("before", [0, 1, BLOCK + 3])
@pytest.mark.parametrize("groups", [2, 4])
def test_attention_in_blocks_is_causal_attention(width: int, before: int, groups: int) -> None:
    draw = torch.Generator().manual_seed(width)
    query = torch.randn((3, 4, width, 8), generator=draw)
    own = tuple(torch.randn((3, groups, before + width, 8), generator=draw) for _ in range(2))
    strip = causal_strip(before + width, query, torch.float32)
    places = torch.arange(before + width)
    hidden = places[None, :] > places[before:, None]
    mask = torch.zeros(hidden.shape).masked_fill_(hidden, torch.finfo(torch.float32).min)
    wanted = plain(query, own, mask, scale=0.3)  # type: ignore[arg-type]
    found = in_blocks(query, own, strip, scale=0.3)  # type: ignore[arg-type]
    assert torch.allclose(found, wanted, atol=1e-6)


def test_few_kernels_are_kept_unless_the_user_says_otherwise() -> None:
    # a thousand, which both libraries keep otherwise, took half a gigabyte
    code = (
        "import os, harness_hf.products as p, torch\n"
        "torch.nn.functional.linear(torch.ones(3, 4), torch.ones(5, 4))\n"
        "print(os.environ['ONEDNN_PRIMITIVE_CACHE_CAPACITY'], os.environ['LRU_CACHE_CAPACITY'])"
    )
    names = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
    plain = {name: value for name, value in os.environ.items() if name not in names}
    for given, wanted in (({}, "16 16"), ({"LRU_CACHE_CAPACITY": "40"}, "16 40")):
        done = subprocess.run(
            [sys.executable, "-c", code], env=plain | given, capture_output=True, text=True
        )
        assert done.stdout.split() == wanted.split()


@pytest.mark.parametrize("width", [1, 7, 64, 300, 1000])
@pytest.mark.parametrize("shift", [False, True])
def test_a_vocabulary_in_parts_scores_as_one_table(width: int, shift: bool) -> None:
    draw = torch.Generator().manual_seed(width)
    x, weight = torch.randn(9, 16, generator=draw), torch.randn(300, 16, generator=draw) * 4
    bias = torch.randn(300, generator=draw) if shift else None
    head = products.Linear(weight=weight, bias=bias)
    table = head(x)
    targets = torch.tensor([0, 299, 6, 7, *table[4:].argmax(dim=1).tolist(), 8, 9])
    places = torch.tensor([*range(9), 2, 0])  # two tokens may be predicted at one place
    expected = pick_targets(table[places], targets)
    found = pick_from_parts(head.in_blocks(x, width), places, targets)
    assert torch.allclose(found.logprobs, expected.logprobs, rtol=0, atol=2e-5)
    assert found.greedy.tolist() == expected.greedy.tolist()
    assert found.greedy[4:9].all()


def test_a_part_without_numbers_is_no_answer() -> None:
    table = torch.zeros(2, 6)
    table[0, 4] = torch.nan
    parts = iter((table[:, :3].clone(), table[:, 3:].clone()))
    found = pick_from_parts(parts, torch.arange(2), torch.tensor([1, 5]))
    assert found.logprobs[0].isnan()
    assert not found.logprobs[1].isnan()
    assert found.greedy.tolist() == [False, True]
