"""Log-likelihoods of continuations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from harness_hf.batching import batches, split_on_out_of_memory
from harness_hf.network import inference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness_hf.network import Network
    from harness_hf.tokens import Window

LOGIT_BYTES = 256 << 20


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """Summed natural log-probability of the scored tokens; whether each was the most probable."""

    logprob: float
    greedy: bool


@dataclass(frozen=True, kw_only=True)
class _Piece:
    owner: int
    window: Window


def score_all(
    network: Network, windows: Sequence[Sequence[Window]], *, rows: int | None, tokens: int
) -> Iterator[tuple[int, Likelihood | None]]:
    """Score each item's windows; yields ``(item, likelihood)`` as soon as all its windows are done.

    ``rows`` fixes the batch size, else ``tokens`` bounds rows times width of a batch. ``None``
    instead of a likelihood: the item does not fit into memory even alone.
    """
    pieces = [_Piece(owner=i, window=w) for i, ws in enumerate(windows) for w in ws if w.scored]
    pieces.sort(key=lambda p: -len(p.window.ids))
    left = [sum(1 for w in ws if w.scored) for ws in windows]
    sums = [0.0] * len(windows)
    greedy = [True] * len(windows)
    failed = [False] * len(windows)
    for item, count in enumerate(left):
        if count == 0:
            yield item, Likelihood(logprob=0.0, greedy=True)
    for batch in batches(pieces, width=lambda p: len(p.window.ids), rows=rows, tokens=tokens):
        for part, scored in split_on_out_of_memory(batch, lambda b: _score(network, b)):
            for place, piece in enumerate(part):
                item = piece.owner
                left[item] -= 1
                if scored is None:
                    failed[item] = True
                else:
                    sums[item] += scored[place].logprob
                    greedy[item] &= scored[place].greedy
                if left[item] == 0:
                    done = Likelihood(logprob=sums[item], greedy=greedy[item])
                    yield item, None if failed[item] else done


def _score(network: Network, batch: list[_Piece]) -> list[Likelihood]:
    rows = [p.window for p in batch]
    width = max(len(w.ids) for w in rows) - 1
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    index: list[int] = []
    targets: list[int] = []
    for row, window in enumerate(rows):
        length = len(window.ids) - 1
        ids[row, :length] = torch.tensor(window.ids[:-1])
        index.extend(range(row * width + length - window.scored, row * width + length))
        targets.extend(window.ids[-window.scored :])
    ids = ids.to(network.device)
    with inference():
        scored = network.score(
            ids,
            torch.tensor(index, device=network.device),
            torch.tensor(targets, device=network.device),
        )
    counts = [w.scored for w in rows]
    # summed in float64: a document of thousands of tokens must not lose digits to the addition
    logprobs = torch.split(scored.logprobs.double().cpu(), counts)
    greedy = torch.split(scored.greedy.cpu(), counts)
    return [
        Likelihood(logprob=float(lp.sum()), greedy=bool(g.all()))
        for lp, g in zip(logprobs, greedy, strict=True)
    ]
