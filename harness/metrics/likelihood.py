"""Perplexity and bits per byte, from summed natural log-probabilities."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from harness.errors import UsageError, suggestion
from harness.metrics.scorer import signature
from harness.types import Metric, Stats

UNITS = ("token", "word", "byte")


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """Statistics: negative log-probability (nats, or bits for bits per byte), and units."""

    metric: Metric
    scale: float

    def stats(self, logprob: float, count: float, /) -> Stats:
        """``(-logprob · scale, count)`` from nats summed over a text of ``count`` units."""
        # Adding zero turns the -0.0 of a certain text into 0.0.
        return -float(logprob) * self.scale + 0.0, float(count)


def perplexity(
    unit: Literal["token", "word", "byte"] = "token", *, name: str | None = None
) -> Likelihood:
    """exp of the mean negative log-probability per token, word or byte of the whole corpus.

    The name is ``perplexity``, ``word_perplexity`` or ``byte_perplexity``. Only the latter two may
    be compared between tokenizers. Raises :class:`UsageError` for another unit.
    """
    if unit not in UNITS:
        raise UsageError(f"Unknown unit '{unit}'. {suggestion(unit, UNITS)}")
    metric = Metric(
        name=name or ("perplexity" if unit == "token" else f"{unit}_perplexity"),
        formula="exp-ratio",
        higher_is_better=False,
        is_loss=True,
        bounds=(1.0, None),
        signature=signature(unit=unit, average="corpus"),
    )
    return Likelihood(metric=metric, scale=1.0)


def bits_per_byte(*, name: str = "bits_per_byte") -> Likelihood:
    """Bits that the model needs per UTF-8 byte of the text (Gao et al. 2020, The Pile)."""
    metric = Metric(
        name=name,
        formula="ratio",
        higher_is_better=False,
        is_loss=True,
        bounds=(0.0, None),
        signature=signature(unit="byte", log="2", average="corpus"),
    )
    return Likelihood(metric=metric, scale=1 / math.log(2))
