"""The report's data: what is drawn, what samples become, and that the file is one safe file."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import Program
from gate_toys import ACC, ToyCell, column, write_run
from test_docs import run_page

from harness.cli import invoke
from harness.report import build_report
from harness.report.samples import LONGEST, cell_blocks
from harness.results import RunDirectory
from harness.types import Generate, Response, SampleRecord, Tag


def script(page: str, name: str) -> str:
    found = re.search(rf'<script type="[^"]+" id="{name}">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return found.group(1)


def unpacked(text: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(text)))


def test_the_page_of_a_real_run_holds_its_curves_scores_and_samples(
    program: Program, tmp_path: Path
) -> None:
    models = ",".join(f"adder-{size}" for size in (10, 40, 160, 640, 2560))
    assert program("run", "-m", models, "-t", "sums", "-o", "runs/one").returncode == 0
    done = program.json("report", "runs/one", "-o", "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert done["bytes"] == len(page.encode())
    data, index = json.loads(script(page, "data")), json.loads(script(page, "index"))
    assert data["status"] == "complete" and len(data["scores"]) == 10
    chart = next(c for c in data["charts"] if c["metric"] == "bits_per_byte")
    (series,) = chart["series"]
    assert [p["x"] for p in series["points"]] == [10, 40, 160, 640, 2560]
    assert series["curve"][0][0] == pytest.approx(10)
    assert series["curve"][-1][0] == pytest.approx(25600)
    assert all(low <= value <= high for _, value, low, high in series["curve"])
    assert series["held_out"]["model"] == "adder-2560"
    first = index["cells"][0]
    questions, answers = (
        unpacked(script(page, first["asked"])),
        unpacked(script(page, first["answers"])),
    )
    assert len(questions) == len(answers) == first["n"] == 40
    assert questions[1][:2] == ["sum-1", [["generate", "1+1="], ["loglikelihood", "1+1=", "2"]]]
    assert [cell["asked"] for cell in index["cells"]] == [first["asked"]] * 5
    assert re.findall(r'(?:src|href)="([^#"][^"]*)"', page) == []
    for tag in ("script", "style"):
        body = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert body is not None
        digest = base64.b64encode(hashlib.sha256(body.group(1).encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in page


def test_samples_keep_every_kind_of_answer_and_cut_giant_texts(tmp_path: Path) -> None:
    cell = ToyCell(stats={ACC: column([100.0, 0.0, 50.0])})
    directory = RunDirectory(tmp_path)
    directory.prepare()
    rows = [
        (Generate(prompt="p"), Response(text="x" * (LONGEST + 5), truncated=True), ["a", "b"]),
        (Tag(tokens=("A", "b")), Response(tags=("B-X", "O")), {"tags": [1]}),
        (
            Generate(prompt="q"),
            Response(error="broke"),
            "r",
        ),
    ]
    samples = [
        SampleRecord(
            id=f"s{i}",
            requests=(request,),
            responses=(response,),
            reference=reference,
            stats={"acc": (100.0, 1.0)} if i < 2 else {},
        )
        for i, (request, response, reference) in enumerate(rows)
    ]
    directory.write_cell(cell.record, samples)
    answers, asked, count = cell_blocks(directory, cell.record, None, asked=True)
    assert asked is not None and count == 3
    first, second, third = unpacked(answers)
    assert first[1][0][1].endswith("… (5 more characters)") and first[2] == "t"
    assert second[1] == [["g", "B-X O"]] and second[3] == 100.0
    assert third[1] == [["e", "broke"]] and third[2] == "e" and third[3] is None
    assert [row[2] for row in unpacked(asked)] == [["a", "b"], ['{"tags": [1]}'], ["r"]]
    assert cell_blocks(directory, cell.record, 1, asked=False)[1:] == (None, 1)


def test_no_name_ends_the_script_it_lies_in(tmp_path: Path) -> None:
    name = "</script><!--<script>@SCRIPT@ @BLOCKS@"
    run = write_run(
        tmp_path / "@STYLE@<i>", ToyCell(stats={ACC: column([1.0] * 5)}, model=name, task=name)
    )
    page = "".join(build_report(run))
    assert len(re.findall("<script", page)) == len(re.findall("</script>", page))
    assert json.loads(script(page, "data"))["models"][0]["name"] == name
    rest = re.sub(r'<script type="application/json".*?</script>', "", page, flags=re.DOTALL)
    assert "@SCRIPT@" not in rest and "@BLOCKS@" not in rest
    assert "<title>@STYLE@&lt;i&gt;" in page


def test_a_partial_run_says_so_and_what_cannot_be_written_is_no_success(
    program: Program, tmp_path: Path
) -> None:
    assert program("run", "-m", "failing", "-t", "sums", "-o", "runs/two").returncode == 4
    assert program("report", "runs/two").returncode == 4
    page = (tmp_path / "runs" / "two" / "report.html").read_text(encoding="utf-8")
    assert json.loads(script(page, "data"))["status"] == "partial"
    done = program("report", "runs/two", "-o", "nowhere/page.html")
    assert done.returncode == 4 and "cannot be written" in done.stderr
    assert invoke(["report", str(tmp_path / "none")]) == 2


def test_samples_can_be_few_or_none(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", ToyCell(stats={ACC: column([1.0] * 5)}))
    assert json.loads(script("".join(build_report(run, samples=0)), "index"))["cells"] == []
    (cell,) = json.loads(script("".join(build_report(run, samples=2)), "index"))["cells"]
    assert (cell["n"], cell["of"]) == (2, 5)


def test_the_commands_of_the_page_work(root: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("matplotlib")
    run_page(root / "docs" / "report.md", tmp_path)
