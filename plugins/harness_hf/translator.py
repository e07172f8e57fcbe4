"""Answers of a loaded encoder-decoder model: each prompt is encoded once for all that is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from harness_hf.answers import answer_language
from harness_hf.batching import batches, split_on_out_of_memory
from harness_hf.budget import budget_of
from harness_hf.engine import end_tokens
from harness_hf.generation import Generator
from harness_hf.network import inference
from harness_hf.packing import Targets
from harness_hf.scoring import Likelihood, Totals
from harness_hf.seq2seq import EncoderDecoder
from harness_hf.settling import settle_reading, settle_writing
from harness_hf.sources import SourceSlots

if TYPE_CHECKING:
    from harness.types import Request, Response
    from harness_hf.loading import Loaded
    from harness_hf.logits import Logits
    from harness_hf.prompts import Scoring, SourcePrompts
    from harness_hf.rows import Continuation, Job, Row
    from harness_hf.slots import Header, Slots
    from harness_hf.sources import Source
    from harness_hf.tokens import Window

Ids = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A text for the encoder, and the windows (of which job) that the decoder reads after it."""

    text: Ids
    windows: tuple[tuple[int, Window], ...]


class SourceReader:
    """An encoder-decoder: a row is the text of its encoder, and what its decoder has of it."""

    sharing = None  # an encoder reads a text differently before each other one

    def __init__(self, network: EncoderDecoder) -> None:
        """Read by ``network``."""
        self.network = network
        self.device = network.device
        self.keeps = network.keeps
        self.admits = network.admits

    def read(self, rows: Sequence[Row], header: Header | None) -> tuple[Logits, Slots]:
        """See :meth:`Reader.read`."""
        return self.network.begin(*self._texts(rows))

    def whole(self, rows: Sequence[Row]) -> Logits:
        """See :meth:`Reader.whole`."""
        return self.network.whole(*self._texts(rows))

    def step(self, ids: torch.Tensor, slots: Slots) -> Logits:
        """See :meth:`Reader.step`."""
        assert isinstance(slots, SourceSlots)
        return self.network.step(ids, slots)

    def _texts(self, rows: Sequence[Row]) -> tuple[Source, list[Ids]]:
        source = self.network.encode([row.job.prompt.ids for row in rows])
        return source, [row.job.before + tuple(row.ids) for row in rows]


class TranslatorEngine:
    """Answers generate and loglikelihood requests."""

    def __init__(self, loaded: Loaded, prompts: SourcePrompts, *, rows: int | None) -> None:
        """Wrap the weights; ``rows`` fixes the batch size."""
        self.network = EncoderDecoder(loaded.model, loaded.device, most=prompts.context)
        self.prompts = prompts
        settle_reading(self.network)
        self.rows = rows
        self.ends = end_tokens(loaded)
        self.budget = budget_of(loaded, context=prompts.context, chunked=False)

    def computes(self) -> bool:
        """See :meth:`harness_hf.engine.DecoderEngine.computes`."""
        ids = torch.zeros(1, dtype=torch.long, device=self.network.device)
        with inference():
            logits = self.network.read(self.network.encode([(0,)]), [(0,)], ids)
            return not bool(logits.table().isnan().any())

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Yield ``(number, response)`` for every request, likelihoods first."""
        yield from answer_language(requests, self.prompts, self.ends, self._score, self._generate)

    def _score(self, jobs: Sequence[Scoring]) -> Iterator[tuple[int, Likelihood | None]]:
        asked: dict[Ids, list[tuple[int, Window]]] = {}
        for number, job in enumerate(jobs):
            assert job.source is not None
            found = asked.setdefault(job.source.ids, [])
            found += [(number, window) for window in job.windows]
        alone = self.network.alone
        tokens = 0 if alone else self.budget.tokens
        whole = [one for text, found in asked.items() for one in _portions(text, found, tokens)]
        whole.sort(key=_width, reverse=True)
        totals = Totals([len(job.windows) for job in jobs])
        yield from totals.empty()
        rows = 1 if alone else self.rows
        for batch in batches(whole, width=_width, rows=rows, tokens=tokens):
            for one, scored in self._split(batch):
                for (number, _), likelihood in zip(one.windows, scored, strict=True):
                    yield from totals.add(number, likelihood)

    def _split(self, batch: list[_Asked]) -> Iterator[tuple[_Asked, Sequence[Likelihood | None]]]:
        """What is found of each; text by text, window by window where memory does not suffice."""
        for part, scored in split_on_out_of_memory(batch, self._likelihoods):
            (first, *_) = part
            if scored is not None:
                yield from zip(part, scored, strict=True)
            elif len(first.windows) == 1:
                yield first, [None]
            else:
                for window in first.windows:
                    yield from self._split([_Asked(text=first.text, windows=(window,))])

    @inference()
    def _likelihoods(self, part: Sequence[_Asked]) -> list[list[Likelihood]]:
        """Of each of ``part``, of all windows behind its text."""
        source = self.network.encode([one.text for one in part])
        windows = [window for one in part for _, window in one.windows]
        owners = [place for place, one in enumerate(part) for _ in one.windows]
        width = max(len(window.ids) - 1 for window in windows)
        targets = Targets()
        for row, window in enumerate(windows):
            for at in range(len(window.ids) - window.scored, len(window.ids)):
                targets.add(row * width + at - 1, window.ids[at], row)
        sums = torch.zeros(len(windows), dtype=torch.float64)
        misses = torch.zeros(len(windows), dtype=torch.long)
        if targets.tokens:
            index = targets.index(self.network.device)
            read = self.network.read(source.of(owners), [w.ids[:-1] for w in windows], index)
            targets.score(read, sums, misses)
        found: list[list[Likelihood]] = [[] for _ in part]
        for owner, logprob, missed in zip(owners, sums.tolist(), misses.tolist(), strict=True):
            found[owner].append(Likelihood(logprob=logprob, greedy=not missed))
        return found

    def _generate(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Continuation | None]]:
        if not jobs:
            return
        widths = [len(job.prompt.ids) + job.most for job in jobs]
        limit = self.rows or self.budget.rows(max(widths))
        if self.network.alone and not self.reader.keeps:
            limit = 1
        generator = Generator(
            self.reader,
            self.prompts.codec,
            limit=limit,
            tokens=self.budget.tokens,
            held=None if self.rows else self.budget.held,
        )
        yield from generator.run(jobs)

    @cached_property
    def reader(self) -> SourceReader:
        """What writes; how it can is tried when the first text is asked for."""
        settle_writing(self.network)
        return SourceReader(self.network)


def _portions(text: Ids, windows: Sequence[tuple[int, Window]], tokens: int) -> Iterator[_Asked]:
    """All that is asked about ``text``, in portions of about ``tokens``: the windows of a book
    would not fit in one pass."""
    portion: list[tuple[int, Window]] = []
    used = len(text)
    for number, window in windows:
        if portion and used + len(window.ids) > tokens:
            yield _Asked(text=text, windows=tuple(portion))
            portion, used = [], len(text)
        portion.append((number, window))
        used += len(window.ids)
    yield _Asked(text=text, windows=tuple(portion))


def _width(asked: _Asked) -> int:
    """Tokens that are read for a text and all that is asked about it."""
    return len(asked.text) + sum(len(window.ids) for _, window in asked.windows)
