"""The fit of one family × task × metric: right where it can be, silent where it cannot."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from harness.errors import DataError, UsageError
from harness.laws import Interval, Series, fit_series
from harness.types import Metric

SIZES = (1320.0, 3516.0, 9060.0, 23712.0, 64324.0, 227120.0, 584576.0)
LOSS = Metric(name="bits_per_byte", is_loss=True, higher_is_better=False, bounds=(0.0, None))
BLEU = Metric(name="bleu", bounds=(0.0, 100.0))
ACC = Metric(name="acc", bounds=(0.0, 1.0), chance=0.25)


def loss_series(
    floor: float = 0.2,
    alpha: float = 0.34,
    noise: float = 0.01,
    sizes: tuple[float, ...] = SIZES,
    seed: int = 0,
) -> Series:
    rng = np.random.default_rng(seed)
    n = np.array(sizes)
    values = (floor + 3 * n**-alpha) * np.exp(noise * rng.normal(size=n.size))
    replicates = values * np.exp(noise * rng.normal(size=(200, n.size)))
    return Series(sizes=sizes, values=tuple(values), metric=LOSS, replicates=replicates)


def accuracy(values: list[float], items: int = 500, seed: int = 0) -> Series:
    """A series of accuracies with the noise of ``items`` test items."""
    rng = np.random.default_rng(seed)
    replicates = rng.binomial(items, values, size=(300, len(values))) / items
    sizes = SIZES[: len(values)]
    return Series(sizes=sizes, values=tuple(values), metric=ACC, replicates=replicates)


def test_a_loss_with_a_floor_gives_exponent_and_floor_back() -> None:
    fit = fit_series(loss_series())
    assert fit.law == "power-floor"
    assert fit.verdict == "ok"
    assert fit.exponent.value == pytest.approx(0.34, abs=0.03)
    assert fit.exponent.ci is not None and fit.exponent.ci.covers(0.34)
    assert fit.estimates["E"].value == pytest.approx(0.2, abs=0.02)
    assert fit.estimates["A"].value == pytest.approx(3, rel=0.3)
    assert fit.estimates["alpha"] == fit.estimates["exponent"]


def test_the_exponent_of_a_bounded_score_is_that_of_its_error() -> None:
    values = tuple(100 - 900 * n**-0.3 for n in SIZES)
    fit = fit_series(Series(sizes=SIZES, values=values, metric=BLEU))
    assert fit.law == "error-power"
    assert fit.formula == "100 − S = A·N^-alpha"
    assert fit.exponent.value == pytest.approx(0.3)
    assert fit.verdict == "ok"


def test_a_floor_under_an_error_is_added_when_the_data_tell_it() -> None:
    values = tuple(0.8 - 8 * n**-0.45 for n in SIZES)
    rng = np.random.default_rng(0)
    replicates = np.array(values) + 0.002 * rng.normal(size=(200, 7))
    fit = fit_series(Series(sizes=SIZES, values=values, metric=ACC, replicates=replicates))
    assert fit.law == "error-power-floor"
    assert fit.estimates["E"].value == pytest.approx(0.2, abs=0.01)
    assert fit.exponent.value == pytest.approx(0.45, abs=0.02)


def test_scatter_interval_of_a_plain_power_law_is_the_textbook_one() -> None:
    z = np.array([0.1, -0.05, 0.02, 0.07, -0.1, 0.03, -0.06])
    values = tuple(np.exp(4 - 0.3 * np.log(SIZES) + z))
    fit = fit_series(Series(sizes=SIZES, values=values, metric=LOSS), law="power")
    line = stats.linregress(np.log(SIZES), np.log(values))
    half = stats.t.ppf(0.975, 5) * line.stderr
    scatter = fit.exponent.kinds["scatter"]
    assert scatter.lo == pytest.approx(-line.slope - half, abs=0.1 * half)
    assert scatter.hi == pytest.approx(-line.slope + half, abs=0.1 * half)


def test_the_interval_holds_those_of_items_and_of_scatter() -> None:
    fit = fit_series(loss_series())
    ci = fit.exponent.ci
    assert ci is not None and ci.lo is not None and ci.hi is not None
    assert set(fit.exponent.kinds) == {"items", "scatter"}
    for kind in fit.exponent.kinds.values():
        assert kind.lo is not None and ci.lo <= kind.lo
        assert kind.hi is not None and kind.hi <= ci.hi


def test_the_same_seed_gives_the_same_fit() -> None:
    assert fit_series(loss_series(), seed=3) == fit_series(loss_series(), seed=3)


def test_resampling_is_told() -> None:
    fit = fit_series(loss_series(), seed=5)
    assert fit.resampling is not None
    assert fit.resampling.unit == "items × leave-one-size-out"
    assert (fit.resampling.replicates, fit.resampling.failures) == (200, 0)
    assert fit.resampling.seed == 5


@settings(max_examples=15, deadline=None)
@given(unit=st.floats(1e-6, 1e6), order=st.permutations(range(7)))
def test_the_unit_of_size_and_the_order_of_rows_do_not_matter(
    unit: float, order: list[int]
) -> None:
    series = loss_series()
    assert series.replicates is not None
    other = Series(
        sizes=tuple(series.sizes[i] * unit for i in order),
        values=tuple(series.values[i] for i in order),
        metric=LOSS,
        replicates=series.replicates[:, order],
    )
    first, second = fit_series(series), fit_series(other)
    assert second.exponent.value == pytest.approx(first.exponent.value, rel=1e-5)
    assert first.exponent.ci is not None and second.exponent.ci is not None
    assert second.exponent.ci.lo == pytest.approx(first.exponent.ci.lo, rel=1e-3)
    assert second.forecast[0].value == pytest.approx(first.forecast[0].value, rel=1e-5)


# --- refusals -------------------------------------------------------------------------------------


def refused(series: Series) -> str:
    """The note of a fit that must hold no number."""
    fit = fit_series(series)
    assert fit.verdict == "not-identifiable"
    assert all(e.value is None and e.ci is None for e in fit.estimates.values())
    assert fit.forecast == () and fit.r2 is None
    with pytest.raises(DataError, match="No prediction"):
        fit.predict(1e9)
    return fit.note


def test_two_sizes_are_refused() -> None:
    assert "Only 2 sizes" in refused(loss_series(sizes=(1e3, 1e6)))


def test_a_missing_score_is_no_size() -> None:
    series = Series(sizes=SIZES[:3], values=(1.0, float("nan"), 0.5), metric=LOSS)
    assert "Only 2 sizes (1 without a score)" in refused(series)


def test_equal_sizes_are_one_size() -> None:
    series = Series(sizes=(1e6,) * 5, values=(1.0, 0.9, 0.8, 0.7, 0.6), metric=LOSS)
    assert "Only 1 size" in refused(series)


def test_a_narrow_range_is_refused() -> None:
    assert "span a factor of 3 only" in refused(loss_series(sizes=(1e6, 2e6, 3e6)))


def test_a_constant_score_is_refused() -> None:
    assert "at every size" in refused(Series(sizes=SIZES, values=(0.5,) * 7, metric=LOSS))


def test_noise_without_trend_is_refused() -> None:
    values = tuple(1 + 0.02 * np.random.default_rng(0).normal(size=7))
    assert "covers zero" in refused(Series(sizes=SIZES, values=values, metric=LOSS))


def test_scores_at_chance_are_refused() -> None:
    note = refused(accuracy([0.24, 0.26, 0.25, 0.23, 0.27, 0.25, 0.26]))
    assert "at or below chance (0.25)" in note


def test_scores_at_the_floor_and_at_the_ceiling_are_refused() -> None:
    low = tuple(0.1 + 0.05 * i for i in range(7))
    high = tuple(99 + 0.05 * i for i in range(7))
    assert "at the floor" in refused(Series(sizes=SIZES, values=low, metric=BLEU))
    assert "at the ceiling" in refused(Series(sizes=SIZES, values=high, metric=BLEU))


def test_a_perfect_score_is_refused_because_its_error_has_no_logarithm() -> None:
    values = (10.0, 30, 50, 70, 90, 99, 100)
    assert "perfect score" in refused(Series(sizes=SIZES, values=values, metric=BLEU))


def test_a_score_without_known_bounds_is_refused() -> None:
    unbounded = Metric(name="elo")
    series = Series(sizes=SIZES, values=tuple(range(7)), metric=unbounded)
    assert "no known perfect score" in refused(series)


def test_a_floor_that_swallows_the_curve_leaves_no_exponent() -> None:
    note = refused(loss_series(floor=1.0, alpha=0.6, noise=0.02, sizes=SIZES[2:]))
    assert "exponent" in note


@pytest.mark.parametrize("law", ["power-floor", "power"])
def test_noise_alone_hardly_ever_gets_an_exponent(law: str) -> None:
    believed = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        values = tuple(np.exp(0.05 * rng.normal(size=7)))
        fit = fit_series(Series(sizes=SIZES, values=values, metric=LOSS), law=law)
        believed += fit.verdict == "ok"
    assert believed <= 1


# --- doubts ---------------------------------------------------------------------------------------


def test_three_sizes_are_weak_at_best() -> None:
    fit = fit_series(Series(sizes=(1e4, 1e5, 1e6), values=(1.0, 0.5, 0.25), metric=LOSS))
    assert fit.verdict == "weak"
    assert fit.law == "power"
    assert "Three sizes leave one degree" in fit.note


def test_four_sizes_cannot_tell_a_floor_and_say_so() -> None:
    values = (1.0, 0.51, 0.25, 0.124)
    fit = fit_series(Series(sizes=(1e4, 1e5, 1e6, 1e7), values=values, metric=LOSS))
    assert fit.law == "power"
    assert "cannot tell a floor" in fit.note


def test_a_curve_that_bends_away_is_weak() -> None:
    values = (1.1, 4.2, 19.1, 33.9, 52.6, 76.2, 85.2)
    fit = fit_series(Series(sizes=SIZES, values=values, metric=BLEU))
    assert fit.verdict == "weak"
    assert "steepens" in fit.note


def test_a_size_that_is_worse_beyond_noise_is_named() -> None:
    values = [0.30, 0.42, 0.52, 0.60, 0.53, 0.70, 0.76]
    fit = fit_series(accuracy(values, items=5000))
    assert fit.verdict == "weak"
    assert "gets worse from size 23.7k (0.6) to 64.3k (0.53)" in fit.note


def test_sizes_at_chance_are_told() -> None:
    fit = fit_series(accuracy([0.25, 0.25, 0.45, 0.62, 0.74, 0.82, 0.88], items=1000))
    assert fit.verdict == "weak"
    assert fit.exponent.value is not None


# --- forecasts ------------------------------------------------------------------------------------


def test_forecasts_stay_inside_the_metrics_range_and_say_how_far_they_reach() -> None:
    values = (5.0, 25, 48, 66, 80, 90, 94)
    replicates = np.clip(
        np.array(values) + 3 * np.random.default_rng(0).normal(size=(300, 7)), 0, 99.9
    )
    fit = fit_series(Series(sizes=SIZES, values=values, metric=BLEU, replicates=replicates))
    assert [p.beyond for p in fit.forecast] == pytest.approx([2, 10])
    assert "2 times beyond the largest size" in fit.forecast[0].note
    for prediction in (*fit.forecast, fit.predict(1.0), fit.predict(1e15)):
        assert 0 <= prediction.lo <= prediction.value <= prediction.hi <= 100


def test_a_forecast_covers_the_next_size_as_often_as_it_says() -> None:
    inside = 0
    for seed in range(60):
        series = loss_series(seed=seed, noise=0.02)
        truth = (0.2 + 3 * (2 * SIZES[-1]) ** -0.34) * np.exp(
            0.02 * np.random.default_rng([seed, 9]).normal()
        )
        next_size = fit_series(Series(sizes=SIZES, values=series.values, metric=LOSS)).forecast[0]
        inside += next_size.lo <= truth <= next_size.hi
    assert inside >= 52


def test_a_size_must_be_positive() -> None:
    with pytest.raises(UsageError, match="positive"):
        fit_series(loss_series()).predict(0)


# --- edges ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("series", [loss_series(), loss_series(sizes=(1e3, 1e6))])
def test_json_holds_the_bound_fields_and_no_nan(series: Series) -> None:
    document = fit_series(series).to_json()
    text = json.dumps(document, allow_nan=False)
    assert json.loads(text) == document
    bound = {"law", "estimates", "n", "r2", "verdict", "note", "forecast"}
    assert bound <= set(document)
    assert set(document["estimates"]["exponent"]) >= {"value", "ci"}


def test_a_misspelt_law_is_met_with_a_suggestion() -> None:
    with pytest.raises(UsageError, match="Did you mean 'power-floor'"):
        fit_series(loss_series(), law="power-flor")


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="2 sizes but 1 values"):
        Series(sizes=(1.0, 2.0), values=(1.0,), metric=LOSS)
    with pytest.raises(ValueError, match="replicates"):
        Series(sizes=(1.0,), values=(1.0,), metric=LOSS, replicates=np.zeros((5, 2)))


def test_an_interval_prints_its_open_end() -> None:
    assert str(Interval(lo=0.2141, hi=None)) == "[0.214, …]"


def pythia(shared: Path, task: str, metric: str) -> tuple[NDArray[np.float64], ...]:
    """Sizes, scores and standard errors of the last Pythia checkpoints."""
    with (shared / "scaling/pythia/pythia_v1.csv").open(encoding="utf-8") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if (row["shots"], row["task"], row["metric"]) == ("zero-shot", task, metric)
            and (row["deduped"], row["step"]) == ("0", "143000")
        ]
    columns = ("params_nonemb", "value", "stderr")
    return tuple(np.array([float(row[name]) for row in rows]) for name in columns)


@pytest.mark.parametrize(("task", "chance"), [("logiqa", 0.25), ("wsc", 0.5)])
def test_pythia_tasks_at_chance_have_no_exponent(shared: Path, task: str, chance: float) -> None:
    sizes, values, errors = pythia(shared, task, "acc")
    assert sizes.size >= 6
    replicates = values + errors * np.random.default_rng(0).normal(size=(500, sizes.size))
    metric = Metric(name="acc", bounds=(0.0, 1.0), chance=chance)
    refused(Series(sizes=tuple(sizes), values=tuple(values), metric=metric, replicates=replicates))
