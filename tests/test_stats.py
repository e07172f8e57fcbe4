from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from gate_toys import ACC, BLEU, BPB, F1, ToyCell, Translations, column
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from harness import metrics, stats
from harness.errors import NotComparableError, UsageError
from harness.stats import Resampler
from harness.types import Metric


def pairs(
    metric: Metric, a: np.ndarray, b: np.ndarray, groups: Sequence[str | None] | None = None
) -> stats.Pairs:
    first, second = (ToyCell(stats={metric: rows}, groups=groups).cell_stats for rows in (a, b))
    return stats.pair(metric, first, second)


def swaps(units: int) -> np.ndarray:
    return np.array(list(itertools.product([0.0, 1.0], repeat=units)))


def right(share: float, number: int, seed: int) -> np.ndarray:
    return column(100.0 * (np.random.default_rng(seed).random(number) < share))


def entities(number: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    gold = generator.integers(0, 5, number)
    predicted = generator.integers(0, 5, number)
    return np.stack([np.minimum(generator.integers(0, 4, number), np.minimum(gold, predicted)),
                     predicted, gold], axis=1).astype(float)  # fmt: skip


@given(better=st.integers(0, 60), worse=st.integers(0, 60), same=st.integers(1, 20))
def test_mcnemar_is_the_exact_binomial_test_of_the_samples_that_differ(
    better: int, worse: int, same: int
) -> None:
    a = column([0.0] * better + [100.0] * (worse + same))
    b = column([100.0] * better + [0.0] * worse + [100.0] * same)
    found = pairs(ACC, a, b)
    result = stats.significance(found, "mcnemar", stats.Spread(difference=0, draws=a, scale=1))
    if better + worse == 0:
        assert result.p == result.p_worse == 1
        return
    assert result.p == pytest.approx(binomtest(better, better + worse).pvalue)
    greater = binomtest(worse, better + worse, alternative="greater").pvalue
    assert result.p_worse == pytest.approx(greater)
    assert result.mid_p is not None and result.mid_p <= result.p


def test_mid_p_is_the_exact_p_less_the_probability_of_what_was_seen() -> None:
    # 1 against 7 pairs: p = 2·(1 + 8)/2^8, and the probability of 1 is 8/2^8.
    a, b = column([100.0] + [0.0] * 7), column([0.0] + [100.0] * 7)
    result = stats.significance(
        pairs(ACC, a, b), "mcnemar", stats.Spread(difference=0, draws=a, scale=1)
    )
    assert result.p == pytest.approx(0.0703, abs=1e-4)
    assert result.mid_p == pytest.approx(0.0391, abs=1e-4)


@pytest.mark.parametrize("metric", [F1, BLEU, BPB])
def test_randomisation_on_ten_samples_is_brute_force_enumeration(metric: Metric) -> None:
    if metric is BLEU:
        text = Translations(10, 5)
        a, b = (text.stats(text.spoilt(text.references, s)) for s in (0.2, 0.35))
    elif metric is F1:
        a, b = entities(10, 1), entities(10, 2)
    else:
        generator = np.random.default_rng(3)
        size = generator.integers(1, 9, 10).astype(float)
        a, b = (np.stack([generator.gamma(2, 1, 10) * size, size], axis=1) for _ in range(2))
    found = pairs(metric, a, b)
    result = stats.significance(found, "randomization", stats.spread(found, Resampler(draws=10)))
    differences = []
    for row in swaps(10)[:, :, None]:
        one, other = np.where(row == 1, b, a), np.where(row == 1, a, b)
        differences.append(metrics.value(metric, other) - metrics.value(metric, one))
    measured = metrics.value(metric, b) - metrics.value(metric, a)
    near = 1e-9
    assert result.p == pytest.approx(np.mean(np.abs(differences) >= abs(measured) - near))
    sign = 1 if metric.higher_is_better else -1
    worse = np.mean(sign * np.array(differences) <= sign * measured + near)
    assert result.p_worse == pytest.approx(worse)
    assert result.draws == 0


def test_random_swaps_agree_with_all_of_them() -> None:
    generator = np.random.default_rng(8)
    a = column(generator.normal(size=13))
    b = column(generator.normal(0.5, size=13))
    # A fourteenth pair that differs by next to nothing makes the enumeration too long.
    more = [1e-7, 1]
    exact = pairs(metrics.mean("m").metric, a, b)
    drawn = pairs(metrics.mean("m").metric, np.vstack([a, [0, 1]]), np.vstack([b, more]))
    spread = stats.spread(exact, Resampler(draws=10))
    first = stats.significance(exact, "permutation", spread)
    second = stats.significance(drawn, "permutation", spread)
    assert first.draws == 0 and second.draws >= 2000
    assert second.p == pytest.approx(first.p, abs=0.02)
    assert second.p_worse == pytest.approx(first.p_worse, abs=0.02)


def test_permutation_and_randomisation_agree_on_a_mean() -> None:
    generator = np.random.default_rng(2)
    a, b = column(generator.random(11)), column(generator.random(11))
    found = pairs(metrics.mean("m").metric, a, b)
    spread = stats.spread(found, Resampler(draws=10))
    one, other = (stats.significance(found, t, spread) for t in ("permutation", "randomization"))
    assert (one.p, one.p_worse) == pytest.approx((other.p, other.p_worse))


@pytest.mark.parametrize("grouped", [False, True])
def test_bootstrap_differences_are_those_of_direct_recomputation(grouped: bool) -> None:
    a, b = entities(30, 1), entities(30, 2)
    groups = [f"g{i // 3}" for i in range(30)] if grouped else None
    found = pairs(F1, a, b, groups)
    resampler = Resampler(draws=50, seed=4)
    draws = resampler.differences(found)
    units = 10 if grouped else 30
    weights = np.concatenate(list(resampler.weights(units)))
    for row, difference in zip(weights, draws, strict=True):
        times = np.repeat(row, 3 if grouped else 1).astype(int)
        drawn_a, drawn_b = np.repeat(a, times, axis=0), np.repeat(b, times, axis=0)
        expected = metrics.value(F1, drawn_b) - metrics.value(F1, drawn_a)
        assert difference == pytest.approx(expected)
    assert (resampler.differences(found) == draws).all()


def test_resamples_do_not_depend_on_how_they_are_kept_or_cut() -> None:
    small, large = Resampler(draws=300, seed=1), Resampler(draws=300, seed=1)
    list(large.weights(4000))
    for units in (7, 4000, 7):
        one, other = (np.concatenate(list(r.weights(units))) for r in (small, large))
        assert (one == other).all()
        assert (one.sum(axis=1) == units).all()
    # Each unit is drawn n times on average, with the multinomial's variance.
    drawn = np.concatenate(list(Resampler(draws=4000).weights(50)))
    assert drawn.mean(axis=0) == pytest.approx(1, abs=0.08)
    assert drawn.var() == pytest.approx(1 - 1 / 50, rel=0.02)


def test_p_is_never_zero() -> None:
    a, b = column([0.0] * 200), column(50 + np.random.default_rng(0).random(200))
    found = pairs(metrics.mean("m").metric, a, b)
    spread = stats.spread(found, Resampler())
    for test in ("permutation", "randomization", "bootstrap"):
        result = stats.significance(found, test, spread)
        assert result.p == pytest.approx(1 / (result.draws + 1))
        assert result.p_worse > 0.9


def test_more_draws_are_made_where_many_tests_need_a_smaller_p() -> None:
    a, b = column([0.0] * 200), column([1.0] * 200)
    found = pairs(metrics.mean("m").metric, a, b)
    spread = stats.spread(found, Resampler(draws=10))
    enough = stats.affordable_draws(1000, 0.05)
    assert stats.significance(found, "permutation", spread, draws=enough).p * 1000 < 0.05


def test_a_margin_asks_for_a_loss_of_more_than_that() -> None:
    generator = np.random.default_rng(1)
    a = column(generator.normal(50, 1, 400))
    b = column(a[:, 0] - 1 + generator.normal(0, 1, 400))
    found = pairs(metrics.mean("m").metric, a, b)
    spread = stats.spread(found, Resampler())
    p = [stats.shifted(found, spread, margin=margin).p_worse for margin in (0, 0.5, 1, 1.5)]
    assert p == sorted(p)
    assert p[1] < 0.01 and 0.1 < p[2] < 0.9 and p[3] > 0.99


def test_lower_is_better_turns_the_question_round() -> None:
    generator = np.random.default_rng(1)
    a = np.stack([generator.gamma(5, 1, 300), np.ones(300)], axis=1)
    b = a * [1.1, 1]
    found = pairs(BPB, a, b)
    spread = stats.spread(found, Resampler())
    assert stats.significance(found, "randomization", spread).p_worse < 0.001
    assert stats.shifted(found, spread).p_worse < 0.01
    assert stats.significance(pairs(BPB, b, a), "randomization", spread).p_worse > 0.9


def test_samples_of_one_source_count_as_one() -> None:
    a, b = right(0.5, 200, 1), right(0.7, 200, 2)
    whole = [f"source-{i // 50}" for i in range(200)]
    single, clustered = pairs(ACC, a, b), pairs(ACC, a, b, whole)
    assert stats.choose(single) == "mcnemar" and stats.choose(clustered) == "permutation"
    spread = stats.spread(clustered, Resampler())
    assert clustered.units == 4
    # Four sources can be swapped in 16 ways: no p-value below 2/16 exists.
    assert stats.significance(clustered, "permutation", spread).p >= 2 / 16
    assert stats.significance(single, "mcnemar", spread).p < 0.01


@pytest.mark.parametrize(
    ("metric", "rows", "test", "words"),
    [
        (F1, entities(5, 1), "permutation", "no mean of per-sample scores"),
        (F1, entities(5, 1), "mcnemar", "not just right or wrong"),
        (ACC, right(0.5, 9, 1), "macnemar", "Did you mean 'mcnemar'"),
    ],
)
def test_a_test_that_does_not_suit_is_refused(
    metric: Metric, rows: np.ndarray, test: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        stats.choose(pairs(metric, rows, rows), test)


def test_only_shared_samples_are_paired_and_the_rest_counted() -> None:
    a = ToyCell(stats={ACC: right(0.5, 5, 1)}, ids=list("abcde")).cell_stats
    b = ToyCell(stats={ACC: right(0.5, 4, 1)}, ids=list("cdxa")).cell_stats
    found = stats.pair(ACC, a, b)
    assert (found.n, found.only_a, found.only_b) == (3, 2, 1)
    assert found.a[:, 0].tolist() == [a.by_sample("acc")[key][0] for key in "acd"]
    with pytest.raises(NotComparableError, match="no sample is graded on both sides"):
        stats.pair(ACC, a, ToyCell(stats={ACC: right(0.5, 1, 1)}, ids=["z"]).cell_stats)


def test_statistics_that_are_no_numbers_are_counted_not_computed_with() -> None:
    a, b = column([1.0, float("nan"), 3.0]), column([1.0, 2.0, float("inf")])
    assert pairs(metrics.mean("m").metric, a, b).unusable == (1, 1)


def test_holm_by_hand() -> None:
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert stats.holm([]) == ()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_never_lowers_a_p_value(p_values: list[float]) -> None:
    adjusted = stats.holm(p_values)
    assert all(q >= p for p, q in zip(p_values, adjusted, strict=True))
    assert all(q <= 1 for q in adjusted)
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    assert [adjusted[i] for i in order] == sorted(adjusted)


def test_the_detectable_difference_is_found_four_times_in_five() -> None:
    generator = np.random.default_rng(5)
    error = 2 / np.sqrt(100)
    smallest = stats.detectable(error)
    assert smallest == pytest.approx(2.8016 * error, rel=1e-4)
    found = []
    for _ in range(400):
        differences = generator.normal(smallest, 2, 100)
        found.append(abs(differences.mean()) / (differences.std(ddof=1) / 10) > 1.96)
    assert np.mean(found) == pytest.approx(0.8, abs=0.06)


@pytest.mark.parametrize("differing", [8, 25, 120])
def test_the_detectable_difference_of_mcnemar_is_that_of_its_exact_test(differing: int) -> None:
    net = stats.detectable_mcnemar(differing)
    share = (net / differing + 1) / 2
    losses = np.random.default_rng(differing).binomial(differing, share, 4000)
    found = [binomtest(int(k), differing, 0.5).pvalue <= 0.05 for k in losses]
    assert np.mean(found) == pytest.approx(0.8, abs=0.03)


def test_too_few_that_differ_can_never_be_significant() -> None:
    assert 5 < stats.detectable_mcnemar(2) <= 6
    assert stats.detectable(1.0, differing=3) == stats.detectable(1.0, differing=6)


@pytest.mark.parametrize(("number", "group"), [(10, 1), (40, 5)])
def test_intervals_of_few_samples_cover_as_they_say(number: int, group: int) -> None:
    generator, resampler = np.random.default_rng(3), Resampler(draws=1000)
    groups = [f"g{i // group}" for i in range(number)] if group > 1 else None
    covered, errors, measured = 0, [], []
    for _ in range(400):
        shared = generator.normal(0, 8, (2, number // group)).repeat(group, axis=1)
        a, b = 50 + shared + generator.normal(0, 5, (2, number))
        spread = stats.spread(pairs(BPB, column(a), column(b), groups), resampler)
        low, high = spread.interval()
        covered += low <= 0 <= high
        errors.append(spread.standard_error)
        measured.append(spread.difference)
    assert covered / 400 == pytest.approx(0.95, abs=0.03)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(measured), rel=0.12)
