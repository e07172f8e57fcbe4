"""Multiple choice by log-probability: which normalisation picks the answer.

The variants are those of Brown et al. 2020 (by tokens, by unconditional probability), of
lm-evaluation-harness (``acc``, ``acc_norm``, ``acc_mutual_info``) and of OLMES (Gu et al. 2024).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from harness.errors import UsageError, suggestion
from harness.metrics.scorer import as_list, signature
from harness.types import Metric, Stats

Normalisation: TypeAlias = Literal["raw", "token", "char", "byte", "unconditional"]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One possible answer and what the model gives it.

    ``logprob`` is in nats, summed over the answer's ``tokens``; ``text`` is the answer without
    the blank that may stand before it; ``unconditional`` its log-probability after a neutral
    prompt such as ``Answer:``.
    """

    logprob: float
    text: str = ""
    tokens: int | None = None
    unconditional: float | None = None


def _by_token(choice: Choice) -> float:
    if choice.tokens is None:
        raise UsageError("Accuracy per token needs each choice's number of tokens.")
    return choice.logprob / max(choice.tokens, 1)


def _by_unconditional(choice: Choice) -> float:
    if choice.unconditional is None:
        raise UsageError("Accuracy by unconditional probability needs that of each choice.")
    return choice.logprob - choice.unconditional


_SCORES: Mapping[str, Callable[[Choice], float]] = {
    "raw": lambda choice: choice.logprob,
    "token": _by_token,
    "char": lambda choice: choice.logprob / max(len(choice.text), 1),
    "byte": lambda choice: choice.logprob / max(len(choice.text.encode()), 1),
    "unconditional": _by_unconditional,
}
_NAMES = {"raw": "acc", "unconditional": "acc_unconditional"}


def _best(scores: Sequence[float]) -> int:
    """Index of the highest score; the first of equals, and nan below all, so no order decides."""
    known = [-math.inf if math.isnan(score) else score for score in scores]
    return max(range(len(known)), key=known.__getitem__, default=-1)


@dataclass(frozen=True, kw_only=True)
class ChoiceAccuracy:
    """Statistics: 100 where the picked choice is right, and 1."""

    metric: Metric
    by: str

    def stats(self, prediction: Sequence[Choice], reference: int | Sequence[int], /) -> Stats:
        """``(100 or 0, 1)``; ``reference`` is the index, or the indices, of right choices."""
        score = _SCORES[self.by]
        picked = _best([score(choice) for choice in prediction])
        return 100.0 * (picked in as_list(reference)), 1.0


def choice_accuracy(
    by: Normalisation = "raw", *, choices: int | None = None, name: str | None = None
) -> ChoiceAccuracy:
    """Percent of samples whose most probable choice is right.

    ``by`` says what is compared: the ``raw`` log-probability, or it per ``token``, per ``char``
    (lm-evaluation-harness' ``acc_norm``), per UTF-8 ``byte``, or less the ``unconditional`` one.
    The name is ``acc``, ``acc_per_token`` and so on, ``acc_unconditional``. ``choices`` gives the
    chance level. Raises :class:`UsageError`.
    """
    if by not in _SCORES:
        raise UsageError(f"Unknown normalisation '{by}'. {suggestion(by, _SCORES)}")
    metric = Metric(
        name=name or _NAMES.get(by, f"acc_per_{by}"),
        bounds=(0.0, 100.0),
        chance=100.0 / choices if choices else None,
        signature=signature(pick="logprob", by=by, ties="first", choices=choices),
    )
    return ChoiceAccuracy(metric=metric, by=by)


@dataclass(frozen=True, kw_only=True)
class ChoiceProbability:
    """Statistics: 100 times the right choices' share of the probability, and 1."""

    metric: Metric

    def stats(self, prediction: Sequence[Choice], reference: int | Sequence[int], /) -> Stats:
        """``(100 · share, 1)``; impossible choices only: equal shares."""
        logprobs = [choice.logprob for choice in prediction]
        top = max(logprobs, default=-math.inf)
        if not math.isfinite(top):
            weights = [1.0] * len(logprobs)
        else:
            weights = [math.exp(logprob - top) for logprob in logprobs]
        right = sum(weights[i] for i in as_list(reference) if 0 <= i < len(weights))
        return 100.0 * right / sum(weights) if weights else 0.0, 1.0


def choice_probability(
    *, choices: int | None = None, name: str = "choice_probability"
) -> ChoiceProbability:
    """Mean probability of the right choice among the choices given, 0-100.

    It grows smoothly with model size where accuracy still sits at chance (Schaeffer et al. 2024).
    """
    metric = Metric(
        name=name,
        bounds=(0.0, 100.0),
        chance=100.0 / choices if choices else None,
        signature=signature(share="softmax", by="raw", choices=choices),
    )
    return ChoiceProbability(metric=metric)
