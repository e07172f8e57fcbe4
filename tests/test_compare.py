from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import Program
from gate_toys import ACC, BLEU, ToyCell, Translations, column, side, write_run

from harness.check import Policy, check, read_baseline, write_baseline
from harness.check.markdown import markdown_text
from harness.check.text import gate_document, gate_text
from harness.cli import invoke
from harness.compare import Settings, compare, match_cells
from harness.compare.text import comparison_document, comparison_text
from harness.errors import NotComparableError, UsageError
from harness.types import Counts


def answers(share: float, number: int = 100, seed: int = 0) -> np.ndarray:
    return column(100.0 * (np.random.default_rng(seed).random(number) < share))


def test_cells_are_matched_by_task_and_model() -> None:
    a = side(ToyCell(stats={ACC: answers(0.5)}, model="m"), ToyCell(stats={}, model="n"))
    b = side(ToyCell(stats={}, model="n"), ToyCell(stats={}, model="m", task="other"))
    matches, missing = match_cells(a, b)
    assert [match.label for match in matches] == ["n on task"]
    assert missing == ("m on task",)


def test_one_model_on_each_side_is_one_pair_whatever_their_names() -> None:
    a, b = (side(ToyCell(stats={ACC: answers(0.5)}, model=name)) for name in ("old", "new"))
    matches, _ = match_cells(a, b)
    assert [match.label for match in matches] == ["old → new on task"]


def test_a_mapping_must_name_models_that_are_there() -> None:
    a = side(*(ToyCell(stats={}, model=name) for name in ("m1", "m2")))
    b = side(*(ToyCell(stats={}, model=name) for name in ("k1", "k2")))
    matches, missing = match_cells(a, b, {"m1": "k2"})
    assert [match.label for match in matches] == ["m1 → k2 on task"]
    assert missing == ("m2 on task",)
    with pytest.raises(UsageError, match="side has no model 'k3'. There are: k1, k2"):
        match_cells(a, b, {"m1": "k3"})


def test_a_difference_and_its_words() -> None:
    text = Translations(150, 1)
    hypotheses = text.spoilt(text.references, 0.2)
    worse, loss = text.lowered(hypotheses, 3.0)
    found = compare(
        side(ToyCell(stats={BLEU: text.stats(hypotheses), ACC: answers(0.5, 150)})),
        side(ToyCell(stats={BLEU: worse, ACC: answers(0.5, 150)})),
        Settings(),
    )
    bleu, acc = found.cells
    assert bleu.test == "randomization" and acc.test == "mcnemar"
    assert bleu.difference == pytest.approx(-loss)
    assert bleu.ci is not None and bleu.ci[0] < -loss < bleu.ci[1] < 0
    assert bleu.significant and bleu.p_holm == pytest.approx(2 * (bleu.p or 0))
    assert bleu.detectable is not None and 0 < bleu.detectable < loss
    assert acc.p == 1 and acc.detectable is None and not acc.significant


def test_other_samples_are_not_comparable_and_the_message_says_what_differs() -> None:
    a = ToyCell(stats={ACC: answers(0.5, 5)}, ids=list("abcde"))
    b = ToyCell(
        stats={ACC: answers(0.5, 3)}, ids=list("abc"),
        fields={"fingerprint": "beef", "seed": 3, "limit": 3},
    )  # fmt: skip
    with pytest.raises(NotComparableError) as caught:
        compare(side(a), side(b), Settings())
    message = str(caught.value)
    for words in (
        "fingerprint f00d against beef", "seed 0 against 3", "limit none against 3",
        "2 of 5 samples are not in the second ('d', ...)",
    ):  # fmt: skip
        assert words in message
    assert caught.value.exit_code == 5
    assert len(message.splitlines()) <= 3


def test_one_cell_that_may_not_be_compared_does_not_hide_the_others() -> None:
    good = ToyCell(stats={ACC: answers(0.5)})
    bad = ToyCell(stats={ACC: answers(0.5)}, task="moved")
    changed = ToyCell(stats={ACC: answers(0.5)}, task="moved", fields={"fingerprint": "1"})
    found = compare(side(good, bad), side(good, changed), Settings())
    assert [one.match.b.task for one in found.cells] == ["task"]
    assert len(found.refused) == 1 and "toy on moved" in found.refused[0]


def test_a_score_that_is_no_number_is_said_and_not_tested() -> None:
    broken = answers(0.5).copy()
    broken[3, 0] = np.nan
    found = compare(
        side(ToyCell(stats={ACC: answers(0.5)})), side(ToyCell(stats={ACC: broken})), Settings()
    )
    assert found.cells[0].p is None
    assert "0 samples of the first and 1 of the second" in found.cells[0].note


def test_a_test_that_suits_some_cells_is_used_there_alone() -> None:
    text = Translations(30, 1)
    cell = ToyCell(stats={BLEU: text.stats(text.references), ACC: answers(0.5, 30)})
    found = compare(side(cell), side(cell), Settings(test="mcnemar"))
    assert [one.test for one in found.cells] == [None, "mcnemar"]
    assert "McNemar's test does not suit bleu" in found.cells[0].note
    only = ToyCell(stats={BLEU: text.stats(text.references)})
    with pytest.raises(UsageError, match="--test mcnemar suits none of the cells"):
        compare(side(only), side(only), Settings(test="mcnemar"))


def test_an_unknown_metric_is_a_usage_error() -> None:
    cell = ToyCell(stats={ACC: answers(0.5)})
    with pytest.raises(UsageError, match="No compared cell has the metric 'akk'. There are: acc"):
        compare(side(cell), side(cell), Settings(metrics=("akk",)))


def test_nothing_in_common_is_not_comparable() -> None:
    a = side(*(ToyCell(stats={}, model=name) for name in ("m1", "m2")), label="left")
    b = side(*(ToyCell(stats={}, model=name) for name in ("k1", "k2")), label="right")
    with pytest.raises(NotComparableError, match="left and right have no cell in common"):
        compare(a, b, Settings())


def family(alpha: float, *, name: str, seed: int, items: int = 3000) -> list[ToyCell]:
    """Five sizes whose error falls as N^-alpha, on the same items."""
    generator = np.random.default_rng(seed)
    hard = np.random.default_rng(77).random(items)
    cells = []
    for size in (1000, 4000, 16_000, 64_000, 256_000):
        error = 0.3 * (size / 16_000) ** -alpha
        wrong = np.where(generator.random(items) < 0.2, generator.random(items), hard) < error
        cells.append(
            ToyCell(
                stats={ACC: column(100.0 * ~wrong)}, model=f"{name}-{size}", family=name, size=size
            )
        )
    return cells


def test_two_families_of_other_names_are_compared_as_curves() -> None:
    steep, flat = family(0.4, name="steep", seed=1), family(0.15, name="flat", seed=2)
    found = compare(side(*steep), side(*flat), Settings())
    assert found.cells == ()
    (curve,) = found.curves
    assert (curve.family_a, curve.family_b) == ("steep", "flat")
    assert curve.found.exponent is not None
    assert curve.found.exponent.difference == pytest.approx(-0.25, abs=0.08)
    assert curve.found.exponent.p < 0.05
    same = compare(side(*steep), side(*family(0.4, name="again", seed=3)), Settings()).curves[0]
    assert same.found.exponent is not None and same.found.exponent.p > 0.05


def test_the_command_compares_runs_models_and_families(program: Program) -> None:
    assert program("run", "-m", "adder", "-t", "sums", "-o", "out").returncode == 0
    shutil.copytree(program.folder / "out", program.folder / "copy")
    same = program("compare", "out", "copy")
    assert same.returncode == 0, same.stderr
    assert "mcnemar" in same.stdout and "Scaling curves" in same.stdout
    document = program.json("compare", "out:adder-10", ":adder-2560")
    cells = {cell["metric"]: cell for cell in document["cells"]}
    exact = cells["exact_match"]
    assert exact["model_a"] == "adder-10" and exact["model_b"] == "adder-2560"
    assert exact["difference"] == pytest.approx(exact["b"] - exact["a"])
    assert exact["significant"] and 0 < exact["p"] <= exact["p_holm"] < 0.05
    assert cells["bits_per_byte"]["test"] == "randomization"
    assert program.json("compare", "out:adder", "copy:adder")["curves"]


def test_a_comparison_that_cannot_be_made_says_why(program: Program) -> None:
    for name, more in (("out", []), ("short", ["--limit", "7"])):
        done = program("run", "-m", "adder-10", "-t", "sums", "-o", name, *more)
        assert done.returncode == 0
    for name in ("lost", "torn"):
        shutil.copytree(program.folder / "out", program.folder / name)
        samples = next((program.folder / name / "samples").iterdir())
        if name == "lost":
            samples.unlink()
        else:
            samples.write_text(samples.read_text()[:-40])
    for arguments, code, words in (
        (["out", "nowhere"], 2, "'nowhere' is not a run"),
        (["out:ader-10", "out"], 2, "Did you mean 'adder-10'"),
        (["out", "out", "--metric", "exact_mach"], 2, "Did you mean 'exact_match'"),
        (["out", "out", "--test", "macnemar"], 2, "macnemar"),
        (["out", "short"], 5, "limit none against 7"),
        (["out:adder-10", "lost"], 4, "samples"),
        (["out:adder-10", "torn"], 4, "cannot be read: line 40"),
    ):
        done = program("compare", *arguments)
        assert done.returncode == code, done.stderr + done.stdout
        assert words in done.stderr
        assert "Traceback" not in done.stderr and "bug" not in done.stderr
        assert len(done.stderr.strip().splitlines()) <= 3


def test_a_colon_in_names_and_folders_does_no_harm(program: Program) -> None:
    write_run(program.folder / "a:b", ToyCell(stats={ACC: answers(0.4)}, model="hf:org/x"))
    write_run(program.folder / "c", ToyCell(stats={ACC: answers(0.6, seed=1)}, model="hf:org/y"))
    document = json.loads(program("compare", "a:b:hf:org/x", "c:hf:org/y", "--json").stdout)
    assert document["cells"][0]["model_b"] == "hf:org/y"


def test_json_holds_no_number_that_is_none(tmp_path: Path, program: Program) -> None:
    infinite = column([np.inf, 1.0])
    write_run(program.folder / "a", ToyCell(stats={ACC: infinite}))
    done = program("compare", "a", "a", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["cells"][0]["p"] is None


def test_missing_and_cut_answers_are_told_in_compare_and_check(tmp_path: Path) -> None:
    counts = Counts(samples=40, errors=3, truncated=2)
    rows = column([100.0] * 30 + [0.0] * 10)
    old, new = ToyCell(stats={ACC: rows}), ToyCell(stats={ACC: rows}, fields={"counts": counts})
    found = compare(side(old), side(new), Settings())
    assert "3 without an answer, 2 truncated in the second" in comparison_text(found)
    assert comparison_document(found)["cells"][0]["counts_b"]["errors"] == 3
    write_baseline(side(old), tmp_path / "b.json")
    gate = check(side(new), read_baseline(tmp_path / "b.json"), Policy())
    words = "toy on task: 3 without an answer, 2 truncated of 40"
    assert words in gate_text(gate) and words in markdown_text(gate)
    assert gate_document(gate)["answers"] == [words]


def test_a_partial_run_is_labelled_by_fit_compare_and_leaderboard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = [
        ToyCell(stats={ACC: column([100.0] * hits + [0.0] * 20)}, model=f"m{hits}", size=10**hits)
        for hits in (3, 5, 8)
    ]
    run = write_run(tmp_path / "run", *cells, ToyCell(stats={}, model="lost", size=10))
    (run / "cells" / "lost--task.json").unlink()
    for command in (["fit", str(run)], ["compare", str(run), str(run)], ["leaderboard", str(run)]):
        assert invoke(command) == 4, command
        printed = capsys.readouterr()
        assert "PARTIAL" in printed.out + printed.err, command
    assert invoke(["fit", str(run), "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["status"] == "partial"
