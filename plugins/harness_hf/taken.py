"""The usual parts of a decoder, taken out of transformers' modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from harness_hf.building import GATED, GPT2, NEOX, OPT, Shape, put_together
from harness_hf.learnt import EPSILON
from harness_hf.products import Activation, join, linear

if TYPE_CHECKING:
    from harness_hf.building import Architecture
    from harness_hf.parts import Decoder
    from harness_hf.products import Linear

KNOWN = {
    "LlamaForCausalLM": GATED,
    "MistralForCausalLM": GATED,
    "Qwen2ForCausalLM": GATED,
    "Qwen3ForCausalLM": GATED,
    "GPTNeoXForCausalLM": NEOX,
    "GPT2LMHeadModel": GPT2,
    "OPTForCausalLM": OPT,
}
FIXED_ROTATIONS = {"default", "linear", "llama3", "yarn"}
UNUSUAL = {
    "reorder_and_upcast_attn",
    "scale_attn_by_inverse_layer_idx",
    "add_cross_attention",
    "_remove_final_layer_norm",
}
"""Settings of GPT-2 and OPT that are not computed here."""
USUAL = {"scale_attn_weights", "do_layer_norm_before", "layer_norm_elementwise_affine"}
"""Those that must be on."""


class _ModuleWeights:
    """The weights of ``model``, not copied but for those that are joined."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def tensor(self, name: str) -> torch.Tensor | None:
        """See :meth:`harness_hf.building.Weights.tensor`."""
        module, _, last = name.rpartition(".")
        found = getattr(self.model.get_submodule(module), last, None)
        return None if found is None else found.data

    def linear(self, *names: str) -> Linear:
        """See :meth:`harness_hf.building.Weights.linear`."""
        modules = tuple(self.model.get_submodule(name) for name in names)
        return linear(modules[0]) if len(modules) == 1 else join(modules)

    def head(self) -> Linear | None:
        """See :meth:`harness_hf.building.Weights.head`."""
        return linear(self.model.get_output_embeddings())


def take_apart(model: Any, *, most: int | None) -> Decoder | None:
    """Return the parts of ``model``, or ``None`` for an architecture not known here.

    ``most`` is how many positions will be used; without a bound there is no table to prepare.
    """
    architecture = KNOWN.get(type(model).__name__)
    config = model.config
    window = getattr(config, "sliding_window", None)
    if most is None or architecture is None:
        return None
    if window is not None and getattr(config, "use_sliding_window", True) and window < most:
        return None
    if set(getattr(config, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}:
        return None
    if any(getattr(config, name, False) for name in UNUSUAL):
        return None
    if not all(getattr(config, name, True) for name in USUAL):
        return None
    if getattr(config, "word_embed_proj_dim", config.hidden_size) != config.hidden_size:
        return None
    turn = None
    if architecture.places is None:
        body = model.base_model
        # angles must depend on the position alone, not on the length of the text
        if getattr(body.rotary_emb, "rope_type", "default") not in FIXED_ROTATIONS:
            return None
        turn = _rotations(body.rotary_emb, body.get_input_embeddings().weight.data, most)
    weights = _ModuleWeights(model)
    return put_together(weights, architecture, _shape(model, architecture), turn)


def _rotations(module: Any, like: torch.Tensor, most: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tables of cosines and sines, made by the model's own module."""
    positions = torch.arange(most, device=like.device)[None, :]
    cosine, sine = module(like[:1], positions)
    sine = sine[0].clone()
    sine[:, : sine.shape[1] // 2].neg_()
    return cosine[0].contiguous(), sine


def _shape(model: Any, architecture: Architecture) -> Shape:
    config, layer = model.config, model.get_submodule(f"{architecture.layers}.0")
    heads = config.num_attention_heads
    names = ("hidden_act", "activation_function")
    name = next(str(getattr(config, n)) for n in names if getattr(config, n, None))
    epsilons = ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon")
    return Shape(
        layers=config.num_hidden_layers,
        heads=heads,
        groups=getattr(config, "num_key_value_heads", None) or heads,
        size=getattr(config, "head_dim", None) or config.hidden_size // heads,
        epsilon=next((getattr(config, n) for n in epsilons if hasattr(config, n)), EPSILON),
        activation=Activation.of(name, _activation(layer)),
        parallel=bool(getattr(config, "use_parallel_residual", False)),
        normed=hasattr(getattr(layer, "self_attn", None), "q_norm"),
    )


def _activation(layer: Any) -> Any:
    feed = getattr(layer, "mlp", layer)
    names = ("act_fn", "act", "activation_fn")
    return next(getattr(feed, name) for name in names if hasattr(feed, name))
