"""Answers of a loaded decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_hf.answers import answer_language
from harness_hf.budget import budget_of
from harness_hf.generation import Generator
from harness_hf.lean import LeanNetwork
from harness_hf.probe import choose_network
from harness_hf.scoring import Scorer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.types import Request, Response
    from harness_hf.generation import Continuation, Job
    from harness_hf.loading import Loaded
    from harness_hf.prompts import CausalPrompts, Scoring
    from harness_hf.scoring import Likelihood


class DecoderEngine:
    """Answers generate and loglikelihood requests with one loaded decoder."""

    def __init__(self, loaded: Loaded, prompts: CausalPrompts, *, rows: int | None) -> None:
        """Wrap the weights and try them on a few tokens; ``rows`` fixes the batch size."""
        self.network = choose_network(loaded.model, loaded.device, most=prompts.context)
        self.prompts = prompts
        self.codec = prompts.codec
        self.rows = rows
        chunked = isinstance(self.network, LeanNetwork)
        self.budget = budget_of(loaded, context=prompts.context, chunked=chunked)
        self.ends = end_tokens(loaded)

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Yield ``(number, response)`` for every request, likelihoods first."""
        yield from answer_language(requests, self.prompts, self.ends, self._score, self._generate)

    def _score(self, jobs: Sequence[Scoring]) -> Iterator[tuple[int, Likelihood | None]]:
        scorer = Scorer(self.network, rows=self.rows, tokens=self.budget.tokens)
        return scorer.run([job.windows for job in jobs])

    def _generate(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Continuation | None]]:
        longest = max((len(job.prompt.ids) + job.most for job in jobs), default=1)
        limit = self.rows or self.budget.rows(longest)
        generator = Generator(self.network, self.codec, limit=limit, tokens=self.budget.tokens)
        return generator.run(jobs)


def end_tokens(loaded: Loaded) -> frozenset[int]:
    """Token ids that end a text: those of the generation settings and the tokenizer's own."""
    found: set[int] = set()
    for holder in (getattr(loaded.model, "generation_config", None), loaded.tokenizer):
        value = getattr(holder, "eos_token_id", None)
        if isinstance(value, int):
            found.add(value)
        elif value is not None:
            found.update(int(v) for v in value)
    return frozenset(found)
