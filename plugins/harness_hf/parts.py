"""The usual parts of a decoder, and how they are put together from weights by name.

Known are Llama, Mistral, Qwen2 and Qwen3 (RMS norm, rotary positions, gated feed-forward) and
GPT-NeoX, of which Pythia is built (layer norm, partly rotary, attention and feed-forward side by
side). The weights come out of transformers' modules (:mod:`harness_hf.taken`) or from the files of
a checkpoint (:mod:`harness_hf.straight`); they have the same names in both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import torch
from torch.nn import functional

from harness_hf.products import Activation, Linear

if TYPE_CHECKING:
    from collections.abc import Sequence


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


def put_together(
    weights: Weights, shape: Shape, turn: tuple[torch.Tensor, torch.Tensor], *, gated: bool
) -> Decoder:
    """A decoder of ``shape``, a Llama or one like it if ``gated``, else a GPT-NeoX.

    ``turn`` are tables of cosines and sines [positions, rotated], the first half of the sines
    negated: then turning is ``x * cos + roll(x) * sin``.
    """
    names = _GATED if gated else _NEOX
    make = _gated_layer if gated else _neox_layer
    embedding = weights.tensor(f"{names.embedding}.weight")
    assert embedding is not None
    return Decoder(
        embedding=embedding,
        layers=[
            make(weights, f"{names.layers}.{n}", shape, turn[0].shape[1])
            for n in range(shape.layers)
        ],
        final_norm=_norm(weights, names.norm, shape),
        head=weights.head() or Linear(weight=embedding, bias=None),
        cosines=turn[0],
        sines=turn[1],
    )


@dataclass(frozen=True, kw_only=True)
class _Names:
    embedding: str
    layers: str
    norm: str


_GATED = _Names(embedding="model.embed_tokens", layers="model.layers", norm="model.norm")
_NEOX = _Names(
    embedding="gpt_neox.embed_in", layers="gpt_neox.layers", norm="gpt_neox.final_layer_norm"
)


def _norm(weights: Weights, name: str, shape: Shape) -> Norm:
    weight = weights.tensor(f"{name}.weight")
    assert weight is not None
    return Norm(weight=weight, shift=weights.tensor(f"{name}.bias"), epsilon=shape.epsilon)


def _gated_layer(weights: Weights, name: str, shape: Shape, rotated: int) -> Layer:
    attention, feed = f"{name}.self_attn", f"{name}.mlp"
    gate_and_up = weights.linear(f"{feed}.gate_proj", f"{feed}.up_proj")
    gate, up = gate_and_up.halves()
    return Layer(
        norm1=_norm(weights, f"{name}.input_layernorm", shape),
        norm2=_norm(weights, f"{name}.post_attention_layernorm", shape),
        project_in=weights.linear(*(f"{attention}.{part}_proj" for part in "qkv")),
        output=weights.linear(f"{attention}.o_proj"),
        gate_and_up=gate_and_up,
        gate=gate,
        up=up,
        down=weights.linear(f"{feed}.down_proj"),
        activation=shape.activation,
        heads=shape.heads,
        groups=shape.groups,
        size=shape.size,
        rotated=rotated,
        parallel=False,
        query_norm=_norm(weights, f"{attention}.q_norm", shape) if shape.normed else None,
        key_norm=_norm(weights, f"{attention}.k_norm", shape) if shape.normed else None,
    )


def _neox_layer(weights: Weights, name: str, shape: Shape, rotated: int) -> Layer:
    return Layer(
        norm1=_norm(weights, f"{name}.input_layernorm", shape),
        norm2=_norm(weights, f"{name}.post_attention_layernorm", shape),
        project_in=_unweave(weights.linear(f"{name}.attention.query_key_value"), shape),
        output=weights.linear(f"{name}.attention.dense"),
        up=weights.linear(f"{name}.mlp.dense_h_to_4h"),
        down=weights.linear(f"{name}.mlp.dense_4h_to_h"),
        activation=shape.activation,
        heads=shape.heads,
        groups=shape.groups,
        size=shape.size,
        rotated=rotated,
        parallel=shape.parallel,
    )


def _unweave(woven: Linear, shape: Shape) -> Linear:
    """GPT-NeoX stores queries, keys and values head by head; put them one after the other."""

    def sort(stored: torch.Tensor) -> torch.Tensor:
        by_head = stored.view(shape.heads, 3, shape.size, *stored.shape[1:])
        return by_head.transpose(0, 1).reshape(stored.shape).contiguous()

    assert woven.weight is not None
    bias = None if woven.bias is None else sort(woven.bias)
    return replace(woven, weight=sort(woven.weight), bias=bias)
