"""What laws foretell together: an offer beside the law that was chosen, marked as such."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.laws.choose import Ranking
from harness.laws.forecast import Predictor
from harness.laws.records import LEVEL, Prediction

Array = NDArray[np.float64]

NOTABLE = 0.01
"""Share in the average from which a law is named."""


def together(ranking: Ranking, best: Predictor, single: Prediction) -> Prediction | None:
    """The average over laws where ``single`` foretells with the chosen one; None for one law.

    The interval mixes the chosen law's draws, moved by a factor to what each law foretells, as
    many as its weight allows: it holds the chosen law's own uncertainty and the laws' discord.
    """
    members = [
        (score, member)
        for score, member in zip(ranking.laws, ranking.members, strict=True)
        if score.weight >= NOTABLE
    ]
    if len(members) < 2:
        return None
    at = {name: np.array([value]) for name, value in single.at.items()}
    value, drawn = best.draws(at)
    scores = best.scores
    chosen, draws = scores.forward(value)[0], scores.forward(drawn)[:, 0]
    moved = [
        (draws * (member.at(at)[0, 0] / chosen))[: max(1, round(score.weight * len(draws)))]
        for score, member in members
    ]
    centre = float(scores.back(ranking.average(at))[0])
    lo, hi = np.quantile(scores.back(np.concatenate(moved)), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    names = dict.fromkeys(score.law for score, _ in members)
    return Prediction(
        at=single.at,
        value=centre,
        lo=float(min(lo, centre)),
        hi=float(max(hi, centre)),
        beyond=single.beyond,
        note=f"average over {', '.join(names)}; {single.note}".rstrip("; "),
    )
