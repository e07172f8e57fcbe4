"""Texts that begin alike laid out as rows: a common beginning, the trunk, and its branches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from harness_hf.attention import BLOCK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness_hf.logits import Logits
    from harness_hf.sharing import Bundle
    from harness_hf.tokens import Window


@dataclass
class Targets:
    """Tokens to score: where their logits are, what they are, which text each belongs to."""

    chosen: dict[int, int] = field(default_factory=dict)
    places: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)

    def add(self, at: int, token: int, owner: int) -> None:
        """``token`` of text ``owner`` is predicted at flat position ``at``."""
        self.places.append(self.chosen.setdefault(at, len(self.chosen)))
        self.tokens.append(token)
        self.owners.append(owner)

    def index(self, device: torch.device) -> torch.Tensor:
        """The flat positions whose logits are needed, each once."""
        return torch.tensor(list(self.chosen), dtype=torch.long, device=device)

    def score(self, logits: Logits, sums: torch.Tensor, misses: torch.Tensor) -> None:
        """Add log-probabilities to ``sums`` and tokens that were not the best to ``misses``."""
        device = logits.rows.device
        places = torch.tensor(self.places, device=device)
        scored = logits.score(places, torch.tensor(self.tokens, device=device))
        owners = torch.tensor(self.owners)
        # float64: a document of thousands of tokens must not lose digits to the addition
        sums.index_add_(0, owners, scored.logprobs.cpu().double())  # MPS has no float64
        misses.index_add_(0, owners, (~scored.greedy).long().cpu())


@dataclass(frozen=True, kw_only=True)
class Packed:
    """Tokens [rows, width], the branches of each row one after the other, each seeing its trunk and
    itself: ``seen`` [rows, last, columns] by the last tokens; those before see all up to
    themselves."""

    ids: torch.Tensor
    positions: torch.Tensor
    seen: torch.Tensor
    targets: Targets

    @classmethod
    def of(
        cls,
        part: Sequence[Bundle],
        windows: Sequence[Window],
        *,
        known: int,
        behind: int | None = None,
    ) -> Packed:
        """Whole rows after ``known`` tokens; or their branches alone, ``behind`` trunks that were
        read already, padded to so many columns."""
        cut = behind or 0
        trunks = [bundle.trunk - known for bundle in part]
        starts = trunks if behind is None else [behind] * len(part)
        ends = [
            start + sum(len(windows[m].ids) - 1 - bundle.trunk for m in bundle.members)
            for start, bundle in zip(starts, part, strict=True)
        ]
        long = max(ends) - cut
        plain = min(trunks) // BLOCK * BLOCK if behind is None else behind
        ids = torch.zeros((len(part), long), dtype=torch.long)
        positions = torch.zeros((len(part), long), dtype=torch.long)
        seen = torch.ones((cut + long - plain, cut + long), dtype=torch.bool).tril_(plain)
        seen = seen.repeat(len(part), 1, 1)
        targets = Targets()
        owner = 0
        for row, (bundle, trunk, start) in enumerate(zip(part, trunks, starts, strict=True)):
            text = windows[bundle.members[0]].ids
            if behind is None:
                ids[row, :trunk] = torch.tensor(text[known : bundle.trunk])
                positions[row, :trunk] = torch.arange(known, bundle.trunk)
            seen[row, :, trunk:start] = False  # padding
            at = start
            for member in bundle.members:
                window = windows[member]
                branch = window.ids[bundle.trunk : -1]
                end = at + len(branch)
                ids[row, at - cut : end - cut] = torch.tensor(branch)
                places = torch.arange(bundle.trunk, bundle.trunk + len(branch))
                positions[row, at - cut : end - cut] = places
                seen[row, at - plain : end - plain, start:at] = False
                for place in range(len(window.ids) - window.scored, len(window.ids)):
                    before = place - 1 - bundle.trunk
                    column = at + before if before >= 0 else trunk + before
                    if column >= cut:
                        targets.add(row * long + column - cut, window.ids[place], owner)
                at = end
                owner += 1
        return cls(ids=ids, positions=positions, seen=seen, targets=targets)
