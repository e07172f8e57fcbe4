"""Scorers by name: every name builds, options reach the factory, mistakes are named."""

from __future__ import annotations

import re

import pytest

from harness.errors import UsageError
from harness.metrics import TEXT_SCORERS, bleu, named_scorer, value


@pytest.mark.parametrize("name", TEXT_SCORERS)
def test_every_name_builds_the_metric_of_that_name(name: str) -> None:
    scorer = named_scorer(name)
    assert scorer.metric.name.startswith(name)
    stats = scorer.stats("the cat sat on the mat", ["the cat sat on a mat", "no"])
    assert value(scorer.metric, [stats]) >= 0


def test_options_reach_the_factory() -> None:
    scorer = named_scorer("bleu:tokenize=zh,lowercase=yes,smooth_value=0.2,smooth_method=floor")
    assert scorer == bleu("zh", True, smooth_method="floor", smooth_value=0.2)
    assert named_scorer("chrf++").metric.formula == "chrf:6:2:2"
    assert named_scorer("chrf:char_order=4,beta=1").metric.formula == "chrf:4:0:1"
    assert "stemmer:yes" in named_scorer("rougeL:stemmer=yes").metric.signature
    assert named_scorer("distinct:n=3").metric.name == "distinct_3"
    assert "norm:cmrc" in named_scorer("f1:manner=cmrc").metric.signature


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("bleuu", "Unknown metric 'bleuu'. Did you mean 'bleu'"),
        ("bleu:tokenise=zh", "The metric 'bleu' has no option 'tokenise=zh'. Did you mean 'tokeni"),
        ("bleu:lowercase", "The metric 'bleu' has no option 'lowercase'."),
        ("chrf++:word_order=3", "The metric 'chrf++' has no option 'word_order=3'."),
        ("bleu:lowercase=maybe", "'lowercase' of the metric 'bleu' takes yes or no, not 'maybe'"),
        ("distinct:n=two", "'n' of the metric 'distinct' takes a whole number, not 'two'"),
        ("chrf:beta=x", "'beta' of the metric 'chrf' takes a number, not 'x'"),
    ],
)
def test_mistakes_are_named(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        named_scorer(spec)
