"""What other programs' metric names mean: direction, range, chance level.

A file that says it itself is believed; this table serves files that do not. A name that is not
here gets no range, so nothing is fitted to it by mistake.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.types import Metric

Bounds = tuple[float | None, float | None]
SHARE: Bounds = (0.0, 1.0)
PERCENT: Bounds = (0.0, 100.0)


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Direction and range of a metric; ``loss``: a law with a floor is fitted to it."""

    better: bool = True
    bounds: Bounds = SHARE
    loss: bool = False


_SHARES = (
    "acc|acc_norm|acc_norm_nospace|acc_raw|acc_per_token|acc_per_char|acc_per_byte|acc_uncond|"
    "acc_mutual_info|accuracy|mean_acc|em|exact|exact_match|quasi_exact_match|prefix_exact_match|"
    "quasi_prefix_exact_match|qem|pem|pqem|mc1|mc2|mcc_share|f1|f1_score|macro_f1|micro_f1|"
    "weighted_f1|recall|precision|pass@\\d+|pass_at_\\d+|loglikelihood_acc|bypass_acc|"
    "truthfulqa_mc[12]|prompt_level_(strict|loose)_acc|inst_level_(strict|loose)_acc|"
    "math_verify|extractive_match|exact_match@\\d+|quasi_exact_match@\\d+|"
    "(quasi_)?prefix_exact_match@\\d+|primary_score|mean|pct_stereotype|rouge_[12l]|bleu_[1-4]"
)
TABLE: tuple[tuple[re.Pattern[str], Measure], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), measure)
    for pattern, measure in (
        ("pct_stereotype", Measure(better=False)),
        ("likelihood_difference|likelihood_diff", Measure(better=False, bounds=(0.0, None))),
        (_SHARES, Measure()),
        ("mcc|matthews_correlation", Measure(bounds=(-1.0, 1.0))),
        ("bleu|sacrebleu|chrf|chrf\\+\\+|rouge[12]|rougel(sum)?", Measure(bounds=PERCENT)),
        ("ter", Measure(better=False, bounds=(0.0, None))),
        ("brier(_score)?", Measure(better=False, bounds=(0.0, 2.0))),
        ("bits_per_byte(_corr)?|bpb", Measure(better=False, bounds=(0.0, None), loss=True)),
        (
            "(word_|byte_)?perplexity|ppl|nll|loss|ce_loss|logits_per_byte(_corr)?",
            Measure(better=False, bounds=(0.0, None), loss=True),
        ),
    )
)

CHANCE: tuple[tuple[re.Pattern[str], float], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), chance)
    for pattern, chance in (
        ("arc[_:](easy|challenge).*|sciq|logiqa2?|hellaswag|openbookqa|race", 1 / 4),
        ("(hendryckstest|mmlu)([-_:].*)?", 1 / 4),
        ("mmlu_pro.*", 1 / 10),
        ("piqa|winogrande.*|wsc(273)?|boolq|copa|wnli|rte|qnli|mrpc|cola|wic|sst2?", 1 / 2),
        ("commonsense_?qa|csqa", 1 / 5),
        ("social_?iqa|siqa|anli_r[123]|cb", 1 / 3),
    )
)
"""Accuracy of equally likely answers on well-known multiple-choice tasks, by the number of answers
that their data have (four for nearly all questions of ARC)."""


def metric(
    name: str,
    *,
    task: str = "",
    source: str = "",
    better: bool | None = None,
    bounds: Bounds | None = None,
    formula: str = "mean",
) -> Metric:
    """The metric that a file calls ``name``, on the file's own scale.

    ``better`` and ``bounds`` are what the file says of direction and range, where it does;
    ``source`` begins the signature, such as ``lm-eval:acc,none``.
    """
    plain = re.split(r"[,:/]", name.lower())[0]
    known = next((m for pattern, m in TABLE if pattern.fullmatch(plain)), None)
    used = known or Measure(bounds=(None, None))
    return Metric(
        name=name,
        formula=formula,
        higher_is_better=used.better if better is None else better,
        is_loss=used.loss,
        bounds=used.bounds if bounds is None else bounds,
        chance=chance(plain, task) if used.bounds == SHARE and bounds is None else None,
        signature=source or name,
    )


def is_known(name: str) -> bool:
    """Whether the table knows direction and range of ``name``."""
    plain = re.split(r"[,:/]", name.lower())[0]
    return any(pattern.fullmatch(plain) for pattern, _ in TABLE)


def chance(name: str, task: str) -> float | None:
    """The chance level of an accuracy on a well-known task, else None."""
    if not name.startswith(("acc", "em", "exact", "quasi_exact", "prefix_exact", "primary_score")):
        return None
    return next((level for pattern, level in CHANCE if pattern.fullmatch(task)), None)
