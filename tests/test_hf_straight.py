"""Weights and tokenizers read straight from their files against what transformers makes of them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from hf_tiny import CORPUS, write_checkpoint, write_tokenizer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.types import ModelSettings

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from safetensors.torch import load_file, save_file  # noqa: E402

from harness_hf.checkpoint import open_checkpoint  # noqa: E402
from harness_hf.described import Described  # noqa: E402
from harness_hf.options import read_options  # noqa: E402
from harness_hf.plans import KEYS, plan_of  # noqa: E402
from harness_hf.prefix import FOLDER, WEIGHTS  # noqa: E402
from harness_hf.products import Activation  # noqa: E402
from harness_hf.straight import read_ends, read_lean  # noqa: E402
from harness_hf.taken import take_apart  # noqa: E402
from harness_hf.tokenfile import read_tokenizer  # noqa: E402

WIDTHS = {"hidden_size": 32, "intermediate_size": 20, "num_hidden_layers": 2, "vocab_size": 40}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
CHANCES = {
    "llama": {"attention_bias": st.booleans(), "mlp_bias": st.booleans()},
    "mistral": {"sliding_window": st.sampled_from([None, 64, 500])},
    "qwen2": {"sliding_window": st.sampled_from([None, 16])},
    "qwen3": {"attention_bias": st.booleans(), "head_dim": st.sampled_from([8, 10])},
    "gpt_neox": {"attention_bias": st.booleans(), "use_parallel_residual": st.booleans()},
}


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    """Any that is known, of any of the architectures."""
    kind = draw(st.sampled_from(sorted(KEYS)))
    heads = draw(st.sampled_from([2, 4]))
    config = WIDTHS | {
        "model_type": kind,
        "num_attention_heads": heads,
        "max_position_embeddings": 64,
        "tie_word_embeddings": draw(st.booleans()),
        "hidden_act": draw(st.sampled_from(["silu", "gelu", "relu", "gelu_pytorch_tanh"])),
        "bos_token_id": 0,
        "eos_token_id": draw(st.sampled_from([1, [1, 2]])),
        **{key: draw(chance) for key, chance in CHANCES[kind].items()},
    }
    theta = draw(st.sampled_from([100.0, 10000.0, 500000.0]))
    if kind == "gpt_neox":
        share = draw(st.sampled_from([0.5, 1.0])) if heads == 2 else 1.0
        own = {"layer_norm_eps": 1e-3, "rotary_pct": share, "rotary_emb_base": theta}
        return config | own
    scaled = draw(st.sampled_from([None, {"rope_type": "linear", "factor": 2.0}, LLAMA3]))
    config |= {"rms_norm_eps": 1e-3, "rope_theta": theta, "rope_scaling": scaled}
    return config | {"num_key_value_heads": draw(st.sampled_from([heads, heads // 2]))}


def described(folder: Path, **options: str) -> Described:
    asked = ModelSettings(argument=str(folder), options=options, device="cpu")
    return Described(read_options("hf", asked, name=None, family=None))


def save(folder: Path, config: dict[str, Any], stored: torch.dtype = torch.float32) -> Any:
    """A random model of ``config``, whose file says what ``config`` says and no more."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(3)
    kind = config["model_type"]
    rest = {key: value for key, value in config.items() if key != "model_type"}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **json_copy(rest)))
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_()
            weight.copy_(weight.to(stored))
    model.tie_weights()
    model.save_pretrained(folder)
    path = folder / "model.safetensors"
    tensors = {name: tensor.to(stored) for name, tensor in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return model


def json_copy(value: Any) -> Any:
    return json.loads(json.dumps(value))


def same(one: Any, other: Any) -> bool:
    """Whether two decoders are made of the same numbers, wherever they came from."""
    if isinstance(one, Activation):
        x = torch.linspace(-4, 4, 33)
        return one.fused == other.fused and bool(torch.equal(one.function(x), other.function(x)))
    if is_dataclass(one):
        names = [field.name for field in fields(one) if field.name != "sources"]
        return all(same(getattr(one, name), getattr(other, name)) for name in names)
    if isinstance(one, torch.Tensor):
        return bool(torch.equal(one, other))
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("straight")
    write_tokenizer(folder)
    return folder


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(configurations(), st.sampled_from([torch.float32, torch.float16, torch.bfloat16]))
def test_files_give_the_decoder_that_modules_give(
    place: Path, config: dict[str, Any], stored: torch.dtype
) -> None:
    model = save(place, config, stored)
    network = read_lean(described(place))
    assert network is not None
    with torch.inference_mode():
        expected = take_apart(model, most=64)
    assert expected is not None
    assert same(network.decoder, expected)
    ends = model.generation_config.eos_token_id
    assert read_ends(open_checkpoint(place)) == tuple(ends if isinstance(ends, list) else [ends])


def saved(kind: str) -> dict[str, Any]:
    """What transformers writes of a configuration of this kind."""
    import transformers

    own: dict[str, Any] = {"num_attention_heads": 4}
    if kind != "gpt_neox":
        own |= {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": None}
    config = transformers.AutoConfig.for_model(kind, **WIDTHS, **own)
    found: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    return {key: value for key, value in found.items() if key in KEYS[kind]}


@pytest.mark.parametrize("kind", sorted(KEYS))
def test_any_other_key_is_left_to_transformers(kind: str) -> None:
    """A setting that is not known may mean anything; so may a known one of another kind."""
    config = saved(kind)
    assert plan_of(config) is not None
    assert plan_of(config | {"logit_scale": 2.0}) is None
    for key, value in (
        ("hidden_act", "quick_gelu"),
        ("hidden_size", "24"),
        ("tie_word_embeddings", "yes"),
        ("num_hidden_layers", 0),
        ("num_attention_heads", 5),
        ("vocab_size", True),
        ("rope_parameters", {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}),
        ("rope_parameters", {"rope_type": "linear", "rope_theta": 1e4}),
        ("rope_parameters", {"rope_theta": 1e4, "attention_factor": 2.0}),
        ("rope_scaling", {"type": "linear", "factor": 2.0}),
    ):
        assert plan_of(config | {key: value}) is None, (key, value)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("llama", {"pretraining_tp": 2}),
        ("llama", {"rope_theta": None, "rope_parameters": None}),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 8}),
        ("qwen2", {"layer_types": ["sliding_attention", "full_attention"]}),
        ("qwen3", {"head_dim": None}),
        ("gpt_neox", {"rope_parameters": None}),
        ("gpt_neox", {"is_decoder": True}),
    ],
)
def test_what_is_not_the_plain_architecture_is_left_to_transformers(
    kind: str, change: dict[str, Any]
) -> None:
    config = saved(kind)
    assert plan_of(config) is not None
    assert plan_of(config | change) is None


@pytest.mark.parametrize(
    ("own", "file", "ends"),
    [
        (1, None, (1,)),
        (None, None, ()),
        (1, {"eos_token_id": [2, 3]}, (2, 3)),
        (1, {}, ()),
        (1, {"eos_token_id": "</s>"}, None),
        ("left out", None, None),
    ],
)
def test_what_ends_a_text_is_read_as_transformers_reads_it(
    tmp_path: Path, own: Any, file: dict[str, Any] | None, ends: tuple[int, ...] | None
) -> None:
    write_checkpoint(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | {"eos_token_id": own}
    if own == "left out":
        del config["eos_token_id"]
    path.write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "generation_config.json").unlink()
    if file is not None:
        (tmp_path / "generation_config.json").write_text(json.dumps(file), encoding="utf-8")
    assert read_ends(open_checkpoint(tmp_path)) == ends


def test_a_mistral_that_leaves_its_window_out_has_one() -> None:
    config = saved("mistral")
    del config["sliding_window"]
    assert plan_of(config) is None


def test_a_window_that_hides_something_is_left_to_transformers(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, "mistral_window")
    assert read_lean(described(tmp_path)) is None
    assert read_lean(described(tmp_path, max_length="6")) is not None


def test_old_checkpoints_hold_masks_that_nobody_reads(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, "gpt_neox")
    path = tmp_path / "model.safetensors"
    at = "gpt_neox.layers.0.attention"
    more = {f"{at}.bias": torch.ones(1, 1, 8, 8), f"{at}.masked_bias": torch.tensor(-1e9)}
    more |= {f"{at}.rotary_emb.inv_freq": torch.ones(4)}
    save_file(load_file(path) | more, path, metadata={"format": "pt"})
    assert read_lean(described(tmp_path)) is not None


@pytest.mark.parametrize(
    "trouble", ["missing", "surplus", "shape", "integers", "prefix", "pickled"]
)
def test_other_files_are_left_to_transformers(tmp_path: Path, trouble: str) -> None:
    write_checkpoint(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    name = "model.layers.0.mlp.up_proj.weight"
    if trouble == "missing":
        del tensors[name]
    elif trouble == "surplus":
        tensors["model.layers.0.mlp.up_proj.bias"] = torch.zeros(48)
    elif trouble == "shape":
        tensors[name] = tensors[name][:-1].clone()
    elif trouble == "integers":
        tensors[name] = tensors[name].to(torch.int8)
    elif trouble == "prefix":
        (tmp_path / FOLDER).mkdir()
        save_file({"keys": torch.zeros(1)}, tmp_path / FOLDER / WEIGHTS)
    if trouble == "pickled":
        path.unlink()
        torch.save(tensors, tmp_path / "pytorch_model.bin")
    else:
        save_file(tensors, path, metadata={"format": "pt"})
    assert read_lean(described(tmp_path)) is None


@pytest.mark.parametrize("option", [{"attn": "eager"}, {"trust_remote_code": "true"}])
def test_who_asks_for_transformers_gets_it(tmp_path: Path, option: dict[str, str]) -> None:
    write_checkpoint(tmp_path)
    assert read_lean(described(tmp_path, **option)) is None


TEXTS = st.one_of(
    st.text(max_size=30),
    st.lists(
        st.sampled_from([*CORPUS, "<s>", "</s>", "<unk>", "▁", " ", "\n", "<0x41>", "é", "🙂"]),
        max_size=6,
    ).map(" ".join),
)


def tokenizers(folder: Path) -> tuple[Any, Any]:
    """Ours and transformers'."""
    from transformers import AutoTokenizer

    asked = described(folder)
    ours = read_tokenizer(asked.checkpoint, asked.options)
    assert ours is not None
    return ours, AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module", params=["bytes", "bytes-bos", "bare", "pieces", "nano", "shared"])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Any]:
    kind = request.param
    if kind == "nano":
        harness_nano = pytest.importorskip("harness_nano")
        return tokenizers(harness_nano.WEIGHTS / "nano-9k")
    if kind == "shared":
        return tokenizers(request.getfixturevalue("shared") / "models" / "stories260K")
    folder = tmp_path_factory.mktemp(kind)
    write_checkpoint(folder)
    write_tokenizer(folder, kind.split("-")[0], bos=kind.endswith("bos"))
    return tokenizers(folder)


@settings(max_examples=60, deadline=None)
@given(text=TEXTS, more=TEXTS, special=st.booleans(), data=st.data())
def test_texts_become_the_tokens_that_transformers_makes(
    pair: tuple[Any, Any], text: str, more: str, special: bool, data: st.DataObject
) -> None:
    ours, theirs = pair
    for asked in (text, [text, more]):
        expected = theirs(asked, add_special_tokens=special)["input_ids"]
        assert ours(asked, add_special_tokens=special)["input_ids"] == expected
    ids = data.draw(st.lists(st.integers(0, len(theirs) - 1), max_size=12))
    assert [ours.convert_ids_to_tokens(n) for n in ids] == theirs.convert_ids_to_tokens(ids)
    for skipped in (True, False):
        how = {"skip_special_tokens": skipped, "clean_up_tokenization_spaces": False}
        assert ours.decode(ids, **how) == theirs.decode(ids, **how)


def test_a_tokenizer_says_of_itself_what_transformers_says(pair: tuple[Any, Any]) -> None:
    ours, theirs = pair
    assert len(ours) == len(theirs)
    assert ours.get_vocab() == theirs.get_vocab()
    assert ours.get_added_vocab() == theirs.get_added_vocab()
    assert (ours.bos_token_id, ours.eos_token_id) == (theirs.bos_token_id, theirs.eos_token_id)
    assert set(ours.all_special_tokens) == set(theirs.all_special_tokens)
    for name in ours.all_special_tokens:
        assert ours.convert_tokens_to_ids(name) == theirs.convert_tokens_to_ids(name)


@pytest.mark.parametrize(
    "change",
    [
        {"tokenizer_class": "LlamaTokenizer"},
        {"add_bos_token": True},
        {"eos_token": "of"},
        {"eos_token": {"content": "</s>", "lstrip": True}},
        {"eos_token": "<no such>"},
        {"extra_special_tokens": ["the"]},
        {"split_special_tokens": True},
    ],
)
def test_tokenizers_with_other_settings_are_left_to_transformers(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    write_checkpoint(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(stored | change), encoding="utf-8")
    asked = described(tmp_path)
    assert read_tokenizer(asked.checkpoint, asked.options) is None


@pytest.mark.parametrize("trouble", ["empty", "named", "kind", "chat"])
def test_other_tokenizer_files_are_left_to_transformers(tmp_path: Path, trouble: str) -> None:
    write_checkpoint(tmp_path)
    if trouble == "empty":
        (tmp_path / "tokenizer.json").write_text("", encoding="utf-8")
    elif trouble == "named":
        (tmp_path / "special_tokens_map.json").write_text("{}", encoding="utf-8")
    elif trouble == "kind":
        shutil.rmtree(tmp_path)
        write_checkpoint(tmp_path, "qwen2")
    asked = described(tmp_path, **({"chat_template": "default"} if trouble == "chat" else {}))
    assert read_tokenizer(asked.checkpoint, asked.options) is None


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
def test_a_plain_decoder_is_asked_without_transformers(tmp_path: Path, kind: str) -> None:
    write_checkpoint(tmp_path, kind)
    code = (
        "import sys, harness_hf\n"
        "from harness.types import Generate, Loglikelihood, ModelSettings\n"
        f"m = harness_hf.build(ModelSettings(argument={str(tmp_path)!r}, device='cpu'))\n"
        "asked = [Generate(prompt='The', max_tokens=3), Loglikelihood(context='a', "
        "continuation=' b')]\n"
        "assert all(r.error is None for _, r in m.respond(asked))\n"
        "print('transformers' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False\n", "")
