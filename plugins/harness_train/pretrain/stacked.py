"""A lean Llama for training: all layers' matrices of a kind in one tensor, packed documents."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness_train.pretrain.batches import Batch, document_mask
from harness_train.pretrain.configs import Checkpoint, Losses, llama_config
from harness_train.pretrain.shapes import NORM_EPSILON, Shape


class StackedLlama(nn.Module):
    """The training model; ``named_weights`` gives its weights their Hugging Face names."""

    def __init__(self, shape: Shape, generator: torch.Generator) -> None:
        """Weights drawn from ``generator``; those that write into the stream are zero."""
        super().__init__()
        self.shape = shape
        self.dtype: torch.dtype = getattr(
            torch, shape.dtype
        )  # in which to compute; the weights themselves stay float32
        layers, width, hidden = shape.layers, shape.width, shape.hidden

        def drawn(*size: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*size, generator=generator) * size[-1] ** -0.5)

        # A block that writes nothing at first is the identity, which trains better.
        self.embed = nn.Parameter(torch.randn(shape.vocabulary, width, generator=generator) * 0.1)
        self.qkv = drawn(layers, 3, width, width)
        self.out = nn.Parameter(torch.zeros(layers, width, width))
        self.gate_up = drawn(layers, 2, hidden, width)
        self.down = nn.Parameter(torch.zeros(layers, width, hidden))
        self.norms = nn.Parameter(torch.ones(layers, 2, width))
        self.norm = nn.Parameter(torch.ones(width))

    def matrices(self) -> list[nn.Parameter]:
        """The stacks of matrices that Muon trains."""
        return [self.qkv, self.out, self.gate_up, self.down]

    def others(self) -> list[nn.Parameter]:
        """The embedding and the norms, which AdamW trains."""
        return [self.embed, self.norms, self.norm]

    def hidden_states(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Final normalised states (batch, time, width) of tokens (batch, time).

        ``mask`` is what ``document_mask`` gives.
        """
        batch, time = tokens.shape
        heads, width = self.shape.heads, self.shape.width
        cosine, sine = (
            part.to(self.dtype) for part in _rotary(time, width // heads, self.shape.rope_base)
        )
        qkv, out, gate_up, down, norms = (
            weight.to(self.dtype)
            for weight in (self.qkv, self.out, self.gate_up, self.down, self.norms)
        )
        mask = mask.to(self.dtype)
        state = functional.embedding(tokens, self.embed).to(self.dtype)
        for layer in range(self.shape.layers):
            x = self._normed(state, norms[layer, 0])
            x = functional.linear(x, qkv[layer].reshape(3 * width, width))
            # (batch, time, 3 * width) -> 3 x (batch, heads, time, width / heads)
            x = x.view(batch, time, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
            turned = x[:2] * cosine + _half_turned(x[:2]) * sine
            # Written out: the fused kernel's backward pass is several times slower on a processor.
            scores = (turned[0] * (width // heads) ** -0.5) @ turned[1].transpose(-1, -2) + mask
            x = scores.softmax(dim=-1) @ x[2]
            x = x.transpose(1, 2).reshape(batch, time, width)
            state = state + functional.linear(x, out[layer])
            x = self._normed(state, norms[layer, 1])
            x = functional.linear(x, gate_up[layer].reshape(-1, width))
            gate, up = x.chunk(2, dim=-1)
            state = state + functional.linear(functional.silu(gate) * up, down[layer])
        return self._normed(state, self.norm.to(self.dtype))

    def forward(self, batch: Batch) -> Losses:
        """Cross-entropy in nats of the batch's targets, one for each."""
        if batch.mask is None:
            mask = document_mask(torch.ones_like(batch.tokens))
        else:
            mask = batch.mask
        states = self.hidden_states(batch.tokens, mask).reshape(-1, self.shape.width)
        # Selected by index_select, whose backward pass is much faster than that of indexing.
        chosen = states.index_select(0, batch.where)
        logits = functional.linear(chosen, self.embed.to(self.dtype)).float()
        return Losses(tokens=functional.cross_entropy(logits, batch.targets, reduction="none"))

    def checkpoint(self) -> Checkpoint:
        """The weights under their names in a Llama checkpoint, and its configuration."""
        named: dict[str, Tensor] = {
            "model.embed_tokens.weight": self.embed,
            "model.norm.weight": self.norm,
        }
        for layer in range(self.shape.layers):
            block = f"model.layers.{layer}"
            for index, which in enumerate("qkv"):
                named[f"{block}.self_attn.{which}_proj.weight"] = self.qkv[layer, index]
            named[f"{block}.self_attn.o_proj.weight"] = self.out[layer]
            named[f"{block}.mlp.gate_proj.weight"] = self.gate_up[layer, 0]
            named[f"{block}.mlp.up_proj.weight"] = self.gate_up[layer, 1]
            named[f"{block}.mlp.down_proj.weight"] = self.down[layer]
            named[f"{block}.input_layernorm.weight"] = self.norms[layer, 0]
            named[f"{block}.post_attention_layernorm.weight"] = self.norms[layer, 1]
        return Checkpoint(weights=named, config=llama_config(self.shape))

    def _normed(self, state: Tensor, weight: Tensor) -> Tensor:
        return functional.rms_norm(state, (self.shape.width,), weight, NORM_EPSILON)


def _rotary(time: int, size: int, base: float) -> tuple[Tensor, Tensor]:
    rates = base ** (-torch.arange(0, size, 2).float() / size)
    angles = torch.outer(torch.arange(time).float(), rates)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def _half_turned(x: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)
