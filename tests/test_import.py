"""What the core makes of imported cells: sizes, intervals, families, refusals."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Program
from hypothesis import given
from hypothesis import strategies as st
from interchange import save, take, values

from harness.errors import DataError, SaveError, UsageError
from harness.importing import safe_name
from harness.results import RunDirectory
from harness.scaling import fit_run
from harness.sizes import Sizing, parse_size, read_sizing
from harness.types import ImportedCell, ImportedScore, Metric, Parameters, SampleRecord

ACC = Metric(name="acc", bounds=(0.0, 1.0))
SIZES = (70e6, 160e6, 410e6, 1.4e9, 6.9e9)


def cell(model: str = "m-70m", value: float = 0.4, **fields: object) -> ImportedCell:
    score = ImportedScore(metric=ACC, value=value, stderr=0.01, n=2000)
    made = ImportedCell(model=model, task="t", scores=(score,), files=(f"{model}.json",))
    return replace(made, **fields)  # type: ignore[arg-type]


def samples(*numbers: float) -> tuple[SampleRecord, ...]:
    return tuple(
        SampleRecord(
            id=str(i), requests=(), responses=(), reference=None, stats={"acc": (number, 1.0)}
        )
        for i, number in enumerate(numbers)
    )


# --- scores and intervals ---------------------------------------------------------------------


def test_samples_that_give_the_score_again_are_used(tmp_path: Path) -> None:
    score = ImportedScore(metric=ACC, value=0.75, stderr=0.25, n=4)
    made = cell(scores=(score,), samples=samples(1, 1, 0, 1))
    (record,) = save("x", [made], tmp_path / "run").records
    stats = RunDirectory(tmp_path / "run").read_stats(record)
    assert len(stats.graded("acc")) == 4
    assert record.scores[0].ci == (0.25, 1.0)  # the bootstrap's, not 0.75 ± 1.96 · 0.25
    assert record.scores[0].stderr == 0.25


@pytest.mark.parametrize(
    ("value", "n", "words"),
    [(0.5, 4, "its samples give 0.75"), (0.75, 9, "is over 9 samples and the file holds 4")],
)
def test_samples_that_do_not_are_kept_without_statistics(
    tmp_path: Path, value: float, n: int, words: str
) -> None:
    score = ImportedScore(metric=ACC, value=value, stderr=0.1, n=n)
    imported = save("x", [cell(scores=(score,), samples=samples(1, 1, 0, 1))], tmp_path / "run")
    (record,) = imported.records
    assert words in imported.warnings[0]
    assert record.scores[0].value == value
    assert record.scores[0].ci == pytest.approx(
        (value - 0.19600, min(1, value + 0.19600)), abs=1e-4
    )
    assert RunDirectory(tmp_path / "run").read_stats(record).tables == {}


def test_without_any_uncertainty_there_is_no_interval(tmp_path: Path) -> None:
    save("x", [cell(scores=(ImportedScore(metric=ACC, value=0.5),))], tmp_path / "run")
    (record,) = RunDirectory(tmp_path / "run").read_run().cells
    assert all(math.isnan(end) for end in record.scores[0].ci)
    assert record.scores[0].stderr is None


def test_a_standard_error_of_zero_is_not_taken_for_certainty(tmp_path: Path) -> None:
    score = ImportedScore(metric=ACC, value=0.0, stderr=0.0, n=100)
    (record,) = save("x", [cell(scores=(score,))], tmp_path / "run").records
    low, high = record.scores[0].ci
    assert (low, round(high, 4)) == (0.0, 0.037)  # Wilson's upper end for 0 of 100


@pytest.mark.parametrize(("right", "ends"), [(1, (0.4729, 1.0)), (0, (0.0, 0.5271))])
def test_few_samples_all_right_or_all_wrong_are_not_taken_for_certainty(
    tmp_path: Path, right: int, ends: tuple[float, float]
) -> None:
    score = ImportedScore(metric=ACC, value=float(right), n=4)
    made = cell(scores=(score,), samples=samples(*[right] * 4))
    (record,) = save("x", [made], tmp_path / "run").records
    assert record.scores[0].ci == pytest.approx(ends, abs=1e-4)  # 0.05^(1/4)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_is_left_out_and_said(tmp_path: Path, value: float) -> None:
    bad = ImportedScore(metric=replace(ACC, name="ppl"), value=value)
    good = ImportedScore(metric=ACC, value=0.5, stderr=0.1)
    (record,) = save("x", [cell(scores=(bad, good))], tmp_path / "run").records
    assert record.status == "partial"
    assert [s.metric.name for s in record.scores] == ["acc"]
    assert record.error == "ppl: not a number in m-70m.json; left out."
    assert RunDirectory(tmp_path / "run").read_run().status == "partial"


def test_a_value_outside_its_supposed_range_loses_the_range(tmp_path: Path) -> None:
    """One model's f1 in percent below 1 must not make the others' look like shares."""
    metric = replace(ACC, name="f1")
    cells = [
        cell(f"m-{size}m", scores=(ImportedScore(metric=metric, value=value, stderr=0.1),))
        for size, value in ((70, 0.9), (160, 20.0), (410, 30.0), (1400, 45.2))
    ]
    imported = save("x", cells, tmp_path / "run", read_sizing(None, "([0-9]+m)", None))
    assert "f1 is 20, outside 0.0 to 1.0; its range is taken as unknown" in imported.warnings[0]
    directory = RunDirectory(tmp_path / "run")
    (fit,) = fit_run(directory.read_run(), directory)
    assert fit.fit.verdict == "not-identifiable" and "no known perfect score" in fit.fit.note


def test_a_place_that_cannot_hold_a_run_is_a_save_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(SaveError):
            save("x", [cell()], place)


# --- sizes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("70m", 70_000_000),
        ("1.4B", 1_400_000_000),
        ("405_334_016", 405334016),
        ("405,334,016", 405334016),
        ("1e9", 10**9),
        (" 3k ", 3000),
    ],
)
def test_sizes_in_words(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "nan", "inf", "many", "1e999999999", "7mm", "1e-3"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no number of parameters"):
        parse_size(text)


@given(st.text())
def test_any_text_is_a_size_or_refused(text: str) -> None:
    with suppress(UsageError):
        assert parse_size(text) >= 1


def test_a_list_of_sizes_finds_models_by_name_revision_and_folder(tmp_path: Path) -> None:
    table = tmp_path / "sizes.csv"
    table.write_text(
        "model,params,non_embedding,family\na/m-1,10,4,fam\nm-2,20,,\na/m-3@step1,30,9,\n"
    )
    sizing = read_sizing(table, None, None)
    assert sizing.apply(cell("a/m-1@step9")).family == "fam"
    assert sizing.apply(cell("b/m-2")).parameters == Parameters(total=20)
    assert sizing.apply(cell("a/m-3@step1")).parameters == Parameters(total=30, non_embedding=9)
    assert sizing.apply(cell("a/m-3")).source == "unknown"


def test_a_list_may_be_json(tmp_path: Path) -> None:
    table = tmp_path / "sizes.json"
    table.write_text('{"m-1": 10, "m-2": {"params": "1.5M", "non_embedding": 1e6}}')
    sizing = read_sizing(table, None, None)
    assert sizing.apply(cell("m-1")).parameters == Parameters(total=10)
    assert sizing.apply(cell("m-2")).parameters == Parameters(
        total=1_500_000, non_embedding=1_000_000
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,params\nm,1\n", "no column 'model'"),
        ("model,params\nm,1\nm,2\n", "line 3: the model 'm' occurs twice"),
        ("model,params\nm,big\n", "line 2, params: 'big' is no number of parameters"),
        ("model,params\nm,\n", "'m' has neither params nor non_embedding"),
        ("model,size\nm,1\n", "unknown column 'size'"),
    ],
)
def test_a_damaged_list_is_refused_by_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "sizes.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        read_sizing(tmp_path / "sizes.csv", None, None)


def test_a_pattern_gives_size_and_family_and_is_marked() -> None:
    sized = read_sizing(None, r"m-([0-9.]+[mb])", None).apply(cell("org/m-1.4b-chat"))
    assert sized.parameters == Parameters(total=1_400_000_000)
    assert (sized.source, sized.family) == ("pattern", "org/m-chat")


@pytest.mark.parametrize("pattern", ["(", "(a)(b)"])
def test_a_pattern_that_cannot_serve_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match="--size-pattern"):
        read_sizing(None, pattern, None)


def test_a_list_that_contradicts_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("model,params\nm-70m,20\n")
    sizing = read_sizing(tmp_path / "s.csv", None, None)
    known = cell(parameters=Parameters(total=10), sizes="file")
    with pytest.raises(UsageError, match="says 20 parameters for 'm-70m'.*says 10"):
        sizing.apply(known)


def test_the_files_own_size_beats_a_pattern() -> None:
    known = cell(parameters=Parameters(total=10), sizes="file")
    sized = read_sizing(None, "([0-9]+m)", None).apply(known)
    assert (sized.parameters.total, sized.source) == (10, "file")


# --- fits -------------------------------------------------------------------------------------


def family(factor: float) -> list[ImportedCell]:
    """Errors that follow 3 · N^-0.1 exactly, on a scale of 0 to ``factor``."""
    metric = replace(ACC, bounds=(0.0, factor))
    return [
        cell(
            f"m-{size / 1e6:g}m",
            scores=(
                ImportedScore(
                    metric=metric, value=factor * (1 - 3 * size**-0.1), stderr=factor * 0.005
                ),
            ),
        )
        for size in SIZES
    ]


def test_the_exponent_does_not_depend_on_the_scale_of_the_file(tmp_path: Path) -> None:
    sizing = read_sizing(None, "([0-9.]+m)", None)
    found = []
    for factor in (1.0, 100.0):
        folder = tmp_path / f"{factor:g}"
        save("x", family(factor), folder, sizing)
        directory = RunDirectory(folder)
        (fit,) = fit_run(directory.read_run(), directory)
        assert (fit.x, fit.fit.verdict) == ("total", "ok")
        assert fit.fit.resampling is not None
        assert fit.fit.resampling.unit.startswith("standard errors")
        found.append(fit.fit.exponent)
    assert found[0].value == pytest.approx(0.1) == found[1].value
    assert found[0].ci is not None and found[1].ci is not None
    assert found[0].ci.lo == pytest.approx(found[1].ci.lo)


def test_models_without_a_size_stay_out_of_fits(tmp_path: Path) -> None:
    save("x", family(1.0), tmp_path / "run", Sizing(family="m"))
    directory = RunDirectory(tmp_path / "run")
    assert fit_run(directory.read_run(), directory) == ()


# --- what must not stand together -------------------------------------------------------------


def test_the_same_cell_twice_with_other_results_is_refused_by_name(tmp_path: Path) -> None:
    cells = [cell(value=0.4), replace(cell(value=0.5), files=("other.json",))]
    with pytest.raises(UsageError, match=r"m-70m.json and other.json; acc is 0.4 and 0.5"):
        save("x", cells, tmp_path / "run")
    assert not (tmp_path / "run").exists() and list(tmp_path.iterdir()) == []


def test_the_same_cell_twice_with_equal_results_is_kept_once(tmp_path: Path) -> None:
    imported = save("x", [cell(), replace(cell(), files=("copy.json",))], tmp_path / "run")
    assert len(imported.records) == 1
    assert "copy.json; kept once" in imported.warnings[0]


def test_one_task_set_up_in_two_ways_is_refused(tmp_path: Path) -> None:
    cells = [cell("a", setup={"shots": "0"}), cell("b", setup={"shots": "5"})]
    with pytest.raises(UsageError, match=r"shots 0 in a.json and shots 5 in b.json"):
        save("x", cells, tmp_path / "run")


def test_nothing_to_import_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Nothing to import"):
        save("x", [], tmp_path / "run")


def test_an_import_replaces_itself_and_nothing_else(tmp_path: Path) -> None:
    run = tmp_path / "run"
    save("x", [cell(value=0.4), cell("b")], run, settings={"paths": ["a"]})
    (run / "exports" / "lm-eval").mkdir(parents=True)
    save("x", [cell(value=0.6)], run, settings={"paths": ["a"]})
    assert not (run / "exports").exists()  # it was made of the scores that are gone
    assert len(RunDirectory(run).read_run().cells) == 1
    assert len(list((run / "cells").iterdir())) == 1
    with pytest.raises(UsageError, match="holds a run already, and not the same import"):
        save("x", [cell()], run, settings={"paths": ["b"]})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(UsageError, match="holds other files"):
        save("x", [cell()], tmp_path / "mine")


@given(st.text())
def test_safe_names_hold_no_control_characters_and_can_be_written(text: str) -> None:
    safe = safe_name(text)
    assert safe_name(safe) == safe
    safe.encode()
    assert not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for char in safe)
    assert "\u202e" not in safe


# --- a plain table, and the command -----------------------------------------------------------


TABLE = """model,task,metric,value,stderr,n
m-70m,arc_easy,acc,0.375,0.0099,2376
m-160m,arc_easy,acc,0.436,0.0102,2376
m-410m,arc_easy,acc,0.517,0.0103,2376
m-1.4b,arc_easy,acc,0.604,0.0100,2376
"""


def test_a_table_becomes_a_run(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(TABLE)
    records = take("csv", tmp_path / "run", tmp_path / "t.csv")
    assert values(records)["m-410m", "arc_easy", "acc"] == 0.517
    assert records[0].scores[0].metric.chance == 0.25
    assert records[0].scores[0].ci == pytest.approx((0.3556, 0.3944), abs=1e-4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model,task,value\nm,t,1\n", "no column 'metric'"),
        ("model,task,metric,value\n", "no line of scores"),
        ("model,task,metric,value\nm,t,acc,high\n", "line 2: value is 'high'"),
        ("model,task,metric,value\nm,,acc,1\n", "line 2 has no task"),
        ("model,task,metric,value\nm,t,acc,1\nm,t,acc,1\n", "has acc a second time"),
        ("model,task,metric,value\nm,t,acc,1,2\n", "more fields"),
        ("model,task,metric,value,params\nm,t,acc,1,big\n", "params: 'big'"),
        ("model,task,metric,value,higher_is_better\nm,t,acc,1,maybe\n", "write yes or no"),
    ],
)
def test_a_damaged_table_is_refused_by_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        take("csv", tmp_path / "run", tmp_path / "t.csv")


def test_the_command_says_what_it_did_and_where_sizes_come_from(program: Program) -> None:
    (program.folder / "t.csv").write_text(TABLE)
    done = program("import", "csv", "t.csv", "-o", "run")
    assert done.returncode == 0, done.stderr
    assert "4 cells (4 models, 1 task) imported into run" in done.stdout
    assert "Size unknown: m-70m, m-160m, m-410m and 1 more" in done.stdout
    done = program("import", "csv", "t.csv", "-o", "sized", "--size-pattern", "([0-9.]+[mb])")
    assert "Size unknown" not in done.stdout
    shown = program("show", "sized").stdout
    assert "Imported from csv; scores keep the scale of their files." in shown
    assert "read from the name by --size-pattern: m-1.4b" in shown
    assert "size N = total parameters" in shown
    document = program.json("show", "sized")
    assert {score["size_source"] for score in document["scores"]} == {"pattern"}
    assert document["fits"][0]["x"] == "total"
    manifest = json.loads((program.folder / "sized" / "manifest.json").read_text())
    assert manifest["settings"]["import"] == "csv"


def test_a_partial_import_ends_with_4_and_an_unknown_format_with_2(program: Program) -> None:
    (program.folder / "t.csv").write_text("model,task,metric,value\nm,t,acc,nan\nm,t,em,1\n")
    done = program("import", "csv", "t.csv", "-o", "run")
    assert done.returncode == 4
    assert "acc: not a number in t.csv; left out." in done.stdout
    done = program("import", "lmeval", "t.csv", "-o", "run2")
    assert done.returncode == 2
    assert "Unknown importer 'lmeval'. Did you mean 'lm-eval'" in done.stderr
    assert "`harness import --list`" in done.stderr
    assert program("import", "csv", "nowhere.csv").returncode == 2
