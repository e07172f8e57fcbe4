"""Muon for matrices; the schedule of the learning rate.

Muon: K. Jordan et al., 2024, momentum whose update is made nearly orthogonal by a Newton-Schulz
iteration with the coefficients published there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

BFLOAT16_WIDTH = 64  # from here on products in bfloat16 are faster
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalised(matrices: Tensor, steps: int = 5) -> Tensor:
    """The matrices (..., rows, columns) with singular values driven near to 1."""
    a, b, c = _COEFFICIENTS
    upright = matrices.shape[-2] > matrices.shape[-1]
    x: Tensor = matrices.transpose(-1, -2) if upright else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    if x.shape[-2] >= BFLOAT16_WIDTH:
        x = x.bfloat16()  # as in the original; for smaller matrices it saves no time
    for _ in range(steps):
        gram = x @ x.transpose(-1, -2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    x = x.to(matrices.dtype)
    return x.transpose(-1, -2) if upright else x


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum over stacks of matrices (..., rows, columns)."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        """Train ``params`` at rate ``lr``."""
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every stack; ``closure`` is not called."""
        for group in self.param_groups:
            for param in group["params"]:
                state = self.state[param]
                if not state:
                    state["momentum"] = torch.zeros_like(param)
                momentum = state["momentum"].lerp_(param.grad, 1 - group["momentum"])
                update = orthogonalised(param.grad.lerp(momentum, group["momentum"]))
                rows, columns = param.shape[-2:]
                scale = max(1.0, rows / columns) ** 0.5
                param.add_(update, alpha=-group["lr"] * scale)


def rate(step: int, steps: int) -> float:
    """Share of the peak rate: warm-up over 3 %, constant to half, then linear down to zero."""
    done = step / steps
    if done < 0.03:
        return (done + 1 / steps) / 0.03
    return 1.0 if done < 0.5 else (1 - done) / 0.5
