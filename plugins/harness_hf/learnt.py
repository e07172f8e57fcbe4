"""What the configurations of GPT-2 and OPT say: decoders whose positions are learnt.

Cerebras-GPT and DistilGPT2 are GPT-2s. Names and defaults are those of transformers 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness_hf.building import GPT2, OPT, Shape
from harness_hf.planning import ELSEWHERE, SAYS_NOTHING, Plan, layer_norm, linear, require

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness_hf.planning import Said, Sizes

COMMON = SAYS_NOTHING | ELSEWHERE | {"activation_function", "tie_word_embeddings", "vocab_size"}
SUMMARY = {"first_dropout", "proj_to_labels", "type", "use_proj", "activation"}
UNUSUAL = {"add_cross_attention", "reorder_and_upcast_attn", "scale_attn_by_inverse_layer_idx"}
"""What GPT-2 may do besides."""
GPT2_KEYS = COMMON | UNUSUAL | {f"summary_{name}" for name in SUMMARY}
GPT2_KEYS |= {"attn_pdrop", "embd_pdrop", "initializer_range", "resid_pdrop"}
GPT2_KEYS |= {"_num_labels", "id2label", "label2id", "task_specific_params"}
GPT2_KEYS |= {"layer_norm_epsilon", "n_ctx", "n_embd", "n_head", "n_inner", "n_layer"}
GPT2_KEYS |= {"n_positions", "scale_attn_weights"}
OPT_KEYS = COMMON | {"activation_dropout", "attention_dropout", "dropout", "init_std", "layerdrop"}
OPT_KEYS |= {"_remove_final_layer_norm", "do_layer_norm_before", "enable_bias", "ffn_dim"}
OPT_KEYS |= {"hidden_size", "layer_norm_elementwise_affine", "max_position_embeddings"}
OPT_KEYS |= {"num_attention_heads", "num_hidden_layers", "prefix", "word_embed_proj_dim"}
EPSILON = 1e-5
"""Of PyTorch's layer norm, for OPT, whose configuration does not say it."""
BEFORE = 2
"""Rows of OPT's positions before the first."""


USUAL_NAMES = {
    "n_embd": "hidden_size",
    "n_head": "num_attention_heads",
    "n_inner": "intermediate_size",
    "n_layer": "num_hidden_layers",
}
"""What other configurations call what GPT-2's says."""


def named_usually(config: Mapping[str, Any]) -> dict[str, Any]:
    """``config`` by the names that most architectures use."""
    return {USUAL_NAMES.get(key, key): value for key, value in config.items()}


def gpt2(said: Said) -> Plan:
    """The plan of a GPT-2. Raises :class:`harness_hf.planning.UnknownError`."""
    hidden, heads = said.count("n_embd"), said.count("n_head")
    require(hidden % heads == 0 and said.flag("scale_attn_weights", default=True))
    require(not any(said.flag(key) for key in UNUSUAL))
    wide, vocabulary = said.count("n_inner", 4 * hidden), said.count("vocab_size")
    layers, places = said.count("n_layer"), said.count("n_positions")
    found: Sizes = {
        "transformer.wte.weight": (vocabulary, hidden),
        "transformer.wpe.weight": (places, hidden),
        **layer_norm("transformer.ln_f", hidden),
        **_head(said, vocabulary, hidden),
    }
    for at in (f"transformer.h.{number}" for number in range(layers)):
        found |= layer_norm(f"{at}.ln_1", hidden) | layer_norm(f"{at}.ln_2", hidden)
        found |= _sideways(f"{at}.attn.c_attn", 3 * hidden, hidden)
        found |= _sideways(f"{at}.attn.c_proj", hidden, hidden)
        found |= _sideways(f"{at}.mlp.c_fc", wide, hidden)
        found |= _sideways(f"{at}.mlp.c_proj", hidden, wide)
    shape = Shape(
        layers=layers,
        heads=heads,
        groups=heads,
        size=hidden // heads,
        epsilon=said.number("layer_norm_epsilon"),
        activation=said.activation("activation_function"),
    )
    return Plan(architecture=GPT2, shape=shape, tensors=found, places=places)


def opt(said: Said) -> Plan:
    """The plan of an OPT. Raises :class:`harness_hf.planning.UnknownError`."""
    hidden, heads = said.count("hidden_size"), said.count("num_attention_heads")
    require(hidden % heads == 0 and said.count("word_embed_proj_dim", hidden) == hidden)
    require(said.flag("do_layer_norm_before", default=True))
    require(said.flag("layer_norm_elementwise_affine", default=True))
    require(not said.flag("_remove_final_layer_norm"))
    wide, vocabulary = said.count("ffn_dim"), said.count("vocab_size")
    layers, biased = said.count("num_hidden_layers"), said.flag("enable_bias", default=True)
    places = said.count("max_position_embeddings")
    found: Sizes = {
        "model.decoder.embed_tokens.weight": (vocabulary, hidden),
        "model.decoder.embed_positions.weight": (places + BEFORE, hidden),
        **layer_norm("model.decoder.final_layer_norm", hidden),
        **_head(said, vocabulary, hidden),
    }
    for at in (f"model.decoder.layers.{number}" for number in range(layers)):
        found |= layer_norm(f"{at}.self_attn_layer_norm", hidden)
        found |= layer_norm(f"{at}.final_layer_norm", hidden)
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            found |= linear(f"{at}.self_attn.{part}", hidden, hidden, biased=biased)
        found |= linear(f"{at}.fc1", wide, hidden, biased=biased)
        found |= linear(f"{at}.fc2", hidden, wide, biased=biased)
    shape = Shape(
        layers=layers,
        heads=heads,
        groups=heads,
        size=hidden // heads,
        epsilon=EPSILON,
        activation=said.activation("activation_function"),
    )
    return Plan(architecture=OPT, shape=shape, tensors=found, places=places)


def _head(said: Said, vocabulary: int, hidden: int) -> Sizes:
    tied = said.flag("tie_word_embeddings", default=True)
    return {} if tied else {"lm_head.weight": (vocabulary, hidden)}


def _sideways(name: str, rows: int, columns: int) -> Sizes:
    """A matrix that is stored the other way around."""
    return {f"{name}.weight": (columns, rows), f"{name}.bias": (rows,)}
