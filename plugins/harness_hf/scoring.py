"""Log-likelihoods of continuations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from harness_hf.batching import (
    CPU_PADDING,
    LOG,
    batches,
    free_memory,
    is_out_of_memory,
    reason_of,
    split_on_out_of_memory,
)
from harness_hf.network import inference, read_header
from harness_hf.sharing import Bundle, Cluster, bundles, clusters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from harness_hf.logits import Logits
    from harness_hf.network import Network
    from harness_hf.slots import Header
    from harness_hf.tokens import Window


LEAST_SAVED = 256
"""Tokens that a header must save to be worth batches of its own."""


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """Summed natural log-probability of the scored tokens; whether each was the most probable."""

    logprob: float
    greedy: bool

    def plus(self, other: Likelihood) -> Likelihood:
        """That of both together."""
        return Likelihood(logprob=self.logprob + other.logprob, greedy=self.greedy and other.greedy)


NOTHING = Likelihood(logprob=0.0, greedy=True)
"""That of no tokens."""


@dataclass(frozen=True, kw_only=True)
class _Piece:
    owner: int
    window: Window


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


class Totals:
    """Likelihoods of items that are scored in ``pieces``, so many of each."""

    def __init__(self, pieces: Sequence[int]) -> None:
        """Nothing is scored yet."""
        self._left = list(pieces)
        self._found: list[Likelihood | None] = [NOTHING for _ in pieces]

    def empty(self) -> Iterator[tuple[int, Likelihood | None]]:
        """Yield ``(item, likelihood)`` of the items without a piece."""
        yield from ((item, NOTHING) for item, left in enumerate(self._left) if not left)

    def add(self, item: int, found: Likelihood | None) -> Iterator[tuple[int, Likelihood | None]]:
        """Add a piece of ``item`` and yield the item if it was the last one; ``None`` for what no
        memory was left for, which the whole item then is."""
        self._left[item] -= 1
        total = self._found[item]
        self._found[item] = None if found is None or total is None else total.plus(found)
        if not self._left[item]:
            yield item, self._found[item]


class Scorer:
    """Scores windows on one network.

    ``rows`` fixes how many rows are computed together, else ``tokens`` bounds rows times width.
    """

    def __init__(self, network: Network, *, rows: int | None, tokens: int) -> None:
        """Make ready; ``run`` computes."""
        self.network = network
        self.rows = rows
        self.tokens = tokens

    def run(self, windows: Sequence[Sequence[Window]]) -> Iterator[tuple[int, Likelihood | None]]:
        """Yield ``(item, likelihood)`` as soon as all windows of an item are done.

        ``None`` instead of a likelihood: no memory for it, even alone.
        """
        pieces = [_Piece(owner=i, window=w) for i, ws in enumerate(windows) for w in ws if w.scored]
        totals = Totals([sum(1 for w in ws if w.scored) for ws in windows])
        yield from totals.empty()
        for number, found in self._score_all([p.window for p in pieces]):
            yield from totals.add(pieces[number].owner, found)

    def _score_all(self, windows: Sequence[Window]) -> Iterator[tuple[int, Likelihood | None]]:
        for cluster, rows in self._plan(windows):
            header = self._header(cluster)
            known = len(header.ids) if header else 0

            def width(bundle: Bundle, known: int = known) -> int:
                return _width(bundle, windows, known)

            def compute(part: list[Bundle], header: Header | None = header) -> list[Likelihood]:
                with inference():
                    return self._score(part, windows, header)

            rows.sort(key=width, reverse=True)
            spare = CPU_PADDING if self.network.device.type == "cpu" else None
            groups = batches(rows, width=width, rows=self.rows, tokens=self.tokens, padding=spare)
            for batch in groups:
                yield from self._split(batch, windows, compute)

    def _split(
        self,
        batch: list[Bundle],
        windows: Sequence[Window],
        compute: Callable[[list[Bundle]], list[Likelihood]],
    ) -> Iterator[tuple[int, Likelihood | None]]:
        """What ``compute`` finds, row by row and text by text where memory does not suffice."""
        for part, scored in split_on_out_of_memory(batch, compute):
            members = [m for bundle in part for m in bundle.members]
            if scored is not None:
                yield from zip(members, scored, strict=True)
            elif len(members) == 1:
                yield members[0], None
            else:
                for member in members:
                    yield from self._split([_alone(member, windows)], windows, compute)

    def _header(self, cluster: Cluster) -> Header | None:
        """What the rows of ``cluster`` begin with, read once; ``None``: each reads it itself."""
        if not cluster.header:
            return None
        try:
            with inference():
                return read_header(self.network, cluster.header)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            reason = reason_of(error)
        free_memory()
        LOG.warning("Out of memory with a common beginning, going on without: %s", reason)
        return None

    def _plan(self, windows: Sequence[Window]) -> Iterator[tuple[Cluster, list[Bundle]]]:
        texts = [w.ids for w in windows]
        if not texts:
            return
        if not self.network.shares:
            alone = [_alone(number, windows) for number in range(len(texts))]
            yield Cluster(header=(), members=tuple(range(len(texts)))), alone
            return
        # the last token before the first scored one is read with the row: it predicts
        limits = [len(w.ids) - w.scored - 1 for w in windows]

        def worth(cluster: Cluster) -> bool:
            rows = bundles(texts, cluster.members, header=0)  # choices share a row anyway
            return (len(rows) - 1) * len(cluster.header) >= LEAST_SAVED

        for cluster in clusters(texts, limits=limits, worth=worth):
            yield cluster, bundles(texts, cluster.members, header=len(cluster.header))

    def _score(
        self, part: list[Bundle], windows: Sequence[Window], header: Header | None
    ) -> list[Likelihood]:
        """Likelihoods of all members of ``part``, bundle by bundle."""
        known = len(header.ids) if header else 0
        members = [m for bundle in part for m in bundle.members]
        sums = torch.zeros(len(members), dtype=torch.float64)
        misses = torch.zeros(len(members), dtype=torch.long)
        width = max(b.trunk for b in part) - known
        branches = any(len(windows[m].ids) - 1 > b.trunk for b in part for m in b.members)
        ids = torch.zeros((len(part), width), dtype=torch.long)
        targets = Targets()
        owner = 0
        for row, bundle in enumerate(part):
            text = windows[bundle.members[0]].ids
            ids[row, : bundle.trunk - known] = torch.tensor(text[known : bundle.trunk])
            for member in bundle.members:
                window = windows[member]
                first = len(window.ids) - window.scored
                for at in range(first, min(len(window.ids), bundle.trunk + 1)):
                    targets.add(row * width + at - 1 - known, window.ids[at], owner)
                owner += 1
        device = self.network.device
        logits, slots = self.network.trunk(
            ids.to(device), targets.index(device), header=header, keep=branches
        )
        if targets.tokens:
            targets.score(logits, sums, misses)
        if branches:
            assert slots is not None
            packed = _Packed.of(part, windows, known=known, width=width)
            found = self.network.branch(
                packed.ids.to(device),
                packed.targets.index(device),
                positions=packed.positions.to(device),
                seen=packed.seen.to(device),
                slots=slots,
            )
            packed.targets.score(found, sums, misses)
        return [
            Likelihood(logprob=float(s), greedy=int(m) == 0)
            for s, m in zip(sums, misses, strict=True)
        ]


def _alone(member: int, windows: Sequence[Window]) -> Bundle:
    """A text in a row of its own."""
    return Bundle(trunk=len(windows[member].ids) - 1, members=(member,))


def _width(bundle: Bundle, windows: Sequence[Window], known: int) -> int:
    """Tokens that a bundle's row reads after the header."""
    branches = sum(len(windows[m].ids) - 1 - bundle.trunk for m in bundle.members)
    return bundle.trunk - known + branches


@dataclass(frozen=True, kw_only=True)
class _Packed:
    """The branches of each row one after the other, each seeing its trunk and itself."""

    ids: torch.Tensor
    positions: torch.Tensor
    seen: torch.Tensor
    targets: Targets

    @classmethod
    def of(
        cls, part: list[Bundle], windows: Sequence[Window], *, known: int, width: int
    ) -> _Packed:
        """Pack the branches of ``part`` behind trunks padded to ``width``."""
        long = max(sum(len(windows[m].ids) - 1 - b.trunk for m in b.members) for b in part)
        ids = torch.zeros((len(part), long), dtype=torch.long)
        positions = torch.zeros((len(part), long), dtype=torch.long)
        seen = torch.zeros((len(part), long, width + long), dtype=torch.bool)
        # what is padding sees itself, so that no softmax is over nothing
        seen[:, torch.arange(long), width + torch.arange(long)] = True
        triangle = torch.ones((long, long), dtype=torch.bool).tril_()
        targets = Targets()
        owner = 0
        for row, bundle in enumerate(part):
            at = 0
            seen[row, :, : bundle.trunk - known] = True
            for member in bundle.members:
                window = windows[member]
                branch = window.ids[bundle.trunk : -1]
                end = at + len(branch)
                ids[row, at:end] = torch.tensor(branch)
                positions[row, at:end] = torch.arange(bundle.trunk, bundle.trunk + len(branch))
                block = triangle[: len(branch), : len(branch)]
                seen[row, at:end, width + at : width + end] = block
                first = max(len(window.ids) - window.scored, bundle.trunk + 1)
                for place in range(first, len(window.ids)):
                    flat = row * long + at + place - 1 - bundle.trunk
                    targets.add(flat, window.ids[place], owner)
                at = end
                owner += 1
        return cls(ids=ids, positions=positions, seen=seen, targets=targets)
