"""Learnt prefixes: what they compute, what is trained, what they leave on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

import hf_tiny  # noqa: E402
import train_tiny  # noqa: E402

from harness.errors import DataError, UsageError  # noqa: E402
from harness_hf.prefix import FOLDER, WEIGHTS  # noqa: E402
from harness_hf.prefixed import NAME, draw_prefix, has_prefix, take_off, with_prefix  # noqa: E402
from harness_train.finetune import methods  # noqa: E402

LENGTH = 5


def causal(tmp_path: Path, architecture: str) -> Any:
    return hf_tiny.write_model(tmp_path / architecture, architecture)


def both_halves(kind: str) -> Any:
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    small = {"vocab_size": 40, "d_model": 16, "pad_token_id": 0, "decoder_start_token_id": 0}
    sizes = {
        "t5": {"num_layers": 2, "num_heads": 2, "d_kv": 8, "d_ff": 32},
        "bart": {
            **{f"{half}_layers": 2 for half in ("encoder", "decoder")},
            **{f"{half}_attention_heads": 2 for half in ("encoder", "decoder")},
            **{f"{half}_ffn_dim": 32 for half in ("encoder", "decoder")},
            "max_position_embeddings": 32,
        },
    }[kind]
    torch.manual_seed(0)
    return AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model(kind, **small, **sizes)).eval()


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gpt_neox", "qwen3"])
def test_a_prefix_of_a_texts_beginning_stands_for_the_beginning(
    tmp_path: Path, architecture: str, attention: str
) -> None:
    """With the keys and values of a text's first tokens as prefix, and the others at their own
    positions, a causal model computes what it computes of the whole text."""
    model = causal(tmp_path, architecture)
    model.set_attn_implementation(attention)
    torch.manual_seed(3)
    first = torch.randint(hf_tiny.EMBEDDED, (1, LENGTH))
    rest = torch.randint(hf_tiny.EMBEDDED, (2, 6))
    with torch.no_grad():
        whole = model(torch.cat([first.expand(2, -1), rest], dim=1)).logits[:, LENGTH:]
        torch.manual_seed(3)  # draws the same ids
        draw_prefix(model, LENGTH)
        places = torch.arange(LENGTH, LENGTH + 6)[None].expand(2, -1)
        behind = model(rest, position_ids=places).logits
        mask = torch.ones_like(rest)
        masked = model(rest, position_ids=places, attention_mask=mask).logits
        alone = model(rest).logits
    torch.testing.assert_close(behind, whole, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(masked, whole, atol=1e-4, rtol=1e-4)
    take_off(model)
    assert not torch.allclose(model(rest).logits, alone, atol=1e-3)
    assert not has_prefix(model) and model.config._attn_implementation == attention


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_both_halves_of_an_encoder_decoder_read_it_and_write_with_it(kind: str) -> None:
    with torch.device("meta"):  # counting, before anything is loaded
        counted = methods.apply_method(both_halves(kind), "prefix", "generate", 20)
    model = both_halves(kind)
    draw_prefix(model, methods.VIRTUAL_TOKENS)
    learnt = sum(weight.numel() for name, weight in model.named_parameters() if NAME in name)
    assert methods.trainable_parameters(counted) == learnt
    names = [name for name, _ in model.named_parameters() if f".{NAME}." in name]
    assert any("encoder" in name for name in names) and any("decoder" in name for name in names)
    torch.manual_seed(1)
    ids = torch.randint(1, 40, (1, 7))
    padded = torch.cat([ids, torch.zeros(1, 3, dtype=torch.long)], dim=1)
    settings = {"max_new_tokens": 8, "do_sample": False}
    with torch.no_grad():
        told = [
            model.generate(ids, use_cache=cached, **settings).tolist() for cached in (True, False)
        ]
        seen = (padded != 0).long()
        told.append(model.generate(padded, attention_mask=seen, **settings).tolist())
    assert told[0] == told[1] == told[2]


def classifier(folder: Path, *, write: Any, kind: str) -> Any:
    import transformers

    write(folder)
    torch.manual_seed(0)
    name = {
        "tag": "AutoModelForTokenClassification",
        "classify": "AutoModelForSequenceClassification",
    }
    return getattr(transformers, name[kind]).from_pretrained(folder, num_labels=3).eval()


@pytest.mark.parametrize("write", [train_tiny.write_bert, train_tiny.write_distilbert])
@pytest.mark.parametrize("kind", ["tag", "classify"])
def test_an_encoders_padding_changes_nothing_and_only_prefix_and_head_learn(
    tmp_path: Path, write: Any, kind: str
) -> None:
    model = classifier(tmp_path, write=write, kind=kind)
    methods.apply_method(model, "prefix", kind, 20)  # type: ignore[arg-type]
    learnt = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert any(NAME in name for name in learnt) and any("classifier" in name for name in learnt)
    assert all(NAME in name or "classifier" in name for name in learnt)
    ids = torch.tensor([[2, 7, 9, 3]])
    padded = torch.tensor([[2, 7, 9, 3, 0, 0]])
    alone = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    rows = model(input_ids=padded, attention_mask=(padded != 0).long()).logits
    torch.testing.assert_close(alone, rows[:, :4] if kind == "tag" else rows)
    alone.square().sum().backward()
    reached = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert reached == learnt


def test_what_is_saved_computes_the_same_when_loaded(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = causal(tmp_path, "llama")
    methods.apply_method(model, "prefix", "generate", 20)
    ids = torch.tensor([[5, 9, 17]])
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.3)
        before = model(ids).logits
        (tmp_path / "out").mkdir()
        methods.save_plain(model, "prefix", tmp_path / "out")
        loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
        without = loaded(ids).logits
        after = with_prefix(loaded, tmp_path / "out")(ids).logits
    torch.testing.assert_close(before, after)
    assert not torch.allclose(before, without, atol=1e-2)


def test_an_architecture_without_such_attention_is_refused(tmp_path: Path) -> None:
    for architecture in ("mamba", "bloom"):
        with pytest.raises(UsageError, match=f"'prefix' cannot be applied to .* '{architecture}'"):
            methods.apply_method(causal(tmp_path, architecture), "prefix", "generate", 20)


def test_a_prefix_of_another_model_and_of_peft_is_refused(tmp_path: Path) -> None:
    model = causal(tmp_path, "llama")
    methods.apply_method(model, "prefix", "generate", 20)
    (tmp_path / "out").mkdir()
    methods.save_plain(model, "prefix", tmp_path / "out")
    with pytest.raises(DataError, match="the prefix is of another model"):
        with_prefix(causal(tmp_path, "gpt2"), tmp_path / "out")
    (tmp_path / "out" / FOLDER / WEIGHTS).rename(tmp_path / "out" / FOLDER / "adapter_config.json")
    with pytest.raises(DataError, match="peft's format"):
        with_prefix(causal(tmp_path, "gpt2"), tmp_path / "out")


def test_our_network_reads_texts_behind_a_prefix_together_as_alone(tmp_path: Path) -> None:
    from harness_hf.modules import ModuleNetwork
    from harness_hf.probe import choose_network

    model = causal(tmp_path, "llama")
    draw_prefix(model, LENGTH)
    network = choose_network(model, torch.device("cpu"), most=64)
    assert isinstance(network, ModuleNetwork) and network.shares
    ids = torch.randint(hf_tiny.EMBEDDED, (3, 6))
    with torch.no_grad():
        logits, _ = network.trunk(ids, torch.arange(18), header=None, keep=True)
        one_by_one = torch.cat([model(row[None]).logits[0] for row in ids])
        nothing, _ = network.trunk(ids, torch.arange(0), header=None, keep=True)
    torch.testing.assert_close(logits.table(), one_by_one, atol=1e-4, rtol=1e-4)
    assert nothing.rows.shape[0] == 0
