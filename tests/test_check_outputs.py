from __future__ import annotations

import json
import re
import urllib.parse
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from conftest import Program
from gate_toys import ACC, ToyCell, write_run
from test_check import answers, judged, ruled

from harness.check import Gate, Verdict, junit, markdown
from harness.check.github import annotation, gate_annotations
from harness.check.junit import junit_text
from harness.check.markdown import escape, markdown_text
from harness.check.text import gate_document, gate_text
from harness.errors import NotComparableError

HOSTILE = [
    "../x", "=cmd()|'/c calc'!A1", "<script>alert(1)</script>", r"\input{/etc/passwd} & 50 % $x$",
    "new\nline\r\n::error::fake", "bell\x07 nul\x00 \x1b[31m", "@everyone https://example.org",
    "a|b `code` [link](x) *bold* <!-- -->", "\u202egnitirw-thgir", "]]>", "ключ=значение, 名前",
    "%0A::warning::x", "  ",
]  # fmt: skip


def three(tmp_path: Path, task: str = "task", model: str = "toy") -> Gate:
    """A check with one FAIL, one INCONCLUSIVE, one PASS and one cell without a score."""

    def cell(name: str, right: int, number: int) -> ToyCell:
        return ToyCell(stats={ACC: answers(right, number)}, task=name, model=model)

    lost = ToyCell(stats={}, task="lost", model=model,
                   fields={"status": "failed", "error": f"no memory for {model}"})  # fmt: skip
    old = [cell(task, 80, 100), cell("few", 15, 30), cell("same", 50, 100), cell("lost", 5, 9)]
    new = [cell(task, 50, 100), cell("few", 14, 30), cell("same", 50, 100), lost]
    found = judged(tmp_path, old, new, None)
    assert [one.verdict for one in found.judgements] == [
        Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS
    ]  # fmt: skip
    return found


def assert_junit(text: str) -> ET.Element:
    """What the Apache Ant JUnit schema (windyroad/JUnit-Schema) demands, element by element."""
    root = ET.fromstring(text.encode())
    assert root.tag == "testsuites" and not root.attrib
    for number, suite in enumerate(root):
        assert suite.tag == "testsuite"
        assert set(suite.attrib) == {
            "name", "package", "id", "timestamp", "hostname", "time", "tests", "failures",
            "errors", "skipped",
        }  # fmt: skip
        assert suite.get("id") == str(number)
        assert suite.get("name") and suite.get("hostname")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp", ""))
        assert float(suite.get("time", "x")) >= 0
        tags = [child.tag for child in suite]
        cases = suite.findall("testcase")
        assert tags == ["properties", *["testcase"] * len(cases), "system-out", "system-err"]
        for prop in suite.findall("properties/property"):
            assert prop.get("name") and prop.get("value") is not None
        for count, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.get(count, "x")) == len(suite.findall(f"testcase/{tag}"))
        assert int(suite.get("tests", "x")) == len(cases)
        for case in cases:
            assert set(case.attrib) == {"name", "classname", "time"}
            assert len(case) <= 1
            for child in case:
                assert child.tag in {"failure", "error", "skipped"}
                if child.tag != "skipped":
                    assert child.get("type") and set(child.attrib) == {"message", "type"}
    return root


def test_the_junit_file_keeps_to_the_schema(tmp_path: Path) -> None:
    root = assert_junit(junit_text(three(tmp_path)))
    cases = {case.get("classname"): case for case in root.iter("testcase")}
    failure = cases["task.toy"].find("failure")
    assert failure is not None and failure.text is not None
    assert failure.text.startswith("FAIL: worse (p ")
    assert cases["few.toy"].find("skipped") is not None
    assert len(cases["same.toy"]) == 0
    error = cases["toy on lost"].find("error")
    assert error is not None and error.text == "no memory for toy"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_cannot_break_out_of_any_output(tmp_path: Path, name: str) -> None:
    found = three(tmp_path, task=name, model=name)
    assert_junit(junit_text(found))
    for line in gate_annotations(found):
        assert "\n" not in line and "\r" not in line
        match = re.fullmatch(r"::(error|warning|notice) title=([^,:]*)::(.*)", line)
        assert match, line
    text = markdown_text(found)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 5
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 11 for row in rows)
    assert not re.search("[<>@\u202e\x00-\x09\x0b-\x1f]", text)
    assert "://" not in text
    assert json.loads(json.dumps(gate_document(found)))["judgements"][0]["task"] == name
    shown = gate_text(found).splitlines()
    assert len(shown) == len(gate_text(three(tmp_path)).splitlines())
    assert not re.search("[\u202e\x00-\x1f]", "".join(shown))


def test_annotations_are_escaped_as_the_runner_unescapes_them() -> None:
    title, message = "a:b,c%d\ne", "50 %\r\n::error::x"
    line = annotation("error", title, message)
    head, _, data = line.removeprefix("::error title=").partition("::")
    assert urllib.parse.unquote(head) == title
    assert urllib.parse.unquote(data) == message


def test_one_annotation_for_each_finding_and_one_for_all(tmp_path: Path) -> None:
    levels = [line.split()[0] for line in gate_annotations(three(tmp_path))]
    assert levels == ["::error", "::warning", "::error", "::error"]
    cell = ToyCell(stats={ACC: answers(50)})
    lines = list(gate_annotations(judged(tmp_path, [cell], [cell], None)))
    assert lines == ["::notice title=harness check%3A PASS::1 PASS of 1."]


def test_the_comment_puts_the_gravest_first_and_says_why(tmp_path: Path) -> None:
    lines = markdown_text(three(tmp_path)).splitlines()
    assert lines[0].startswith("### ❌ FAIL: 1 FAIL, 1 INCONCLUSIVE, 1 PASS of 3")
    assert [line.split("|")[1].split()[-1] for line in lines[4:7]] == [
        "FAIL", "INCONCLUSIVE", "PASS"
    ]  # fmt: skip
    assert any("worse" in line and line.startswith("- toy on task") for line in lines)
    assert "Not judged:" in lines


def test_markdown_shows_text_as_it_is() -> None:
    assert escape("a_b*c|d") == r"a\_b\*c\|d"
    assert escape("<b>&") == "&lt;b&gt;&amp;"


def test_a_refusal_is_a_valid_file_too() -> None:
    error = NotComparableError("m on t: not comparable: seed 0 against 1.\nRun both alike.")
    root = assert_junit(junit.refusal_text(error, "results/runs/x"))
    assert root.find("testsuite/testcase/error") is not None
    assert "NOT COMPARABLE" in markdown.refusal_text(error)


def test_the_text_for_people(tmp_path: Path) -> None:
    text = gate_text(three(tmp_path))
    assert "FAIL          toy      task" in text
    assert "toy on few, acc: INCONCLUSIVE: not shown to be worse" in text
    assert "toy on lost: no memory for toy (no score)" in text
    assert text.rstrip().splitlines()[-1] == "FAIL: 1 FAIL, 1 INCONCLUSIVE, 1 PASS of 3."
    cell = ToyCell(stats={ACC: answers(50)})
    failing = judged(tmp_path, [cell], [cell], ruled(worst=60.0))
    assert "the score is 50, and must be at least 60" in gate_text(failing)


def test_the_gate_from_the_command_line(program: Program) -> None:
    folder = program.folder
    assert program("run", "-m", "adder", "-t", "sums", "-o", "old").returncode == 0
    assert program("baseline", "old", "-o", "base.json").returncode == 0
    passed = program("check", "old", "--baseline", "base.json", "--junit", "j.xml", "--github")
    assert passed.returncode == 0, passed.stderr
    assert "PASS: 12 PASS of 12." in passed.stdout
    assert "::notice title=harness check%3A PASS::" in passed.stdout
    assert_junit((folder / "j.xml").read_text())
    # A smaller model under the larger one's name is a regression.
    assert program("run", "-m", "adder-2560", "-t", "sums", "-o", "big").returncode == 0
    assert program("run", "-m", "adder-10", "-t", "sums", "-o", "small").returncode == 0
    kept = program.json("baseline", "big", "-o", "big.json")
    assert kept["cells"] == 1 and kept["bytes"] == (folder / "big.json").stat().st_size
    failed = program(
        "check", "small", "--baseline", "big.json", "--json", "--github",
        "--markdown", "c.md", "--map", "adder-2560=adder-10",
    )  # fmt: skip
    assert failed.returncode == 1
    document = json.loads(failed.stdout)
    assert document["verdict"] == "FAIL" and document["exit_code"] == 1
    assert document["judgements"][0]["subject"] == "adder-2560 → adder-10"
    assert "::error title=" in failed.stderr
    assert (folder / "c.md").read_text().startswith("### ❌ FAIL")
    assert program("check", "small", "--baseline", "big.json").returncode == 1


def test_a_check_that_cannot_be_made_says_why(program: Program) -> None:
    folder = program.folder
    write_run(folder / "run", ToyCell(stats={ACC: answers(50)}))
    write_run(folder / "short", ToyCell(stats={ACC: answers(50)}, fields={"limit": 9}))
    assert program("baseline", "run", "-o", "base.json").returncode == 0
    (folder / "bad.toml").write_text("alhpa = 1")
    (folder / "bad.json").write_text("{")
    for arguments, code, words in (
        (["run"], 2, "baseline"),
        (["nowhere", "--baseline", "base.json"], 2, "'nowhere' is not a run"),
        (["run", "--baseline", "nowhere.json"], 4, "nowhere.json cannot be read"),
        (["run", "--baseline", "bad.json"], 4, "bad.json cannot be read"),
        (["run", "--baseline", "base.json", "--policy", "bad.toml"], 2, "Did you mean 'alpha'"),
        (["run", "--baseline", "base.json", "--policy", "no.toml"], 2, "no.toml cannot be read"),
        (["run", "--baseline", "base.json", "--map", "toy"], 2, "is not OLD=NEW"),
        (["run", "--baseline", "base.json", "--map", "toi=toy"], 2, "no model 'toi'"),
        (["run", "--baseline", "base.json", *["--map", "toy=toy"] * 2], 2, "names already"),
        (["short", "--baseline", "base.json"], 5, "limit none against 9"),
        (["run", "--baseline", "base.json", "--junit", "no/j.xml"], 4, "cannot be written"),
    ):
        done = program("check", *arguments)
        assert done.returncode == code, (arguments, done.stderr)
        assert words in done.stderr
        assert "Traceback" not in done.stderr and "bug" not in done.stderr
        assert len(done.stderr.strip().splitlines()) <= 3
    done = program("check", "short", "--baseline", "base.json", "--json", "--junit", "j.xml",
                   "--markdown", "c.md", "--github")  # fmt: skip
    assert done.returncode == 5
    assert json.loads(done.stdout)["verdict"] == "NOT COMPARABLE"
    assert "::error title=harness check%3A not comparable::" in done.stderr
    assert_junit((folder / "j.xml").read_text())
    assert "NOT COMPARABLE" in (folder / "c.md").read_text()
