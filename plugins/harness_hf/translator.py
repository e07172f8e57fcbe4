"""Answers of a loaded encoder-decoder model: each prompt is encoded once for all that is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from harness_hf.answers import answer_language
from harness_hf.batching import batches, split_on_out_of_memory
from harness_hf.budget import budget_of
from harness_hf.engine import end_tokens
from harness_hf.generation import Row, look_on, next_few
from harness_hf.logits import Logits
from harness_hf.modules import cache_argument, picked
from harness_hf.network import inference
from harness_hf.packing import Targets
from harness_hf.scoring import Likelihood, Totals

if TYPE_CHECKING:
    from harness.types import Request, Response
    from harness_hf.generation import Continuation, Job
    from harness_hf.loading import Loaded
    from harness_hf.prompts import Scoring, SourcePrompts
    from harness_hf.tokens import Window

Ids = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Source:
    """What the encoder made of some texts: states [texts, width, size], padded on the right, and
    which of them are text [texts, width]."""

    states: torch.Tensor
    seen: torch.Tensor

    def of(self, rows: Sequence[int]) -> Source:
        """Those of some texts, in this order; a text may occur several times."""
        index = torch.tensor(rows, device=self.states.device)
        return Source(
            states=self.states.index_select(0, index), seen=self.seen.index_select(0, index)
        )


def never_written(settings: Any) -> set[int]:
    """The tokens that a checkpoint's settings of generation rule out: Marian's models would write
    their padding, whose logit is 0, without end."""
    alone = (ids[0] for ids in settings.bad_words_ids or () if len(ids) == 1)
    return {*alone, *(settings.suppress_tokens or ())}


class EncoderDecoder:
    """Forward passes of an encoder-decoder model of transformers."""

    def __init__(self, model: Any, device: torch.device) -> None:
        """Wrap ``model``, which is on ``device`` already."""
        self.model = model
        self.device = device
        self.cache = cache_argument(model)
        self.head = model.get_output_embeddings()
        self.never = sorted(never_written(model.generation_config))

    def encode(self, texts: Sequence[Ids]) -> Source:
        """Read ``texts`` side by side."""
        ids, seen = self._padded(texts)
        states = self.model.get_encoder()(input_ids=ids, attention_mask=seen).last_hidden_state
        return Source(states=states, seen=seen)

    def read(self, source: Source, texts: Sequence[Ids], index: torch.Tensor) -> Logits:
        """Logits at the flat positions ``index`` of ``texts``, which a decoder reads one for each
        text of ``source``. Padding on the right needs no mask: nothing before it sees it."""
        ids, _ = self._padded(texts)
        with picked(self.head, index):
            logits = self._forward(ids, source, use_cache=False).logits
        return Logits(rows=logits.flatten(0, -2))

    def step(self, source: Source, ids: torch.Tensor, cache: Any) -> tuple[Logits, Any]:
        """Logits after each row of ``ids`` [rows, new], and the cache grown."""
        output = self._forward(ids, source, use_cache=True, **{self.cache: cache})
        logits = output.logits[:, -1]
        if self.never:
            logits[:, self.never] = -torch.inf
        return Logits(rows=logits), getattr(output, self.cache)

    def _forward(self, ids: torch.Tensor, source: Source, **more: Any) -> Any:
        from transformers.modeling_outputs import BaseModelOutput

        read = BaseModelOutput(last_hidden_state=source.states)
        read.router_logits = None  # which models with experts hand on, though no answer needs it
        return self.model(
            encoder_outputs=read,
            attention_mask=source.seen,
            decoder_input_ids=ids,
            return_dict=True,
            **more,
        )

    def _padded(self, texts: Sequence[Ids]) -> tuple[torch.Tensor, torch.Tensor]:
        width = max(len(text) for text in texts)
        ids = torch.zeros((len(texts), width), dtype=torch.long)
        seen = torch.zeros((len(texts), width), dtype=torch.long)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = torch.tensor(text)
            seen[row, : len(text)] = 1
        return ids.to(self.device), seen.to(self.device)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A text for the encoder, and the windows (of which job) that the decoder reads after it."""

    text: Ids
    windows: tuple[tuple[int, Window], ...]

    @property
    def jobs(self) -> tuple[int, ...]:
        """Those whose windows they are, each once."""
        return tuple(dict.fromkeys(number for number, _ in self.windows))


class TranslatorEngine:
    """Answers generate and loglikelihood requests."""

    def __init__(self, loaded: Loaded, prompts: SourcePrompts, *, rows: int | None) -> None:
        """Wrap the weights; ``rows`` fixes the batch size."""
        self.network = EncoderDecoder(loaded.model, loaded.device)
        self.prompts = prompts
        self.rows = rows
        self.ends = end_tokens(loaded)
        self.budget = budget_of(loaded, context=prompts.context, chunked=False)
        self.look = look_on(loaded.device)

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
        tokens = self.budget.tokens
        whole = [one for text, found in asked.items() for one in _portions(text, found, tokens)]
        whole.sort(key=_width, reverse=True)
        counted = Counter(number for one in whole for number in one.jobs)
        totals = Totals([counted[number] for number in range(len(jobs))])

        def compute(part: list[_Asked]) -> list[dict[int, Likelihood]]:
            with inference():
                return self._likelihoods(part)

        for batch in batches(whole, width=_width, rows=self.rows, tokens=tokens):
            for part, scored in split_on_out_of_memory(batch, compute):
                for place, one in enumerate(part):
                    for number in one.jobs:
                        likelihood = None if scored is None else scored[place][number]
                        yield from totals.add(number, likelihood)

    def _likelihoods(self, part: Sequence[_Asked]) -> list[dict[int, Likelihood]]:
        """Of each of ``part``, by job, of all that is asked about its text."""
        source = self.network.encode([one.text for one in part])
        windows = [window for one in part for _, window in one.windows]
        owners = [(place, number) for place, one in enumerate(part) for number, _ in one.windows]
        places = {owner: place for place, owner in enumerate(dict.fromkeys(owners))}
        width = max(len(window.ids) - 1 for window in windows)
        targets = Targets()
        for row, window in enumerate(windows):
            for at in range(len(window.ids) - window.scored, len(window.ids)):
                targets.add(row * width + at - 1, window.ids[at], places[owners[row]])
        sums = torch.zeros(len(places), dtype=torch.float64)
        misses = torch.zeros(len(places), dtype=torch.long)
        if targets.tokens:
            index = targets.index(self.network.device)
            texts = [window.ids[:-1] for window in windows]
            read = self.network.read(source.of([place for place, _ in owners]), texts, index)
            targets.score(read, sums, misses)
        found: list[dict[int, Likelihood]] = [{} for _ in part]
        for (place, number), at in places.items():
            likelihood = Likelihood(logprob=float(sums[at]), greedy=int(misses[at]) == 0)
            found[place][number] = likelihood
        return found

    def _generate(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Continuation | None]]:
        order = sorted(range(len(jobs)), key=lambda n: -len(jobs[n].prompt.ids))

        def width(number: int) -> int:
            return len(jobs[number].prompt.ids) + jobs[number].most

        def compute(part: list[int]) -> dict[int, Continuation]:
            with inference():
                return self._continue([Row(number=n, job=jobs[n]) for n in part])

        limit = self.rows or self.budget.rows(max(map(width, order), default=1))
        for batch in batches(order, width=width, rows=limit, tokens=0):
            for part, found in split_on_out_of_memory(batch, compute):
                yield from ((n, None if found is None else found[n]) for n in part)

    def _continue(self, rows: list[Row]) -> dict[int, Continuation]:
        """Continue ``rows`` token by token; finished ones leave."""
        source = self.network.encode([row.job.prompt.ids for row in rows])
        ids = torch.tensor([row.job.before for row in rows], device=self.network.device)
        cache: Any = None
        found: dict[int, Continuation] = {}

        def step(ids: torch.Tensor) -> Logits:
            nonlocal cache
            logits, cache = self.network.step(source, ids, cache)
            return logits

        while rows:
            kept = []
            chosen = next_few(step, ids, rows, look=self.look)
            for place, (row, tokens) in enumerate(zip(rows, chosen, strict=True)):
                done = row.read(self.prompts.codec, tokens)
                if done is None:
                    kept.append(place)
                else:
                    found[row.number] = done
            if kept and len(kept) < len(rows):
                source = source.of(kept)
                cache.batch_select_indices(torch.tensor(kept, device=self.network.device))
            rows = [rows[place] for place in kept]
            ids = torch.tensor([[row.ids[-1]] for row in rows], device=self.network.device)
        return found


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
