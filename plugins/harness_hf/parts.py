"""The usual parts of a decoder, and what each computes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from harness_hf.products import Activation, Linear

if TYPE_CHECKING:
    Turn = torch.Tensor | tuple[torch.Tensor, torch.Tensor]


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
        self, h: torch.Tensor, turn: Turn | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values [rows, heads, width, size], turned to their positions unless
        ``turn`` is ``None``."""
        rows, width, _ = h.shape
        both = self.heads + self.groups
        parts = self.project_in(h).view(rows, width, both + self.groups, self.size)
        turned, value = parts[:, :, :both], parts[:, :, both:].transpose(1, 2)
        if self.query_norm is not None and self.key_norm is not None:
            own = (turned[:, :, : self.heads], turned[:, :, self.heads :])
            turned = torch.cat([self.query_norm(own[0]), self.key_norm(own[1])], dim=2)
        if isinstance(turn, torch.Tensor):
            pairs = turned[..., : 2 * turn.shape[-1]]
            torch.view_as_complex(pairs.view(*pairs.shape[:-1], -1, 2)).mul_(turn)
        turned = turned.transpose(1, 2)
        if isinstance(turn, tuple):
            cosine, sine = turn
            rotated = cosine.shape[-1]
            first = turned[..., :rotated]
            first = first * cosine + first.roll(rotated // 2, -1) * sine
            whole = rotated == self.size
            turned = first if whole else torch.cat([first, turned[..., rotated:]], dim=-1)
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
    """All parts. Queries and keys are turned by ``cosines`` and ``sines`` [positions, rotated], or,
    where numbers that turn together stand side by side, by complex ``turns`` [positions, rotated /
    2]; or learnt ``places`` [positions, size] are added to the embeddings."""

    embedding: torch.Tensor
    layers: list[Layer]
    final_norm: Norm
    head: Linear
    cosines: torch.Tensor | None = None
    sines: torch.Tensor | None = None
    turns: torch.Tensor | None = None
    places: torch.Tensor | None = None

    @property
    def dtype(self) -> torch.dtype:
        """The number type of the weights."""
        return self.embedding.dtype

    @property
    def vocabulary(self) -> int:
        """How many logits a position has."""
        assert self.head.weight is not None
        return int(self.head.weight.shape[0])

    def embed(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Hidden states [rows, width, size] that go into the first layer; ``positions`` [rows or 1,
        width]."""
        found = functional.embedding(ids, self.embedding)
        return found if self.places is None else found.add_(self.places[positions])

    @property
    def numbers(self) -> int:
        """How many numbers all matrices of the layers have."""
        return sum(layer.numbers for layer in self.layers)

    def laid_out(self) -> Decoder:
        """The same with the layers' matrices in oneDNN's layout; see :class:`Linear`."""
        return replace(self, layers=[layer.laid_out() for layer in self.layers])

    def lay_out(self) -> Decoder:
        """The same in place, so that no more than one layer is there in both layouts."""
        for number, layer in enumerate(self.layers):
            self.layers[number] = layer.laid_out()
        return self

    def let_go(self) -> None:
        """Empty the weights of the modules that nobody reads any more."""
        for layer in self.layers:
            layer.let_go()

    def rotation(self, positions: torch.Tensor) -> Turn | None:
        """What turns tokens at ``positions`` [rows or 1, width], for :meth:`Layer.project`, if
        something does."""
        if self.turns is not None:
            return self.turns[positions].unsqueeze(2)
        if self.cosines is None or self.sines is None:
            return None
        return self.cosines[positions].unsqueeze(1), self.sines[positions].unsqueeze(1)
