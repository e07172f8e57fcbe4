from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from gate_toys import ACC, BLEU, BPB, F1, ToyCell, Translations, column, side
from test_compare import family

from harness import check as gates
from harness.check import Gate, Policy, Rule, ScalingRule, Verdict
from harness.errors import DataError, NotComparableError, PartialError, SaveError, UsageError


def judged(tmp_path: Path, old: list[ToyCell], new: list[ToyCell], policy: Policy | None) -> Gate:
    """The gate between two runs, by way of a baseline file."""
    path = tmp_path / "baseline.json"
    gates.write_baseline(side(*old), path)
    return gates.check(side(*new), gates.read_baseline(path), policy or Policy())


def ruled(**fields: object) -> Policy:
    return Policy(default=Rule(**fields))  # type: ignore[arg-type]


def answers(right: int, number: int = 100) -> np.ndarray:
    return column([100.0] * right + [0.0] * (number - right))


def test_a_regression_of_2_bleu_on_500_sentences_is_caught_and_one_of_a_tenth_is_not(
    tmp_path: Path,
) -> None:
    for seed in range(5):
        text = Translations(500, seed)
        hypotheses = text.spoilt(text.references, 0.3)
        rows = text.stats(hypotheses)
        old = ToyCell(stats={BLEU: rows})
        large, loss = text.lowered(hypotheses, 2.0)
        assert 2 <= loss < 2.2
        found = judged(tmp_path, [old], [ToyCell(stats={BLEU: large})], None)
        assert found.verdict is Verdict.FAIL and found.exit_code == 1
        small, loss = text.lowered(hypotheses, 0.1)
        found = judged(tmp_path, [old], [ToyCell(stats={BLEU: small})], None)
        assert found.verdict is not Verdict.FAIL and found.exit_code == 0


def alike(seed: int) -> tuple[list[ToyCell], list[ToyCell]]:
    """Two runs of equally good models: a mean, a corpus metric and an F1, each with its noise."""
    generator = np.random.default_rng(seed)
    text = Translations(40, seed)
    easy, gold = generator.random(100), generator.integers(1, 5, 60)
    sides = []
    for _ in range(2):
        found = generator.binomial(gold, 0.7)
        entities = np.stack([found, found + generator.binomial(2, 0.3, 60), gold], axis=1)
        sides.append(
            [
                ToyCell(stats={BLEU: text.stats(text.spoilt(text.references, 0.3))}, task="mt"),
                ToyCell(stats={ACC: column(100.0 * (generator.random(100) < easy))}, task="qa"),
                ToyCell(stats={F1: entities.astype(float)}, task="ner"),
            ]
        )
    return sides[0], sides[1]


@pytest.mark.slow
def test_200_comparisons_of_equals_raise_no_more_false_alarms_than_alpha() -> None:
    alarms = 0
    for seed in range(200):
        old, new = alike(seed)
        stored = gates.Baseline(
            path=Path("b.json"),
            run="old",
            created="",
            cells=tuple(cell.record for cell in old),
            stats={(cell.model, cell.task): partial(getattr, cell, "cell_stats") for cell in old},
        )
        alarms += gates.check(side(*new), stored, Policy()).verdict is Verdict.FAIL
    assert alarms <= 0.05 * 200


@pytest.mark.parametrize(
    ("lost", "fields", "verdict"),
    [
        (1, {"max_drop": 2.0}, Verdict.PASS),
        (3, {"max_drop": 2.0}, Verdict.FAIL),
        (-5, {"max_drop": 0.0}, Verdict.PASS),
        (3, {"max_relative_drop": 0.05}, Verdict.PASS),
        (5, {"max_relative_drop": 0.05}, Verdict.FAIL),
        (5, {"worst": 75.0}, Verdict.PASS),
        (5, {"worst": 76.0}, Verdict.FAIL),
    ],
)
def test_thresholds_absolute_and_relative(
    tmp_path: Path, lost: int, fields: dict[str, float], verdict: Verdict
) -> None:
    old, new = ToyCell(stats={ACC: answers(80)}), ToyCell(stats={ACC: answers(80 - lost)})
    assert judged(tmp_path, [old], [new], ruled(test=False, **fields)).verdict is verdict


def test_thresholds_of_a_metric_where_lower_is_better(tmp_path: Path) -> None:
    old, new = (ToyCell(stats={BPB: column([value] * 50)}) for value in (1.0, 1.1))
    for fields, verdict in (
        ({"max_drop": 0.05}, Verdict.FAIL),
        ({"max_drop": 0.2}, Verdict.PASS),
        ({"worst": 1.1}, Verdict.FAIL),
        ({"max_relative_drop": 0.5}, Verdict.PASS),
    ):
        found = judged(tmp_path, [old], [new], ruled(test=False, **fields))
        assert found.judgements[0].value == pytest.approx(1.1)
        assert found.verdict is verdict


def test_worse_by_more_than_delta(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    a = generator.normal(50, 5, 400)
    b = a - 2 + generator.normal(0, 3, 400)
    old, new = ToyCell(stats={ACC: column(a)}), ToyCell(stats={ACC: column(b)})
    found = judged(tmp_path, [old], [new], None)
    assert found.verdict is Verdict.FAIL and found.judgements[0].test == "permutation"
    found = judged(tmp_path, [old], [new], ruled(delta=1.0))
    assert found.verdict is Verdict.FAIL and found.judgements[0].test == "bootstrap"
    found = judged(tmp_path, [old], [new], ruled(delta=2.0))
    assert found.verdict is Verdict.INCONCLUSIVE
    found = judged(tmp_path, [old], [new], ruled(delta=5.0))
    assert found.verdict is Verdict.PASS


def test_a_loss_that_is_certain_but_tiny_is_not_a_regression(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    a = generator.normal(50, 5, 400)
    old, new = ToyCell(stats={ACC: column(a)}), ToyCell(stats={ACC: column(a - 0.1)})
    found = judged(tmp_path, [old], [new], None)
    assert found.verdict is Verdict.PASS
    assert "by 0.1 only, and up to 0.2 is negligible" in found.judgements[0].reasons[0].text
    assert judged(tmp_path, [old], [new], ruled(negligible=0.0)).verdict is Verdict.FAIL


def test_too_few_samples_are_inconclusive_in_words(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    old, new = (
        ToyCell(stats={ACC: column(100.0 * (generator.random(30) < 0.5))}) for _ in range(2)
    )
    found = judged(tmp_path, [old], [new], None)
    assert found.verdict is Verdict.INCONCLUSIVE and found.exit_code == 0
    reason = found.judgements[0].reasons[0].text
    assert "is possible with 30 samples, and 2 would matter" in reason
    assert judged(tmp_path, [old], [new], Policy(inconclusive="fail")).exit_code == 1
    assert judged(tmp_path, [old], [new], ruled(relevant=60.0)).verdict is Verdict.PASS


def test_one_sample_decides_nothing_and_the_same_answers_pass(tmp_path: Path) -> None:
    one, other = (ToyCell(stats={ACC: column([value])}) for value in (100.0, 0.0))
    found = judged(tmp_path, [one], [other], None)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "cannot tell" in found.judgements[0].reasons[0].text
    many = ToyCell(stats={ACC: answers(3, 5)})
    found = judged(tmp_path, [many], [many], None)
    assert found.verdict is Verdict.PASS
    assert found.judgements[0].reasons[0].text == "the same on every sample"


def test_holm_counts_every_test_of_the_check(tmp_path: Path) -> None:
    # Nine samples against two: p = 0.033 alone.
    old, new = column([100.0] * 9 + [0.0] * 2), column([0.0] * 9 + [100.0] * 2)
    same = [ToyCell(stats={ACC: answers(50)}, task=f"t{i}") for i in range(3)]
    alone = judged(tmp_path, [ToyCell(stats={ACC: old})], [ToyCell(stats={ACC: new})], None)
    assert alone.verdict is Verdict.FAIL
    assert alone.judgements[0].p == pytest.approx(0.0327, abs=1e-4)
    among = judged(
        tmp_path, [ToyCell(stats={ACC: old}), *same], [ToyCell(stats={ACC: new}), *same], None
    )
    assert among.judgements[0].p_holm == pytest.approx(4 * 0.0327, abs=1e-3)
    assert among.judgements[0].verdict is Verdict.INCONCLUSIVE


def test_the_first_rule_that_covers_a_cell_counts(tmp_path: Path) -> None:
    cells = [ToyCell(stats={ACC: answers(80)}, task=task) for task in ("wmt-de", "wmt-fr", "qa")]
    policy = Policy(
        default=Rule(test=False, worst=50.0),
        rules=(
            Rule(task="wmt-de", test=False, worst=90.0),
            Rule(task="wmt-*", metric="ac[c]", test=False, worst=70.0),
        ),
    )
    found = judged(tmp_path, cells, cells, policy)
    assert [one.verdict.value for one in found.judgements] == ["FAIL", "PASS", "PASS"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"fingerprint": "beef"}, "fingerprint f00d against beef"),
        ({"seed": 1}, "seed 0 against 1"),
        ({"limit": 50}, "limit none against 50"),
        ({"shots": 3}, "shots none against 3"),
    ],
)
def test_what_must_be_equal_is_named(tmp_path: Path, fields: dict[str, object], words: str) -> None:
    cell = ToyCell(stats={ACC: answers(50)})
    other = ToyCell(stats={ACC: answers(50)}, fields=fields)
    with pytest.raises(NotComparableError, match=words):
        judged(tmp_path, [cell], [other], None)


def test_a_cell_of_the_baseline_that_is_missing_is_not_comparable_unless_skipped(
    tmp_path: Path,
) -> None:
    both = [ToyCell(stats={ACC: answers(50)}, task=task) for task in ("here", "gone")]
    with pytest.raises(NotComparableError, match="lacks cells of the baseline: toy on gone"):
        judged(tmp_path, both, both[:1], None)
    found = judged(tmp_path, both, both[:1], Policy(missing="skip"))
    assert found.verdict is Verdict.PASS and found.skipped == ("toy on gone",)
    found = judged(tmp_path, both[:1], both, None)
    assert found.verdict is Verdict.PASS and found.unjudged == ("toy on gone",)


def test_a_cell_that_failed_is_never_a_pass(tmp_path: Path) -> None:
    old = ToyCell(stats={ACC: answers(50)})
    new = ToyCell(stats={}, fields={"status": "failed", "error": "out of memory"})
    found = judged(tmp_path, [old], [new], None)
    assert found.failed == ("toy on task: out of memory",)
    assert found.verdict is Verdict.INCONCLUSIVE and found.exit_code == 4


def test_a_score_that_stopped_being_a_number_fails(tmp_path: Path) -> None:
    good, bad = answers(50), answers(50).copy()
    bad[0, 0] = np.nan
    found = judged(tmp_path, [ToyCell(stats={ACC: good})], [ToyCell(stats={ACC: bad})], None)
    assert found.verdict is Verdict.FAIL
    assert "no finite number" in found.judgements[0].reasons[0].text
    found = judged(tmp_path, [ToyCell(stats={ACC: bad})], [ToyCell(stats={ACC: good})], None)
    assert found.verdict is Verdict.INCONCLUSIVE


def test_samples_left_out_for_want_of_an_answer_are_left_out_on_both_sides(tmp_path: Path) -> None:
    names = [f"s{i}" for i in range(100)]
    old = ToyCell(stats={ACC: answers(50)}, ids=names)
    new = ToyCell(stats={ACC: answers(50)[10:]}, ids=names[10:])
    found = judged(tmp_path, [old], [new], None)
    assert found.judgements[0].n == 90
    assert found.judgements[0].baseline == found.judgements[0].value == pytest.approx(40 / 0.9)


def test_a_new_checkpoint_below_its_familys_band_fails(tmp_path: Path) -> None:
    known = family(0.4, name="fam", seed=1)
    expected = 100 * (1 - 0.3 * (1_000_000 / 16_000) ** -0.4)
    for value, verdict in ((expected, Verdict.PASS), (expected - 6, Verdict.FAIL)):
        new = ToyCell(
            stats={ACC: answers(round(30 * value), 3000)},
            model="fam-1000000", family="fam", size=1_000_000,
        )  # fmt: skip
        found = judged(tmp_path, known, [*known, new], None)
        (band,) = [one for one in found.judgements if one.kind == "band"]
        assert band.verdict is verdict and band.subject == "fam-1000000"
        assert band.baseline == pytest.approx(expected, abs=1.5)
        assert found.verdict is verdict
        off = judged(tmp_path, known, [*known, new], Policy(scaling=ScalingRule(band=False)))
        assert off.verdict is Verdict.PASS and off.unjudged == ("fam-1000000 on task",)


def test_an_exponent_that_fell_fails(tmp_path: Path) -> None:
    def renamed(cells: list[ToyCell]) -> list[ToyCell]:
        return [
            ToyCell(stats=c.stats, model=f"m-{c.size}", family="fam", size=c.size) for c in cells
        ]

    old = renamed(family(0.4, name="fam", seed=1))
    # Better at the small end, worse at the large: cell by cell only half of it is bad news.
    new = renamed(family(0.15, name="fam", seed=2))
    no_cells = Rule(test=False)
    found = judged(tmp_path, old, new, Policy(default=no_cells))
    (exponent,) = [one for one in found.judgements if one.kind == "exponent"]
    assert exponent.verdict is Verdict.FAIL and found.verdict is Verdict.FAIL
    assert exponent.difference == pytest.approx(-0.25, abs=0.08)
    back = judged(tmp_path, new, old, Policy(default=no_cells))
    assert back.verdict is Verdict.PASS
    off = Policy(default=no_cells, scaling=ScalingRule(exponent=False))
    assert judged(tmp_path, old, new, off).verdict is Verdict.PASS


def test_a_curve_without_an_exponent_is_a_note_not_a_verdict(tmp_path: Path) -> None:
    flat = [
        ToyCell(stats={ACC: answers(50)}, model=f"m{size}", family="fam", size=size)
        for size in (1000, 10_000, 100_000)
    ]
    new = ToyCell(stats={ACC: answers(50)}, model="m7", family="fam", size=10**6)
    found = judged(tmp_path, flat, [*flat, new], None)
    assert found.verdict is Verdict.PASS
    assert [note.split(":")[1].split(".")[0] for note in found.notes] == [
        " no prediction band", " no exponent to compare"
    ]  # fmt: skip


def test_a_baseline_holds_all_that_was_measured(tmp_path: Path) -> None:
    ids = [f"s{i}" for i in range(6)]
    odd = column([0.1, 1 / 3, np.nan, np.inf, 2.0, 1e300])
    cells = [
        ToyCell(
            stats={ACC: odd, F1: np.arange(18.0).reshape(6, 3)},
            ids=ids, groups=[*"aabbc", None],
        ),
        ToyCell(stats={ACC: odd[:4]}, ids=ids[:4], model="other"),
    ]  # fmt: skip
    path = tmp_path / "b.json"
    assert gates.write_baseline(side(*cells), path) == 2
    kept = gates.read_baseline(path)
    for cell in cells:
        found = kept.stats[cell.model, "task"]()
        given = cell.cell_stats
        assert (found.ids, found.groups) == (given.ids, given.groups)
        assert list(found.tables) == list(given.tables)
        for metric, table in given.tables.items():
            assert found.graded(metric) == given.graded(metric)
            assert found.tables[metric].rows == pytest.approx(table.rows, nan_ok=True, rel=0)
    assert [record.model for record in kept.cells] == [cell.record.model for cell in cells]


def test_a_partial_run_is_no_baseline_unless_asked_for(tmp_path: Path) -> None:
    from dataclasses import replace

    part = replace(side(ToyCell(stats={ACC: answers(5)})), status="partial")
    with pytest.raises(PartialError, match="--allow-partial"):
        gates.write_baseline(part, tmp_path / "b.json")
    assert gates.write_baseline(part, tmp_path / "b.json", partial=True) == 1
    with pytest.raises(DataError, match="has no scores"):
        gates.write_baseline(side(ToyCell(stats={})), tmp_path / "b.json")


def test_a_baseline_that_cannot_be_written_is_a_save_error_and_leaves_the_old_one(
    tmp_path: Path,
) -> None:
    cell = side(ToyCell(stats={ACC: answers(5)}))
    with pytest.raises(SaveError, match="cannot be written"):
        gates.write_baseline(cell, tmp_path / "nowhere" / "b.json")
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(SaveError):
        gates.write_baseline(cell, folder)
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"schema": 1', '"schema": 9', "schema 9"),
        ("harness-baseline", "something", "is not a baseline of harness"),
        ('"created"', '"creatd"', "damaged"),
        ('"samples":0', '"samples":5', "damaged"),
        ('"acc":[[', '"acc":[[1,', "damaged"),
        ('"fingerprint"', '"fingerprnt"', "cell 0 does not hold a CellRecord"),
        ("}\n]\n}", "", "cannot be read"),
        ("\n]\n}", ',\n{"record": 3}]}', "damaged|CellRecord"),
    ],
)
def test_a_baseline_of_the_wrong_form_is_refused(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    path = tmp_path / "b.json"
    gates.write_baseline(side(ToyCell(stats={ACC: answers(5)})), path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=words):
        gates.read_baseline(path)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b"PK\x03\x04"])
def test_what_is_no_baseline_at_all_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b.json").write_bytes(content)
    with pytest.raises(DataError, match="b.json"):
        gates.read_baseline(tmp_path / "b.json")


def test_a_model_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    cell = ToyCell(stats={ACC: answers(5)})
    path = tmp_path / "b.json"
    gates.write_baseline(side(cell), path)
    lines = path.read_text().splitlines()
    start = lines.index('"cells": [')
    lines[start + 1 : start + 2] = [lines[start + 1] + ",", lines[start + 1]]
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match="toy on task is there twice"):
        gates.read_baseline(path)


def test_a_policy_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "check.toml"
    path.write_text(
        """
        alpha = 0.01
        inconclusive = "fail"
        missing = "skip"
        metrics = ["bleu"]
        [default]
        delta = 0.5
        [[rules]]
        task = "wmt*"
        worst = 20
        max_drop = 1.5
        max_relative_drop = 0.1
        relevant = 3
        test = false
        [scaling]
        band = false
        """
    )
    policy = gates.read_policy(path)
    assert policy == Policy(
        alpha=0.01, inconclusive="fail", missing="skip", metrics=("bleu",),
        default=Rule(delta=0.5), scaling=ScalingRule(band=False, exponent=True),
        rules=(
            Rule(task="wmt*", worst=20, max_drop=1.5, max_relative_drop=0.1, delta=0.5,
                 relevant=3, test=False),
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("alhpa = 1", "unknown key 'alhpa'. Did you mean 'alpha'"),
        ("[default]\ndetla = 1", r"unknown key 'detla' in \[default\]. Did you mean 'delta'"),
        ("[[rules]]\nmaxdrop = 1", r"in \[rules, number 1\]. Did you mean 'max_drop'"),
        ("[scaling]\nbands = true", "Did you mean 'band'"),
        ("alpha = 0", "must be above 0 and at most 0.5"),
        ("alpha = nan", "must be a number"),
        ("alpha = true", "must be a number"),
        ("[default]\ndelta = -1", "must be at least 0"),
        ("[default]\ntest = 1", "must be true or false"),
        ("[default]\ntask = 1", "must be text"),
        ('inconclusive = "maybe"', 'must be "pass" or "fail"'),
        ("metrics = 'bleu'", "must be a list of names"),
        ("rules = 3", "must be tables"),
        ("default = 3", r"write \[default\]"),
        ("a = = 3", "cannot be read"),
    ],
)
def test_a_wrong_policy_is_refused_with_the_key(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "check.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=words):
        gates.read_policy(path)
    with pytest.raises(UsageError, match="cannot be read"):
        gates.read_policy(tmp_path / "nowhere.toml")
