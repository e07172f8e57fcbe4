from __future__ import annotations

import math
from pathlib import Path

import pytest
from conftest import Program

SIZES = (1e6, 4e6, 16e6, 64e6, 256e6, 1024e6)
NOISE = (0.004, -0.003, 0.002, -0.004, 0.003, -0.002)


def loss(n: float, d: float) -> float:
    return 1.7 + 300 * n**-0.35 + 900 * d**-0.3


@pytest.fixture
def points(program: Program) -> Path:
    """A grid of losses under a Chinchilla law with half a percent of noise."""
    rows = ["N,D,loss,kind"]
    for i, n in enumerate(SIZES):
        for j, d in enumerate((1e8, 1e9, 1e10, 1e11)):
            noise = NOISE[(i + 2 * j) % len(NOISE)] / 2
            rows.append(f"{n:.0f},{d:.0f},{loss(n, d) * math.exp(noise)!r},{'ab'[j % 2]}")
    path = program.folder / "points.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_a_law_in_two_variables_is_fitted_to_a_csv(program: Program, points: Path) -> None:
    document = program.json("fit", "points.csv", "--law", "chinchilla", "--y", "loss")
    (fit,) = document["fits"]
    assert document["schema"] == 1
    assert (fit["law"], fit["metric"], fit["x"], fit["n"]) == (
        "chinchilla",
        "loss",
        ["N", "D"],
        24,
    )
    low, high = fit["estimates"]["alpha"]["ci"]
    assert low <= 0.35 <= high
    assert fit["estimates"]["alpha"]["value"] == pytest.approx(0.35, abs=0.02)
    text = program("fit", "points.csv", "--law", "chinchilla", "--y", "loss").stdout
    assert "L = E + A·N^-alpha + B·D^-beta" in text
    assert "Optimum: gradient" in text and "Resampled: points" in text


def test_groups_and_conditions_part_the_table(program: Program, points: Path) -> None:
    arguments = ("fit", "points.csv", "--law", "power", "--x", "N", "--y", "loss")
    grouped = program.json(*arguments, "--group", "kind")["fits"]
    assert [(fit["kind"], fit["n"]) for fit in grouped] == [("a", 12), ("b", 12)]
    (one,) = program.json(*arguments, "--where", "kind=a", "--where", "D<1e9")["fits"]
    assert one["n"] == 6


def test_rows_held_out_are_foretold_and_not_fitted(program: Program, points: Path) -> None:
    arguments = ("fit", "points.csv", "--law", "chinchilla", "--y", "loss")
    held = ("--hold-out", "N>5e8", "--hold-out", "D>1e9")
    (fit,) = program.json(*arguments, *held)["fits"]
    assert fit["n"] == 22
    assert [one["at"] for one in fit["held_out"]] == [
        {"N": 1024e6, "D": 1e10},
        {"N": 1024e6, "D": 1e11},
    ]
    for one in fit["held_out"]:
        assert one["value"] == pytest.approx(
            loss(**{k.lower(): v for k, v in one["at"].items()}), 0.02
        )
        assert one["inside"] == (one["lo"] <= one["measured"] <= one["hi"])
    text = program(*arguments, *held, "--plot", "held.png").stdout
    assert "of 2 held-out points lie inside their interval" in text
    assert (program.folder / "held.png").stat().st_size > 5000


@pytest.mark.parametrize("condition", ["N>1e12", "N>1"])
def test_a_hold_out_of_nothing_or_everything_is_refused(
    program: Program, points: Path, condition: str
) -> None:
    refused = program("fit", "points.csv", "--x", "N", "--y", "loss", "--hold-out", condition)
    assert refused.returncode == 2
    assert f"--hold-out {condition} holds out" in refused.stderr


def test_predictions_say_how_far_beyond_the_data_they_lie(program: Program, points: Path) -> None:
    arguments = ("predict", "points.csv", "--law", "chinchilla", "--y", "loss")
    document = program.json(*arguments, "--size", "1e10", "--tokens", "1e12")
    (entry,) = document["predictions"]
    assert entry["ci"][0] <= loss(1e10, 1e12) <= entry["ci"][1]
    assert entry["beyond"] == pytest.approx(1e10 / 1024e6)
    text = program(*arguments, "--size", "1e10", "--tokens", "1e12").stdout
    assert "times beyond the largest size" in text
    (best,) = program.json(*arguments, "--compute", "1e21")["predictions"]
    assert best["N"]["value"] * best["D"]["value"] * 6 == pytest.approx(1e21, rel=1e-6)
    assert best["N"]["ci"][0] < best["N"]["value"] < best["N"]["ci"][1]


def test_a_target_of_a_law_in_two_variables_needs_the_other_one(
    program: Program, points: Path
) -> None:
    arguments = ("predict", "points.csv", "--law", "chinchilla", "--y", "loss")
    (entry,) = program.json(*arguments, "--target", "loss<=2.2", "--tokens", "1e11")["predictions"]
    assert entry["ci"][0] <= entry["size"] <= entry["ci"][1]
    assert loss(entry["size"], 1e11) == pytest.approx(2.2, rel=0.01)
    refused = program(*arguments, "--target", "loss<=2.2")
    assert refused.returncode == 2 and "--tokens" in refused.stderr


def test_a_target_is_turned_into_the_size_it_needs(program: Program, points: Path) -> None:
    arguments = ("predict", "points.csv", "--law", "power-floor", "--x", "N", "--where", "D=1e11")
    (entry,) = program.json(*arguments, "--target", "loss<=2.6")["predictions"]
    floor = 1.7 + 900 * 1e11**-0.3
    exact = (300 / (2.6 - floor)) ** (1 / 0.35)
    assert entry["ci"][0] <= exact <= entry["ci"][1]
    assert entry["size"] == pytest.approx(exact, rel=0.3)
    (never,) = program.json(*arguments, "--target", "loss<=1")["predictions"]
    assert never["size"] is None
    assert "no size up to" in never["note"]


def test_a_run_is_fitted_by_its_samples_or_by_any_law(program: Program) -> None:
    ran = program.json("run", "-m", "adder", "-t", "sums", "-o", "out")
    fits = program.json("fit", "out")["fits"]
    assert [fit["estimates"] for fit in fits] == [fit["estimates"] for fit in ran["fits"]]
    (one,) = program.json("fit", "out", "--y", "bits_per_byte", "--law", "power-floor")["fits"]
    assert (one["family"], one["task"], one["metric"]) == ("adder", "sums", "bits_per_byte")
    (table,) = program.json(
        "fit", "out", "--y", "bits_per_byte", "--law", "power-floor", "--x", "N"
    )["fits"]
    assert table["estimates"]["alpha"]["value"] == pytest.approx(0.3, abs=1e-3)
    (foretold,) = program.json("predict", "out", "--y", "bits_per_byte", "--size", "20000")[
        "predictions"
    ]
    assert foretold["value"] == pytest.approx((0.5 + 20000**-0.3) / math.log(2), rel=1e-3)


def test_a_runs_items_are_resampled_under_any_law(program: Program) -> None:
    program.json("run", "-m", "adder", "-t", "sums", "-o", "out")
    (fit,) = program.json(
        *("fit", "out", "--y", "bits_per_byte", "--law", "power-floor"),
        *("--x", "N", "--resample", "items"),
    )["fits"]
    assert fit["resampling"]["unit"] == "items"
    assert "items" in fit["estimates"]["alpha"]["intervals"]


def test_a_score_is_foretold_through_its_loss(program: Program) -> None:
    rows = []
    for i, n in enumerate((1e7, 3e7, 1e8, 3e8, 1e9, 3e9, 1e10, 3e10)):
        nats = (1.7 + 400 * n**-0.34) * math.exp(NOISE[i % 6] / 4)
        rows.append(f"{n},{nats},{1 / (1 + math.exp(3 * (nats - 2.5))) + NOISE[(i + 3) % 6]}")
    (program.folder / "chain.csv").write_text("\n".join(["N,loss,acc", *rows]) + "\n")
    arguments = ("--law", "loss-to-score", "--x", "loss", "--y", "acc", "--through", "power-floor")
    (entry,) = program.json("predict", "chain.csv", *arguments, "--size", "3e11")["predictions"]
    truth = 1 / (1 + math.exp(3 * (1.7 + 400 * 3e11**-0.34 - 2.5)))
    assert entry["law"] == "loss-to-score through power-floor"
    assert entry["ci"][0] <= truth <= entry["ci"][1]
    assert entry["beyond"] == pytest.approx(10)
    (fit,) = program.json("fit", "chain.csv", *arguments)["fits"]
    assert fit["forecast"]["size"] == pytest.approx(6e10)
    assert any(warning.startswith("The loss: power-floor") for warning in fit["warnings"])


def test_a_chain_needs_a_law_of_a_loss_and_a_table_has_no_items(
    program: Program, points: Path
) -> None:
    arguments = ("fit", "points.csv", "--y", "loss", "--x", "N")
    refused = program(*arguments, "--law", "power", "--through", "power-floor")
    assert (refused.returncode, "law of one loss" in refused.stderr) == (2, True)
    refused = program(*arguments, "--law", "power", "--resample", "items")
    assert (refused.returncode, "a table has none" in refused.stderr) == (2, True)


def test_a_plugins_law_is_fitted_by_its_name(program: Program, points: Path) -> None:
    arguments = ("fit", "points.csv", "--x", "N", "--y", "loss", "--where", "D=1e11", "--law")
    (ours,) = program.json(*arguments, "power")["fits"]
    (theirs,) = program.json(*arguments, "toy-power")["fits"]
    assert theirs["law"] == "toy-power"
    assert theirs["estimates"] == ours["estimates"]


@pytest.mark.parametrize(
    ("content", "arguments", "code", "words"),
    [
        ("N,loss\n1e6,3\n4e6,2\n", ["--y", "los"], 2, "Did you mean 'loss'"),
        ("n,loss\n1e6,3\n4e6,2\n", ["--y", "loss"], 2, "no column 'N'"),
        ("N,loss\n1e6,3\n4e6,two\n9e7,1\n", ["--y", "loss"], 4, "line 3: 'two' in column 'loss'"),
        ("N,loss\n1e6,3\n4e6,inf\n9e7,1\n", ["--y", "loss"], 4, "line 3: column 'loss' is infin"),
        ("N,loss\n1e6,3\n", ["--y", "loss"], 4, "One point"),
        ("N,loss\n1e6,3\n1e6,2\n1e6,4\n1e6,5\n1e6,6\n", ["--y", "loss"], 4, "the same N"),
        ("N,loss\n900,3\n900,2\n900,4\n900,5\n", ["--y", "loss"], 4, "the same N (900)"),
        ("N,loss\n1e6,3\n4e6,3\n1e7,3\n4e7,3\n1e8,3\n", ["--y", "loss"], 4, "no trend"),
        ("N,loss\n0.07,3\n0.4,2\n1,1.5\n7,1.2\n12,1.1\n", ["--y", "loss"], 4, "Billions?"),
        ("N,loss\n-1e6,3\n4e6,2\n1e7,1.5\n", ["--y", "loss"], 4, "positive"),
        ("", ["--y", "loss"], 4, "empty"),
        ("N,loss\n1e6,3\n4e6,2\n", ["--y", "loss", "--law", "chinchila"], 2, "Did you mean"),
        (
            "N,loss\n1e6,3\n4e6,2\n",
            ["--y", "loss", "--law", "chinchilla", "--x", "N"],
            2,
            "needs 2",
        ),
        ("N,loss\n1e6,3\n4e6,2\n", ["--y", "loss", "--loss", "hubr"], 2, "hubr"),
        ("N,loss\n1e6,3\n4e6,2\n", [], 2, "which column"),
    ],
)
def test_bad_tables_are_explained(
    program: Program, content: str, arguments: list[str], code: int, words: str
) -> None:
    (program.folder / "bad.csv").write_text(content)
    done = program("fit", "bad.csv", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    assert words in done.stderr
    assert 1 <= len(done.stderr.strip().splitlines()) <= 3
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Ask one thing"),
        (["--size", "1e9", "--compute", "1e20"], "Ask one thing"),
        (["--target", "loss=3"], "Cannot read --target"),
        (["--size", "-3"], "positive"),
    ],
)
def test_predict_refuses_what_it_cannot_read(
    program: Program, points: Path, arguments: list[str], words: str
) -> None:
    done = program("predict", "points.csv", "--law", "power", "--x", "N", "--y", "loss", *arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_a_source_that_is_neither_is_refused(program: Program) -> None:
    done = program("fit", "nowhere")
    assert done.returncode == 2
    assert "'nowhere' is not a run" in done.stderr


def test_no_prediction_without_an_identified_fit(program: Program) -> None:
    rows = "\n".join(f"{n},{v}" for n, v in zip(SIZES[:3], (3, 2.5, 2.2), strict=True))
    (program.folder / "few.csv").write_text(f"N,loss\n{rows}\n")
    done = program("predict", "few.csv", "--law", "power-floor", "--y", "loss", "--size", "1e10")
    assert done.returncode == 4
    assert "No prediction" in done.stderr
    assert done.stdout == ""
