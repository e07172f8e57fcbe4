"""The family nano: its weights are whole and its recipe trains them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import harness_nano
from harness.pretraining import PretrainRequest
from harness.recipes import make_recipe, read_recipe
from harness.types import Loglikelihood, ModelSettings

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tokenizers import Tokenizer  # noqa: E402

from harness_train.pretrain.documents import read_corpus  # noqa: E402
from harness_train.pretrain.job import PretrainingJob  # noqa: E402
from harness_train.pretrain.shapes import shapes_of  # noqa: E402
from harness_train.pretrain.vocabulary import byte_pairs  # noqa: E402
from harness_world.examples import held_out  # noqa: E402

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


def request(tmp_path: Path) -> PretrainRequest:
    """What the recipe file asks for."""
    made = make_recipe(read_recipe(harness_nano.RECIPE), where="nano.toml")
    return PretrainRequest(
        objective=made.objective,
        output=tmp_path,
        corpus=made.corpus,
        family=made.family,
        training=made.training,
        device="cpu",
    )


@pytest.mark.parametrize("name", harness_nano.SIZES)
def test_plain_transformers_loads_every_size(name: str) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(harness_nano.WEIGHTS / name)
    total = sum(p.numel() for p in model.parameters())
    embedding = model.get_input_embeddings().weight.numel()
    counted = {"total": total, "non_embedding": total - embedding}
    assert counted == record(name)["parameters"]
    assert harness_nano.SIZES[name] == total


def test_sizes_span_more_than_two_and_a_half_decades() -> None:
    sizes = [record(name)["parameters"]["non_embedding"] for name in harness_nano.SIZES]
    assert sizes == sorted(sizes) and len(sizes) >= 7
    assert math.log10(sizes[-1] / sizes[0]) > 2.5


def test_all_weights_together_stay_small() -> None:
    files = [path for path in harness_nano.WEIGHTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 6_000_000


def test_every_size_has_its_spec_and_its_folder() -> None:
    specs = list(harness_nano.harness_models())
    for family, weights, sizes in (
        ("nano", harness_nano.WEIGHTS, harness_nano.SIZES),
        ("nano-bert", harness_nano.BERT_WEIGHTS, harness_nano.BERT_SIZES),
    ):
        folders = {path.name for path in weights.iterdir() if path.is_dir()}
        assert {spec.name for spec in specs if spec.family == family} == folders == set(sizes)


def test_every_size_was_trained_alike() -> None:
    records = [record(name) for name in harness_nano.SIZES]
    assert len({one["train_tokens"] for one in records}) == 1
    assert len({json.dumps(one["recipe"]) for one in records}) == 1


def test_larger_sizes_lose_less() -> None:
    """Over all tasks; on one alone, the seed can put neighbours in the other order."""
    losses = [record(name)["losses"]["held_out"] for name in harness_nano.SIZES]
    bits = [sum(task["bits_per_byte"] for task in one.values()) for one in losses]
    assert bits == sorted(bits, reverse=True)


@pytest.mark.parametrize("text", TEXTS)
def test_tokenizer_gives_any_text_back(text: str) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(harness_nano.WEIGHTS / "nano-1k")
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text


def test_tokenizer_is_learnt_from_the_stream(tmp_path: Path) -> None:
    corpus = request(tmp_path).corpus
    head = islice(read_corpus(corpus.files, corpus.documents), corpus.tokenizer_documents)
    learnt = byte_pairs((f"{d.prompt}{d.text}" for d in head), corpus.vocabulary)
    assert learnt.to_str() == shipped().to_str()


def test_tokenizer_begins_a_text_with_its_token() -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(harness_nano.WEIGHTS / "nano-1k")
    assert tokenizer("x")["input_ids"][0] == tokenizer.bos_token_id
    ids = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
    assert len(ids) == 3 and len(tokenizer) == 512
    assert tokenizer.model_max_length == 512


def test_the_recipe_describes_what_is_shipped(tmp_path: Path) -> None:
    for shape in shapes_of(request(tmp_path), 512):
        kept = record(shape.name)
        assert kept["parameters"] == {"total": shape.total, "non_embedding": shape.non_embedding}
        assert kept["shape"] == {
            "width": shape.width,
            "layers": shape.layers,
            "heads": shape.heads,
            "hidden": shape.hidden,
        }
        assert kept["rates"] == {"matrices": shape.rates[0], "others": shape.rates[1]}
        assert kept["batch_tokens"] == shape.batch_rows * 96


def test_the_recipe_trains_and_writes_what_is_shipped(tmp_path: Path) -> None:
    """On a hundredth of the text; the whole recipe takes half an hour."""
    whole = request(tmp_path)
    small = replace(
        whole,
        corpus=replace(whole.corpus, documents=1500, tokenizer_documents=1500),
        training=replace(whole.training, rows=400),
        only=("nano-1k",),
    )
    (row,) = PretrainingJob(small).run(lambda _: None)
    assert row.outcome == "complete"
    made, kept = tmp_path / "nano-1k", harness_nano.WEIGHTS / "nano-1k"
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        assert json.loads((made / name).read_text()) == json.loads((kept / name).read_text())
    said = json.loads((made / "harness_model.json").read_text())
    assert record("nano-1k").keys() <= said.keys()
    assert set(said["losses"]["held_out"]) == {"generation", "translation", "qa", "ner"}


def test_weights_belong_to_the_shipped_world() -> None:
    spec = next(s for s in harness_nano.harness_models() if s.name == "nano-3k")
    model = spec.build(ModelSettings(device="cpu", dtype="float32"))
    examples = held_out("generation")
    requests = [Loglikelihood(context=e.prompt, continuation=f" {e.answer}") for e in examples]
    nats = sum(-(response.logprob or 0.0) for _, response in model.respond(requests))
    size = sum(len(f" {e.answer}".encode()) for e in examples)
    recorded = record("nano-3k")["losses"]["held_out"]["generation"]["bits_per_byte"]
    assert nats / math.log(2) / size == pytest.approx(recorded, rel=0.01)


# --- nano-bert ------------------------------------------------------------------------------------


def bert_record(name: str) -> dict[str, Any]:
    loaded = json.loads((harness_nano.BERT_WEIGHTS / name / "harness_model.json").read_text())
    assert isinstance(loaded, dict)
    return loaded


@pytest.mark.parametrize("name", harness_nano.BERT_SIZES)
def test_plain_transformers_loads_every_encoder(name: str) -> None:
    folder = harness_nano.BERT_WEIGHTS / name
    model, found = transformers.AutoModelForPreTraining.from_pretrained(
        folder, output_loading_info=True
    )
    assert not found["missing_keys"] and not found["unexpected_keys"]
    total = sum(p.numel() for p in model.parameters())
    assert total == harness_nano.BERT_SIZES[name] == bert_record(name)["parameters"]["total"]
    transformers.AutoModelForTokenClassification.from_pretrained(folder, num_labels=7)


def test_the_encoders_recipe_describes_what_is_shipped(tmp_path: Path) -> None:
    made = make_recipe(read_recipe(harness_nano.BERT_RECIPE), where="bert.toml")
    asked = PretrainRequest(
        objective=made.objective, output=tmp_path, family=made.family, training=made.training
    )
    shapes = shapes_of(asked, made.corpus.vocabulary)
    assert [shape.name for shape in shapes] == list(harness_nano.BERT_SIZES)
    for shape in shapes:
        kept = bert_record(shape.name)
        assert kept["parameters"] == {"total": shape.total, "non_embedding": shape.non_embedding}
        assert kept["rates"] == {"matrices": shape.rates[0], "others": shape.rates[1]}
        assert kept["batch_tokens"] == shape.batch_rows * 48


def test_larger_encoders_lose_less_and_were_trained_alike() -> None:
    records = [bert_record(name) for name in harness_nano.BERT_SIZES]
    losses = [one["losses"]["held_out"]["corpus"]["nats_per_token"] for one in records]
    assert losses == sorted(losses, reverse=True)
    assert len({(one["train_tokens"], one["recipe"]["data_sha256"]) for one in records}) == 1
    files = [path for path in harness_nano.BERT_WEIGHTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 2_000_000


def test_an_encoder_answers_nothing_and_says_what_to_do() -> None:
    spec = next(s for s in harness_nano.harness_models() if s.name == "nano-bert-8k")
    assert not spec.kinds and not spec.default
    model = spec.build(ModelSettings())
    assert model.info.parameters.total == spec.size and model.info.family == "nano-bert"
    ((_, answer),) = model.respond([Loglikelihood(context="", continuation="x")])
    assert answer.error is not None and "harness finetune" in answer.error
