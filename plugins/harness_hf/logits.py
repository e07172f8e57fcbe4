"""Logits of chosen positions, and what is read off them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

LOGIT_BYTES = 32 << 20


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Of each token: its natural log-probability, and whether no other was more probable."""

    logprobs: torch.Tensor
    greedy: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class Logits:
    """Logits of ``n`` chosen positions, as they are or still to be computed from ``rows``.

    ``head`` turns hidden states into logits; ``None``: ``rows`` [n, vocabulary] are logits.
    """

    rows: torch.Tensor
    head: Callable[[torch.Tensor], torch.Tensor] | None = None
    vocabulary: int = 0

    def table(self) -> torch.Tensor:
        """All of them [n, vocabulary], in float32."""
        return (self.head(self.rows) if self.head else self.rows).float()

    def greedy(self) -> torch.Tensor:
        """The most probable token at each position [n], where it was computed."""
        return self.table().argmax(dim=1)

    def best(self) -> list[int]:
        """The same as a list, for which the host waits."""
        found: list[int] = self.greedy().tolist()
        return found

    def score(self, places: torch.Tensor, targets: torch.Tensor) -> Scored:
        """Score ``targets`` [m] at the chosen positions number ``places`` [m].

        In chunks, so that a large vocabulary never makes a table of all positions.
        """
        if self.head is None:
            return pick_targets(self.rows.index_select(0, places).float(), targets)
        step = max(1, LOGIT_BYTES // (4 * self.vocabulary))
        parts = [
            pick_targets(
                self.head(self.rows.index_select(0, places[at : at + step])).float(),
                targets[at : at + step],
            )
            for at in range(0, len(targets), step)
        ]
        return Scored(
            logprobs=torch.cat([p.logprobs for p in parts]),
            greedy=torch.cat([p.greedy for p in parts]),
        )


def pick_targets(logits: torch.Tensor, targets: torch.Tensor) -> Scored:
    """Log-probabilities of ``targets`` [n] under ``logits`` [n, vocabulary]."""
    chosen = logits.gather(1, targets[:, None]).squeeze(1)
    return Scored(
        logprobs=chosen - torch.logsumexp(logits, dim=1),
        greedy=chosen >= logits.amax(dim=1),
    )
