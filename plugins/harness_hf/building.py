"""How decoders of well-known architectures are put together from weights by name.

Known are Llama, Mistral, Qwen2 and Qwen3 (RMS norm, rotary positions, gated feed-forward),
GPT-NeoX, of which Pythia is built (layer norm, partly rotary, attention and feed-forward side by
side), and GPT-2, as Cerebras-GPT is, and OPT (layer norm, learnt positions). The weights come out
of transformers' modules (:mod:`harness_hf.taken`) or from the files of a checkpoint
(:mod:`harness_hf.straight`); they have the same names in both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import torch

from harness_hf.parts import Decoder, Layer, Norm
from harness_hf.products import Linear

if TYPE_CHECKING:
    from harness_hf.products import Activation


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What else a configuration says: how many ``layers``, query ``heads`` and key ``groups`` of
    ``size`` numbers there are; ``normed``: queries and keys have norms of their own."""

    layers: int
    heads: int
    groups: int
    size: int
    epsilon: float
    activation: Activation
    parallel: bool = False
    normed: bool = False


class Weights(Protocol):
    """Where weights come from, by the names that checkpoints give them."""

    def tensor(self, name: str) -> torch.Tensor | None:
        """One tensor, ``None`` where there is none of this name."""
        ...

    def linear(self, *names: str) -> Linear:
        """The matrix, with its bias, of the module ``names``; of several one below the other."""
        ...

    def head(self) -> Linear | None:
        """The matrix that makes logits, ``None`` where that is the embeddings'."""
        ...


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What the modules of an architecture are called, those of a layer from the layer on.

    ``project`` are queries, keys and values, or all in one; ``woven``: head by head. Learnt
    positions, if any, begin at row ``first`` of ``places``. ``sideways``: files hold a layer's
    matrices the other way around.
    """

    embedding: str
    layers: str
    final_norm: str
    norm1: str
    norm2: str
    project: tuple[str, ...]
    output: str
    up: str
    down: str
    gate: str | None = None
    woven: bool = False
    places: str | None = None
    first: int = 0
    sideways: bool = False


GATED = Architecture(
    embedding="model.embed_tokens",
    layers="model.layers",
    final_norm="model.norm",
    norm1="input_layernorm",
    norm2="post_attention_layernorm",
    project=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    output="self_attn.o_proj",
    gate="mlp.gate_proj",
    up="mlp.up_proj",
    down="mlp.down_proj",
)
NEOX = Architecture(
    embedding="gpt_neox.embed_in",
    layers="gpt_neox.layers",
    final_norm="gpt_neox.final_layer_norm",
    norm1="input_layernorm",
    norm2="post_attention_layernorm",
    project=("attention.query_key_value",),
    woven=True,
    output="attention.dense",
    up="mlp.dense_h_to_4h",
    down="mlp.dense_4h_to_h",
)
GPT2 = Architecture(
    embedding="transformer.wte",
    places="transformer.wpe",
    layers="transformer.h",
    final_norm="transformer.ln_f",
    norm1="ln_1",
    norm2="ln_2",
    project=("attn.c_attn",),
    output="attn.c_proj",
    up="mlp.c_fc",
    down="mlp.c_proj",
    sideways=True,
)
OPT = Architecture(
    embedding="model.decoder.embed_tokens",
    places="model.decoder.embed_positions",
    first=2,
    layers="model.decoder.layers",
    final_norm="model.decoder.final_layer_norm",
    norm1="self_attn_layer_norm",
    norm2="final_layer_norm",
    project=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    output="self_attn.out_proj",
    up="fc1",
    down="fc2",
)


def put_together(
    weights: Weights,
    architecture: Architecture,
    shape: Shape,
    turn: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> Decoder:
    """A decoder of ``architecture`` and ``shape``.

    ``turn`` are tables of cosines and sines [positions, rotated], the first half of the sines
    negated (turning is then ``x * cos + roll(x) * sin``), ``None`` for learnt positions.

    A CPU turns in a third of the time by products of complex numbers, in place. So there the rows
    of the matrices are sorted that numbers which turn together, of the first half of a head and of
    the second, stand side by side: products of queries and keys stay what they are.
    """
    cosines, sines = turn or (None, None)
    turns, order = None, None
    if cosines is not None and sines is not None and _pairs(cosines, shape):
        half = cosines.shape[1] // 2
        turns, cosines, sines = torch.complex(cosines[:, :half], sines[:, half:]), None, None
        order = torch.arange(shape.size)
        order[: 2 * half] = order[: 2 * half].view(2, half).t().flatten()
    embedding = _there(weights, f"{architecture.embedding}.weight")
    places = None
    if architecture.places:
        places = _there(weights, f"{architecture.places}.weight")[architecture.first :]
    return Decoder(
        embedding=embedding,
        layers=[
            _layer(weights, architecture, shape, f"{architecture.layers}.{number}", order)
            for number in range(shape.layers)
        ],
        final_norm=_norm(weights, architecture.final_norm, shape),
        head=weights.head() or Linear(weight=embedding, bias=None),
        cosines=cosines,
        sines=sines,
        turns=turns,
        places=places,
    )


def _pairs(cosines: torch.Tensor, shape: Shape) -> bool:
    """Whether queries and keys can be turned as complex numbers, and are the faster for it."""
    here = cosines.device.type == "cpu" and cosines.dtype == torch.float32
    return here and shape.size % 2 == 0 and cosines.shape[1] % 2 == 0


def _layer(
    weights: Weights, names: Architecture, shape: Shape, at: str, order: torch.Tensor | None
) -> Layer:
    both = gate = None
    if names.gate is None:
        up = weights.linear(f"{at}.{names.up}")
    else:
        both = weights.linear(f"{at}.{names.gate}", f"{at}.{names.up}")
        gate, up = both.halves()
    project = weights.linear(*(f"{at}.{name}" for name in names.project))
    project = _unwoven(project, shape) if names.woven else project
    own = {"query_norm": "q_norm", "key_norm": "k_norm"} if shape.normed else {}
    return Layer(
        norm1=_norm(weights, f"{at}.{names.norm1}", shape),
        norm2=_norm(weights, f"{at}.{names.norm2}", shape),
        project_in=project if order is None else _sorted(project, shape, order),
        output=weights.linear(f"{at}.{names.output}"),
        up=up,
        gate=gate,
        gate_and_up=both,
        down=weights.linear(f"{at}.{names.down}"),
        activation=shape.activation,
        heads=shape.heads,
        groups=shape.groups,
        size=shape.size,
        parallel=shape.parallel,
        **{
            key: _norm(weights, f"{at}.self_attn.{name}", shape, order) for key, name in own.items()
        },
    )


def _there(weights: Weights, name: str) -> torch.Tensor:
    found = weights.tensor(name)
    assert found is not None, name
    return found


def _norm(weights: Weights, name: str, shape: Shape, order: torch.Tensor | None = None) -> Norm:
    shift = weights.tensor(f"{name}.bias")
    weight = _there(weights, f"{name}.weight")
    if order is not None:
        weight = weight[order]
    return Norm(weight=weight, shift=shift, epsilon=shape.epsilon)


def _sorted(project: Linear, shape: Shape, order: torch.Tensor) -> Linear:
    """The numbers of each query and key, not those of values, in this ``order``."""
    heads = torch.arange(shape.heads + 2 * shape.groups)[:, None] * shape.size
    index = heads + order
    index[-shape.groups :] = heads[-shape.groups :] + torch.arange(shape.size)
    assert project.weight is not None
    bias = None if project.bias is None else project.bias[index.flatten()]
    return replace(project, weight=project.weight[index.flatten()], bias=bias)


def _unwoven(woven: Linear, shape: Shape) -> Linear:
    """GPT-NeoX stores queries, keys and values head by head; put them one after the other."""

    def sort(stored: torch.Tensor) -> torch.Tensor:
        by_head = stored.view(shape.heads, 3, shape.size, *stored.shape[1:])
        return by_head.transpose(0, 1).reshape(stored.shape).contiguous()

    assert woven.weight is not None
    bias = None if woven.bias is None else sort(woven.bias)
    return replace(woven, weight=sort(woven.weight), bias=bias)
