"""The family nano: its weights are whole and its recipe trains them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import harness_nano
from harness.types import Loglikelihood, ModelSettings
from harness_nano.shapes import CONTEXT, SHAPES, VOCABULARY

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import numpy as np  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

from harness_nano import recipe  # noqa: E402
from harness_nano.corpus import ROW, Rows, encoded, pack, train_tokenizer  # noqa: E402
from harness_nano.export import export  # noqa: E402
from harness_nano.model import Nano, document_mask  # noqa: E402
from harness_nano.optimise import orthogonalised, rate  # noqa: E402
from harness_nano.training import batch, train  # noqa: E402
from harness_world.examples import Example, held_out  # noqa: E402

TINY = replace(SHAPES["nano-1k"], batch_rows=2)
TEXTS = [
    "The mago febus.",
    "Grüße aus Köln, Straße 5!",
    "机器翻译，你好。",
    "  two  blanks\n\n\tand <s> don't </s> 🙂\u200d e\u0301",
]


def record(name: str) -> dict[str, Any]:
    loaded = json.loads((harness_nano.WEIGHTS / name / "harness_model.json").read_text())
    assert isinstance(loaded, dict)
    return loaded


def shipped() -> Any:
    """The tokenizer as the weights carry it: quicker than learning it anew."""
    return Tokenizer.from_file(str(harness_nano.WEIGHTS / "nano-1k" / "tokenizer.json"))


def some_rows(count: int = 4) -> Any:
    tokenizer = shipped()
    return pack(iter(encoded(tokenizer, held_out("translation", 60))), count)


@pytest.mark.parametrize("name", SHAPES)
def test_plain_transformers_loads_every_size(name: str) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(harness_nano.WEIGHTS / name)
    total = sum(p.numel() for p in model.parameters())
    embedding = model.get_input_embeddings().weight.numel()
    counted = {"total": total, "non_embedding": total - embedding}
    assert counted == record(name)["parameters"]
    assert (SHAPES[name].total, SHAPES[name].non_embedding) == tuple(counted.values())


def test_sizes_span_more_than_two_and_a_half_decades() -> None:
    sizes = [shape.non_embedding for shape in SHAPES.values()]
    assert sizes == sorted(sizes) and len(sizes) >= 7
    assert math.log10(sizes[-1] / sizes[0]) > 2.5


def test_all_weights_together_stay_small() -> None:
    files = [path for path in harness_nano.WEIGHTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 6_000_000


def test_every_size_has_its_spec_and_its_folder() -> None:
    specs = list(harness_nano.harness_models())
    folders = {path.name for path in harness_nano.WEIGHTS.iterdir() if path.is_dir()}
    assert {spec.name for spec in specs} == folders == set(SHAPES)
    assert {spec.family for spec in specs} == {"nano"}


def test_every_size_was_trained_alike() -> None:
    records = [record(name) for name in SHAPES]
    assert len({one["train_tokens"] for one in records}) == 1
    assert len({json.dumps(one["recipe"]) for one in records}) == 1


def test_larger_sizes_lose_less() -> None:
    """Over all tasks; on one alone, the seed can put neighbours in the other order."""
    losses = [record(name)["losses"]["held_out"] for name in SHAPES]
    bits = [sum(task["bits_per_byte"] for task in one.values()) for one in losses]
    assert bits == sorted(bits, reverse=True)


@pytest.mark.parametrize("text", TEXTS)
def test_tokenizer_gives_any_text_back(text: str) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(harness_nano.WEIGHTS / "nano-1k")
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text


def test_tokenizer_is_learnt_from_the_stream() -> None:
    assert train_tokenizer().to_str() == shipped().to_str()


def test_tokenizer_begins_a_text_with_its_token() -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(harness_nano.WEIGHTS / "nano-1k")
    assert tokenizer("x")["input_ids"][0] == tokenizer.bos_token_id
    ids = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
    assert len(ids) == 3 and len(tokenizer) == VOCABULARY
    assert tokenizer.model_max_length == CONTEXT


def test_export_gives_the_training_models_logits(tmp_path: Path) -> None:
    model = Nano(SHAPES["nano-9k"], torch.Generator().manual_seed(3))
    with torch.no_grad():
        for param in model.parameters():  # also those that start at zero; as bfloat16 holds them
            noise = torch.randn(param.shape, generator=torch.Generator().manual_seed(4))
            param.copy_((param + 0.1 * noise).bfloat16())
    tokenizer = shipped()
    export(model, tokenizer, tmp_path, {})
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    tokens = torch.randint(3, VOCABULARY, (2, 40), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        states = model.hidden_states(tokens, document_mask(torch.ones_like(tokens)))
        torch.testing.assert_close(
            loaded(tokens).logits, states @ model.embed.T, rtol=1e-4, atol=1e-4
        )


def test_documents_in_a_row_do_not_see_each_other() -> None:
    tokenizer = shipped()
    documents = encoded(tokenizer, held_out("qa", 8))
    model = Nano(SHAPES["nano-9k"], torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.out.normal_(generator=torch.Generator().manual_seed(1))
        packed = model(*batch(pack(iter(documents), 40), 0, 40)).sum()
        alone = sum(model(*batch(pack(iter([one]), 40), 0, 1)).sum() for one in documents)
    torch.testing.assert_close(packed, alone, rtol=1e-4, atol=1e-2)


def test_only_answers_and_their_ends_are_learnt() -> None:
    tokenizer = shipped()
    example = Example(task="qa", kind="fact", source="", prompt="Question: a?\n>", answer="baker")
    rows = pack(iter(encoded(tokenizer, [example])), 40)
    assert tokenizer.decode(rows.tokens[rows.learnt].tolist()) == " baker"
    assert rows.tokens[rows.learnt][-1] == tokenizer.token_to_id("</s>")


def test_packing_keeps_documents_whole() -> None:
    rows = some_rows(40)
    for row in rows.documents:
        used = row[: np.count_nonzero(row)]
        assert (np.diff(used.astype(int)) >= 0).all() and not row[len(used) :].any()
    assert rows.tokens.shape[1] == ROW


@pytest.mark.parametrize("size", [(3, 16, 16), (2, 48, 16), (16, 48)])
def test_orthogonalised_matrices_have_singular_values_near_one(size: tuple[int, ...]) -> None:
    matrices = torch.randn(*size, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalised(matrices, steps=10))
    assert values.min() > 0.5 and values.max() < 1.4


def test_rate_warms_up_holds_and_falls_to_zero() -> None:
    rates = [rate(step, 1000) for step in range(1000)]
    assert rates[0] < 0.1 and rates[100] == rates[400] == 1.0
    assert rates[-1] < 0.01 and rates[499:] == sorted(rates[499:], reverse=True)


def test_training_is_the_same_each_time_and_learns() -> None:
    every = some_rows(40)
    filled = slice(0, 16)  # a batch of empty rows has no loss
    rows = Rows(
        tokens=every.tokens[filled],
        documents=every.documents[filled],
        learnt=every.learnt[filled],
    )
    first, second = train(TINY, rows, seed=0), train(TINY, rows, seed=0)
    assert all(
        torch.equal(a, b)
        for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True)
    )
    assert first.loss < math.log(VOCABULARY)


def test_recipe_trains_and_skips_what_is_done(tmp_path: Path) -> None:
    arguments = ["--out", str(tmp_path), "--sizes", "nano-1k", "--tokens", "8000"]
    assert recipe.main(arguments) == 0
    done = tmp_path / "nano-1k" / "harness_model.json"
    before = done.stat().st_mtime_ns
    assert recipe.main(arguments) == 0 and done.stat().st_mtime_ns == before
    assert json.loads(done.read_text())["train_tokens"] > 0


def test_recipe_refuses_an_unknown_size(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        recipe.main(["--out", "x", "--sizes", "nano-2k"])
    assert "nano-1k" in capsys.readouterr().err


def test_weights_belong_to_the_shipped_world() -> None:
    spec = next(s for s in harness_nano.harness_models() if s.name == "nano-3k")
    model = spec.build(ModelSettings(device="cpu", dtype="float32"))
    examples = held_out("generation")
    requests = [Loglikelihood(context=e.prompt, continuation=f" {e.answer}") for e in examples]
    nats = sum(-(response.logprob or 0.0) for _, response in model.respond(requests))
    size = sum(len(f" {e.answer}".encode()) for e in examples)
    recorded = record("nano-3k")["losses"]["held_out"]["generation"]["bits_per_byte"]
    assert nats / math.log(2) / size == pytest.approx(recorded, rel=0.01)
