"""The requests that the speed benches share, of fixed lengths."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from harness.types import Generate, Loglikelihood, Request

WORDS = [f"{a}{b}" for a in "bcdfgklmnprst" for b in ("a", "e", "i", "o", "u", "an", "el")]


@dataclass(frozen=True, kw_only=True)
class Work:
    """Requests, and how many of them make one item."""

    name: str
    requests: tuple[Request, ...]
    per_item: int = 1


def sentence(draw: random.Random, words: int) -> str:
    return " ".join(draw.choice(WORDS) for _ in range(words))


def translation(draw: random.Random, items: int) -> Work:
    """Three worked examples and a sentence; 48 new tokens."""
    header = "".join(f"{sentence(draw, 20)} = {sentence(draw, 20)}\n" for _ in range(3))
    return Work(
        name="translation",
        requests=tuple(
            Generate(prompt=f"{header}{sentence(draw, draw.randint(8, 24))} =", max_tokens=48)
            for _ in range(items)
        ),
    )


def question(draw: random.Random, items: int) -> Work:
    """A passage of its own for each question; 16 new tokens."""
    return Work(
        name="question",
        requests=tuple(
            Generate(prompt=f"{sentence(draw, draw.randint(200, 300))}?", max_tokens=16)
            for _ in range(items)
        ),
    )


def choices(draw: random.Random, items: int, header: str = "") -> Work:
    """Four endings to a context of about 200 words."""
    requests = []
    for _ in range(items):
        context = f"{header}{sentence(draw, draw.randint(60 if header else 160, 240))} ="
        requests += [
            Loglikelihood(context=context, continuation=" " + sentence(draw, draw.randint(3, 12)))
            for _ in range(4)
        ]
    return Work(name="choices", requests=tuple(requests), per_item=4)


def choices_header(draw: random.Random, items: int) -> Work:
    """The same with worked examples of about 150 words before."""
    work = choices(draw, items, header=sentence(draw, 150) + "\n")
    return Work(name="choices+header", requests=work.requests, per_item=4)


def perplexity(draw: random.Random, items: int) -> Work:
    """Documents of 250 to 450 words."""
    return Work(
        name="perplexity",
        requests=tuple(
            Loglikelihood(context="", continuation=sentence(draw, draw.randint(250, 450)))
            for _ in range(items)
        ),
    )


WORKS: dict[str, Callable[[random.Random, int], Work]] = {
    "translation": translation,
    "question": question,
    "choices": choices,
    "choices+header": choices_header,
    "perplexity": perplexity,
}
