"""From sums of per-sample statistics to values, for one sum or thousands of resampled sums at once.

A formula takes an array whose last axis holds the ``k`` summed statistics and returns the values,
one axis fewer. Settings that change the value are part of a formula's name, after colons, so that
``Metric.formula`` alone is enough to compute a score again from stored statistics:

=============================  ==============================================  ==================
name                           statistics                                      value
=============================  ==============================================  ==================
``mean``, ``ratio``            sum, count                                      sum / count
``exp-ratio``                  sum, count                                      exp(sum / count)
``f1``                         matched, predicted, gold                        100 · 2m / (p + g)
``precision``, ``recall``      matched, predicted, gold                        100 · m / p or m / g
``macro-f1``, ``weighted-f1``  the same three for each type                    mean of the types' F1
``matthews``                   correct, samples, predicted and gold per label  100 · correlation
``bleu:SMOOTH:VALUE:EFF``      hyp length, ref length, matches, totals         BLEU, 0-100
``chrf:CHAR:WORD:BETA[:eps]``  per order: hypothesis, reference, matches       chrF, 0-100
``ter``                        edits, reference length                         100 · edits / length
=============================  ==============================================  ==================

A zero denominator never warns. F-scores, BLEU and chrF are then 0, as their reference
implementations print; a mean or ratio of nothing is ``nan``, because no number would be true.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.errors import PluginError, suggestion

Array: TypeAlias = NDArray[np.float64]
Formula: TypeAlias = Callable[[Array], Array]


def _require(sums: Array, width: int, name: str, what: str) -> None:
    if sums.shape[-1] != width:
        raise PluginError(
            f"The formula '{name}' takes {width} statistics per sample ({what}), "
            f"but got {sums.shape[-1]}.\nGive each sample that many, or name another formula."
        )


def _divide(above: Array, below: Array, otherwise: float) -> Array:
    """``above / below``, and ``otherwise`` where ``below`` is zero; no warnings."""
    result = np.full(np.broadcast(above, below).shape, otherwise, dtype=np.float64)
    np.divide(above, below, out=result, where=below != 0)
    return result


def _ratio(sums: Array, *, name: str = "mean") -> Array:
    _require(sums, 2, name, "sum, count")
    return _divide(sums[..., 0], sums[..., 1], np.nan)


def _exp_ratio(sums: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(np.exp(_ratio(sums, name="exp-ratio")), dtype=np.float64)


def _f1(sums: Array) -> Array:
    _require(sums, 3, "f1", "matched, predicted, gold")
    return _divide(200.0 * sums[..., 0], sums[..., 1] + sums[..., 2], 0.0)


def _share(sums: Array, *, column: int, name: str) -> Array:
    _require(sums, 3, name, "matched, predicted, gold")
    return _divide(100.0 * sums[..., 0], sums[..., column], 0.0)


def _f1_per_type(sums: Array, name: str) -> tuple[Array, Array]:
    """``(..., types)`` F1 values and the ``(..., types, 3)`` counts they come from."""
    if sums.shape[-1] % 3:
        _require(sums, sums.shape[-1] // 3 * 3 + 3, name, "matched, predicted, gold per type")
    counts = sums.reshape(*sums.shape[:-1], -1, 3)
    return _f1(counts), counts


def _macro_f1(sums: Array) -> Array:
    """Unweighted mean over the types that occur in gold or prediction, as in seqeval."""
    values, counts = _f1_per_type(sums, "macro-f1")
    seen = (counts[..., 1] + counts[..., 2]) > 0
    return _divide((values * seen).sum(-1), seen.sum(-1).astype(np.float64), 0.0)


def _weighted_f1(sums: Array) -> Array:
    """Mean over types weighted by their gold count, as in seqeval."""
    values, counts = _f1_per_type(sums, "weighted-f1")
    support = counts[..., 2]
    return _divide((values * support).sum(-1), support.sum(-1), 0.0)


def _matthews(sums: Array) -> Array:
    """Gorodkin 2004, which is Matthews 1975 for two labels; 0 where one side is constant."""
    if sums.shape[-1] % 2 or sums.shape[-1] < 6:
        _require(sums, 6, "matthews", "correct, samples, two or more predicted, as many gold")
    labels = (sums.shape[-1] - 2) // 2
    correct, samples = sums[..., 0], sums[..., 1]
    predicted, gold = sums[..., 2 : 2 + labels], sums[..., 2 + labels :]
    covariance = correct * samples - (predicted * gold).sum(-1)
    varied = (samples**2 - (predicted**2).sum(-1)) * (samples**2 - (gold**2).sum(-1))
    spread = np.sqrt(np.maximum(varied, 0.0))
    return np.clip(_divide(100.0 * covariance, spread, 0.0), -100.0, 100.0)


def _ter(sums: Array) -> Array:
    """Snover et al. 2006; sacreBLEU gives 100 to words against empty references, 0 to none."""
    _require(sums, 2, "ter", "edits, reference length")
    value = _divide(100.0 * sums[..., 0], sums[..., 1], 100.0)
    return np.where((sums[..., 0] == 0) & (sums[..., 1] == 0), 0.0, value)


def _bleu_precisions(matches: Array, totals: Array, smooth: str, smooth_value: float) -> Array:
    """n-gram precisions in 0-1, smoothed as sacreBLEU's ``compute_bleu`` does."""
    precisions = _divide(matches, totals, 0.0)
    missing = (matches == 0) & (totals > 0)
    if smooth == "exp":
        halvings = np.exp2(np.cumsum(missing, axis=-1))
        return np.where(missing, _divide(1 / halvings, totals, 0.0), precisions)
    if smooth == "floor":
        return np.where(missing, _divide(np.array(smooth_value), totals, 0.0), precisions)
    return precisions


def _bleu(sums: Array, *, smooth: str, smooth_value: float, effective: bool) -> Array:
    """Papineni et al. 2002 with the smoothing of Chen and Cherry 2014, as in sacreBLEU."""
    order = (sums.shape[-1] - 2) // 2
    if order < 1 or sums.shape[-1] % 2:
        _require(sums, 10, "bleu", "hypothesis and reference length, 4 matches, 4 totals")
    hypothesis, reference = sums[..., 0], sums[..., 1]
    matches, totals = sums[..., 2 : 2 + order], sums[..., 2 + order :]
    if smooth != "add-k" and sums.size and sums.min() > 0:
        # Nothing to smooth and no order to leave out, as in nearly every resample.
        mean_log = np.log(matches / totals).sum(-1) / order
        penalty = np.exp(np.minimum(1.0 - reference / hypothesis, 0.0))
        value: Array = np.minimum(100.0 * penalty * np.exp(mean_log), 100.0)
        return value
    anything = (matches > 0).any(axis=-1)
    if smooth == "add-k":
        added = np.array([0.0] + [smooth_value] * (order - 1))
        matches, totals = matches + added, totals + added
    # sacreBLEU stops at the first order without n-grams: later ones count as zero precision.
    reached = np.cumprod(totals > 0, axis=-1).astype(bool)
    precisions = np.where(reached, _bleu_precisions(matches, totals, smooth, smooth_value), 0.0)
    used = reached if effective else np.ones_like(reached)
    logs = np.log(precisions, out=np.full_like(precisions, -np.inf), where=precisions > 0)
    mean_log = _divide(np.where(used, logs, 0.0).sum(-1), used.sum(-1).astype(np.float64), -np.inf)
    shortfall = 1.0 - _divide(reference, hypothesis, np.inf)
    penalty = np.exp(np.minimum(shortfall, 0.0))
    # Smoothing by a large value can pass 100, which no bounded score may.
    return np.where(anything, np.minimum(100.0 * penalty * np.exp(mean_log), 100.0), 0.0)


def _chrf(sums: Array, *, orders: int, beta: float, eps: bool) -> Array:
    """Popović 2015, 2017. Orders that one side lacks are left out, or smoothed with ``eps``."""
    _require(sums, 3 * orders, "chrf", "hypothesis, reference, matches for each n-gram order")
    counts = sums.reshape(*sums.shape[:-1], orders, 3)
    hypothesis, reference, matches = counts[..., 0], counts[..., 1], counts[..., 2]
    floor = 1e-16
    precision = _divide(matches, hypothesis, floor)
    recall = _divide(matches, reference, floor)
    factor = beta**2
    if eps:
        above, below = (1 + factor) * precision * recall, factor * precision + recall
        return np.asarray(100.0 * _divide(above, below, floor).sum(-1) / orders)
    both = (hypothesis > 0) & (reference > 0)
    number = both.sum(-1).astype(np.float64)
    mean_precision = _divide((precision * both).sum(-1), number, 0.0)
    mean_recall = _divide((recall * both).sum(-1), number, 0.0)
    above = (1 + factor) * mean_precision * mean_recall
    value = 100.0 * _divide(above, factor * mean_precision + mean_recall, 0.0)
    return np.minimum(value, 100.0)


def _make_bleu(smooth: str = "exp", value: str = "", effective: str = "no") -> Formula:
    defaults = {"exp": 0.0, "none": 0.0, "floor": 0.1, "add-k": 1.0}
    smooth_value = float(value) if value else defaults[smooth]
    return partial(_bleu, smooth=smooth, smooth_value=smooth_value, effective=effective == "yes")


def _make_chrf(char: str = "6", word: str = "0", beta: str = "2", eps: str = "") -> Formula:
    return partial(_chrf, orders=int(char) + int(word), beta=float(beta), eps=eps == "eps")


_MAKERS: Mapping[str, Callable[..., Formula]] = {
    "mean": lambda: _ratio,
    "ratio": lambda: partial(_ratio, name="ratio"),
    "exp-ratio": lambda: _exp_ratio,
    "f1": lambda: _f1,
    "precision": lambda: partial(_share, column=1, name="precision"),
    "recall": lambda: partial(_share, column=2, name="recall"),
    "macro-f1": lambda: _macro_f1,
    "weighted-f1": lambda: _weighted_f1,
    "matthews": lambda: _matthews,
    "ter": lambda: _ter,
    "bleu": _make_bleu,
    "chrf": _make_chrf,
}

FORMULAS: Mapping[str, Formula] = MappingProxyType({n: make() for n, make in _MAKERS.items()})
"""Every formula with its default settings, by name."""


@lru_cache(maxsize=256)
def formula(name: str) -> Formula:
    """The function that ``Metric.formula`` names, settings included (``chrf:6:2:2``).

    Raises :class:`PluginError` where the name or a setting is not known.
    """
    head, *settings = name.split(":")
    if head not in _MAKERS:
        raise PluginError(f"Unknown formula '{name}'. {suggestion(head, _MAKERS)}".rstrip())
    try:
        return _MAKERS[head](*settings)
    except (TypeError, ValueError, KeyError) as error:
        raise PluginError(
            f"The formula '{name}' has settings that '{head}' does not take.\n"
            "See harness.metrics.formulas for the settings of each formula."
        ) from error
