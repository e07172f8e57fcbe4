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
    from harness.metrics.aggregate import bootstrap_weights, interval, per_sample, replicates, value
    from harness.metrics.answers import exact_match, f1
    from harness.metrics.attempts import pass_at_k
    from harness.metrics.characters import chrf
    from harness.metrics.choices import Choice, choice_accuracy, choice_probability
    from harness.metrics.entities import entity_f1, entity_precision, entity_recall
    from harness.metrics.formulas import FORMULAS, formula
    from harness.metrics.labels import label_f1, matthews, tag_accuracy
    from harness.metrics.likelihood import bits_per_byte, perplexity
    from harness.metrics.named import TEXT_SCORERS, named_scorer
    from harness.metrics.quality import corpus_distinct, distinct, length, length_ratio, repetition
    from harness.metrics.reports import (
        EntityReports,
        Report,
        ReportRow,
        entity_report,
        entity_reports,
        report_from_counts,
        tag_report,
    )
    from harness.metrics.scorer import Scorer, accuracy, mean
    from harness.metrics.spans import spans_from_tags, tags_from_spans
    from harness.metrics.summaries import rouge
    from harness.metrics.translation import bleu, ter

__all__ = [
    "FORMULAS",
    "TEXT_SCORERS",
    "Choice",
    "EntityReports",
    "Report",
    "ReportRow",
    "Scorer",
    "accuracy",
    "bits_per_byte",
    "bleu",
    "bootstrap_weights",
    "choice_accuracy",
    "choice_probability",
    "chrf",
    "corpus_distinct",
    "distinct",
    "entity_f1",
    "entity_precision",
    "entity_recall",
    "entity_report",
    "entity_reports",
    "exact_match",
    "f1",
    "formula",
    "interval",
    "label_f1",
    "length",
    "length_ratio",
    "matthews",
    "mean",
    "named_scorer",
    "pass_at_k",
    "per_sample",
    "perplexity",
    "repetition",
    "replicates",
    "report_from_counts",
    "rouge",
    "spans_from_tags",
    "tag_accuracy",
    "tag_report",
    "tags_from_spans",
    "ter",
    "value",
]

_HOMES = {
    "aggregate": ("bootstrap_weights", "interval", "per_sample", "replicates", "value"),
    "answers": ("exact_match", "f1"),
    "attempts": ("pass_at_k",),
    "characters": ("chrf",),
    "choices": ("Choice", "choice_accuracy", "choice_probability"),
    "entities": ("entity_f1", "entity_precision", "entity_recall"),
    "formulas": ("FORMULAS", "formula"),
    "labels": ("label_f1", "matthews", "tag_accuracy"),
    "likelihood": ("bits_per_byte", "perplexity"),
    "named": ("TEXT_SCORERS", "named_scorer"),
    "quality": ("corpus_distinct", "distinct", "length", "length_ratio", "repetition"),
    "reports": (
        "EntityReports",
        "Report",
        "ReportRow",
        "entity_report",
        "entity_reports",
        "report_from_counts",
        "tag_report",
    ),
    "scorer": ("Scorer", "accuracy", "mean"),
    "spans": ("spans_from_tags", "tags_from_spans"),
    "summaries": ("rouge",),
    "translation": ("bleu", "ter"),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
