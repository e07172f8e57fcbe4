"""Scorers of texts by name and options, as a command line or a small file gives them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from harness.errors import UsageError, suggestion
from harness.metrics.answers import exact_match, f1
from harness.metrics.characters import chrf
from harness.metrics.quality import distinct, length, length_ratio, repetition
from harness.metrics.scorer import Scorer, accuracy
from harness.metrics.summaries import rouge
from harness.metrics.translation import bleu, ter


@dataclass(frozen=True, kw_only=True)
class Named:
    """A factory of scorers, with the arguments that its name settles."""

    factory: Callable[..., Scorer]
    settled: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def options(self) -> Mapping[str, str]:
        """The arguments still open, and the type of each in words; references are counted."""
        parameters = inspect.signature(self.factory).parameters.values()
        return {
            parameter.name: str(parameter.annotation)
            for parameter in parameters
            if parameter.name not in (*self.settled, "name", "nrefs")
        }

    def given(self, references: int | None) -> Named:
        """For samples that all have so many references; ``None``: not all the same number."""
        if "nrefs" not in inspect.signature(self.factory).parameters:
            return self
        return replace(self, settled={**self.settled, "nrefs": references})


def _rouge(kind: str) -> Named:
    return Named(factory=rouge, settled={"kind": kind})


TEXT_SCORERS: Mapping[str, Named] = MappingProxyType(
    {
        "acc": Named(factory=accuracy),
        "bleu": Named(factory=bleu),
        "chrf": Named(factory=chrf, settled={"word_order": 0}),
        "chrf++": Named(factory=chrf, settled={"word_order": 2}),
        "distinct": Named(factory=distinct),
        "exact_match": Named(factory=exact_match),
        "f1": Named(factory=f1),
        "length": Named(factory=length),
        "length_ratio": Named(factory=length_ratio),
        "repetition": Named(factory=repetition),
        **{kind: _rouge(kind) for kind in ("rouge1", "rouge2", "rouge3", "rougeL", "rougeLsum")},
        "ter": Named(factory=ter),
    }
)
"""Scorers that compare one text with one or several, by their metric's name."""


def named_scorer(spec: str) -> Scorer:
    """The scorer that ``spec`` names: ``bleu``, ``bleu:tokenize=zh,lowercase=yes``, ``rougeL``.

    Options are the arguments of the factory of that name, with yes and no for booleans. Raises
    :class:`UsageError` for an unknown name, option or value.
    """
    name = spec.partition(":")[0]
    if name not in TEXT_SCORERS:
        raise UsageError(f"Unknown metric '{name}'. {suggestion(name, TEXT_SCORERS)}")
    return made_scorer(spec, TEXT_SCORERS[name])


def made_scorer(spec: str, named: Named) -> Scorer:
    """``named`` with the options of ``spec``; raises :class:`UsageError`."""
    name, _, given = spec.partition(":")
    options: dict[str, Any] = {}
    for part in filter(None, given.split(",")):
        key, equals, text = part.partition("=")
        if key not in named.options or not equals:
            known = suggestion(key, named.options)
            raise UsageError(f"The metric '{name}' has no option '{part}'. {known}".rstrip())
        options[key] = _converted(name, key, text, named.options[key])
    return named.factory(**named.settled, **options)


def _converted(metric: str, option: str, text: str, annotation: str) -> Any:
    """``text`` as the type that the argument's annotation names first."""
    words = {"yes": True, "true": True, "no": False, "false": False}
    try:
        if annotation.startswith("bool"):
            return words[text.lower()]
        if annotation.startswith("int"):
            return int(text)
        return float(text) if annotation.startswith("float") else text
    except (KeyError, ValueError):
        wanted = {"b": "yes or no", "i": "a whole number", "f": "a number"}[annotation[0]]
        raise UsageError(
            f"The option '{option}' of the metric '{metric}' takes {wanted}, not '{text}'."
        ) from None
