"""The usual parts of a decoder, taken out of transformers' modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from harness_hf.parts import Shape, put_together
from harness_hf.products import Activation, join, linear

if TYPE_CHECKING:
    from harness_hf.parts import Decoder
    from harness_hf.products import Linear

GATED = {"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"}
NEOX = "GPTNeoXForCausalLM"
FIXED_ROTATIONS = {"default", "linear", "llama3", "yarn"}


class _ModuleWeights:
    """The weights of ``model``, not copied but for those that are joined."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def tensor(self, name: str) -> torch.Tensor | None:
        """See :meth:`harness_hf.parts.Weights.tensor`."""
        module, _, last = name.rpartition(".")
        found = getattr(self.model.get_submodule(module), last, None)
        return None if found is None else found.data

    def linear(self, *names: str) -> Linear:
        """See :meth:`harness_hf.parts.Weights.linear`."""
        modules = tuple(self.model.get_submodule(name) for name in names)
        return linear(modules[0]) if len(modules) == 1 else join(modules)

    def head(self) -> Linear | None:
        """See :meth:`harness_hf.parts.Weights.head`."""
        return linear(self.model.get_output_embeddings())


def take_apart(model: Any, *, most: int | None) -> Decoder | None:
    """Return the parts of ``model``, or ``None`` for an architecture not known here.

    ``most`` is how many positions will be used; without a bound there is no table to prepare.
    """
    name = type(model).__name__
    config = model.config
    window = getattr(config, "sliding_window", None)
    if most is None or name not in GATED | {NEOX}:
        return None
    if window is not None and getattr(config, "use_sliding_window", True) and window < most:
        return None
    if set(getattr(config, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}:
        return None
    body = model.gpt_neox if name == NEOX else model.model
    # angles must depend on the position alone, not on the length of the text
    if getattr(body.rotary_emb, "rope_type", "default") not in FIXED_ROTATIONS:
        return None
    shape = _neox_shape(config, body) if name == NEOX else _gated_shape(config, body)
    turn = _rotations(body.rotary_emb, body.get_input_embeddings().weight.data, most)
    return put_together(_ModuleWeights(model), shape, turn, gated=name != NEOX)


def _rotations(module: Any, like: torch.Tensor, most: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tables of cosines and sines, made by the model's own module."""
    positions = torch.arange(most, device=like.device)[None, :]
    cosine, sine = module(like[:1], positions)
    sine = sine[0].clone()
    sine[:, : sine.shape[1] // 2].neg_()
    return cosine[0].contiguous(), sine


def _gated_shape(config: Any, body: Any) -> Shape:
    attention, feed = body.layers[0].self_attn, body.layers[0].mlp
    return Shape(
        layers=len(body.layers),
        heads=config.num_attention_heads,
        groups=config.num_key_value_heads,
        size=attention.head_dim,
        epsilon=config.rms_norm_eps,
        activation=Activation.of(config.hidden_act, feed.act_fn),
        normed=hasattr(attention, "q_norm"),
    )


def _neox_shape(config: Any, body: Any) -> Shape:
    heads = config.num_attention_heads
    return Shape(
        layers=len(body.layers),
        heads=heads,
        groups=heads,
        size=config.hidden_size // heads,
        epsilon=config.layer_norm_eps,
        activation=Activation.of(config.hidden_act, body.layers[0].mlp.act),
        parallel=bool(config.use_parallel_residual),
    )
