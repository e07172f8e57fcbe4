"""What a configuration says, value by value, and the plan of a decoder that follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from harness_hf.products import Activation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from harness_hf.building import Architecture, Shape

    Sizes = dict[str, tuple[int, ...]]
    Function = Callable[[torch.Tensor], torch.Tensor]

SAYS_NOTHING = {"_name_or_path", "architectures", "model_type", "transformers_version", "use_cache"}
ELSEWHERE = {"bos_token_id", "dtype", "eos_token_id", "pad_token_id", "torch_dtype"}
"""What other modules read."""


def _gelu_by_tanh(x: torch.Tensor) -> torch.Tensor:
    return functional.gelu(x, approximate="tanh")


FUNCTIONS: Mapping[str, Function] = {
    "silu": functional.silu,
    "relu": functional.relu,
    "gelu": functional.gelu,
    "gelu_new": _gelu_by_tanh,
    "gelu_pytorch_tanh": _gelu_by_tanh,
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a decoder is put together; ``tensors`` are what its files must hold, name to shape.

    ``frequencies`` [rotated / 2] are radians per position; ``None`` where positions are learnt, of
    which there are ``places`` then. ``window``: how many tokens a token sees, ``None`` for all.
    """

    architecture: Architecture
    shape: Shape
    tensors: Sizes
    frequencies: torch.Tensor | None = None
    places: int | None = None
    window: int | None = None

    def rotations(
        self, most: int, device: torch.device, dtype: torch.dtype
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Tables [``most``, rotated] for :func:`harness_hf.building.put_together`, if it turns."""
        if self.frequencies is None:
            return None
        positions = torch.arange(most, device=device)[:, None].float()
        angles = positions * self.frequencies.to(device)
        cosine, sine = angles.cos(), angles.sin()
        return torch.cat([cosine, cosine], 1).to(dtype), torch.cat([-sine, sine], 1).to(dtype)


class UnknownError(Exception):
    """The configuration says something that is not known here."""


def require(holds: bool) -> None:
    """Raise :class:`UnknownError` unless it ``holds``."""
    if not holds:
        raise UnknownError


class Said:
    """A configuration whose values are of the kind that is asked for, or unknown."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        """Ask ``values``."""
        self.values = values

    def count(self, key: str, default: int | None = None) -> int:
        """A whole number above zero; ``null`` is the default."""
        value = self.values.get(key)
        value = default if value is None else value
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UnknownError
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A number above zero."""
        value = self.values.get(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
            raise UnknownError
        return float(value)

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Yes or no."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise UnknownError
        return value

    def activation(self, key: str = "hidden_act") -> Activation:
        """A function of numbers, by its name."""
        name = str(self.values.get(key))
        require(name in FUNCTIONS)
        return Activation.of(name, FUNCTIONS[name])

    def rope(self) -> Said:
        """The turning of positions, from whichever of its two names is there."""
        names = ("rope_parameters", "rope_scaling")
        found = [self.values[name] for name in names if self.values.get(name)]
        require(len(found) < 2 and all(isinstance(one, dict) for one in found))
        return Said(found[0] if found else {})


def linear(name: str, rows: int, columns: int, *, biased: bool) -> Sizes:
    """The tensors of a matrix."""
    matrix: Sizes = {f"{name}.weight": (rows, columns)}
    return {**matrix, f"{name}.bias": (rows,)} if biased else matrix


def layer_norm(name: str, hidden: int) -> Sizes:
    """The tensors of a layer norm."""
    return {f"{name}.weight": (hidden,), f"{name}.bias": (hidden,)}
