"""Continuation of many prompts, by the most probable tokens or by drawn ones.

Finished rows leave the batch, waiting ones take their place.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import torch

from harness_hf.batching import CPU_PADDING, LOG, batches, free_memory, is_out_of_memory, reason_of
from harness_hf.drawing import next_tokens
from harness_hf.network import inference, read_header
from harness_hf.rows import Row
from harness_hf.sharing import Cluster, clusters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from harness_hf.logits import Logits
    from harness_hf.readers import Reader
    from harness_hf.rows import Continuation, Job
    from harness_hf.slots import Header, Slots
    from harness_hf.tokens import Codec


LOOK = 8
"""Tokens that an accelerator computes for each row between two looks at them: a look waits for
everything that was handed to it."""
PAYING_ROWS = 16
"""Rows that a CPU should have together: twice as many answer long questions in 1 % less time at 10M
parameters, in 5 % less at 1M, where they take little memory; half as many take 7 and 9 % more."""
LEAST_ROWS = 8
"""Rows that must begin alike to be continued apart from the others."""


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
        last = last.clamp(min=0)  # there is nothing to read where there is no token
    found: list[list[int]] = torch.cat(steps, dim=1).tolist()
    return found


class Generator:
    """Continues jobs by one model, ``limit`` rows at a time at most; prompts are read by as many
    as ``tokens`` hold, padding included.

    More than ``PAYING_ROWS`` hold at most ``held`` tokens together, behind what all begin with.
    """

    def __init__(
        self, reader: Reader, codec: Codec, *, limit: int, tokens: int, held: int | None = None
    ) -> None:
        """Make ready; ``run`` computes."""
        self.reader = reader
        self.codec = codec
        self.limit = limit
        self.tokens = tokens
        self.held = held
        self.paying = limit
        self.look = look_on(reader.device)

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Continuation | None]]:
        """Yield ``(job, continuation)`` as each row finishes; ``None``: no memory for it."""
        prompts = [job.prompt.ids for job in jobs]
        found = [Cluster(header=(), members=tuple(range(len(jobs))))]
        if self.reader.sharing is not None and jobs:
            found = clusters(
                prompts,
                limits=[len(p) - 1 for p in prompts],
                worth=lambda cluster: len(cluster.members) >= min(self.limit, LEAST_ROWS),
            )
        for cluster in found:
            order = sorted(cluster.members, key=lambda n: -len(prompts[n]))
            if self.held is not None and order:
                longest = max(len(prompts[n]) + jobs[n].most for n in order) - len(cluster.header)
                self.paying = max(PAYING_ROWS, self.held // longest)
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
                    if known and header is None and self.reader.sharing is not None:
                        header = read_header(self.reader.sharing, known)
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
        if not self.reader.keeps:
            return self._recompute(waiting, active)
        chosen: list[list[int]] = []
        if slots is not None and active:
            chosen = self._step(active, slots)
        most = min(self.limit, self.paying)
        free = most - len(active)
        if waiting and (not active or (self.reader.admits and free * 4 >= most)):
            new = [waiting.popleft()]
            while waiting and len(new) < free and self._joins(waiting[0], new[0]):
                new.append(waiting.popleft())
            new.sort(key=lambda row: -len(row.known))
            active.extend(new)
            slots, first = self._admit(new, slots, header)
            chosen += [[token] for token in first]
        return slots, chosen

    def _joins(self, row: Row, other: Row) -> bool:
        return self.reader.admits or len(row.ids) == len(other.ids)

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
            padding=CPU_PADDING if self.reader.device.type == "cpu" else None,
        ):
            logits, fresh = self.reader.read(part, header)
            chosen += next_tokens(logits, [row.turn for row in part])
            if slots is None:
                slots = fresh
            else:
                slots.append(fresh, room=total)
        assert slots is not None
        return slots, chosen

    def _step(self, active: Sequence[Row], slots: Slots) -> list[list[int]]:
        """The next tokens of each row."""
        last = torch.tensor([[row.ids[-1]] for row in active], device=self.reader.device)
        return next_few(lambda ids: self.reader.step(ids, slots), last, active, look=self.look)

    def _recompute(self, waiting: deque[Row], active: list[Row]) -> tuple[None, list[list[int]]]:
        """One more token for every row without key-value slots: all is read again."""
        while waiting and len(active) < self.limit:
            active.append(waiting.popleft())
        logits = self.reader.whole(active)
        return None, [[token] for token in next_tokens(logits, [row.turn for row in active])]

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
