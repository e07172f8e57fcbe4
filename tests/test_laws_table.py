"""Fits of tables: what is read, refused, warned of, grouped and chosen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import DataError, HarnessError, UsageError
from harness.laws.registry import BUILTIN, collect
from harness.laws.request import FitRequest
from harness.laws.sums import POWER
from harness.laws.table import Table, read_csv
from harness.laws.tablefit import GroupFit, fit_table

SIZES = np.geomspace(1e7, 1e10, 9)
LOSSES = (1.7 + 400 * SIZES**-0.34) * np.exp(0.01 * np.random.default_rng(0).normal(size=9))
GOOD = "N,loss,family\n" + "".join(f"{n},{v},a\n" for n, v in zip(SIZES, LOSSES, strict=True))


def table(tmp_path: Path, text: str) -> Table:
    path = tmp_path / "points.csv"
    path.write_text(text, encoding="utf-8")
    return read_csv(path)


def fit(tmp_path: Path, text: str, **options: object) -> tuple[GroupFit, ...]:
    options.setdefault("y", "loss")
    options.setdefault("replicates", 200)
    return fit_table(table(tmp_path, text), FitRequest(**options))  # type: ignore[arg-type]


def test_a_loss_with_a_floor(tmp_path: Path) -> None:
    (group,) = fit(tmp_path, GOOD)
    result = group.fit
    assert (result.law, result.verdict, result.loss) == ("power-floor", "ok", "log-mse")
    assert result.exponent.ci is not None and result.exponent.ci.covers(0.34)
    assert set(result.exponent.kinds) == {"residuals", "profile"}
    assert result.certificate is not None and result.certificate.share == 1.0
    assert result.resampling is not None and result.resampling.failures == 0
    text = json.dumps(result.to_json(), allow_nan=False)
    assert json.loads(text)["certificate"]["converged"] is True


def test_forecasts_hold_the_truth_and_grow_wider(tmp_path: Path) -> None:
    (group,) = fit(tmp_path, GOOD)
    near, far = group.fit.forecast
    truth = 1.7 + 400 * 1e11**-0.34
    assert far.lo < truth < far.hi
    assert near.beyond == pytest.approx(2)
    assert far.hi - far.lo > 0


@pytest.mark.parametrize(
    ("text", "options", "error", "words"),
    [
        pytest.param(GOOD, {"y": "los"}, UsageError, "Did you mean 'loss'", id="column"),
        pytest.param(GOOD, {"law": "chinchila"}, UsageError, "'chinchilla'", id="law"),
        pytest.param(GOOD, {"law": "kaplan", "x": ("N",)}, UsageError, "needs 2", id="variables"),
        pytest.param(GOOD, {"resample": "item"}, UsageError, "'items'", id="unit"),
        pytest.param(GOOD, {"resample": "seeds"}, UsageError, "cluster:training", id="seeds"),
        pytest.param(GOOD, {"resample": "items"}, UsageError, "needs the samples", id="items"),
        pytest.param(GOOD, {"loss": "weighted"}, UsageError, "--error", id="errors"),
        pytest.param(GOOD, {"where": ("N~1",)}, UsageError, "Cannot read", id="condition"),
        pytest.param(GOOD, {"where": ("N<1",)}, DataError, "No row", id="nothing left"),
        pytest.param(GOOD, {"replicates": 3}, UsageError, "at least 100", id="replicates"),
        pytest.param("", {}, DataError, "is empty", id="empty"),
        pytest.param("N,loss\n", {}, DataError, "no rows", id="header only"),
        pytest.param("N,loss\n1e6,3,4\n", {}, DataError, "line 2: 3 cells", id="ragged"),
        pytest.param("N,loss\n1e6,2\n", {}, DataError, "One point", id="one point"),
        pytest.param("N,loss\n1e6,2\n1e6,3\n", {}, DataError, "same N", id="one size"),
        pytest.param("N,loss\n1e6,2\n1e7,2\n1e8,2\n", {}, DataError, "no trend", id="constant"),
        pytest.param("N,loss\n1e6,2\nten,2\n", {}, DataError, "line 3: 'ten'", id="text"),
        pytest.param("N,loss\n1e6,2\n1e7,inf\n", {}, DataError, "infinite", id="infinity"),
        pytest.param("N,loss\n1e6,2\n0,3\n", {}, DataError, "positive", id="zero size"),
        pytest.param("N,loss\n1e6,2\n1e7,-3\n1e8,1\n", {}, DataError, "logarithm", id="negative"),
        pytest.param("N,loss\n0.07,3\n1.4,2\n12,1\n", {}, DataError, "Billions", id="units"),
    ],
)
def test_bad_input_is_refused_in_words(
    tmp_path: Path, text: str, options: dict[str, object], error: type[HarnessError], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        fit(tmp_path, text, **options)
    assert len(str(caught.value).splitlines()) <= 3


def test_a_missing_file_and_one_that_is_not_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Cannot read"):
        read_csv(tmp_path / "nothing.csv")
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DataError, match="UTF-8"):
        read_csv(binary)


def test_a_factor_puts_billions_right(tmp_path: Path) -> None:
    rows = "".join(f"{n / 1e9},{v}\n" for n, v in zip(SIZES, LOSSES, strict=True))
    (scaled,) = fit(tmp_path, "N,loss\n" + rows, x=("N*1e9",))
    (plain,) = fit(tmp_path, GOOD)
    assert scaled.fit.estimates["A"].value == pytest.approx(plain.fit.estimates["A"].value)


def test_rows_repeated_verbatim_count_once_and_are_told(tmp_path: Path) -> None:
    (once,) = fit(tmp_path, GOOD)
    (twice,) = fit(tmp_path, GOOD + GOOD.split("\n", 1)[1])
    assert twice.fit.exponent.ci == once.fit.exponent.ci
    assert twice.fit.n == 9
    assert "9 rows repeat others verbatim" in twice.fit.warnings[0]


def test_empty_cells_are_left_out_and_told(tmp_path: Path) -> None:
    (group,) = fit(tmp_path, GOOD + "3e7,,a\n5e7,nan,a\n")
    assert group.fit.n == 9
    assert "2 rows without a number were left out." in group.fit.warnings


def test_trainings_that_diverged_are_left_out_and_told(tmp_path: Path) -> None:
    head, *rows = GOOD.splitlines()
    table = [f"{head},outcome", *(f"{row},complete" for row in rows), "3e7,,a,diverged"]
    (group,) = fit(tmp_path, "\n".join([*table, "5e7,,a,diverged", "7e7,,a,complete"]) + "\n")
    assert group.fit.n == 9
    assert "2 rows that diverged were left out." in group.fit.warnings
    assert "1 row without a number was left out." in group.fit.warnings
    with pytest.raises(DataError, match="all of its 2 trainings diverged"):
        fit(tmp_path, "N,outcome\n1e6,diverged\n2e6,diverged\n")


def test_a_narrow_range_has_no_exponent(tmp_path: Path) -> None:
    (group,) = fit(tmp_path, GOOD, where=("N<5e7",), law="power")
    assert group.fit.verdict == "not-identifiable"
    assert group.fit.exponent.value is None


def test_four_parameters_on_five_points_are_fitted_with_a_warning(tmp_path: Path) -> None:
    rows = GOOD.splitlines()[:5]
    (group,) = fit(tmp_path, "\n".join(rows) + "\n")
    assert any("joins the dots" in warning for warning in group.fit.warnings)
    assert group.fit.verdict != "ok"


def test_groups_are_fitted_apart_and_a_bad_one_spoils_no_other(tmp_path: Path) -> None:
    text = GOOD + "1e7,3,b\n"
    first, second = fit(tmp_path, text, group=("family",))
    assert (first.group["family"], first.fit.verdict) == ("a", "ok")
    assert (second.group["family"], second.fit.verdict) == ("b", "not-identifiable")
    assert "One point" in second.fit.note


def test_where_takes_numbers_and_words(tmp_path: Path) -> None:
    points = table(tmp_path, GOOD + "1e7,3,b\n")
    assert len(points.where("family=b").rows) == 1
    assert len(points.where("family!=b").rows) == 9
    assert len(points.where("N >= 1e10").rows) == 1
    with pytest.raises(UsageError, match="not a number"):
        points.where("N>many")


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(9)), again=st.integers(0, 8))
def test_neither_the_order_of_rows_nor_one_repeated_verbatim_matters(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], again: int
) -> None:
    folder = tmp_path_factory.mktemp("order")
    header, *rows = GOOD.splitlines()
    assert len(rows) == 9
    (plain,) = fit(folder, GOOD, replicates=100)
    mixed = "\n".join([header, *(rows[i] for i in order), rows[again]]) + "\n"
    (other,) = fit(folder, mixed, replicates=100)
    for name, estimate in plain.fit.estimates.items():
        assert other.fit.estimates[name].value == pytest.approx(estimate.value, rel=1e-6)


@pytest.mark.parametrize("unit", ["points", "residuals", "cluster:size"])
def test_every_unit_gives_an_interval_about_the_truth(tmp_path: Path, unit: str) -> None:
    rng = np.random.default_rng(1)
    n = np.repeat(np.geomspace(1e7, 1e10, 8), 3)
    y = (1.7 + 400 * n**-0.34) * np.exp(0.01 * rng.normal(size=n.size))
    rows = "".join(f"{a},{b},s{a:.0f}\n" for a, b in zip(n, y, strict=True))
    (group,) = fit(tmp_path, "N,loss,size\n" + rows, resample=unit, loss="log-mse")
    interval = group.fit.exponent.kinds[unit]
    assert interval.covers(0.34)
    assert group.fit.resampling is not None and group.fit.resampling.unit == unit


def test_bca_and_percentile_nearly_agree_where_all_is_well(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    n = np.geomspace(1e7, 1e10, 30)
    y = (1.7 + 400 * n**-0.34) * np.exp(0.005 * rng.normal(size=30))
    text = "N,loss\n" + "".join(f"{a},{b}\n" for a, b in zip(n, y, strict=True))
    options = {"resample": "points", "replicates": 1000, "loss": "log-mse"}
    (plain,) = fit(tmp_path, text, **options)
    (bca,) = fit(tmp_path, text, interval="bca", **options)
    first, second = plain.fit.exponent.kinds["points"], bca.fit.exponent.kinds["points"]
    assert first.lo is not None and first.hi is not None and second.lo is not None
    assert second.lo == pytest.approx(first.lo, abs=0.5 * (first.hi - first.lo))


def scores(tmp_path: Path, law: str, **options: object) -> GroupFit:
    rng = np.random.default_rng(3)
    share = 1 / (1 + np.exp(6 - 0.35 * np.log(SIZES)))
    right = rng.binomial(2000, 0.25 + 0.75 * share) / 2000
    rows = "".join(f"{n},{s},2000\n" for n, s in zip(SIZES, right, strict=True))
    (group,) = fit(tmp_path, "N,acc,items\n" + rows, y="acc", law=law, **options)
    return group


def test_accuracies_between_chance_and_ceiling(tmp_path: Path) -> None:
    result = scores(tmp_path, "logit-linear", items="items", chance=0.25, ceiling=1.0).fit
    assert result.loss == "binomial"
    assert result.estimates["w1"].ci is not None and result.estimates["w1"].ci.covers(0.35)
    for prediction in (result.predict(1e3), result.predict(1e20)):
        assert 0.25 <= prediction.lo <= prediction.hi <= 1
    assert result.lack_of_fit is not None and result.lack_of_fit[1] == 7


def test_the_power_law_on_the_error_keeps_below_the_ceiling(tmp_path: Path) -> None:
    result = scores(tmp_path, "error-power").fit
    assert result.predict(1e20).hi <= 1


def test_auto_describes_the_distance_of_scores_to_their_ceiling(tmp_path: Path) -> None:
    n = np.geomspace(1e6, 1e10, 12)
    y = 100 - 300 * n**-0.15 * np.exp(0.005 * np.random.default_rng(1).normal(size=12))
    text = "N,acc\n" + "".join(f"{a},{b}\n" for a, b in zip(n, y, strict=True))
    (group,) = fit(tmp_path, text, law="auto", y="acc", ceiling=100.0)
    assert group.ranking is not None
    assert group.ranking.best == group.fit.law == "error-power"
    assert group.fit.estimates["alpha"].value == pytest.approx(0.15, rel=0.05)
    assert group.fit.predict(1e20).hi <= 100
    (falling,) = fit(tmp_path, text, law="auto", y="acc", ceiling=100.0, rising=False)
    assert not falling.fit.law.startswith("error-")


@pytest.mark.parametrize("law", ["auto", "error-power", "error-m4"])
def test_a_perfect_score_has_no_distance_whose_logarithm_could_be_fitted(
    tmp_path: Path, law: str
) -> None:
    rows = "".join(f"{1e6 * 3**i},{40 + 10 * i}\n" for i in range(7))
    with pytest.raises(DataError, match="100 is perfect"):
        fit(tmp_path, "N,acc\n" + rows, law=law, y="acc", ceiling=100.0)


def test_given_errors_weigh_and_lack_of_fit_is_told(tmp_path: Path) -> None:
    bent = LOSSES + 0.1 * np.sin(np.arange(9))
    rows = "".join(f"{n},{v},0.01\n" for n, v in zip(SIZES, bent, strict=True))
    (group,) = fit(tmp_path, "N,loss,se\n" + rows, error="se")
    assert group.fit.loss == "weighted"
    assert any("Lack of fit" in warning for warning in group.fit.warnings)


def test_auto_shows_its_ranking_and_leaves_out_a_law_that_cannot_be(tmp_path: Path) -> None:
    n = np.geomspace(1e6, 1e10, 16)
    y = (2 + 30 * n**-0.2) * np.exp(0.003 * np.random.default_rng(5).normal(size=16))
    text = "N,loss\n" + "".join(f"{a},{b}\n" for a, b in zip(n, y, strict=True))
    (group,) = fit(tmp_path, text, law="auto")
    assert group.ranking is not None
    assert group.ranking.best == group.fit.law
    scores = {score.law: score for score in group.ranking.laws if not score.by_size}
    assert sum(score.weight for score in group.ranking.laws) == pytest.approx(1)
    assert scores["power"].weight == 0
    assert scores["power"].held_out > 2 * scores["power-floor"].held_out
    assert json.dumps(group.ranking.to_json(), allow_nan=False)


def test_auto_needs_sizes_to_hold_out(tmp_path: Path) -> None:
    rows = GOOD.splitlines()[:4]
    with pytest.raises(DataError, match="holds out"):
        fit(tmp_path, "\n".join(rows) + "\n", law="auto")


def test_product_takes_the_factors_it_is_given(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    n, d = np.exp(rng.uniform(14, 22, (2, 30)))
    y = 3 * n**-0.1 * d**-0.2 * np.exp(0.01 * rng.normal(size=30))
    text = "N,D,loss\n" + "".join(f"{a},{b},{c}\n" for a, b, c in zip(n, d, y, strict=True))
    (group,) = fit(tmp_path, text, law="product", x=("N", "D"))
    assert group.fit.formula == "P = a·N^b·D^c"
    assert group.fit.estimates["b"].value == pytest.approx(-0.1, abs=0.01)
    assert group.fit.estimates["c"].value == pytest.approx(-0.2, abs=0.01)


def test_effective_parameters_need_more_tokens_than_parameters(tmp_path: Path) -> None:
    text = "N,D,loss\n1e8,1e7,3\n1e9,1e12,2\n1e10,1e12,1.5\n1e7,1e9,4\n1e6,1e9,5\n"
    with pytest.raises(DataError, match="more tokens than parameters"):
        fit(tmp_path, text, law="effective-params", x=("N", "D"))


def test_a_law_of_ones_own_is_found_and_a_taken_name_refused(tmp_path: Path) -> None:
    from dataclasses import replace

    mine = replace(POWER, name="mine")
    (group,) = fit(tmp_path, GOOD, law="mine", laws=collect([mine]))
    assert group.fit.law == "mine"
    with pytest.raises(HarnessError, match="offered twice"):
        collect([POWER, replace(POWER, formula="another")])


def test_exact_points_give_an_exact_answer(tmp_path: Path) -> None:
    rows = "".join(f"{n!r},{1.7 + 400 * n**-0.34!r}\n" for n in SIZES.tolist())
    (group,) = fit(tmp_path, "N,loss\n" + rows)
    assert group.fit.verdict == "ok"
    assert group.fit.exponent.ci is not None
    assert group.fit.exponent.ci.lo == pytest.approx(0.34, rel=1e-6)


def test_collinear_sizes_and_tokens_have_no_exponent(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    y = (1.8 + 400 * SIZES**-0.34) * np.exp(0.003 * rng.normal(size=9))
    rows = "".join(f"{n},{20 * n},{v}\n" for n, v in zip(SIZES, y, strict=True))
    (group,) = fit(tmp_path, "N,D,loss\n" + rows, x=("N", "D"))
    assert group.fit.verdict == "not-identifiable"


def test_a_law_worse_than_a_constant_holds_no_number(tmp_path: Path) -> None:
    (group,) = fit(tmp_path, GOOD, law="linear")
    assert group.fit.verdict == "not-identifiable"
    assert "worse than a constant" in group.fit.note


def test_a_rising_loss_has_no_exponent_under_a_falling_law(tmp_path: Path) -> None:
    rows = "".join(f"{n},{2 * n**0.1}\n" for n in SIZES)
    (group,) = fit(tmp_path, "N,loss\n" + rows)
    assert group.fit.verdict == "not-identifiable"


def test_every_law_tells_its_formula_and_source() -> None:
    for law in BUILTIN.values():
        assert law.formula and law.source and law.variables and law.parameters
