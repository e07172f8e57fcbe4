"""Time our metrics with a bootstrap interval against their reference implementations.

    python bench/metrics_speed.py [--pairs 3000] [--tokens 50000] [--repeats 3]

Prints CPU seconds, the best of several repeats: the reference's score without any bootstrap; ours
with a 1,000-fold bootstrap interval; the reference's own bootstrap alone, ours alone at its first
call, how many times faster that is, and ours once the draws are known (all metrics and models with
as many samples share them). Then the most memory that an interval takes. The corpus is made up:
references of Zipf-distributed words, hypotheses with a third of them changed.
"""

from __future__ import annotations

import argparse
import random
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from tabulate import tabulate

from harness.metrics import (
    aggregate,
    bleu,
    chrf,
    entity_f1,
    interval,
    rouge,
    spans_from_tags,
    summaries,
    value,
)

Pairs = list[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Contest:
    """One metric: the reference's score, its bootstrap on top, and our scorer."""

    name: str
    score: Callable[[], float]
    bootstrap: Callable[[], Any] | None
    scorer: Any
    pairs: list[tuple[Any, Any]]


def corpus(n: int, seed: int = 0) -> Pairs:
    """``n`` pairs of hypothesis and reference, 5 to 45 words each, from 20,000 words."""
    rng = random.Random(seed)
    letters = "etaoinshrdlucmfwypvbgk"
    words = ["".join(rng.choices(letters, k=rng.randint(1, 10))) for _ in range(20_000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]

    def drawn(k: int) -> list[str]:
        return rng.choices(words, weights, k=k)

    pairs = []
    for _ in range(n):
        reference = drawn(rng.randint(5, 45))
        hypothesis = [w if rng.random() > 1 / 3 else drawn(1)[0] for w in reference]
        pairs.append((" ".join(hypothesis) + " .", " ".join(reference) + " ."))
    return pairs


def tagged(tokens: int, seed: int = 0) -> list[tuple[list[str], list[str]]]:
    """Predicted and gold IOB2 tags, in sentences of 20 tokens, about one token in six tagged."""
    rng = random.Random(seed)
    tags = ["O"] * 20 + [f"B-{kind}" for kind in ("LOC", "MISC", "ORG", "PER")]
    sentences = []
    for _ in range(tokens // 20):
        gold = rng.choices(tags, k=20)
        predicted = [tag if rng.random() > 0.1 else rng.choice(tags) for tag in gold]
        sentences.append((predicted, gold))
    return sentences


def forget() -> None:
    """Empty the caches that would let a second repeat skip the work."""
    from sacrebleu.tokenizers import tokenizer_13a, tokenizer_re

    for tokenizer in (tokenizer_13a.Tokenizer13a, tokenizer_re.TokenizerRegexp):
        getattr(tokenizer.__call__, "cache_clear", lambda: None)()
    summaries._shared_tokenizer.cache_clear()
    aggregate._remembered_draws.cache_clear()
    aggregate._order.cache_clear()


def seconds(work: Callable[[], Any], repeats: int, before: Callable[[], Any] = forget) -> float:
    best = float("inf")
    for _ in range(repeats):
        before()
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def translation_contests(pairs: Pairs) -> list[Contest]:
    from sacrebleu.metrics import BLEU, CHRF
    from sacrebleu.significance import _bootstrap_resample

    hypotheses, references = map(list, zip(*pairs, strict=True))
    contests = []
    for name, reference, scorer in (
        ("BLEU", BLEU(force=True), bleu()),
        ("chrF", CHRF(), chrf()),
        ("chrF++", CHRF(word_order=2), chrf(word_order=2)),
    ):
        stats = [list(map(int, scorer.stats(*pair))) for pair in pairs]

        def score(reference: Any = reference) -> float:
            return float(reference.corpus_score(hypotheses, [references]).score)

        def bootstrap(reference: Any = reference, stats: Any = stats) -> Any:
            return _bootstrap_resample(stats, reference, n_samples=1000)

        contests.append(
            Contest(name=name, score=score, bootstrap=bootstrap, scorer=scorer, pairs=pairs)
        )
    return contests


def summary_contests(pairs: Pairs) -> list[Contest]:
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.scoring import BootstrapAggregator

    contests = []
    for kind, stemmer in (("rouge1", False), ("rouge2", True), ("rougeL", False), ("rougeL", True)):
        reference = RougeScorer([kind], use_stemmer=stemmer)
        scores = [reference.score(r, h) for h, r in pairs]

        def score(reference: Any = reference, kind: str = kind) -> float:
            total = sum(reference.score(r, h)[kind].fmeasure for h, r in pairs)
            return 100 * total / len(pairs)

        def bootstrap(scores: Any = scores) -> Any:
            aggregator = BootstrapAggregator(n_samples=1000)
            for one in scores:
                aggregator.add_scores(one)
            return aggregator.aggregate()

        name = kind + (" stemmed" if stemmer else "")
        scorer = rouge(kind, stemmer)
        contests.append(
            Contest(name=name, score=score, bootstrap=bootstrap, scorer=scorer, pairs=pairs)
        )
    return contests


def entity_contest(tokens: int) -> Contest | None:
    try:
        from seqeval.metrics import f1_score
    except ImportError:
        return None
    sentences = tagged(tokens)
    predicted, gold = map(list, zip(*sentences, strict=True))
    return Contest(
        name=f"entity F1, {tokens} tokens",
        score=lambda: 100 * f1_score(gold, predicted),
        bootstrap=None,
        scorer=TagScorer(),
        pairs=sentences,
    )


class TagScorer:
    """Entity F1 from tags, as seqeval takes them."""

    def __init__(self) -> None:
        self.scorer = entity_f1()
        self.metric = self.scorer.metric

    def stats(self, predicted: list[str], gold: list[str]) -> Any:
        return self.scorer.stats(spans_from_tags(predicted), spans_from_tags(gold))


def row(contest: Contest, repeats: int) -> list[Any]:
    scorer, pairs = contest.scorer, contest.pairs

    def ours() -> tuple[float, tuple[float, float]]:
        stats = np.array([scorer.stats(*pair) for pair in pairs])
        return value(scorer.metric, stats), interval(scorer.metric, stats)

    stats = np.array([scorer.stats(*pair) for pair in pairs])
    reference, with_interval = seconds(contest.score, repeats), seconds(ours, repeats)
    first = seconds(lambda: interval(scorer.metric, stats), repeats)
    warm = seconds(lambda: interval(scorer.metric, stats), repeats + 1, before=lambda: None)
    theirs = seconds(contest.bootstrap, 1) if contest.bootstrap else None
    return [
        contest.name,
        reference,
        with_interval,
        with_interval / reference,
        theirs,
        first,
        theirs / first if theirs else None,
        warm,
        abs(contest.score() - ours()[0]),
    ]


def peak_megabytes(n: int, B: int) -> float:
    """The most memory that one interval of BLEU on ``n`` samples takes, inputs left out."""
    stats = np.random.default_rng(0).integers(1, 30, size=(n, 10)).astype(float)
    aggregate._remembered_draws.cache_clear()
    aggregate._order.cache_clear()
    tracemalloc.start()
    interval(bleu().metric, stats, B=B)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=3000)
    parser.add_argument("--tokens", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    pairs = corpus(options.pairs)
    contests = translation_contests(pairs) + summary_contests(pairs)
    entities = entity_contest(options.tokens)
    if entities:
        contests.append(entities)
    headers = ["metric", "reference", "ours+CI", "ratio", "its bootstrap", "ours", "faster"]
    headers += ["ours again", "difference"]
    rows = [row(contest, options.repeats) for contest in contests]
    print(tabulate(rows, headers=headers, floatfmt=".3g", missingval="-"))
    print()
    sizes = [(3000, 100), (3000, 1000), (3000, 10_000), (3000, 100_000), (50_000, 1000)]
    memory = [[n, B, peak_megabytes(n, B)] for n, B in sizes]
    print(tabulate(memory, headers=["samples", "resamples", "peak MB"], floatfmt=".1f"))


if __name__ == "__main__":
    main()
