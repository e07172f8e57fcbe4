"""Values, resamples and intervals from statistics alone, for every formula."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import PluginError, UsageError
from harness.metrics import (
    FORMULAS,
    Scorer,
    accuracy,
    aggregate,
    bits_per_byte,
    bleu,
    bootstrap_weights,
    chrf,
    entity_f1,
    exact_match,
    f1,
    formula,
    interval,
    mean,
    per_sample,
    perplexity,
    replicates,
    rouge,
    ter,
    value,
)
from harness.metrics.scorer import package_version
from harness.types import Metric

if TYPE_CHECKING:
    from pathlib import Path

TEXT_SCORERS: list[Any] = [
    bleu(),
    chrf(),
    chrf(word_order=2),
    ter(),
    rouge("rouge1"),
    rouge("rougeL", stemmer=True),
    rouge("rougeLsum"),
    rouge(tokenizer="cjk"),
    exact_match(),
    f1(),
    exact_match("cmrc"),
    f1("cmrc"),
    accuracy(),
]
SENTENCES = [
    "The cat sat on the mat today.",
    "No one was surprised by it.",
    "今天天气很好 ok ab c.",
]
SPAN_SCORERS: list[Any] = [entity_f1(), entity_f1("macro", types=["A"])]
WIDTHS = {"f1": 3, "precision": 3, "recall": 3, "macro-f1": 6, "weighted-f1": 6, "matthews": 8}
WIDTHS |= {"bleu": 10, "chrf": 18}


def ids(scorer: Any) -> str:
    return f"{scorer.metric.name}-{scorer.metric.signature[:30]}"


@pytest.mark.parametrize("scorer", TEXT_SCORERS, ids=ids)
def test_the_reference_itself_scores_the_best_value(scorer: Scorer) -> None:
    stats = [scorer.stats(text, [text, "something else"]) for text in SENTENCES]
    best = scorer.metric.bounds[1] if scorer.metric.higher_is_better else scorer.metric.bounds[0]
    if scorer.metric.name.startswith("rouge") and "tok:default" in scorer.metric.signature:
        best = value(scorer.metric, stats)  # its tokenizer keeps only "ok", "ab", "c" of Chinese
        assert best == 100.0
    assert value(scorer.metric, stats) == best
    low, high = interval(scorer.metric, stats, B=50)
    if None in scorer.metric.bounds:
        assert low == high == pytest.approx(best)
    else:
        assert best in (low, high)
        assert high - low == pytest.approx(100 * (1 - 0.05 ** (1 / len(SENTENCES))))


@pytest.mark.parametrize("scorer", TEXT_SCORERS, ids=ids)
def test_empty_answers_never_raise_and_stay_within_bounds(scorer: Scorer) -> None:
    stats = [scorer.stats("", r) for r in ("a reference", ["one", "two"], "", [""], [])]
    got = value(scorer.metric, stats)
    low, high = scorer.metric.bounds
    assert low is not None
    assert low <= got <= (math.inf if high is None else high)
    assert all(isinstance(x, float) for row in stats for x in row)


@pytest.mark.parametrize("scorer", TEXT_SCORERS + SPAN_SCORERS, ids=ids)
def test_every_scorer_keeps_its_promises(scorer: Any) -> None:
    assert isinstance(scorer, Scorer)
    assert formula(scorer.metric.formula)
    assert scorer.metric.signature
    assert "unknown" not in scorer.metric.signature


@settings(max_examples=30, deadline=None)
@given(st.permutations([*SENTENCES, "", "the mat", "x"]), st.sampled_from(TEXT_SCORERS))
def test_order_of_samples_does_not_matter(order: list[str], scorer: Any) -> None:
    stats = [scorer.stats(text, "The cat was on the mat, ok.") for text in order]
    assert value(scorer.metric, stats) == pytest.approx(value(scorer.metric, sorted(stats)))


@pytest.mark.parametrize("name", FORMULAS)
def test_formulas_of_nothing_give_a_value_without_warning(name: str) -> None:
    width = WIDTHS.get(name, 2)
    with np.errstate(all="raise"):
        got = FORMULAS[name](np.zeros((4, 5, width)))
    assert got.shape == (4, 5)
    wanted = math.nan if name in ("mean", "ratio", "exp-ratio") else 0.0
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("name", [*FORMULAS, "bleu:floor:0.1:yes", "chrf:6:0:3:eps", "bleu:add-k"])
def test_formulas_over_many_sums_equal_one_at_a_time(name: str) -> None:
    rng = np.random.default_rng(1)
    sums = rng.integers(0, 9, size=(60, WIDTHS.get(name.split(":")[0], 2))).astype(float)
    together = formula(name)(sums)
    alone = [float(formula(name)(row)) for row in sums]
    np.testing.assert_array_equal(together, alone)


def test_an_unknown_or_misused_formula_blames_the_plugin() -> None:
    with pytest.raises(PluginError, match=r"Unknown formula 'men'. Did you mean 'mean'"):
        formula("men")
    with pytest.raises(PluginError, match="'bleu:expo' has settings"):
        formula("bleu:expo")
    for name in FORMULAS:
        with pytest.raises(PluginError, match="takes [0-9]+ statistics per sample"):
            value(Metric(name="mine", formula=name), [[1.0]])


def test_weights_are_counts_of_n_draws_and_repeat_with_the_seed() -> None:
    weights = bootstrap_weights(40, B=300, seed=3)
    assert weights.shape == (300, 40)
    assert (weights.sum(axis=1) == 40).all()
    np.testing.assert_array_equal(weights, bootstrap_weights(40, B=300, seed=3))
    np.testing.assert_array_equal(weights[:100], bootstrap_weights(40, B=100, seed=3))
    assert (weights != bootstrap_weights(40, B=300, seed=4)).any()
    # Each count is Binomial(40, 1/40): mean 1, variance 39/40.
    assert weights.var() == pytest.approx(39 / 40, rel=0.05)


def test_counts_that_are_dealt_again_are_as_good_as_drawn_ones() -> None:
    weights = bootstrap_weights(600, B=320, seed=3).astype(float)
    assert (weights.sum(axis=1) == 600).all()
    assert len({row.tobytes() for row in weights}) == 320
    np.testing.assert_array_equal(weights[:100], bootstrap_weights(600, B=100, seed=3))
    # Sixteen resamples in a row share their counts: their sums of anything are not alike.
    sums = (weights @ np.random.default_rng(1).normal(size=600)).reshape(20, 16)
    assert abs(np.corrcoef(sums.T)[np.triu_indices(16, 1)].mean()) < 0.06
    assert weights.var(axis=0).mean() == pytest.approx(599 / 600, rel=0.02)


@pytest.mark.parametrize("offset", [0.0, 0.25])
def test_large_and_small_samples_are_resampled_alike(offset: float) -> None:
    rng = np.random.default_rng(2)
    stats = np.stack([rng.integers(0, 100, 3000) + offset, np.ones(3000)], axis=1)
    metric = mean("score").metric
    for B in (200, 1500):  # below and above what is remembered between calls
        values = replicates(metric, stats, bootstrap_weights(3000, B=B))
        wanted = np.percentile(values, [2.5, 97.5])
        np.testing.assert_allclose(interval(metric, stats, B=B), wanted, rtol=1e-12)


def test_as_many_groups_as_samples_are_needed() -> None:
    with pytest.raises(ValueError, match="3 samples but 2 groups"):
        bootstrap_weights(3, groups=["a", "b"])


def test_groups_are_drawn_whole() -> None:
    groups = ["a", "b", "a", None, "b", None]
    weights = bootstrap_weights(6, B=200, seed=0, groups=groups)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    np.testing.assert_array_equal(weights[:, 1], weights[:, 4])
    assert (weights[:, 3] != weights[:, 5]).any()
    per_row = weights[:, [0, 1, 3, 5]].sum(axis=1)
    assert (per_row == 4).all()


def test_the_interval_is_the_percentiles_of_the_replicates() -> None:
    rng = np.random.default_rng(0)
    stats = np.stack([rng.normal(50, 10, 200), np.ones(200)], axis=1)
    metric = mean("score").metric
    for groups in (None, [i // 4 for i in range(200)]):
        values = replicates(metric, stats, bootstrap_weights(200, groups=groups))
        wanted = np.percentile(values, [2.5, 97.5])
        np.testing.assert_allclose(interval(metric, stats, groups=groups), wanted)


def test_the_interval_of_a_mean_has_the_right_width() -> None:
    rng = np.random.default_rng(5)
    stats = np.stack([rng.normal(0, 1, 1000), np.ones(1000)], axis=1)
    low, high = interval(mean("score").metric, stats, B=2000)
    assert high - low == pytest.approx(2 * 1.96 / math.sqrt(1000), rel=0.08)


def test_groups_that_repeat_one_sample_widen_the_interval() -> None:
    rng = np.random.default_rng(6)
    scores = np.repeat(rng.normal(0, 1, 50), 10)
    stats = np.stack([scores, np.ones(500)], axis=1)
    metric = mean("score").metric
    low, high = interval(metric, stats)
    wide_low, wide_high = interval(metric, stats, groups=[i // 10 for i in range(500)])
    assert (wide_high - wide_low) / (high - low) == pytest.approx(math.sqrt(10), rel=0.15)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), min_size=1),
    seed=st.integers(0, 5),
)
def test_the_interval_holds_the_value(rows: list[tuple[int, int, int]], seed: int) -> None:
    metric = entity_f1().metric
    stats = [(float(min(row)), float(row[1]), float(row[2])) for row in rows]
    low, high = interval(metric, stats, B=40, seed=seed)
    assert low <= value(metric, stats) <= high


def test_one_sample_says_nothing_of_its_spread() -> None:
    assert interval(accuracy().metric, [(100.0, 1.0)]) == (0.0, 100.0)
    assert interval(accuracy().metric, [(100.0, 1.0), (0.0, 1.0)], groups=["d", "d"]) == (0, 100)
    low, high = interval(perplexity().metric, [perplexity().stats(-6.0, 3)])
    assert low == high == pytest.approx(math.exp(2))


def test_no_sample_gives_no_value() -> None:
    assert math.isnan(value(accuracy().metric, []))
    assert all(map(math.isnan, interval(accuracy().metric, [])))
    assert bootstrap_weights(0, B=5).shape == (5, 0)


def test_samples_that_agree_have_the_exact_bound_of_a_proportion() -> None:
    """0 of 20 right, and 20 of 20: what Clopper and Pearson's one-sided bound says, from scipy."""
    from scipy.stats import binomtest

    wrong, right = [(0.0, 1.0)] * 20, [(100.0, 1.0)] * 20
    above = 100 * binomtest(0, 20, alternative="less").proportion_ci(0.95).high
    below = 100 * binomtest(20, 20, alternative="greater").proportion_ci(0.95).low
    assert interval(accuracy().metric, wrong) == (0.0, pytest.approx(above))
    assert interval(accuracy().metric, right) == (pytest.approx(below), 100.0)
    assert above == pytest.approx(13.911, abs=1e-3)
    low, high = interval(f1().metric, [(100 / 3, 1.0)] * 20)
    assert (low, high) == (
        pytest.approx(100 / 3 * (1 - above / 100)),
        pytest.approx(100 / 3 + 200 / 3 * above / 100),
    )


def test_samples_that_agree_bound_no_value_without_bounds() -> None:
    assert interval(mean("score").metric, [(7.0, 1.0)] * 20) == (7.0, 7.0)
    assert interval(perplexity().metric, [(1.0, 1.0)] * 20) == (math.e, math.e)


def test_samples_without_evidence_do_not_narrow_the_bound() -> None:
    """A sentence without any entity says nothing; groups count as one each."""
    some = [(0.0, 1.0, 1.0)] * 5
    narrow = interval(entity_f1().metric, some)
    assert interval(entity_f1().metric, some + [(0.0, 0.0, 0.0)] * 50) == narrow
    groups = [number // 2 for number in range(10)]
    assert interval(entity_f1().metric, some * 2, groups=groups) == narrow
    assert interval(entity_f1().metric, some[:1] + [(0.0, 0.0, 0.0)] * 9) == (0.0, 100.0)


def test_the_bound_of_samples_that_agree_covers_what_it_says() -> None:
    """7 % of forty samples are right: one set in eighteen has none of them, and must cover 7."""
    rng = np.random.default_rng(8)
    missed = 0
    for _ in range(400):
        right = 100.0 * (rng.random(40) < 0.07)
        low, high = interval(accuracy().metric, np.stack([right, np.ones(40)], axis=1), B=200)
        missed += not low <= 7.0 <= high
    assert missed <= 0.1 * 400


def test_products_in_slices_are_those_of_the_whole() -> None:
    rng = np.random.default_rng(9)
    weights, matrix = rng.integers(0, 5, (70, 4000)), rng.integers(0, 30, (4000, 18))
    sums = aggregate._product(weights.astype(np.float32), matrix.astype(np.float32))
    assert np.array_equal(sums, weights @ matrix)


def test_undefined_resamples_are_left_out() -> None:
    stats = [(0.0, 0.0)] * 20 + [(5.0, 2.0)]
    assert interval(bits_per_byte().metric, stats) == (2.5, 2.5)
    assert all(map(math.isnan, interval(bits_per_byte().metric, [(0.0, 0.0)] * 3)))


def test_a_text_of_probability_zero_has_infinite_perplexity() -> None:
    stats = [perplexity().stats(-math.inf, 3)] * 3
    assert value(perplexity().metric, stats) == math.inf
    assert interval(perplexity().metric, stats) == (math.inf, math.inf)


def test_values_of_single_samples() -> None:
    np.testing.assert_allclose(per_sample(f1().metric, [(80.0, 1.0), (0.0, 1.0)]), [80, 0])
    assert per_sample(f1().metric, []).shape == (0,)


def test_perplexity_and_bits_per_byte_are_of_the_whole_corpus() -> None:
    rows = [perplexity().stats(-4.0, 4), perplexity().stats(-2.0, 8)]
    assert value(perplexity().metric, rows) == pytest.approx(math.exp(6 / 12))
    bits = bits_per_byte()
    assert value(bits.metric, [bits.stats(-8 * math.log(2), 16)]) == pytest.approx(0.5)
    assert perplexity("word").metric.name == "word_perplexity"
    assert perplexity().metric.is_loss
    assert bits.metric.is_loss
    with pytest.raises(UsageError, match=r"Unknown unit 'words'. Did you mean 'word'"):
        perplexity("words")  # type: ignore[arg-type]
    assert str(perplexity().stats(-0.0, 1)[0]) == str(perplexity().stats(0.0, 1)[0]) == "0.0"


def test_accuracy_knows_its_chance_level() -> None:
    assert accuracy(choices=4).metric.chance == 25.0
    assert accuracy().stats("B", ["A", "B"]) == (100.0, 1.0)
    assert accuracy().stats("C", "B") == (0.0, 1.0)


def test_a_plugin_can_average_what_it_likes() -> None:
    length = mean("length", lambda prediction, _: len(prediction), bounds=(0.0, None))
    assert value(length.metric, [length.stats("ab"), length.stats("abcd")]) == 3.0
    assert mean("number").stats(7) == (7.0, 1.0)


def test_importing_metrics_loads_nothing_heavy(root: Path) -> None:
    code = (
        "import sys, harness.metrics as m\n"
        "m.bleu(), m.chrf(), m.ter(), m.rouge(), m.f1(), m.entity_f1(), m.perplexity()\n"
        "heavy = {'numpy', 'sacrebleu', 'rouge_score', 'nltk', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert m.FORMULAS and set(m.__all__) <= set(dir(m))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def test_a_package_that_is_not_there_has_an_unknown_version() -> None:
    assert package_version("no-such-distribution-here") == "unknown"


def test_the_package_has_no_other_names() -> None:
    import harness.metrics

    with pytest.raises(AttributeError, match="no attribute 'bleuu'"):
        harness.metrics.bleuu  # noqa: B018
