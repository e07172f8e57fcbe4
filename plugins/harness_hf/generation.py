"""Continuation of many prompts, by the most probable tokens or by drawn ones.

Finished rows leave the batch, waiting ones take their place.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from harness_hf.batching import LOG, free_memory, is_out_of_memory
from harness_hf.drawing import next_tokens
from harness_hf.network import inference, read_header
from harness_hf.sharing import Cluster, clusters

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness_hf.drawing import Draw
    from harness_hf.network import Network
    from harness_hf.slots import Header, Slots
    from harness_hf.tokens import Codec, Prompt, Stops


LEAST_ROWS = 8
"""Rows that must begin alike to be continued apart from the others."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One prompt to continue by at most ``most`` tokens.

    ``ends`` are the token ids that end the text; with ``before`` the prompt is an encoder's, and
    the decoder begins with these. ``draw`` says how tokens are drawn, ``None``: the most probable.
    """

    prompt: Prompt
    most: int
    stops: Stops
    ends: frozenset[int]
    before: tuple[int, ...] = ()
    draw: Draw | None = None

    def continuation(self, codec: Codec, ids: list[int]) -> Continuation | None:
        """What ``ids`` come to if the newest of them ends the text, else ``None``."""
        token = ids[-1]
        if token in self.ends:
            return self._ended(codec, ids, ids[:-1], truncated=False)
        full = len(ids) >= self.most
        stops = self.stops
        possible = stops.strings and not stops.last_characters.isdisjoint(codec.piece(token))
        if possible and stops.find(self._text(codec, ids)) is not None:
            return self._ended(codec, ids, ids, truncated=False)
        return self._ended(codec, ids, ids, truncated=True) if full else None

    def _text(self, codec: Codec, ids: list[int]) -> str:
        return codec.text(self.before or self.prompt.ids, ids)

    def _ended(
        self, codec: Codec, ids: list[int], kept: list[int], *, truncated: bool
    ) -> Continuation:
        text = self._text(codec, kept)
        at = self.stops.find(text)
        return Continuation(
            text=text if at is None else text[:at],
            ids=tuple(ids),
            truncated=truncated and at is None,
        )


@dataclass(frozen=True, kw_only=True)
class Continuation:
    """The text up to the first stop string; ``tokens`` generated, those of the stop included."""

    text: str
    ids: tuple[int, ...]
    truncated: bool


@dataclass
class _Row:
    number: int
    job: Job
    ids: list[int] = field(default_factory=list)

    @property
    def known(self) -> tuple[int, ...]:
        return self.job.prompt.ids + tuple(self.ids)

    @property
    def turn(self) -> tuple[Draw | None, int]:
        """How the next token is chosen, and how many were before."""
        return self.job.draw, len(self.ids)


class Generator:
    """Continues jobs on one network, ``limit`` rows at a time at most."""

    def __init__(self, network: Network, codec: Codec, *, limit: int) -> None:
        """Make ready; ``run`` computes."""
        self.network = network
        self.codec = codec
        self.limit = limit

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Continuation | None]]:
        """Yield ``(job, continuation)`` as each row finishes; ``None``: no memory for it."""
        prompts = [job.prompt.ids for job in jobs]
        everything = [Cluster(header=(), members=tuple(range(len(jobs))))]
        shared = clusters(
            prompts,
            limits=[len(p) - 1 for p in prompts],
            worth=lambda cluster: len(cluster.members) >= min(self.limit, LEAST_ROWS),
        )
        for cluster in shared if self.network.shares and jobs else everything:
            order = sorted(cluster.members, key=lambda n: -len(prompts[n]))
            yield from self._run([_Row(number=n, job=jobs[n]) for n in order], cluster.header)

    def _run(
        self, rows: list[_Row], known: tuple[int, ...]
    ) -> Iterator[tuple[int, Continuation | None]]:
        """Continue ``rows``, longest first, whose prompts begin with ``known``."""
        waiting = deque(rows)
        active: list[_Row] = []
        slots: Slots | None = None
        header: Header | None = None
        while waiting or active:
            try:
                with inference():
                    if known and header is None:
                        header = read_header(self.network, known)
                    slots, tokens = self._advance(waiting, active, slots, header)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                slots, header, known = None, None, ()
                yield from self._retreat(waiting, active, error)
                continue
            dead = []
            for place, (row, token) in enumerate(zip(active, tokens, strict=True)):
                row.ids.append(token)
                done = row.job.continuation(self.codec, row.ids)
                if done is not None:
                    dead.append(place)
                    yield row.number, done
            if len(dead) == len(active):
                slots = None
                active.clear()
            elif dead:
                active[:] = self._without(active, dead, slots)

    def _without(self, active: list[_Row], dead: list[int], slots: Slots | None) -> list[_Row]:
        if slots is None:
            return [row for place, row in enumerate(active) if place not in dead]
        with inference():
            order = slots.drop(dead)
        return [active[place] for place in order]

    def _advance(
        self, waiting: deque[_Row], active: list[_Row], slots: Slots | None, header: Header | None
    ) -> tuple[Slots | None, list[int]]:
        """One more token for every row; admits waiting rows where there is room for enough."""
        if not self.network.keeps:
            return self._recompute(waiting, active)
        chosen: list[int] = []
        if slots is not None and active:
            last = torch.tensor([[row.ids[-1]] for row in active], device=self.network.device)
            logits = self.network.step(last, slots)
            chosen = next_tokens(logits, [row.turn for row in active])
        free = self.limit - len(active)
        if waiting and (not active or free * 4 >= self.limit):
            new = [waiting.popleft() for _ in range(min(free, len(waiting)))]
            active.extend(new)
            fresh, first = self._read(new, header)
            if slots is None:
                slots = fresh
            else:
                slots.append(fresh)
            chosen += first
        return slots, chosen

    def _recompute(self, waiting: deque[_Row], active: list[_Row]) -> tuple[None, list[int]]:
        """One more token for every row without key-value slots: all is read again."""
        while waiting and len(active) < self.limit:
            active.append(waiting.popleft())
        ids, last = self._padded([row.known for row in active])
        logits, _ = self.network.trunk(ids, last, header=None, keep=False)
        return None, next_tokens(logits, [row.turn for row in active])

    def _read(self, rows: Sequence[_Row], header: Header | None) -> tuple[Slots, list[int]]:
        """Read what is known of rows after ``header``; the token that follows each."""
        known = len(header.ids) if header else 0
        parts = [row.known[known:] for row in rows]
        ids, last = self._padded(parts)
        logits, slots = self.network.trunk(ids, last, header=header, keep=True)
        assert slots is not None
        slots.align([len(p) for p in parts])
        return slots, next_tokens(logits, [row.turn for row in rows])

    def _padded(self, rows: Sequence[tuple[int, ...]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows padded on the right, and the flat position of the last token of each."""
        width = max(len(r) for r in rows)
        ids = torch.zeros((len(rows), width), dtype=torch.long)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row)
        last = torch.tensor([n * width + len(r) - 1 for n, r in enumerate(rows)])
        return ids.to(self.network.device), last.to(self.network.device)

    def _retreat(
        self, waiting: deque[_Row], active: list[_Row], error: BaseException
    ) -> Iterator[tuple[int, None]]:
        """After running out of memory: put the rows back, to go on with half as many at a time."""
        free_memory()
        reason = str(error).splitlines()[0]
        if len(active) <= 1:
            LOG.warning("Out of memory with a single row: %s", reason)
            yield from ((row.number, None) for row in active)
        else:
            self.limit = (len(active) + 1) // 2
            LOG.warning(
                "Out of memory with %d rows, going on with %d: %s", len(active), self.limit, reason
            )
            waiting.extendleft(reversed(active))
        active.clear()
