"""The usual parts of a decoder, taken out of transformers' modules.

Known are Llama, Mistral, Qwen2 and Qwen3 (RMS norm, rotary positions, gated feed-forward) and
GPT-NeoX, of which Pythia is built (layer norm, partly rotary, attention and feed-forward side by
side). For anything else :func:`take_apart` returns ``None``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from harness_hf.products import Activation, Linear, join, linear

if TYPE_CHECKING:
    from collections.abc import Sequence

GATED = {"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"}
FIXED_ROTATIONS = {"default", "linear", "llama3", "yarn"}


@dataclass(frozen=True, kw_only=True)
class Norm:
    """RMS norm, or layer norm where there is a ``shift``."""

    weight: torch.Tensor
    shift: torch.Tensor | None
    epsilon: float

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise the last dimension."""
        here = x.device.type == "cpu" and x.dtype == torch.float32
        if self.shift is None and here:  # what rms_norm does, in fewer passes; a GPU takes one
            mean = (x * x).mean(-1, keepdim=True)
            return (x * torch.rsqrt(mean.add_(self.epsilon))).mul_(self.weight)
        if self.shift is None:
            return functional.rms_norm(x, self.weight.shape, self.weight, self.epsilon)
        return functional.layer_norm(x, self.weight.shape, self.weight, self.shift, self.epsilon)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer. ``project_in`` makes queries, keys and values, in this order, head by head."""

    norm1: Norm
    norm2: Norm
    project_in: Linear
    output: Linear
    up: Linear
    down: Linear
    activation: Activation
    heads: int
    groups: int
    size: int
    rotated: int
    parallel: bool
    gate: Linear | None = None
    gate_and_up: Linear | None = None
    query_norm: Norm | None = None
    key_norm: Norm | None = None

    @property
    def scale(self) -> float:
        """What attention scores are multiplied by."""
        return float(self.size**-0.5)

    def project(
        self, h: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values [rows, heads, width, size], turned to their positions."""
        rows, width, _ = h.shape
        both = self.heads + self.groups
        parts = self.project_in(h).view(rows, width, both + self.groups, self.size).transpose(1, 2)
        turned, value = parts[:, :both], parts[:, both:]
        if self.query_norm is not None and self.key_norm is not None:
            turned = torch.cat(
                [self.query_norm(turned[:, : self.heads]), self.key_norm(turned[:, self.heads :])],
                dim=1,
            )
        cosine, sine = turn
        if self.rotated == self.size:
            turned = turned * cosine + turned.roll(self.size // 2, -1) * sine
        else:
            first = turned[..., : self.rotated]
            first = first * cosine + first.roll(self.rotated // 2, -1) * sine
            turned = torch.cat([first, turned[..., self.rotated :]], dim=-1)
        return turned[:, : self.heads], turned[:, self.heads :], value

    def feed(self, h: torch.Tensor, stream: torch.Tensor) -> torch.Tensor:
        """``stream`` plus what the feed-forward part makes of ``h``."""
        if self.gate is None:
            return self.down.plus(self.up.activated(h, self.activation), stream)
        if self.gate_and_up is None:
            wide = self.up.times(h, self.gate.activated(h, self.activation))
        else:
            gate, wide = self.gate_and_up(h).chunk(2, dim=-1)
            wide = self.activation.function(gate).mul_(wide)
        return self.down.plus(wide, stream)

    def laid_out(self) -> Layer:
        """The same with its matrices in oneDNN's layout; see :class:`Linear`."""
        up, gate = self.up.laid_out(), self.gate and self.gate.laid_out()
        return replace(
            self,
            project_in=self.project_in.laid_out(),
            output=self.output.laid_out(),
            down=self.down.laid_out(),
            up=up,
            gate=gate,
            gate_and_up=None if up.weight is None else self.gate_and_up,
        )

    @property
    def numbers(self) -> int:
        """How many numbers its matrices have."""
        parts = (self.project_in, self.output, self.up, self.down, self.gate)
        return sum(part.weight.numel() for part in parts if part and part.weight is not None)

    def let_go(self) -> None:
        """Empty the weights of the modules that nobody reads any more."""
        for part in (self.project_in, self.output, self.up, self.down, self.gate):
            if part is not None:
                part.let_go()


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """All parts. ``cosines`` and ``sines`` [positions, rotated] turn queries and keys."""

    embedding: torch.Tensor
    layers: Sequence[Layer]
    final_norm: Norm
    head: Linear
    cosines: torch.Tensor
    sines: torch.Tensor

    @property
    def dtype(self) -> torch.dtype:
        """The number type of the weights."""
        return self.embedding.dtype

    @property
    def vocabulary(self) -> int:
        """How many logits a position has."""
        assert self.head.weight is not None
        return int(self.head.weight.shape[0])

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Hidden states [rows, width, size] that go into the first layer."""
        return functional.embedding(ids, self.embedding)

    @property
    def numbers(self) -> int:
        """How many numbers all matrices of the layers have."""
        return sum(layer.numbers for layer in self.layers)

    def laid_out(self) -> Decoder:
        """The same with the layers' matrices in oneDNN's layout; see :class:`Linear`."""
        return replace(self, layers=[layer.laid_out() for layer in self.layers])

    def let_go(self) -> None:
        """Empty the weights of the modules that nobody reads any more."""
        for layer in self.layers:
            layer.let_go()

    def rotation(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and signed sines [rows or 1, 1, width, rotated] of ``positions``."""
        return self.cosines[positions].unsqueeze(1), self.sines[positions].unsqueeze(1)


def take_apart(model: Any, *, most: int | None) -> Decoder | None:
    """Return the parts of ``model``, or ``None`` for an architecture not known here.

    ``most`` is how many positions will be used; without a bound there is no table to prepare.
    """
    name = type(model).__name__
    config = model.config
    window = getattr(config, "sliding_window", None)
    if most is None or name not in GATED | {"GPTNeoXForCausalLM"}:
        return None
    if window is not None and getattr(config, "use_sliding_window", True) and window < most:
        return None
    if set(getattr(config, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}:
        return None
    return _take_gated(model, most) if name in GATED else _take_neox(model, most)


def _rotations(module: Any, like: torch.Tensor, most: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tables of cosines and sines, made by the model's own module.

    The sine's first half is negated: then turning is ``x * cos + roll(x) * sin``.
    """
    positions = torch.arange(most, device=like.device)[None, :]
    cosine, sine = module(like[:1], positions)
    sine = sine[0].clone()
    sine[:, : sine.shape[1] // 2].neg_()
    return cosine[0].contiguous(), sine


def _rotation_is_fixed(module: Any) -> bool:
    """Whether angles depend on the position alone, not on the length of the text."""
    return getattr(module, "rope_type", "default") in FIXED_ROTATIONS


def _norm(module: Any) -> Norm:
    bias = getattr(module, "bias", None)
    return Norm(
        weight=module.weight.data,
        shift=None if bias is None else bias.data,
        epsilon=module.eps if hasattr(module, "eps") else module.variance_epsilon,
    )


def _take_gated(model: Any, most: int) -> Decoder | None:
    body, config = model.model, model.config
    if not _rotation_is_fixed(body.rotary_emb):
        return None
    layers = []
    for block in body.layers:
        attention, feed = block.self_attn, block.mlp
        norms = [getattr(attention, n, None) for n in ("q_norm", "k_norm")]
        size = attention.head_dim
        layers.append(
            Layer(
                norm1=_norm(block.input_layernorm),
                norm2=_norm(block.post_attention_layernorm),
                project_in=join((attention.q_proj, attention.k_proj, attention.v_proj)),
                output=linear(attention.o_proj),
                gate_and_up=join((feed.gate_proj, feed.up_proj)),  # before the views of it
                gate=linear(feed.gate_proj),
                up=linear(feed.up_proj),
                down=linear(feed.down_proj),
                activation=Activation.of(config.hidden_act, feed.act_fn),
                heads=config.num_attention_heads,
                groups=config.num_key_value_heads,
                size=size,
                rotated=size,
                parallel=False,
                query_norm=_norm(norms[0]) if norms[0] is not None else None,
                key_norm=_norm(norms[1]) if norms[1] is not None else None,
            )
        )
    cosines, sines = _rotations(body.rotary_emb, body.embed_tokens.weight.data, most)
    return Decoder(
        embedding=body.embed_tokens.weight.data,
        layers=layers,
        final_norm=_norm(body.norm),
        head=linear(model.lm_head),
        cosines=cosines,
        sines=sines,
    )


def _take_neox(model: Any, most: int) -> Decoder | None:
    body, config = model.gpt_neox, model.config
    if not _rotation_is_fixed(body.rotary_emb):
        return None
    heads = config.num_attention_heads
    size = config.hidden_size // heads
    cosines, sines = _rotations(body.rotary_emb, body.embed_in.weight.data, most)
    layers = [
        Layer(
            norm1=_norm(block.input_layernorm),
            norm2=_norm(block.post_attention_layernorm),
            project_in=_unweave(block.attention.query_key_value, heads, size),
            output=linear(block.attention.dense),
            up=linear(block.mlp.dense_h_to_4h),
            down=linear(block.mlp.dense_4h_to_h),
            activation=Activation.of(config.hidden_act, block.mlp.act),
            heads=heads,
            groups=heads,
            size=size,
            rotated=cosines.shape[1],
            parallel=bool(config.use_parallel_residual),
        )
        for block in body.layers
    ]
    return Decoder(
        embedding=body.embed_in.weight.data,
        layers=layers,
        final_norm=_norm(body.final_layer_norm),
        head=linear(model.get_output_embeddings()),
        cosines=cosines,
        sines=sines,
    )


def _unweave(module: Any, heads: int, size: int) -> Linear:
    """GPT-NeoX stores queries, keys and values head by head; put them one after the other."""

    def sort(stored: torch.Tensor) -> torch.Tensor:
        shape = stored.shape[1:]
        return stored.view(heads, 3, size, *shape).transpose(0, 1).reshape(-1, *shape).contiguous()

    bias = None if module.bias is None else sort(module.bias.data)
    return Linear(weight=sort(module.weight.data), bias=bias, sources=(module,))
