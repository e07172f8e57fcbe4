"""Paired statistics: does one system differ from another on the same samples, and by how much?

Everything is computed from the sufficient statistics of each sample, so corpus metrics (BLEU,
entity F1, perplexity) are tested as well as means of per-sample scores.
"""

from __future__ import annotations

from harness.stats.multiple import affordable_draws, holm
from harness.stats.pairs import Pairs, pair
from harness.stats.power import detectable, detectable_mcnemar
from harness.stats.resampling import Resampler, Spread, spread
from harness.stats.significance import TESTS, Significance, choose, shifted, significance
from harness.stats.unpaired import UNPAIRED, standard_error, unpaired

__all__ = [
    "TESTS",
    "UNPAIRED",
    "Pairs",
    "Resampler",
    "Significance",
    "Spread",
    "affordable_draws",
    "choose",
    "detectable",
    "detectable_mcnemar",
    "holm",
    "pair",
    "shifted",
    "significance",
    "spread",
    "standard_error",
    "unpaired",
]
