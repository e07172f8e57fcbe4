"""Leaderboards: ties, means, fronts, hostile names, many runs, and the committed one."""

from __future__ import annotations

import csv
import html.parser
import io
import json
import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gate_toys as toys
import numpy as np
import pytest
from conftest import Program
from hypothesis import given
from hypothesis import strategies as st
from interchange import save
from test_docs import run_page

from harness import stats
from harness.cellstats import Aligned
from harness.cli import invoke
from harness.errors import DataError, NotComparableError, UsageError
from harness.leaderboard import (
    Board,
    BoardRequest,
    board_csv,
    board_document,
    board_html,
    board_latex,
    board_markdown,
    build_board,
    read_source,
)
from harness.leaderboard.escape import latex_text
from harness.leaderboard.ranking import draws_separate, from_samples, ranks
from harness.types import Counts, ImportedCell, ImportedScore, Metric

CHOICE = Metric(name="acc", formula="mean", bounds=(0.0, 100.0), chance=25.0)
HOSTILE = [
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    r"\input{/etc/passwd} & 50% of $x_1^2$ #~{}",
    "two\nlines\r\n| a | cell |",
    "a|b `code` [link](javascript:x) **bold**",
    "\u202egpj.exe",
    "＋1",
    "../../x",
]


def right(share: float, n: int = 200, seed: int = 0) -> np.ndarray:
    """Scores of 0 and 100, paired with those of other shares by a common difficulty."""
    hard = np.random.default_rng(seed).permutation(n) / n
    return toys.column((hard < share) * 100.0)


def board(tmp_path: Path, *cells: toys.ToyCell, **request: Any) -> Board:
    path = toys.write_run(tmp_path / "run", *cells)
    return build_board([read_source(path)], BoardRequest(**request))


def by_name(found: Board) -> dict[str, Any]:
    return {row.name: row for row in found.rows}


def test_models_share_a_rank_where_the_test_does_not_separate_them(tmp_path: Path) -> None:
    cells = [
        toys.ToyCell(stats={toys.ACC: right(share)}, model=name, size=size)
        for name, share, size in (("best", 0.9, 9), ("near", 0.895, 5), ("far", 0.5, 1))
    ]
    rows = by_name(board(tmp_path, *cells))
    assert [rows[name].rank for name in ("best", "near", "far")] == [1, 1, 3]
    assert all(row.pareto for row in rows.values())


def test_models_that_are_alike_are_not_separated_more_often_than_allowed(tmp_path: Path) -> None:
    false = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        cells = [
            toys.ToyCell(stats={toys.ACC: toys.column(generator.normal(50, 10, 60))}, model=f"m{i}")
            for i in range(5)
        ]
        false += any(row.rank != 1 for row in board(tmp_path / str(seed), *cells).rows)
    assert false <= 6  # P(more than 6 of 40) is under 1 % at 5 %


def test_equal_scores_share_a_rank_and_a_larger_equal_is_off_the_front(tmp_path: Path) -> None:
    cells = [
        toys.ToyCell(stats={toys.ACC: right(0.5)}, model=name, size=size)
        for name, size in (("small", 10), ("large", 99))
    ]
    rows = by_name(board(tmp_path, *cells))
    assert rows["small"].rank == rows["large"].rank == 1
    assert rows["small"].pareto and not rows["large"].pareto


def test_means_are_of_complete_rows_only_and_centred_at_chance(tmp_path: Path) -> None:
    cells = [
        toys.ToyCell(stats={CHOICE: right(0.625)}, model="both", task="choice"),
        toys.ToyCell(stats={toys.ACC: right(0.5)}, model="both", task="open"),
        toys.ToyCell(stats={CHOICE: right(1.0)}, model="half", task="choice"),
    ]
    found = board(tmp_path, *cells)
    rows = by_name(found)
    assert rows["both"].entries[0].centred == pytest.approx(50.0)
    assert rows["both"].entries[1].centred is None
    assert rows["both"].mean == pytest.approx(50.0) and rows["both"].rank == 1
    low, high = rows["both"].mean_ci
    assert low < 50 < high
    assert rows["half"].mean is None and rows["half"].rank is None
    assert [row.name for row in found.rows] == ["both", "half"]


@pytest.mark.parametrize("imported", [True, False])
def test_errors_of_tasks_average_out_in_the_mean(tmp_path: Path, imported: bool) -> None:
    """Sixteen tasks as uncertain as one another: the mean's interval is a quarter as wide."""
    run = tmp_path / "run"
    if imported:
        metric = Metric(name="acc", bounds=(0.0, 1.0))
        score = ImportedScore(metric=metric, value=0.5, stderr=0.05, n=100)
        cells = [
            ImportedCell(model="m", task=f"t{i}", scores=(score,), files=("x",)) for i in range(16)
        ]
        save("x", cells, run)
    else:
        # Sorted by difficulty alike in every task, as tests ordered by kind are.
        column = toys.column((np.arange(200) < 100) * 100.0)
        toys.write_run(
            run, *(toys.ToyCell(stats={toys.ACC: column}, task=f"t{i}") for i in range(16))
        )
    (row,) = build_board([read_source(run)], BoardRequest()).rows
    one = 0.05 * 100 if imported else 100 * np.sqrt(0.25 / 200)
    low, high = row.mean_ci
    assert high - low == pytest.approx(2 * 1.96 * one / 4, rel=0.12)


def test_a_loss_stays_out_of_the_mean_and_smaller_is_better(tmp_path: Path) -> None:
    cells = [
        toys.ToyCell(
            stats={toys.BPB: np.stack([np.full(50, loss), np.full(50, 10.0)], axis=1)}, model=name
        )
        for name, loss in (("bad", 9.0), ("good", 5.0))
    ]
    found = board(tmp_path, *cells)
    assert [row.name for row in found.rows] == ["good", "bad"]
    assert not found.columns[0].in_mean


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_ranks_are_places_and_only_a_separation_starts_a_new_one(answers: list[bool]) -> None:
    script = iter(answers)
    found = ranks(range(len(answers) + 1), lambda a, b: next(script))
    assert found[0] == 1
    for place, (before, rank, separated) in enumerate(
        zip(found, found[1:], answers, strict=False), start=2
    ):
        assert rank == (place if separated else before)


def test_draws_are_those_of_the_paired_bootstrap_also_by_groups() -> None:
    generator = np.random.default_rng(3)
    rows = generator.integers(1, 9, size=(3, 40, 10)).astype(float)
    unit = np.repeat(np.arange(10), 4)
    tables = Aligned(rows=rows, groups=tuple(map(str, unit)), alone=(0, 0, 0))
    resampler = stats.Resampler(draws=200, seed=5)
    material = from_samples(toys.BLEU, tables, resampler)
    pairs = stats.Pairs(metric=toys.BLEU, a=rows[0], b=rows[2], unit=unit)
    assert material.draws is not None
    expected = stats.Resampler(draws=200, seed=5).differences(pairs)
    assert np.allclose(material.draws[2] - material.draws[0], expected)
    spread = stats.spread(pairs, resampler)
    p = stats.shifted(pairs, spread).p
    values = float(material.values[0]), float(material.values[2])
    for level in (p * 0.9, p * 1.1):
        answer = draws_separate(material.draws[0], material.draws[2], values, level)
        assert answer == (p <= level)


def test_the_same_run_twice_is_one_row_and_another_outcome_is_another(tmp_path: Path) -> None:
    first = toys.write_run(tmp_path / "a", toys.ToyCell(stats={toys.ACC: right(0.5)}))
    same = toys.write_run(tmp_path / "b", toys.ToyCell(stats={toys.ACC: right(0.5)}))
    other = toys.write_run(tmp_path / "c", toys.ToyCell(stats={toys.ACC: right(0.9)}))
    sources = [read_source(path) for path in (first, same)]
    assert len(build_board(sources, BoardRequest()).rows) == 1
    found = build_board([*sources, read_source(other)], BoardRequest())
    assert {row.name for row in found.rows} == {f"toy ({first})", f"toy ({other})"}


def test_other_fingerprints_are_refused_with_what_differs(tmp_path: Path) -> None:
    first = toys.write_run(tmp_path / "a", toys.ToyCell(stats={toys.ACC: right(0.5)}))
    cell = toys.ToyCell(
        stats={toys.ACC: right(0.5)}, model="new", fields={"fingerprint": "beef", "limit": 7}
    )
    second = toys.write_run(tmp_path / "b", cell)
    with pytest.raises(NotComparableError, match=r"(?s)f00d against beef; limit none against 7"):
        build_board([read_source(first), read_source(second)], BoardRequest())
    assert invoke(["leaderboard", str(first), str(second)]) == 5


def test_unknown_names_nan_scores_and_lost_samples_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = [
        toys.ToyCell(stats={toys.ACC: right(0.5)}, model="good"),
        toys.ToyCell(stats={toys.ACC: right(0.5) * np.nan}, model="none"),
    ]
    found = board(tmp_path, *cells)
    rows = by_name(found)
    assert rows["none"].entries == (None,) and rows["none"].rank is None
    source = read_source(tmp_path / "run")
    with pytest.raises(UsageError, match=r"no run has the metric 'ac'.*'acc'|metric 'ac'"):
        build_board([source], BoardRequest(metrics=("ac",)))
    with pytest.raises(UsageError, match="No run has the task 'tsk'"):
        build_board([source], BoardRequest(tasks=("tsk",)))
    source.directory.samples_path("good", "task").unlink()
    with pytest.raises(DataError, match="cannot be read"):
        build_board([source], BoardRequest())
    assert invoke(["leaderboard", str(tmp_path / "nothing")]) == 2


class Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)


@pytest.fixture
def hostile(tmp_path: Path) -> Board:
    cells = [
        toys.ToyCell(stats={toys.ACC: right(0.1 * i)}, model=name, family=name, task="=1+1 <b>|_")
        for i, name in enumerate(HOSTILE)
    ]
    return board(tmp_path, *cells)


def test_hostile_names_stay_inside_their_cell_in_markdown(hostile: Board) -> None:
    lines = board_markdown(hostile).splitlines()
    table = [line for line in lines if line.startswith("| ")]
    assert len(table) == len(HOSTILE) + 2
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1
    assert not any(re.search(r"<script|(?<!\\)\]\(", line) for line in table)


def test_hostile_names_are_no_formulas_in_csv(hostile: Board) -> None:
    text = board_csv(hostile)
    rows = list(csv.reader(io.StringIO(text)))
    assert len(rows) == len(HOSTILE) + 1 and len({len(row) for row in rows}) == 1
    assert len(text.splitlines()) == len(rows)
    for row in rows:
        assert not [cell for cell in row if cell.startswith(("=", "+", "@", "＋", "\t"))]


def test_hostile_names_are_text_in_html(hostile: Board) -> None:
    text = board_html(hostile)
    parser = Tags()
    parser.feed(text)
    assert "script" not in parser.tags and "b" not in parser.tags
    assert "\u202e" not in text and "&lt;script&gt;" in text


def test_hostile_names_are_no_commands_in_latex(hostile: Board) -> None:
    lines = board_latex(hostile).splitlines()
    text = "\n".join(line for line in lines if not line.startswith("%"))
    commands = set(re.findall(r"\\([a-z]+)", text))
    ours = {"begin", "end", "toprule", "midrule", "bottomrule", "textbf", "textbackslash"}
    ours |= {"textasciitilde", "textasciicircum", "textless", "textgreater", "textbar"}
    ours |= {"uparrow", "blacklozenge", "usepackage", "textquotedbl", "downarrow", "dag"}
    ours |= {"textquotesingle", "textasciigrave", "harnesswide", "providecommand", "ifdefined"}
    ours |= {"mathchar", "else", "texttt", "fi"}
    assert commands <= ours
    rows = text.split("\\midrule\n")[1].split("\\bottomrule")[0].strip().splitlines()
    assert len(rows) == len(HOSTILE)
    assert len({len(re.findall(r"(?<!\\)&", row)) for row in rows}) == 1
    assert all(not re.search(r"(?<!\\)[#_]", row) for row in rows)


def test_a_name_beyond_the_fonts_of_latex_is_printed_or_spelt_out() -> None:
    assert latex_text("a--b ``q'' éŁ–€") == (
        r"a-{}-b \textasciigrave{}\textasciigrave{}q\textquotesingle{}\textquotesingle{} éŁ–€"
    )
    assert latex_text("模λĦ") == (
        r"\harnesswide{模}{U+6A21}\harnesswide{λ}{U+03BB}\harnesswide{Ħ}{U+0126}"
    )


def test_latex_compiles_with_hostile_names(tmp_path: Path) -> None:
    latex = shutil.which("pdflatex")
    if latex is None:
        pytest.skip("skipped: no LaTeX is installed")
    names = [
        *HOSTILE,
        "日本語 модель 😀 λ≤∞",
        "ü é ß Ł ø … – — “q” µ × ° €",
        "[x] \\\\[3cm]",
        "%\\end",
    ]
    cells = [
        toys.ToyCell(stats={toys.ACC: right(0.05 * i)}, model=name, task="中 % & _{}^~#$\\q")
        for i, name in enumerate(names)
    ]
    (tmp_path / "board.tex").write_text(board_latex(board(tmp_path, *cells)), encoding="utf-8")
    (tmp_path / "page.tex").write_text(
        r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{booktabs,amssymb,textcomp}"
        r"\begin{document}\input{board}\end{document}"
    )
    done = subprocess.run(
        [latex, "-interaction=nonstopmode", "-halt-on-error", "-draftmode", "page.tex"],
        cwd=tmp_path,
        capture_output=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout[-1500:]


def test_json_holds_names_as_they_are_and_only_numbers_json_knows(hostile: Board) -> None:
    document = json.loads(json.dumps(board_document(hostile), allow_nan=False))
    assert {row["model"] for row in document["rows"]} == set(HOSTILE)
    assert document["columns"][0]["task"] == "=1+1 <b>|_"


def test_a_hundred_runs_stand_in_one_table(tmp_path: Path) -> None:
    sources = [
        read_source(
            toys.write_run(
                tmp_path / str(i),
                toys.ToyCell(stats={toys.ACC: right(i / 120, n=240)}, model=f"m{i}", size=i + 1),
            )
        )
        for i in range(100)
    ]
    found = build_board(sources, BoardRequest())
    assert [row.name for row in found.rows][:2] == ["m99", "m98"]
    assert len(board_markdown(found).splitlines()) > 200


def test_the_command_writes_every_format_and_says_that_a_run_is_partial(
    program: Program, tmp_path: Path
) -> None:
    run = ("-t", "sums", "--limit", "20", "-o", "runs/one")
    assert program("run", "-m", "adder-10", "-m", "adder-640", *run).returncode == 0
    for name, mark in (
        ("a.md", "| rank |"),
        ("a.csv", "rank,model"),
        ("a.html", "<table>"),
        ("a.tex", "\\begin{tabular}"),
        ("a.json", '"ranked_by"'),
    ):
        assert program("leaderboard", "runs/one", "-o", name).returncode == 0
        assert mark in (tmp_path / name).read_text(encoding="utf-8")
    document = program.json("leaderboard", "runs/one", "--metric", "bits_per_byte")
    assert [row["model"] for row in document["rows"]] == ["adder-640", "adder-10"]
    assert document["rows"][0]["tokens_per_second"] > 0
    assert program("run", "-m", "failing", *run[:-1], "runs/two").returncode == 4
    done = program("leaderboard", "runs/one", "runs/two")
    assert done.returncode == 4
    assert "PARTIAL: runs/two" in done.stdout and "of 20 samples 2 without an answer" in done.stdout


def test_the_committed_leaderboard_is_of_the_current_models_and_tasks(root: Path) -> None:
    pytest.importorskip("torch")
    from harness.grading import Subject, draw_samples, fingerprint
    from harness.plan import RunRequest, plan
    from harness.plugins import load_registry

    made = plan(load_registry(), RunRequest())
    text = (root / "results" / "leaderboard.md").read_text(encoding="utf-8")
    tasks = dict(re.findall(r"task:([\w-]+)@([0-9a-f]{16})", text))
    assert set(tasks) == set(made.tasks)
    # Fingerprints hold the versions of the reference implementations: with other ones installed
    # they must differ, and only the models can be compared.
    same_metrics = all(f"version:{version(name)}|" in text for name in ("sacrebleu", "rouge-score"))
    models = {}
    for cell in made.cells:
        models[cell.model.text] = cell.model.build().info.identity
        task = cell.task.build()
        subject = Subject(task=task, name=cell.task.text, plugin=cell.task.spec.plugin)
        if tasks[cell.task.text] is not None and same_metrics:
            assert fingerprint(task, draw_samples(subject, None)) == tasks[cell.task.text]
            tasks[cell.task.text] = None  # each task once
    assert models == dict(re.findall(r"^- ([\w-]+): `(sha256:[0-9a-f]+)`$", text, re.MULTILINE))


def test_the_commands_of_the_page_work(root: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    run_page(root / "docs" / "leaderboard.md", tmp_path)


def test_missing_cut_and_unreadable_answers_stand_beside_the_score(tmp_path: Path) -> None:
    counts = Counts(samples=200, errors=3, truncated=2, empty=1, unparseable=4)
    found = board(tmp_path, toys.ToyCell(stats={toys.ACC: right(0.5)}, fields={"counts": counts}))
    words = "of 200 samples 3 without an answer, 2 truncated, 1 empty, 4 unparseable"
    for text in (board_markdown(found), board_html(found), board_latex(found)):
        assert words in text
    row = next(csv.DictReader(io.StringIO(board_csv(found))))
    assert [row[f"task acc {name}"] for name in ("errors", "truncated", "empty")] == ["3", "2", "1"]
    (entry,) = board_document(found)["rows"][0]["scores"]
    assert (entry["unparseable"], entry["prompt_truncated"]) == (4, 0)
