"""What the configuration of a well-known decoder says, where all of it is known here.

A configuration counts as known if every key of it is, and none asks for more than the plain
architecture. Then the tensors that its files must hold follow, by name and shape. Names, defaults
and the turning of positions are those of transformers 5 (``configuration_llama.py`` and the like,
``modeling_rope_utils.py``).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from harness_hf.building import GATED, NEOX, Shape
from harness_hf.learnt import GPT2_KEYS, OPT_KEYS, gpt2, opt
from harness_hf.planning import (
    ELSEWHERE,
    SAYS_NOTHING,
    Plan,
    Said,
    UnknownError,
    layer_norm,
    linear,
    require,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness_hf.planning import Sizes

TRAINING = {"attention_dropout", "classifier_dropout", "hidden_dropout", "initializer_range"}
SIZED = SAYS_NOTHING | TRAINING | ELSEWHERE
SIZED |= {"hidden_act", "hidden_size", "intermediate_size", "max_position_embeddings"}
SIZED |= {"num_attention_heads", "num_hidden_layers", "rope_parameters", "rope_scaling"}
SIZED |= {"tie_word_embeddings", "vocab_size"}
GATED_KEYS = SIZED | {"head_dim", "num_key_value_heads", "rms_norm_eps", "rope_theta"}
QWEN_KEYS = GATED_KEYS | {
    "layer_types",
    "max_window_layers",
    "sliding_window",
    "use_sliding_window",
}
NEOX_KEYS = SIZED | {
    "attention_bias",
    "is_decoder",
    "layer_norm_eps",
    "rotary_emb_base",
    "rotary_pct",
}
NEOX_KEYS |= {"use_parallel_residual"}
SMOL = {"is_llama_config", "rope_interleaved", "transformers.js_config"}
"""What SmolLM's configurations say besides; transformers reads none of it."""
KEYS: Mapping[str, set[str]] = {
    "llama": GATED_KEYS | SMOL | {"attention_bias", "mlp_bias", "pretraining_tp"},
    "mistral": GATED_KEYS | {"sliding_window"},
    "qwen2": QWEN_KEYS,
    "qwen3": QWEN_KEYS | {"attention_bias"},
    "gpt_neox": NEOX_KEYS,
    "gpt2": GPT2_KEYS,
    "opt": OPT_KEYS,
}
"""By model type, the keys that are known."""
ROTATIONS: Mapping[str, set[str]] = {
    "default": set(),
    "linear": {"factor"},
    "llama3": {
        "factor",
        "high_freq_factor",
        "low_freq_factor",
        "original_max_position_embeddings",
    },
}
"""By kind of rotation, the numbers that it takes besides its base."""
LEARNT = {"gpt2": gpt2, "opt": opt}


def plan_of(config: Mapping[str, Any]) -> Plan | None:
    """The plan that ``config`` describes, ``None`` where it says anything that is not known."""
    kind = str(config.get("model_type"))
    if kind not in KEYS or not config.keys() <= KEYS[kind]:
        return None
    said = Said(config)
    try:
        if kind in LEARNT:
            return LEARNT[kind](said)
        return _neox(said) if kind == "gpt_neox" else _gated(said, kind)
    except UnknownError:
        return None


def _gated(said: Said, kind: str) -> Plan:
    values, hidden, heads = (
        said.values,
        said.count("hidden_size"),
        said.count("num_attention_heads"),
    )
    require(hidden % heads == 0)
    shape = Shape(
        layers=said.count("num_hidden_layers"),
        heads=heads,
        groups=said.count("num_key_value_heads", heads if kind == "llama" else None),
        size=said.count("head_dim", None if kind == "qwen3" else hidden // heads),
        epsilon=said.number("rms_norm_eps"),
        activation=said.activation(),
        normed=kind == "qwen3",
    )
    require(heads % shape.groups == 0 and shape.size % 2 == 0)
    require(values.get("pretraining_tp") in (None, 1) and not said.flag("use_sliding_window"))
    require(set(values.get("layer_types") or ()) <= {"full_attention"})
    window = None
    if kind == "mistral":
        require("sliding_window" in values)  # a Mistral that leaves it out has one
        window = None if values["sliding_window"] is None else said.count("sliding_window")
    rope = said.rope()
    theta = rope.number("rope_theta", values.get("rope_theta"))
    return Plan(
        architecture=GATED,
        shape=shape,
        tensors=_gated_tensors(said, shape, kind),
        frequencies=_frequencies(rope, theta, shape.size),
        window=window,
    )


def _gated_tensors(said: Said, shape: Shape, kind: str) -> Sizes:
    hidden, wide = said.count("hidden_size"), said.count("intermediate_size")
    vocabulary, joined = said.count("vocab_size"), shape.heads * shape.size
    attends, feeds = said.flag("attention_bias"), said.flag("mlp_bias")
    rows = {"q": joined, "k": shape.groups * shape.size, "v": shape.groups * shape.size}
    found: Sizes = {
        "model.embed_tokens.weight": (vocabulary, hidden),
        "model.norm.weight": (hidden,),
    }
    if not said.flag("tie_word_embeddings"):
        found["lm_head.weight"] = (vocabulary, hidden)
    for at in (f"model.layers.{number}" for number in range(shape.layers)):
        found[f"{at}.input_layernorm.weight"] = (hidden,)
        found[f"{at}.post_attention_layernorm.weight"] = (hidden,)
        for part, count in rows.items():
            name = f"{at}.self_attn.{part}_proj"
            found |= linear(name, count, hidden, biased=attends or kind == "qwen2")
        found |= linear(f"{at}.self_attn.o_proj", hidden, joined, biased=attends)
        if shape.normed:
            found |= {f"{at}.self_attn.{part}_norm.weight": (shape.size,) for part in "qk"}
        found |= linear(f"{at}.mlp.gate_proj", wide, hidden, biased=feeds)
        found |= linear(f"{at}.mlp.up_proj", wide, hidden, biased=feeds)
        found |= linear(f"{at}.mlp.down_proj", hidden, wide, biased=feeds)
    return found


def _neox(said: Said) -> Plan:
    hidden, heads = said.count("hidden_size"), said.count("num_attention_heads")
    require(hidden % heads == 0 and not said.flag("is_decoder"))
    shape = Shape(
        layers=said.count("num_hidden_layers"),
        heads=heads,
        groups=heads,
        size=hidden // heads,
        epsilon=said.number("layer_norm_eps"),
        activation=said.activation(),
        parallel=said.flag("use_parallel_residual", default=True),
    )
    rope = said.rope()
    share = rope.number("partial_rotary_factor", said.values.get("rotary_pct"))
    theta = rope.number("rope_theta", said.values.get("rotary_emb_base"))
    rotated = int(shape.size * share)
    require(share <= 1 and rotated > 0 and rotated % 2 == 0)
    rest = {key: value for key, value in rope.values.items() if key != "partial_rotary_factor"}
    return Plan(
        architecture=NEOX,
        shape=shape,
        tensors=_neox_tensors(said, shape),
        frequencies=_frequencies(Said(rest), theta, rotated),
    )


def _neox_tensors(said: Said, shape: Shape) -> Sizes:
    hidden, wide = said.count("hidden_size"), said.count("intermediate_size")
    vocabulary, biased = said.count("vocab_size"), said.flag("attention_bias", default=True)
    found: Sizes = {
        "gpt_neox.embed_in.weight": (vocabulary, hidden),
        **layer_norm("gpt_neox.final_layer_norm", hidden),
    }
    if not said.flag("tie_word_embeddings"):
        found["embed_out.weight"] = (vocabulary, hidden)
    for at in (f"gpt_neox.layers.{number}" for number in range(shape.layers)):
        found |= layer_norm(f"{at}.input_layernorm", hidden)
        found |= layer_norm(f"{at}.post_attention_layernorm", hidden)
        found |= linear(f"{at}.attention.query_key_value", 3 * hidden, hidden, biased=biased)
        found |= linear(f"{at}.attention.dense", hidden, hidden, biased=biased)
        found |= linear(f"{at}.mlp.dense_h_to_4h", wide, hidden, biased=True)
        found |= linear(f"{at}.mlp.dense_4h_to_h", hidden, wide, biased=True)
    return found


def _frequencies(rope: Said, theta: float, rotated: int) -> torch.Tensor:
    """Radians per position [rotated / 2] (Su et al. 2021, arXiv:2104.09864); ``linear`` divides
    them (Chen et al. 2023, arXiv:2306.15595), ``llama3`` those of long waves (Llama 3.1's report,
    Dubey et al. 2024, arXiv:2407.21783), with a slope in between."""
    kind = rope.values.get("rope_type", rope.values.get("type", "default"))
    require(kind in ROTATIONS)
    require(rope.values.keys() <= ROTATIONS[kind] | {"rope_type", "type", "rope_theta"})
    found: torch.Tensor = 1.0 / theta ** (torch.arange(0, rotated, 2, dtype=torch.float) / rotated)
    if kind == "default":
        return found
    factor = rope.number("factor")
    if kind == "linear":
        return found / factor
    length = rope.count("original_max_position_embeddings")
    low, high = rope.number("low_freq_factor"), rope.number("high_freq_factor")
    require(low < high)
    waves = 2 * math.pi / found
    slope = (length / waves - low) / (high - low)
    between = (1 - slope) * found / factor + slope * found
    slowed = torch.where(waves > length / low, found / factor, between)
    return torch.where(waves < length / high, found, slowed)
