"""Tokens drawn from the model's probabilities: the same ones in any batch and at each asking.

Each row has random numbers of its own, made from its request alone and from how many tokens it
has. A row therefore draws the same whatever it is computed beside, and after it was put back for
lack of memory.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from harness.codec import to_json
from harness_hf.logits import NO_TOKEN, most_probable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.types import Generate
    from harness_hf.logits import Logits

GOLDEN, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""The constants of SplitMix64 (Steele, Lea and Flood 2014)."""


@dataclass(frozen=True, kw_only=True)
class Draw:
    """How the tokens of one answer are drawn; ``key`` is what its random numbers are made from."""

    temperature: float
    top_p: float
    key: bytes

    @classmethod
    def of(cls, request: Generate) -> Draw | None:
        """As ``request`` asks; ``None`` where it wants the most probable tokens."""
        if request.temperature <= 0:
            return None
        said = json.dumps(to_json(request), sort_keys=True, ensure_ascii=False)
        key = hashlib.sha256(said.encode("utf-8", "surrogatepass")).digest()
        return cls(temperature=request.temperature, top_p=request.top_p, key=key)

    def start(self, count: int) -> int:
        """Where the random numbers for the token after ``count`` others begin: 64 bits, signed."""
        digest = hashlib.sha256(self.key + count.to_bytes(8, "big")).digest()
        return int.from_bytes(digest[:8], "big", signed=True)


def next_tokens(logits: Logits, rows: Sequence[tuple[Draw | None, int]]) -> list[int]:
    """The token that follows each row, from how it is drawn and how many were drawn before;
    :data:`harness_hf.logits.NO_TOKEN` where its logits are no numbers."""
    drawn = [place for place, (draw, _) in enumerate(rows) if draw is not None]
    if not drawn:
        return logits.best()
    table = logits.table()
    tokens: list[int] = most_probable(table).tolist()
    wanted = [(draw, count) for draw, count in rows if draw is not None]
    chosen = draw_tokens(table[torch.tensor(drawn, device=table.device)], wanted)
    for place, token in zip(drawn, chosen, strict=True):
        tokens[place] = token if tokens[place] != NO_TOKEN else NO_TOKEN
    return tokens


def draw_tokens(logits: torch.Tensor, rows: Sequence[tuple[Draw, int]]) -> list[int]:
    """Draw a token from each row of ``logits`` [n, vocabulary]; ``rows`` say how.

    The most probable token after Gumbel noise (Gumbel 1954; Maddison et al. 2014) has just the
    probabilities wanted, and rounding in another batch moves it no more easily than it moves the
    most probable token itself; a running sum over a vocabulary is moved a hundred times as often.
    """
    if logits.device.type == "mps":  # which has no float64
        logits = logits.cpu()
    heat = _column([draw.temperature for draw, _ in rows], logits)
    scaled = logits.double() / heat
    if any(draw.top_p < 1 for draw, _ in rows):
        scaled = _nucleus(scaled, _column([draw.top_p for draw, _ in rows], logits))
    starts = torch.tensor([draw.start(count) for draw, count in rows], device=logits.device)
    tokens: list[int] = (scaled + _gumbel(starts, logits.shape[1])).argmax(dim=1).tolist()
    return tokens


def _column(values: list[float], like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64, device=like.device)[:, None]


def _nucleus(scaled: torch.Tensor, most: torch.Tensor) -> torch.Tensor:
    """``scaled`` logits, with none for tokens beyond the fewest whose probabilities sum to
    ``most`` [n, 1]."""
    shares, order = scaled.softmax(dim=1).sort(dim=1, descending=True, stable=True)
    beyond = shares.cumsum(dim=1) - shares >= most
    beyond[:, 0] = False
    outside = torch.empty_like(beyond).scatter_(1, order, beyond)
    return scaled.masked_fill(outside & (most < 1), -torch.inf)


def _gumbel(starts: torch.Tensor, size: int) -> torch.Tensor:
    """Gumbel noise [n, size] from the first ``size`` numbers of SplitMix64 begun at ``starts``."""
    steps = torch.arange(1, size + 1, device=starts.device)
    bits = starts[:, None] + steps * _signed(GOLDEN)  # int64 wraps round, as it has to
    bits = (bits ^ _shifted(bits, 30)) * _signed(FIRST)
    bits = (bits ^ _shifted(bits, 27)) * _signed(SECOND)
    bits = bits ^ _shifted(bits, 31)
    uniform = (_shifted(bits, 11).double() + 0.5) / (1 << 53)
    return -torch.log(-torch.log(uniform))


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def _shifted(bits: torch.Tensor, by: int) -> torch.Tensor:
    """``bits`` moved right, filled with zeros: the shift of signed numbers fills with the sign."""
    return (bits >> by) & ((1 << (64 - by)) - 1)
