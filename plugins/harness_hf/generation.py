"""Continuation of many prompts, by the most probable tokens or by drawn ones.

Finished rows leave the batch, waiting ones take their place.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from harness_hf.batching import CPU_PADDING, LOG, batches, free_memory, is_out_of_memory, reason_of
from harness_hf.drawing import next_tokens
from harness_hf.network import inference, read_header
from harness_hf.sharing import Cluster, clusters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from harness_hf.drawing import Draw
    from harness_hf.logits import Logits
    from harness_hf.network import Network
    from harness_hf.slots import Header, Slots
    from harness_hf.tokens import Codec, Prompt, Stops


LOOK = 8
"""Tokens that an accelerator computes for each row between two looks at them: a look waits for
everything that was handed to it."""
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
class Row:
    """A job under way: its number and the tokens it has so far."""

    number: int
    job: Job
    ids: list[int] = field(default_factory=list)

    @property
    def known(self) -> tuple[int, ...]:
        """All tokens of its text."""
        return self.job.prompt.ids + tuple(self.ids)

    @property
    def turn(self) -> tuple[Draw | None, int]:
        """How the next token is chosen, and how many were before."""
        return self.job.draw, len(self.ids)

    def read(self, codec: Codec, tokens: Sequence[int]) -> Continuation | None:
        """Take ``tokens`` up to the one that ends the text; what it came to, if one does."""
        for token in tokens:
            self.ids.append(token)
            done = self.job.continuation(codec, self.ids)
            if done is not None:
                return done
        return None


def look_on(device: torch.device) -> int:
    """How many tokens are computed between two looks at them."""
    return 1 if device.type == "cpu" else LOOK


def next_few(
    step: Callable[[torch.Tensor], Logits], last: torch.Tensor, rows: Sequence[Row], *, look: int
) -> list[list[int]]:
    """The next tokens of each row: ``look`` of them, if all rows have room for so many.

    ``step`` reads ``last`` [rows, n] and then each new token. What a row is given beyond the end of
    its text is to be left out. Tokens that are drawn come one at a time.
    """
    count = min(look, *(row.job.most - len(row.ids) for row in rows))
    if count == 1 or any(row.job.draw is not None for row in rows):
        return [[token] for token in next_tokens(step(last), [row.turn for row in rows])]
    steps = []
    for _ in range(count):
        last = step(last).greedy()[:, None]
        steps.append(last)
    found: list[list[int]] = torch.cat(steps, dim=1).tolist()
    return found


class Generator:
    """Continues jobs on one network, ``limit`` rows at a time at most; prompts are read by as many
    as ``tokens`` hold, padding included."""

    def __init__(self, network: Network, codec: Codec, *, limit: int, tokens: int) -> None:
        """Make ready; ``run`` computes."""
        self.network = network
        self.codec = codec
        self.limit = limit
        self.tokens = tokens
        self.look = look_on(network.device)

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
            yield from self._run([Row(number=n, job=jobs[n]) for n in order], cluster.header)

    def _run(
        self, rows: list[Row], known: tuple[int, ...]
    ) -> Iterator[tuple[int, Continuation | None]]:
        """Continue ``rows``, longest first, whose prompts begin with ``known``."""
        waiting = deque(rows)
        active: list[Row] = []
        dead: list[int] = []
        slots: Slots | None = None
        header: Header | None = None
        found: list[list[int]] | None
        while waiting or len(active) > len(dead):
            try:
                with inference():
                    if dead:
                        slots, active[:] = _without(active, dead, slots)
                        dead = []
                    if known and header is None:
                        header = read_header(self.network, known)
                    slots, found = self._advance(waiting, active, slots, header)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                reason, found = reason_of(error), None
            if found is None:  # here the error, which holds on to tensors, is gone
                held = slots is not None or header is not None
                slots, header, known = None, None, ()
                active[:] = [row for place, row in enumerate(active) if place not in dead]
                dead = []
                yield from self._retreat(waiting, active, reason, held=held)
                continue
            for place, (row, tokens) in enumerate(zip(active, found, strict=True)):
                done = row.read(self.codec, tokens)
                if done is not None:
                    dead.append(place)
                    yield row.number, done

    def _advance(
        self, waiting: deque[Row], active: list[Row], slots: Slots | None, header: Header | None
    ) -> tuple[Slots | None, list[list[int]]]:
        """More tokens for every row; admits waiting rows where there is room for enough."""
        if not self.network.keeps:
            return self._recompute(waiting, active)
        chosen: list[list[int]] = []
        if slots is not None and active:
            chosen = self._step(active, slots)
        free = self.limit - len(active)
        if waiting and (not active or free * 4 >= self.limit):
            new = [waiting.popleft() for _ in range(min(free, len(waiting)))]
            new.sort(key=lambda row: -len(row.known))
            active.extend(new)
            slots, first = self._admit(new, slots, header)
            chosen += [[token] for token in first]
        return slots, chosen

    def _admit(
        self, new: Sequence[Row], slots: Slots | None, header: Header | None
    ) -> tuple[Slots, list[int]]:
        """Read ``new`` rows, longest first, as many at a time as is fit; the tokens that follow."""
        total = len(new) + (slots.rows if slots else 0)
        chosen: list[int] = []
        widths = {row.number: len(row.known) for row in new}
        for part in batches(
            new,
            width=lambda r: widths[r.number],
            rows=None,
            tokens=self.tokens,
            padding=CPU_PADDING if self.network.device.type == "cpu" else None,
        ):
            fresh, first = self._read(part, header)
            chosen += first
            if slots is None:
                slots = fresh
            else:
                slots.append(fresh, room=total)
        assert slots is not None
        return slots, chosen

    def _step(self, active: Sequence[Row], slots: Slots) -> list[list[int]]:
        """The next tokens of each row."""
        last = torch.tensor([[row.ids[-1]] for row in active], device=self.network.device)
        return next_few(lambda ids: self.network.step(ids, slots), last, active, look=self.look)

    def _recompute(self, waiting: deque[Row], active: list[Row]) -> tuple[None, list[list[int]]]:
        """One more token for every row without key-value slots: all is read again."""
        while waiting and len(active) < self.limit:
            active.append(waiting.popleft())
        ids, last = self._padded([row.known for row in active])
        logits, _ = self.network.trunk(ids, last, header=None, keep=False)
        return None, [[token] for token in next_tokens(logits, [row.turn for row in active])]

    def _read(self, rows: Sequence[Row], header: Header | None) -> tuple[Slots, list[int]]:
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
        self, waiting: deque[Row], active: list[Row], reason: str, *, held: bool
    ) -> Iterator[tuple[int, None]]:
        """After running out of memory: put the rows back, to go on with half as many at a time.

        ``held``: keys and values were there, perhaps of rows that had left; a single row is tried
        again without them.
        """
        free_memory()
        if not active:
            LOG.warning("Out of memory with a common beginning, going on without: %s", reason)
        elif len(active) == 1 and not held:
            LOG.warning("Out of memory with a single row: %s", reason)
            yield active[0].number, None
        else:
            self.limit = (len(active) + 1) // 2
            LOG.warning(
                "Out of memory with %d rows, going on with %d: %s", len(active), self.limit, reason
            )
            waiting.extendleft(reversed(active))
        active.clear()


def _without(
    active: list[Row], dead: list[int], slots: Slots | None
) -> tuple[Slots | None, list[Row]]:
    """The slots and rows that are left without ``dead``."""
    if slots is None or len(dead) == len(active):
        return None, [row for place, row in enumerate(active) if place not in dead]
    order = slots.drop(dead)
    return slots, [active[place] for place in order]
