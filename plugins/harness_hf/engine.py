"""Requests to token ids, token ids to answers, on loaded weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.types import Response
from harness_hf.batching import CPU_ROWS, CPU_TOKENS
from harness_hf.generation import Generator, Job
from harness_hf.probe import choose_network
from harness_hf.scoring import Scorer
from harness_hf.tokens import Codec, Stops, TokenError, cut_prompt, windows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.types import Generate, Loglikelihood
    from harness_hf.loading import Loaded
    from harness_hf.tokens import Window

NO_MEMORY = "out of memory even for this request alone"


class Engine:
    """Answers requests with one loaded model.

    ``context`` is the most tokens it reads, ``None`` for no bound; ``rows`` fixes the batch size.
    """

    def __init__(
        self, loaded: Loaded, *, context: int | None, rows: int | None, lean: bool = True
    ) -> None:
        """Wrap the weights and try them on a few tokens."""
        self.network = choose_network(loaded.model, loaded.device, most=context, lean=lean)
        self.codec = Codec.of(loaded.tokenizer, vocabulary=self.network.embedded)
        self.context = context
        self.rows = rows
        self.ends = _end_tokens(loaded)

    def score(self, requests: Sequence[Loglikelihood]) -> Iterator[tuple[int, Response]]:
        """Yield ``(number, response)`` for every request."""
        numbers: list[int] = []
        jobs: list[list[Window]] = []
        blanks: list[Response] = []
        self.codec.prepare_pairs((r.context, r.continuation) for r in requests)
        for number, request in enumerate(requests):
            try:
                pair = self.codec.pair(request.context, request.continuation)
            except TokenError as error:
                yield number, Response(error=str(error))
                continue
            cut, lost = windows(pair, self.codec, most=self.context)
            numbers.append(number)
            jobs.append(cut)
            blanks.append(
                Response(
                    prompt_tokens=len(pair.context),
                    tokens=len(pair.continuation),
                    prompt_truncated=lost,
                )
            )
        scorer = Scorer(self.network, rows=self.rows, tokens=CPU_TOKENS)
        for place, found in scorer.run(jobs):
            blank = blanks[place]
            yield (
                numbers[place],
                Response(error=NO_MEMORY)
                if found is None
                else Response(
                    logprob=found.logprob,
                    greedy=found.greedy,
                    prompt_tokens=blank.prompt_tokens,
                    tokens=blank.tokens,
                    prompt_truncated=blank.prompt_truncated,
                ),
            )

    def generate(self, requests: Sequence[Generate]) -> Iterator[tuple[int, Response]]:
        """Yield ``(number, response)`` for every request."""
        numbers: list[int] = []
        jobs: list[Job] = []
        cuts: list[bool] = []
        self.codec.prepare(r.prompt for r in requests)
        for number, request in enumerate(requests):
            try:
                prompt = self.codec.prompt(request.prompt)
            except TokenError as error:
                yield number, Response(error=str(error))
                continue
            most = request.max_tokens
            lost = False
            if self.context is not None:
                # max_tokens is often a generous bound: never give up more than half for it
                room = max(self.context - most, self.context // 2)
                prompt, lost = cut_prompt(prompt, self.codec, room=room)
                most = min(most, self.context - len(prompt))
            if most < 1:
                yield number, Response(text="", prompt_tokens=len(prompt), tokens=0, truncated=True)
                continue
            numbers.append(number)
            cuts.append(lost)
            jobs.append(
                Job(
                    prompt=prompt,
                    most=most,
                    stops=Stops(strings=request.stop),
                    ends=self.ends | self.codec.special_ids(request.stop),
                )
            )
        generator = Generator(self.network, self.codec, limit=self.rows or CPU_ROWS)
        for place, found in generator.run(jobs):
            yield (
                numbers[place],
                Response(error=NO_MEMORY)
                if found is None
                else Response(
                    text=found.text,
                    prompt_tokens=len(jobs[place].prompt),
                    tokens=len(found.ids),
                    truncated=found.truncated,
                    prompt_truncated=cuts[place],
                ),
            )


def _end_tokens(loaded: Loaded) -> frozenset[int]:
    """Token ids that end a text: those of the generation settings and the tokenizer's own."""
    found: set[int] = set()
    for holder in (getattr(loaded.model, "generation_config", None), loaded.tokenizer):
        value = getattr(holder, "eos_token_id", None)
        if isinstance(value, int):
            found.add(value)
        elif value is not None:
            found.update(int(v) for v in value)
    return frozenset(found)
