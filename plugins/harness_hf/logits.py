"""Logits of chosen positions, and what is read off them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from harness_hf.products import Linear

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LOGIT_BYTES = 32 << 20
CACHED_BYTES = 1 << 19
"""Of a part of the vocabulary's logits: half of what a core's own cache holds."""
LEAST_WIDTH = 512
NO_TOKEN = -1
"""Stands for the next token where logits are no numbers."""


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
        """The most probable token at each position [n], where it was computed; see
        :func:`most_probable`."""
        return most_probable(self.table())

    def best(self) -> list[int]:
        """The same as a list, for which the host waits."""
        found: list[int] = self.greedy().tolist()
        return found

    def score(self, places: torch.Tensor, targets: torch.Tensor) -> Scored:
        """Score ``targets`` [m] at the chosen positions number ``places`` [m].

        In chunks, so that a large vocabulary never makes a table of all positions; on a CPU of the
        vocabulary, so that what was just computed is still in its caches.
        """
        if self.head is None:
            return pick_targets(self.rows.index_select(0, places).float(), targets)
        if isinstance(self.head, Linear) and self.rows.device.type == "cpu":
            width = max(LEAST_WIDTH, CACHED_BYTES // (4 * max(1, len(self.rows))))
            blocks = self.head.in_blocks(self.rows, width)
            return pick_from_parts((block.float() for block in blocks), places, targets)
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


def most_probable(table: torch.Tensor) -> torch.Tensor:
    """The token of the largest logit in each row of ``table`` [n, vocabulary], :data:`NO_TOKEN`
    where that is no finite number: where one is NaN, or all are infinite, nothing is probable."""
    best = table.argmax(dim=1, keepdim=True)  # NaN counts as the largest
    finite = table.gather(1, best).isfinite()
    return torch.where(finite, best, NO_TOKEN).squeeze(1)


def pick_targets(logits: torch.Tensor, targets: torch.Tensor) -> Scored:
    """Log-probabilities of ``targets`` [n] under ``logits`` [n, vocabulary]."""
    chosen = logits.gather(1, targets[:, None]).squeeze(1)
    return Scored(
        logprobs=chosen - torch.logsumexp(logits, dim=1),
        greedy=chosen >= logits.amax(dim=1),
    )


def pick_from_parts(
    parts: Iterable[torch.Tensor], places: torch.Tensor, targets: torch.Tensor
) -> Scored:
    """The same of ``targets`` [m] in rows ``places`` [m] of what comes in ``parts`` [n, some of the
    vocabulary], which are overwritten.

    The sum of exponentials is kept relative to the largest logit so far (Milakov and Gimelshein
    2018, arXiv:1805.02867).
    """
    at = 0
    chosen = torch.full(targets.shape, -torch.inf)
    top, total = torch.full((1,), -torch.inf), torch.zeros(1)
    for logits in parts:
        width = logits.shape[1]
        place = targets - at
        own = logits[places, place.clamp(0, width - 1)]
        chosen = torch.where(place >= 0, own, chosen)  # the last part that it lies in decides
        best = torch.maximum(top, logits.amax(dim=1))
        total = total * (top - best).exp() + logits.sub_(best[:, None]).exp_().sum(dim=1)
        top, at = best, at + width
    summed = top + total.log()
    return Scored(logprobs=chosen - summed[places], greedy=chosen >= top[places])
