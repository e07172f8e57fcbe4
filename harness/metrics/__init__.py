"""Metrics: how one answer becomes sufficient statistics, and how statistics become numbers.

A *scorer* (``bleu()``, ``f1()``, ...) holds a :class:`~harness.types.Metric` and turns one
prediction and its reference into a few floats. They are all that is stored; values, bootstrap
intervals and paired tests are computed from them later, by ``Metric.formula`` alone.

Importing this package loads neither numpy nor a metric's reference implementation: the names
below are fetched from their modules when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.metrics.aggregate import (
        bootstrap_weights,
        interval,
        per_sample,
        replicates,
        value,
    )
    from harness.metrics.answers import exact_match, f1
    from harness.metrics.characters import chrf
    from harness.metrics.entities import entity_f1
    from harness.metrics.formulas import FORMULAS, formula
    from harness.metrics.likelihood import bits_per_byte, perplexity
    from harness.metrics.scorer import Scorer, accuracy, mean
    from harness.metrics.spans import spans_from_tags, tags_from_spans
    from harness.metrics.summaries import rouge
    from harness.metrics.translation import bleu, ter

__all__ = [
    "FORMULAS",
    "Scorer",
    "accuracy",
    "bits_per_byte",
    "bleu",
    "bootstrap_weights",
    "chrf",
    "entity_f1",
    "exact_match",
    "f1",
    "formula",
    "interval",
    "mean",
    "per_sample",
    "perplexity",
    "replicates",
    "rouge",
    "spans_from_tags",
    "tags_from_spans",
    "ter",
    "value",
]

_HOMES = {
    "aggregate": ("bootstrap_weights", "interval", "per_sample", "replicates", "value"),
    "answers": ("exact_match", "f1"),
    "characters": ("chrf",),
    "entities": ("entity_f1",),
    "formulas": ("FORMULAS", "formula"),
    "likelihood": ("bits_per_byte", "perplexity"),
    "scorer": ("Scorer", "accuracy", "mean"),
    "summaries": ("rouge",),
    "spans": ("spans_from_tags", "tags_from_spans"),
    "translation": ("bleu", "ter"),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
