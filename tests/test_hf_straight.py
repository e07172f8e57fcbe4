"""Weights read straight from their files against what transformers makes of them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from hf_hub_shapes import SHAPES, write_shape
from hf_tiny import EMBEDDED, write_checkpoint, write_model, write_tokenizer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.types import ModelSettings

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from safetensors.torch import load_file, save_file  # noqa: E402

from harness_hf.checkpoint import open_checkpoint  # noqa: E402
from harness_hf.described import Described  # noqa: E402
from harness_hf.loading import load  # noqa: E402
from harness_hf.options import read_options  # noqa: E402
from harness_hf.plans import KEYS, plan_of  # noqa: E402
from harness_hf.prefix import FOLDER, WEIGHTS  # noqa: E402
from harness_hf.products import Activation  # noqa: E402
from harness_hf.straight import read_ends, read_lean  # noqa: E402
from harness_hf.taken import take_apart  # noqa: E402

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
GPT2 = {
    "n_embd": 32,
    "n_layer": 2,
    "n_positions": 64,
    "layer_norm_epsilon": 1e-3,
    "vocab_size": 40,
    "attn_pdrop": 0.1,
    "summary_type": "cls_index",
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
}
OPT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "max_position_embeddings": 64,
    "ffn_dim": 20,
    "vocab_size": 40,
    "word_embed_proj_dim": 32,
    "_remove_final_layer_norm": False,
    "do_layer_norm_before": True,
    "prefix": "</s>",
    "pad_token_id": 1,
}


@st.composite
def learnt(draw: st.DrawFn, kind: str, heads: int) -> dict[str, Any]:
    """Any whose positions are learnt."""
    config = (GPT2 if kind == "gpt2" else OPT) | {
        "model_type": kind,
        "activation_function": draw(st.sampled_from(["relu", "gelu", "gelu_new"])),
        "bos_token_id": 0,
        "eos_token_id": draw(st.sampled_from([1, [1, 2]])),
        "tie_word_embeddings": draw(st.booleans()),
    }
    if kind == "gpt2":
        return config | {"n_head": heads, "n_inner": draw(st.sampled_from([None, 20]))}
    return config | {"num_attention_heads": heads, "enable_bias": draw(st.booleans())}


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    """Any that is known, of any of the architectures."""
    kind = draw(st.sampled_from(sorted(KEYS)))
    heads = draw(st.sampled_from([2, 4]))
    if kind in ("gpt2", "opt"):
        return draw(learnt(kind, heads))
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


def save(
    folder: Path,
    config: dict[str, Any],
    stored: torch.dtype = torch.float32,
    *,
    bare: bool = False,
) -> Any:
    """A random model of ``config``, whose file says what ``config`` says and no more; ``bare``: by
    the names that the body alone has."""
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
    if bare:
        first = f"{model.base_model_prefix}."
        tensors = {name.removeprefix(first): tensor for name, tensor in tensors.items()}
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
        # transformers computes what GPT-2 calls gelu_new step by step, PyTorch at once
        alike = torch.allclose(one.function(x), other.function(x), rtol=0, atol=1e-6)
        return (one.fused, one.algorithm) == (other.fused, other.algorithm) and alike
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
@given(
    configurations(),
    st.sampled_from([torch.float32, torch.float16, torch.bfloat16]),
    st.booleans(),
)
def test_files_give_the_decoder_that_modules_give(
    place: Path, config: dict[str, Any], stored: torch.dtype, bare: bool
) -> None:
    model = save(place, config, stored, bare=bare)
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

    own: dict[str, Any] = WIDTHS | {"num_attention_heads": 4}
    if kind not in ("gpt_neox", "gpt2", "opt"):
        own |= {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": None}
    if kind in ("gpt2", "opt"):
        own = {"n_head": 4, **GPT2} if kind == "gpt2" else {"num_attention_heads": 4, **OPT}
    config = transformers.AutoConfig.for_model(kind, **own)
    found: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    return {key: value for key, value in found.items() if key in KEYS[kind]}


NAMES = {
    "llama": ("hidden_act", "hidden_size", "num_hidden_layers", "num_attention_heads"),
    "opt": ("activation_function", "hidden_size", "num_hidden_layers", "num_attention_heads"),
    "gpt2": ("activation_function", "n_embd", "n_layer", "n_head"),
}


@pytest.mark.parametrize("kind", sorted(KEYS))
def test_any_other_key_is_left_to_transformers(kind: str) -> None:
    """A setting that is not known may mean anything; so may a known one of another kind."""
    config = saved(kind)
    assert plan_of(config) is not None
    assert plan_of(config | {"logit_scale": 2.0}) is None
    act, size, layers, heads = NAMES.get(kind, NAMES["llama"])
    for key, value in (
        (act, "quick_gelu"),
        (size, "24"),
        ("tie_word_embeddings", "yes"),
        (layers, 0),
        (heads, 5),
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
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}),
        ("gpt2", {"scale_attn_weights": False}),
        ("gpt2", {"reorder_and_upcast_attn": True}),
        ("gpt2", {"add_cross_attention": True}),
        ("opt", {"word_embed_proj_dim": 16}),
        ("opt", {"do_layer_norm_before": False}),
        ("opt", {"_remove_final_layer_norm": True}),
        ("opt", {"layer_norm_elementwise_affine": False}),
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


@pytest.mark.parametrize("attention", [None, "sdpa"])
def test_old_checkpoints_of_gpt_2_hold_masks_too(tmp_path: Path, attention: str | None) -> None:
    write_checkpoint(tmp_path, "gpt2")
    path = tmp_path / "model.safetensors"
    at = "transformer.h.0.attn"
    more = {f"{at}.bias": torch.ones(1, 1, 64, 64), f"{at}.masked_bias": torch.tensor(-1e4)}
    save_file(load_file(path) | more, path, metadata={"format": "pt"})
    options = {"attn": attention} if attention else {}
    assert (load(described(tmp_path, **options)).network is None) == bool(attention)


@pytest.mark.parametrize("kind", ["gpt2", "opt"])
def test_a_tied_head_may_be_there_besides_the_embeddings(tmp_path: Path, kind: str) -> None:
    write_checkpoint(tmp_path, kind)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    name = next(n for n in tensors if n.endswith(("wte.weight", "embed_tokens.weight")))
    save_file(tensors | {"lm_head.weight": tensors[name].clone()}, path, metadata={"format": "pt"})
    network = read_lean(described(tmp_path))
    assert network is not None
    assert network.decoder.head.weight is network.decoder.embedding
    save_file(tensors | {"lm_head.weight": tensors[name] + 1}, path, metadata={"format": "pt"})
    assert read_lean(described(tmp_path)) is None


@pytest.mark.parametrize("kind", ["gpt2", "opt", "gpt_neox"])
def test_pickled_weights_are_read_as_well(tmp_path: Path, kind: str) -> None:
    """As OPT has them, and many an old checkpoint."""
    model = write_checkpoint(tmp_path, kind)
    (tmp_path / "model.safetensors").unlink()
    head = "embed_out.weight" if kind == "gpt_neox" else "lm_head.weight"
    state = {head if n == "lm_head.weight" else n: t for n, t in model.state_dict().items()}
    torch.save(state, tmp_path / "pytorch_model.bin")
    network = read_lean(described(tmp_path))
    assert network is not None
    with torch.inference_mode():
        expected = take_apart(model, most=64)
    assert expected is not None
    assert same(network.decoder, expected)


@pytest.mark.parametrize("kind", ["gpt2", "opt"])
def test_logits_are_those_of_transformers(tmp_path: Path, kind: str) -> None:
    model = write_checkpoint(tmp_path, kind)
    network = read_lean(described(tmp_path))
    assert network is not None
    ids = torch.randint(EMBEDDED, (3, 40), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found, _ = network.trunk(ids, torch.arange(120), header=None, keep=False)
        expected = model(ids).logits.flatten(0, 1)
    assert torch.allclose(found.table(), expected, rtol=0, atol=1e-5)


def test_fewer_learnt_positions_than_are_tried_are_left_to_transformers(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, "gpt2", n_positions=8)
    assert read_lean(described(tmp_path)) is None


@pytest.mark.parametrize(
    "trouble", ["missing", "surplus", "shape", "integers", "prefix", "named twice"]
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
    elif trouble == "named twice":
        tensors = {n.removeprefix("model."): tensor for n, tensor in tensors.items()}
        tensors["model.norm.weight"] = tensors["norm.weight"].clone()
    save_file(tensors, path, metadata={"format": "pt"})
    assert read_lean(described(tmp_path)) is None


@pytest.mark.parametrize("option", [{"attn": "eager"}, {"trust_remote_code": "true"}])
def test_who_asks_for_transformers_gets_it(tmp_path: Path, option: dict[str, str]) -> None:
    write_checkpoint(tmp_path)
    assert read_lean(described(tmp_path, **option)) is None


def test_plain_decoders_are_asked_without_transformers(tmp_path: Path) -> None:
    """In the shapes that well-known families have on the hub, one after the other."""
    write_checkpoint(tmp_path / "plain")
    for shape, (kind, _) in SHAPES.items():
        (tmp_path / shape).mkdir()
        write_shape(tmp_path / shape, shape)
        extra = {"sliding_window": None} if kind == "mistral" else {}
        name = "mistral_window" if kind == "mistral" else kind
        write_model(tmp_path / shape, name, vocab_size=400, **extra)
    code = (
        "import sys, harness_hf\n"
        "from harness.types import Generate, Loglikelihood, ModelSettings\n"
        "asked = [Generate(prompt='The', max_tokens=3), Loglikelihood(context='a', "
        "continuation=' b')]\n"
        "for folder in sys.argv[1:]:\n"
        "    m = harness_hf.build(ModelSettings(argument=folder, device='cpu'))\n"
        "    assert all(r.error is None for _, r in m.respond(asked)), folder\n"
        "    assert 'transformers' not in sys.modules, folder\n"
    )
    folders = [str(tmp_path / shape) for shape in ("plain", *SHAPES)]
    done = subprocess.run(
        [sys.executable, "-c", code, *folders], check=True, capture_output=True, text=True
    )
    # some have other ids for the ends of a text than the models of these tests
    said = [line for line in done.stderr.splitlines() if "begins and ends texts" not in line]
    assert (done.stdout, said) == ("", [])
