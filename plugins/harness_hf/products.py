"""Products with a layer's matrices, on a CPU with weights laid out anew by oneDNN.

PyTorch multiplies by MKL there, which reads a matrix as it lies; oneDNN reads one that was laid out
for its kernels once, up to three times as fast for the few rows of a generation's step, and applies
what comes next (an activation, a product, a sum) while the result is still at hand. For small
matrices the call itself, and making a kernel for every number of rows, cost more than that saves:
they stay as they are.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LARGE = 1 << 18
"""Numbers of a matrix from which it is laid out anew, and the old layout given up."""
LAID_OUT = (torch.float32, torch.bfloat16)
KERNELS = 16
"""How many kernels oneDNN, and PyTorch's layer above it, keep: each is for one shape, and a step of
a generation takes about five."""

for _cache in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    # The batches of an evaluation have hundreds of shapes that seldom return, and a thousand
    # kernels, which is what both keep otherwise, take half a gigabyte. Read at the first product.
    os.environ.setdefault(_cache, str(KERNELS))


@dataclass(frozen=True, kw_only=True)
class Activation:
    """A function of numbers; ``fused`` and ``algorithm`` are oneDNN's names for it, if it knows
    it."""

    function: Callable[[torch.Tensor], torch.Tensor]
    fused: str = ""
    algorithm: str = ""

    @classmethod
    def of(cls, name: str, function: Callable[[torch.Tensor], torch.Tensor]) -> Activation:
        """The activation that configurations call ``name``."""
        fused, algorithm = {
            "silu": ("swish", ""),
            "swish": ("swish", ""),
            "relu": ("relu", ""),
            "gelu": ("gelu", "none"),
            "gelu_new": ("gelu", "tanh"),
            "gelu_fast": ("gelu", "tanh"),
            "gelu_pytorch_tanh": ("gelu", "tanh"),
        }.get(name, ("", ""))
        return cls(function=function, fused=fused, algorithm=algorithm)


@dataclass(frozen=True, kw_only=True)
class Linear:
    """``x`` times ``weight`` transposed, plus ``bias``.

    ``packed`` is the weight in oneDNN's layout, ``weight`` then ``None``; ``sources`` are the
    modules that the weight was taken from.
    """

    weight: torch.Tensor | None
    bias: torch.Tensor | None
    packed: Any = None
    sources: tuple[Any, ...] = ()

    def laid_out(self) -> Linear:
        """The same with a large weight in oneDNN's layout. Raises RuntimeError where there is
        none."""
        assert self.weight is not None
        if self.weight.numel() < LARGE:
            return self
        packed = torch.ops.mkldnn._reorder_linear_weight(self.weight.contiguous(), None)
        return replace(self, weight=None, packed=packed)

    def in_blocks(self, x: torch.Tensor, width: int) -> Iterator[torch.Tensor]:
        """Apply to the last dimension, for ``width`` of the outputs at a time."""
        assert self.weight is not None
        for at in range(0, len(self.weight), width):
            bias = None if self.bias is None else self.bias[at : at + width]
            yield functional.linear(x, self.weight[at : at + width], bias)

    def halves(self) -> tuple[Linear, Linear]:
        """The upper and the lower half of what :func:`join` or the like put together, as views."""
        assert self.weight is not None
        weights = self.weight.chunk(2)
        biases = (None, None) if self.bias is None else self.bias.chunk(2)
        sources = ((s,) for s in self.sources) if self.sources else ((), ())
        upper, lower = (
            Linear(weight=weight, bias=bias, sources=source)
            for weight, bias, source in zip(weights, biases, sources, strict=True)
        )
        return upper, lower

    def let_go(self) -> None:
        """Empty the modules' weights where the new layout serves alone: nobody reads them."""
        if self.weight is None:
            for module in self.sources:
                module.weight.data = module.weight.data.new_empty(0)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Apply to the last dimension."""
        if self.packed is not None:
            return self._fused(x, "none", "")
        assert self.weight is not None
        return functional.linear(x, self.weight, self.bias)

    def activated(self, x: torch.Tensor, activation: Activation) -> torch.Tensor:
        """``activation`` of the product."""
        if activation.fused and self.packed is not None:
            return self._fused(x, activation.fused, activation.algorithm)
        return activation.function(self(x))

    def times(self, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """The product, times ``other`` number by number."""
        if self.packed is not None:
            return self._with(x, other, "mul")
        return self(x).mul_(other)

    def plus(self, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """The product, plus ``other``."""
        if self.packed is not None:
            return self._with(x, other, "add")
        return self(x).add_(other)

    def _fused(self, x: torch.Tensor, name: str, algorithm: str) -> torch.Tensor:
        found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            x, self.packed, self.bias, name, [], algorithm
        )
        return found

    def _with(self, x: torch.Tensor, other: torch.Tensor, name: str) -> torch.Tensor:
        found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            x, other, self.packed, self.bias, name
        )
        return found


def join(modules: tuple[Any, ...]) -> Linear:
    """One matrix for several that multiply the same input; the modules keep views of it."""
    weight = torch.cat([m.weight.data for m in modules])
    biases = [m.bias for m in modules]
    bias = None if biases[0] is None else torch.cat([b.data for b in biases])
    at = 0
    for module in modules:
        count = module.weight.shape[0]
        module.weight.data = weight[at : at + count]
        at += count
    return Linear(weight=weight, bias=bias, sources=modules)


def linear(module: Any) -> Linear:
    """The matrix of one module; transformers' ``Conv1D`` keeps it the other way around."""
    bias = None if module.bias is None else module.bias.data
    weight = module.weight.data.t() if type(module).__name__ == "Conv1D" else module.weight.data
    return Linear(weight=weight, bias=bias, sources=(module,))
