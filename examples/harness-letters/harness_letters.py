"""Letter n-gram models of five sizes, and the task of completing English words."""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial

from harness import hookimpl
from harness.errors import UsageError
from harness.types import (
    Generate,
    Loglikelihood,
    Metric,
    ModelInfo,
    ModelSettings,
    ModelSpec,
    Option,
    Parameters,
    Request,
    Response,
    Sample,
    Stats,
    TaskSettings,
    TaskSpec,
)

STEMS = """
bright calm cheer clear cold cool damp dark deep dim dull fair faint fast fierce firm fit fond
fresh glad grand great green harsh hard high kind late lean light loose loud mad mean mild neat new
odd plain proud pure quick quiet rare rich ripe rough round rude sad sane sharp short sick slack
slow small smart smooth soft sour steep stern still stout strange strict strong sure sweet swift
tall tame tart taut tender tense thick thin tight tough vague vast warm weak wet white wide wild
wise young
"""
VERBS = """
act add answer bark bend blink blow boil borrow build burn call carry cheat climb cook count cross
deliver doubt draw dream drift drink earn enter farm feed fight fill float flow fold follow gather
grow guard help hunt jump kick knock land laugh learn lend listen march melt mend mix murmur need
open order paint plant play plough point pour press print pull push reach read rest ring roar sail
seek sell send sing sink sleep sort speak stand start stay swing talk teach thank think throw touch
travel turn visit wait walk wander wash watch whisper wonder work yawn yield
"""


def words() -> tuple[list[str], list[str]]:
    """Words to complete and words to learn from; no stem is in both."""
    held_out: list[str] = []
    training: list[str] = []
    for stems, endings in ((STEMS, ("ness", "ly")), (VERBS, ("ing", "ers"))):
        for number, stem in enumerate(stems.split()):
            chosen = held_out if number % 3 == 0 else training
            chosen += [stem + ending for ending in endings]
    return held_out, training


HELD_OUT, TRAINING = words()


@cache
def fitted(order: int) -> Mapping[bytes, Counter[int]]:
    """How often each byte follows each context of fewer than ``order`` bytes."""
    counts: defaultdict[bytes, Counter[int]] = defaultdict(Counter)
    text = ("\n" + "\n".join(TRAINING) + "\n").encode()
    for end in range(1, len(text)):
        for length in range(min(order, end + 1)):
            counts[text[end - length : end]][text[end]] += 1
    return counts


class LetterModel:
    """An n-gram model over bytes with Witten-Bell smoothing (Witten and Bell 1991)."""

    def __init__(self, order: int) -> None:
        self.order = order

    @property
    def info(self) -> ModelInfo:
        """Counting takes milliseconds here; a real model would read its checkpoint's header."""
        size = sum(len(followers) for followers in fitted(self.order).values())
        text = "\n".join(TRAINING).encode()
        return ModelInfo(
            name=f"letters-{self.order}",
            family="letters",
            identity=f"witten-bell:{self.order}:{hashlib.sha256(text).hexdigest()[:16]}",
            parameters=Parameters(total=size, non_embedding=size),
            train_tokens=len(text),
        )

    def respond(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Answer one after the other; a real model would sort by length and answer in batches."""
        for index, request in enumerate(requests):
            match request:
                case Generate():
                    yield index, self.generate(request)
                case Loglikelihood():
                    yield index, self.score(request)
                case _:
                    yield index, Response(error=f"letters does not answer {request.kind} requests")

    def generate(self, request: Generate) -> Response:
        text, answer = b"\n" + request.prompt.encode(), b""
        for _ in range(request.max_tokens):
            answer += bytes([max(range(256), key=lambda byte: self.probability(text, byte))])
            text += answer[-1:]
            for stop in request.stop:
                before, found, _ = answer.partition(stop.encode())
                if found:
                    return Response(text=before.decode(errors="replace"), tokens=len(answer))
        return Response(text=answer.decode(errors="replace"), tokens=len(answer), truncated=True)

    def score(self, request: Loglikelihood) -> Response:
        text, logprob = b"\n" + request.context.encode(), 0.0
        for byte in request.continuation.encode():
            logprob += math.log(self.probability(text, byte))
            text += bytes([byte])
        return Response(logprob=logprob, tokens=len(request.continuation.encode()))

    def probability(self, text: bytes, byte: int) -> float:
        """The probability of ``byte`` after ``text``, mixed over all context lengths."""
        counts, result = fitted(self.order), 1 / 256
        for length in range(self.order):
            followers = counts.get(text[len(text) - length :])
            if not followers:
                break
            kinds = len(followers)
            result = (followers[byte] + kinds * result) / (followers.total() + kinds)
        return result


def build_model(order: int, settings: ModelSettings) -> LetterModel:
    return LetterModel(order)


class WordEndings:
    """Complete a word whose last letters are hidden."""

    def __init__(self, settings: TaskSettings) -> None:
        from harness import metrics

        hidden = settings.options.get("hidden", "2")
        if hidden not in {"1", "2", "3", "4"}:
            raise UsageError(f"word-endings: hidden={hidden} is not 1, 2, 3 or 4.")
        self.hidden = int(hidden)
        self.shots = random.Random(settings.seed).sample(TRAINING, settings.shots or 0)
        self.exact_match = metrics.exact_match()
        self.bits_per_byte = metrics.bits_per_byte()

    @property
    def metrics(self) -> Sequence[Metric]:
        return self.exact_match.metric, self.bits_per_byte.metric

    def samples(self) -> Iterator[Sample]:
        for word in HELD_OUT:
            beginning, ending = word[: -self.hidden], word[-self.hidden :]
            prompt = "\n".join([*self.shots, beginning])
            yield Sample(
                id=word,
                requests=(
                    Generate(prompt=prompt, max_tokens=8, stop=("\n",)),
                    Loglikelihood(context=prompt, continuation=ending),
                ),
                reference=ending,
            )

    def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
        generated, scored = responses
        # The harness has checked that every answer has the field of its kind.
        assert generated.text is not None and scored.logprob is not None
        return {
            "exact_match": self.exact_match.stats(generated.text, sample.reference),
            "bits_per_byte": self.bits_per_byte.stats(
                scored.logprob, len(sample.reference.encode())
            ),
        }


@hookimpl
def harness_models() -> Iterator[ModelSpec]:
    for order in range(1, 6):
        yield ModelSpec(
            name=f"letters-{order}",
            build=partial(build_model, order),
            kinds=frozenset({"generate", "loglikelihood"}),
            family="letters",
            size=order,
            description=f"Letter n-grams of up to {order} bytes.",
        )


@hookimpl
def harness_tasks() -> Iterator[TaskSpec]:
    yield TaskSpec(
        name="word-endings",
        build=WordEndings,
        needs=(frozenset({"generate", "loglikelihood"}),),
        category="generation",
        options=(Option(name="hidden", help="how many letters are hidden, 1 to 4 (default 2)"),),
        max_shots=5,
        description="Complete an English word.",
    )
