"""Answers of a loaded decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from harness_hf.answers import answer_language
from harness_hf.budget import budget_of
from harness_hf.generation import Generator
from harness_hf.lean import LeanNetwork
from harness_hf.network import inference
from harness_hf.probe import choose_network, one_by_one
from harness_hf.readers import DecoderReader
from harness_hf.scoring import Scorer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.types import Request, Response
    from harness_hf.loading import Loaded
    from harness_hf.network import Network
    from harness_hf.prompts import CausalPrompts, Scoring
    from harness_hf.rows import Continuation, Job
    from harness_hf.scoring import Likelihood


class DecoderEngine:
    """Answers generate and loglikelihood requests with one loaded decoder."""

    def __init__(self, loaded: Loaded, prompts: CausalPrompts, *, rows: int | None) -> None:
        """Wrap the weights and try them on a few tokens; ``rows`` fixes the batch size."""
        self.network = loaded.network or choose_network(
            loaded.model, loaded.device, most=prompts.context, lean=loaded.attention is None
        )
        self.prompts = prompts
        self.codec = prompts.codec
        self.rows = rows
        chunked = isinstance(self.network, LeanNetwork)
        self.budget = budget_of(loaded, context=prompts.context, chunked=chunked)
        self.ends = end_tokens(loaded)
        self.turn = turning_length(loaded.config)
        ids = torch.zeros((1, 1), dtype=torch.long, device=self.network.device)
        with inference():
            logits, _ = self.network.trunk(ids, ids[0], header=None, keep=False)
            self._computes = not bool(logits.table().isnan().any())
        self._apart = one_by_one(loaded.model, loaded.device) if self.turn else None

    def computes(self) -> bool:
        """Whether logits are numbers, as those of broken weights are not."""
        return self._computes

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Yield ``(number, response)`` for every request, likelihoods first."""
        yield from answer_language(requests, self.prompts, self.ends, self._score, self._generate)

    def _score(self, jobs: Sequence[Scoring]) -> Iterator[tuple[int, Likelihood | None]]:
        lengths = [max((len(w.ids) - 1 for w in job.windows), default=0) for job in jobs]
        for network, numbers in self._networks(lengths):
            scorer = Scorer(network, rows=self.rows, tokens=self.budget.tokens)
            for place, found in scorer.run([jobs[n].windows for n in numbers]):
                yield numbers[place], found

    def _generate(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Continuation | None]]:
        lengths = [len(job.prompt.ids) + job.most - 1 for job in jobs]
        limit = self.rows or self.budget.rows(max(lengths, default=0) + 1)
        for network, numbers in self._networks(lengths):
            reader = DecoderReader(network)
            held = None if self.rows else self.budget.held
            generator = Generator(
                reader, self.codec, limit=limit, tokens=self.budget.tokens, held=held
            )
            for place, found in generator.run([jobs[n] for n in numbers]):
                yield numbers[place], found

    def _networks(self, lengths: Sequence[int]) -> Iterator[tuple[Network, list[int]]]:
        """What reads which of the texts, of so many tokens each: those beyond the length at which
        the positions of a whole text turn are read apart, without slots from before the turn."""
        numbers = range(len(lengths))
        if self._apart is None or self.turn is None:
            yield self.network, list(numbers)
            return
        for network, long in ((self.network, False), (self._apart, True)):
            chosen = [n for n in numbers if (lengths[n] > self.turn) is long]
            if chosen:
                yield network, chosen


def turning_length(config: Any) -> int | None:
    """The tokens beyond which all positions of a text are rotated otherwise, ``None`` if never.

    LongRoPE (Ding et al. 2024, arXiv:2402.13753) has two sets of frequencies, one for texts as
    long as those of the first training, one for longer ones; Phi-3 and Phi-4 use it.
    """
    stated = getattr(config, "rope_parameters", None) or {}
    kinds = [stated, *(part for part in stated.values() if isinstance(part, dict))]
    found = [k for k in kinds if k.get("rope_type") == "longrope"]
    lengths = [k.get("original_max_position_embeddings") for k in found]
    return min((int(n) for n in lengths if n), default=None)


def end_tokens(loaded: Loaded) -> frozenset[int]:
    """Token ids that end a text: those of the generation settings and the tokenizer's own."""
    found: set[int] = set()
    for value in (loaded.ends, loaded.tokenizer.eos_token_id):
        if isinstance(value, int):
            found.add(value)
        elif value is not None:
            found.update(int(v) for v in value)
    return frozenset(found)
