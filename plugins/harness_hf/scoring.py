"""Log-likelihoods of continuations."""

from __future__ import annotations

from dataclasses import dataclass
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
from harness_hf.lean import LeanNetwork
from harness_hf.network import inference, read_header
from harness_hf.packing import Packed, Targets
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
        members = [m for bundle in part for m in bundle.members]
        sums = torch.zeros(len(members), dtype=torch.float64)
        misses = torch.zeros(len(members), dtype=torch.long)
        branches = any(len(windows[m].ids) - 1 > b.trunk for b in part for m in b.members)
        if branches and isinstance(self.network, LeanNetwork) and self.network.joins:
            known = len(header.ids) if header else 0
            whole = Packed.of(part, windows, known=known)
            found = self.network.together(
                whole.ids,
                whole.targets.index(self.network.device),
                positions=whole.positions,
                seen=whole.seen,
                header=header,
            )
            whole.targets.score(found, sums, misses)
        else:
            for targets, logits in self._in_turn(part, windows, header, branches=branches):
                targets.score(logits, sums, misses)
        return [
            Likelihood(logprob=float(s), greedy=int(m) == 0)
            for s, m in zip(sums, misses, strict=True)
        ]

    def _in_turn(
        self,
        part: list[Bundle],
        windows: Sequence[Window],
        header: Header | None,
        *,
        branches: bool,
    ) -> Iterator[tuple[Targets, Logits]]:
        """What trunks predict, then what ``branches`` do."""
        known = len(header.ids) if header else 0
        width = max(b.trunk for b in part) - known
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
            yield targets, logits
        if branches:
            assert slots is not None
            packed = Packed.of(part, windows, known=known, behind=width)
            yield (
                packed.targets,
                self.network.branch(
                    packed.ids.to(device),
                    packed.targets.index(device),
                    positions=packed.positions.to(device),
                    seen=packed.seen.to(device),
                    slots=slots,
                ),
            )


def _alone(member: int, windows: Sequence[Window]) -> Bundle:
    """A text in a row of its own."""
    return Bundle(trunk=len(windows[member].ids) - 1, members=(member,))


def _width(bundle: Bundle, windows: Sequence[Window], known: int) -> int:
    """Tokens that a bundle's row reads after the header."""
    branches = sum(len(windows[m].ids) - 1 - bundle.trunk for m in bundle.members)
    return bundle.trunk - known + branches
