"""Which law to believe: the one nearest to what laws foretell together, each by its record.

Every law is fitted to the sizes up to many points on the way (rolling origins over scale) and
judged on the sizes above. One curve holds few independent judgements, and picking the law with
the least held-out error picks luck: the records only weigh an average, and the law chosen is the
one that comes closest to it beyond the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.laws.bound import Law
from harness.laws.candidates import (
    Candidate,
    candidates_of,
    scale_of,
    thinned,
    weighted_by_size,
)
from harness.laws.estimate import Data
from harness.laws.losses import Loss
from harness.laws.origins import CutFits
from harness.laws.registry import GENERAL

Array = NDArray[np.float64]

PER_PARAMETER = 2
"""Points per parameter that a law needs to take part in the average."""

CAUTION = 2.0
"""Origins' worth of equal records that every law is given beforehand."""

PROOF = 4
"""Origins that a record needs before a simpler law can stand on it."""

REACH = 4.0
"""How far beyond the data laws are compared with their average, as a factor of size."""

_EXACT = 1e-4
"""Differences of logarithms that are nothing, however small the scatter is."""


@dataclass(frozen=True, kw_only=True)
class LawScore:
    """How a law did.

    by_size
        whether points count in proportion to their size, so that the law need hold for the
        largest sizes only, or all alike
    held_out
        root mean squared error of the logarithm of held-out values, geometric mean over origins
    distance
        root mean squared difference of its logarithm from the average's, up to ``REACH`` times
        beyond the largest size
    aicc
        Akaike's criterion with the small-sample correction, on all points; lower is better; NaN
        for weighted points, where it means nothing
    weight
        share in the average over laws
    """

    law: str
    by_size: bool
    held_out: float
    distance: float
    aicc: float
    origins: int
    weight: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Laws, the chosen one first, the others by weight; ``members`` are their fits."""

    laws: tuple[LawScore, ...]
    members: tuple[CutFits, ...]

    @property
    def best(self) -> str:
        """The law to use."""
        return self.laws[0].law

    def renamed(self, prefix: str) -> Ranking:
        """The same with ``prefix`` before the laws' names."""
        laws = tuple(replace(score, law=f"{prefix}{score.law}") for score in self.laws)
        return replace(self, laws=laws)

    def emphasised(self, data: Data) -> Data:
        """``data`` with the weights that the chosen law is to be fitted with."""
        return weighted_by_size(data) if self.laws[0].by_size else data

    def average(self, variables: Mapping[str, Array]) -> Array:
        """Predictions (k,) of all laws, averaged in logs by their weights."""
        total = sum(
            score.weight * np.log(member.at(variables)[0])
            for score, member in zip(self.laws, self.members, strict=True)
            if score.weight > 0
        )
        averaged: Array = np.exp(total)
        return averaged

    def to_json(self) -> list[dict[str, Any]]:
        """For ``--json``."""
        return [
            {
                "law": score.law,
                "points_count": "by size" if score.by_size else "alike",
                "held_out_rmsle": _finite(score.held_out),
                "from_average": _finite(score.distance),
                "aicc": _finite(score.aicc),
                "origins": score.origins,
                "weight": score.weight,
            }
            for score in self.laws
        ]


def choose(laws: Sequence[Law], data: Data, loss: Loss) -> Ranking:
    """Rank ``laws`` of the same variables by rolling origins over scale, and choose one.

    1. Laws are fitted by squares, on the loss's scale, with all points alike; one-variable laws
       also with points that count in proportion to their size, where that leaves ``EFFECTIVE``
       points. A law that describes only the end of a curve has its chance that way.
    2. Laws with ``PER_PARAMETER`` points for each parameter are averaged in logs. With all
       points alike a law that is a special case of another adds nothing and stands aside. The
       weights are the inverse squares of held-out errors (Bates and Granger 1969), origin by
       origin relative to one law's, shrunk towards equality by ``CAUTION`` origins.
    3. The law nearest to the average beyond the data is chosen, unless a law with fewer
       parameters says the same (it differs by less than the scatter of one measurement) or says
       as much: its held-out errors are no larger than the averaged laws', and the further
       parameters of none of these pay for themselves (Akaike 1974; his criterion is not
       corrected for few points here, as it falls to the simpler law to prove itself). Of these
       the one with the fewest parameters is chosen, and among equals that of the lowest AICc.
       With several variables AICc decides among the laws of at least half the largest weight.

    Raises:
        DataError: values that are not positive, or too few sizes to hold any out.
    """
    if not (data.y > 0).all():
        raise DataError("--law auto compares logarithms; all values must be positive.")
    data = thinned(data) if len(data.variables) == 1 else data
    candidates = candidates_of(laws, data, loss)
    if not any(np.isfinite(one.held).any() for one in candidates):
        raise DataError(
            "--law auto holds out the largest sizes, and there are too few of them. "
            "Choose a law with --law."
        )
    weights, records = _weights(candidates, data.y.size)
    distances = _distances(candidates, weights, data)
    if len(data.variables) > 1:
        best = _within_reach(candidates, weights)
    else:
        best = _chosen(candidates, weights, distances, records)
    order = sorted(range(len(candidates)), key=lambda i: (i != best, -weights[i], distances[i]))
    return Ranking(
        laws=tuple(
            LawScore(
                law=candidates[i].law.name,
                by_size=candidates[i].by_size,
                held_out=_geometric(candidates[i].held),
                distance=float(distances[i]),
                aicc=candidates[i].aicc,
                origins=int(np.isfinite(candidates[i].held).sum()),
                weight=float(weights[i]),
            )
            for i in order
        ),
        members=tuple(candidates[i].fits for i in order),
    )


# --- average and choice ---------------------------------------------------------------------------


def _weights(candidates: Sequence[Candidate], n: int) -> tuple[Array, Array]:
    """Shares in the average, and records: mean logs of held-out error ratios, both (C,).

    Records of fewer than ``PROOF`` origins are infinite.
    """
    able = np.array([n >= PER_PARAMETER * one.size for one in candidates])
    apart = np.array([one.by_size or one.law.name in GENERAL for one in candidates])
    pool = able & apart if (able & apart).any() else able if able.any() else ~able
    logs = np.log(np.array([one.held for one in candidates]))
    known = np.isfinite(logs)
    reference = int(np.argmax(np.where(pool, known.sum(axis=1), -1)))
    gap = logs - logs[reference]
    both = known & known[reference]
    total, count = np.where(both, gap, 0.0).sum(axis=1), both.sum(axis=1)
    shrunk = total / (CAUTION + count)
    weight = np.where(pool, np.exp(-2.0 * (shrunk - shrunk[pool].min())), 0.0)
    return weight / weight.sum(), np.where(count >= PROOF, total / np.maximum(count, 1), np.inf)


def _distances(candidates: Sequence[Candidate], weights: Array, data: Data) -> Array:
    """Root mean squares of differences from the average beyond the largest size, (C,)."""
    top = {
        name: values[np.argmax(scale_of(data.variables))] for name, values in data.variables.items()
    }
    factors = np.geomspace(1.0, REACH ** (1.0 / len(top)), 9)
    beyond = {name: value * factors for name, value in top.items()}
    with np.errstate(all="ignore"):
        logs = np.array([np.log(one.fits.at(beyond)[0]) for one in candidates])
    logs = np.where(np.isfinite(logs), logs, 1e3)
    distances: Array = np.sqrt(np.mean((logs - weights @ logs) ** 2, axis=1))
    return distances


def _chosen(
    candidates: Sequence[Candidate], weights: Array, distances: Array, records: Array
) -> int:
    pool = weights > 0
    nearest = int(np.argmin(np.where(pool, distances, np.inf)))
    scatter = min(one.scatter for one, there in zip(candidates, pool, strict=True) if there)
    aic = np.array([_last(one.aic) for one in candidates])
    known = pool & np.isfinite(records)
    bar = np.average(records[known], weights=weights[known]) if known.any() else -np.inf
    same = distances <= max(scatter, _EXACT)
    proven = (records <= bar) & (aic <= aic[pool].min())
    simpler = [
        i
        for i, one in enumerate(candidates)
        if (same[i] or proven[i]) and one.size < candidates[nearest].size
    ]
    if not simpler:
        return nearest
    return min(simpler, key=lambda i: (candidates[i].size, _last(candidates[i].aicc), distances[i]))


def _within_reach(candidates: Sequence[Candidate], weights: Array) -> int:
    """The lowest AICc among laws with at least half the largest weight.

    Surfaces are not read by their end alone: where records are alike, all points decide.
    """
    near = [i for i, weight in enumerate(weights) if weight >= 0.5 * weights.max()]
    return min(near, key=lambda i: _last(candidates[i].aicc))


def _geometric(held: Array) -> float:
    finite = held[np.isfinite(held)]
    return float(np.exp(np.log(finite).mean())) if finite.size else float("nan")


def _last(value: float) -> float:
    return value if np.isfinite(value) else float("inf")


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
