from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from gate_toys import ACC, ToyCell, column, side, write_run
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from harness import check as gates
from harness import stats
from harness.check.text import gate_text
from harness.cli import invoke
from harness.compare import Settings, compare
from harness.compare.text import comparison_document, comparison_text
from harness.types import CellRecord, Score

NAN = (math.nan, math.nan)


def score(value: float, stderr: float | None) -> Score:
    return Score(metric=ACC, value=value, ci=NAN, n=900, signature="imported", stderr=stderr)


def cell(value: float, stderr: float | None = 1.0, model: str = "m", size: int = 1000) -> ToyCell:
    """A score that came without samples."""
    return ToyCell(
        stats={ACC: column([])},
        model=model,
        size=size,
        fields={"scores": (score(value, stderr),)},
    )


@given(
    a=st.floats(0, 100),
    b=st.floats(0, 100),
    errors=st.tuples(st.floats(0.01, 9), st.floats(0.01, 9)),
    margin=st.floats(0, 5),
)
def test_the_z_test_is_that_of_the_textbook(
    a: float, b: float, errors: tuple[float, float], margin: float
) -> None:
    found = stats.unpaired(score(a, errors[0]), score(b, errors[1]))
    assert found is not None
    error = math.sqrt(errors[0] ** 2 + errors[1] ** 2)
    assert found.p == pytest.approx(2 * norm.sf(abs(b - a) / error), abs=1e-12)
    assert found.p_worse(margin) == pytest.approx(norm.cdf((b - a + margin) / error), abs=1e-12)
    assert found.interval() == pytest.approx(norm.interval(0.95, b - a, error))
    assert found.largest_loss(0.05) == pytest.approx(a - b + norm.ppf(0.95) * error)


def test_a_standard_error_is_the_files_own_or_that_of_the_interval() -> None:
    assert stats.standard_error(score(50, 2.0)) == 2.0
    assert stats.standard_error(score(50, None)) is None
    width = replace(score(100, 0.0), ci=(90.0, 100.0))
    assert stats.standard_error(width) == pytest.approx(10 / (2 * norm.ppf(0.975)))
    assert stats.unpaired(score(50, 2.0), score(50, None)) is None


def test_scores_without_samples_are_compared_unpaired_and_it_is_said() -> None:
    found = compare(side(cell(50)), side(cell(45)), Settings())
    (one,) = found.cells
    assert (one.test, one.difference) == ("unpaired z", -5)
    assert one.p == pytest.approx(2 * norm.sf(5 / math.sqrt(2)))
    text = comparison_text(found)
    assert "unpaired z" in text and "1 unpaired: samples are not kept" in text and "WORSE" in text
    assert comparison_document(found)["cells"][0]["test"] == "unpaired z"


def test_without_standard_errors_there_is_still_no_test() -> None:
    (one,) = compare(side(cell(50)), side(cell(45, None)), Settings()).cells
    assert one.test is None and "not both have a standard error" in one.note


def test_the_gate_judges_scores_without_samples(tmp_path: Path) -> None:
    def judged(value: float) -> gates.Gate:
        old, new = write_run(tmp_path / "old", cell(50)), write_run(tmp_path / "new", cell(value))
        assert invoke(["baseline", str(old), "-o", str(tmp_path / "b.json")]) == 0
        from harness.compare import run_side

        stored = gates.read_baseline(tmp_path / "b.json")
        return gates.check(run_side(new), stored, gates.Policy())

    fails = judged(40)
    assert fails.verdict is gates.Verdict.FAIL and fails.exit_code == 1
    assert "unpaired" in gate_text(fails)
    assert judged(49).verdict is gates.Verdict.INCONCLUSIVE
    assert judged(55).verdict is gates.Verdict.PASS


def family(exponent: float, level: float) -> list[ToyCell]:
    return [
        cell(100 - level * (size / 1e6) ** -exponent, 0.3, f"m-{size}", int(size))
        for size in (1e6, 4e6, 16e6, 64e6, 256e6)
    ]


@pytest.mark.parametrize("axis", ["total", "non_embedding"])
def test_two_imported_families_are_compared_as_curves(tmp_path: Path, axis: str) -> None:
    def made(name: str, cells: list[ToyCell]) -> Path:
        if axis == "total":
            cells = [totals_only(one) for one in cells]
        return write_run(tmp_path / name, *cells)

    def totals_only(one: ToyCell) -> ToyCell:
        record: CellRecord = one.record
        model = replace(
            record.model, parameters=replace(record.model.parameters, non_embedding=None)
        )
        return replace(one, fields={**one.fields, "model": model})

    a, b = made("a", family(0.2, 80.0)), made("b", family(0.1, 80.0))
    out = tmp_path / "found.json"
    import contextlib

    with out.open("w") as file, contextlib.redirect_stdout(file):
        assert invoke(["compare", str(a), str(b), "--json"]) == 0
    (curve,) = json.loads(out.read_text())["curves"]
    assert (curve["x"], curve["drawn"]) == (axis, "standard errors")
    assert curve["exponent"]["a"] == pytest.approx(0.2, abs=0.01)
    assert curve["exponent"]["b"] == pytest.approx(0.1, abs=0.01)
    assert curve["exponent"]["p_holm"] < 0.05 and curve["level"]["p_holm"] < 0.05
