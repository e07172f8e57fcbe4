"""Greedy continuation of many prompts.

Finished rows leave the batch, waiting ones take their place.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from harness_hf.batching import LOG, free_memory, is_out_of_memory
from harness_hf.network import inference
from harness_hf.slots import Slots
from harness_hf.tokens import Stops

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness_hf.network import Network
    from harness_hf.tokens import Codec


@dataclass(frozen=True, kw_only=True)
class Job:
    """One prompt to continue by at most ``most`` tokens.

    ``ends`` are the token ids that end the text.
    """

    prompt: tuple[int, ...]
    most: int
    stops: Stops
    ends: frozenset[int]


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
        return self.job.prompt + tuple(self.ids)


class Generator:
    """Continues jobs on one network, ``limit`` rows at a time at most."""

    def __init__(self, network: Network, codec: Codec, *, limit: int) -> None:
        """Make ready; ``run`` computes."""
        self.network = network
        self.codec = codec
        self.limit = limit

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Continuation | None]]:
        """Yield ``(job, continuation)`` as each row finishes; ``None``: no memory for it."""
        order = sorted(range(len(jobs)), key=lambda n: -len(jobs[n].prompt))
        waiting = deque(_Row(number=n, job=jobs[n]) for n in order)
        active: list[_Row] = []
        slots: Slots | None = None
        while waiting or active:
            try:
                with inference():
                    slots, tokens = self._advance(waiting, active, slots)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                slots = None
                yield from self._retreat(waiting, active, error)
                continue
            alive = []
            for place, (row, token) in enumerate(zip(active, tokens, strict=True)):
                row.ids.append(token)
                done = self._finished(row)
                if done is None:
                    alive.append(place)
                else:
                    yield row.number, done
            if len(alive) < len(active):
                active[:] = [active[place] for place in alive]
                if alive and slots is not None:
                    slots.keep(torch.tensor(alive, device=self.network.device))
                else:
                    slots = None

    def _advance(
        self, waiting: deque[_Row], active: list[_Row], slots: Slots | None
    ) -> tuple[Slots | None, list[int]]:
        """One more token for every row; admits waiting rows where there is room for enough."""
        if self.network.mask_style == "none":
            return self._recompute(waiting, active)
        chosen: list[int] = []
        if slots is not None and active:
            last = torch.tensor([[row.ids[-1]] for row in active], device=self.network.device)
            chosen = self.network.extend(last, slots).argmax(dim=1).tolist()
        free = self.limit - len(active)
        if waiting and (not active or free * 4 >= self.limit):
            new = [waiting.popleft() for _ in range(min(free, len(waiting)))]
            active.extend(new)
            fresh, first = self._read([row.known for row in new])
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
        known = [row.known for row in active]
        width = max(len(k) for k in known)
        ids = torch.zeros((len(known), width), dtype=torch.long)
        for row, k in enumerate(known):
            ids[row, : len(k)] = torch.tensor(k)
        last = torch.tensor([row * width + len(k) - 1 for row, k in enumerate(known)])
        device = self.network.device
        logits = self.network.select_logits(ids.to(device), last.to(device), use_cache=False)
        return None, logits.argmax(dim=1).tolist()

    def _read(self, prompts: Sequence[tuple[int, ...]]) -> tuple[Slots, list[int]]:
        """Read prompts, padded on the left; the first token that follows each."""
        width = max(len(p) for p in prompts)
        ids = torch.zeros((len(prompts), width), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = torch.tensor(prompt)
        starts = torch.tensor([width - len(p) for p in prompts], device=self.network.device)
        slots = Slots.empty(starts)
        logits = self.network.extend(ids.to(self.network.device), slots)
        return slots, logits.argmax(dim=1).tolist()

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

    def _finished(self, row: _Row) -> Continuation | None:
        """The continuation if ``row``'s newest token ends it, else ``None``."""
        token = row.ids[-1]
        if token in row.job.ends:
            return self._continuation(row, row.ids[:-1], truncated=False)
        full = len(row.ids) >= row.job.most
        stops = row.job.stops
        if stops.strings and not stops.last_characters.isdisjoint(self.codec.piece(token)):
            text = self.codec.text(row.job.prompt, row.ids)
            if stops.find(text) is not None:
                return self._continuation(row, row.ids, truncated=False)
        return self._continuation(row, row.ids, truncated=True) if full else None

    def _continuation(self, row: _Row, ids: list[int], *, truncated: bool) -> Continuation:
        text = self.codec.text(row.job.prompt, ids)
        at = row.job.stops.find(text)
        return Continuation(
            text=text if at is None else text[:at],
            ids=tuple(row.ids),
            truncated=truncated and at is None,
        )
