"""A check as a JUnit file, which CI servers read.

The form is that of the Apache Ant JUnit schema (windyroad/JUnit-Schema), the strictest of those in
use: one suite a task, one case a judgement; INCONCLUSIVE is a skipped case, FAIL a failure, and a
cell without a score an error.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from harness.check.gate import Gate
from harness.check.text import all_remarks, columns, summary
from harness.check.verdicts import Judgement, Verdict
from harness.errors import NotComparableError

# What XML 1.0 cannot hold, not even escaped.
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPACE = re.compile(r"\s+")


def junit_text(gate: Gate) -> str:
    """The whole file."""
    root = ET.Element("testsuites")
    by_task: dict[str, list[Judgement]] = {}
    for one in gate.judgements:
        by_task.setdefault(one.task, []).append(one)
    for number, (task, judgements) in enumerate(by_task.items()):
        _suite(root, number, task, judgements, gate)
    if gate.failed:
        suite = _empty_suite(root, len(by_task), "cells without a score", gate.run.label)
        for text in gate.failed:
            label, _, reason = text.partition(": ")
            case = _case(suite, "score", label)
            _child(case, "error", reason, "no score")
        _close(suite, "", "\n".join(all_remarks(gate)))
    return _serialized(root)


def refusal_text(error: NotComparableError, run: str) -> str:
    """A file that says why nothing was judged."""
    root = ET.Element("testsuites")
    suite = _empty_suite(root, 0, "check", run)
    _child(_case(suite, "comparable", "check"), "error", str(error), "not comparable")
    _close(suite, "", str(error))
    return _serialized(root)


def _suite(
    root: ET.Element, number: int, task: str, judgements: Sequence[Judgement], gate: Gate
) -> None:
    suite = _empty_suite(root, number, task, gate.run.label)
    lines = []
    for one in judgements:
        case = _case(suite, columns(one)[0], f"{task}.{one.subject}")
        text = "\n".join(f"{r.verdict.value}: {r.text}" for r in one.reasons)
        lines.append(f"{one.verdict.value}  {one.subject}  {'  '.join(columns(one))}")
        if one.verdict is Verdict.FAIL:
            _child(case, "failure", text, "regression")
        elif one.verdict is Verdict.INCONCLUSIVE:
            ET.SubElement(case, "skipped", message=_clean(_line(text)))
    _close(suite, "\n".join([*lines, summary(gate)]), "\n".join(all_remarks(gate)))


def _empty_suite(root: ET.Element, number: int, name: str, run: str) -> ET.Element:
    suite = ET.SubElement(
        root,
        "testsuite",
        name=_clean(_line(name)) or "task",
        package="harness.check",
        id=str(number),
        timestamp=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        hostname="localhost",
        time="0",
    )
    properties = ET.SubElement(suite, "properties")
    ET.SubElement(properties, "property", name="run", value=_clean(run))
    return suite


def _case(suite: ET.Element, name: str, classname: str) -> ET.Element:
    return ET.SubElement(
        suite, "testcase", name=_clean(_line(name)), classname=_clean(_line(classname)), time="0"
    )


def _child(case: ET.Element, tag: str, text: str, kind: str) -> None:
    child = ET.SubElement(case, tag, message=_clean(_line(text)), type=kind)
    child.text = _clean(text)


def _close(suite: ET.Element, out: str, err: str) -> None:
    """The two outputs come last, and the counts once the cases are there."""
    ET.SubElement(suite, "system-out").text = _clean(out)
    ET.SubElement(suite, "system-err").text = _clean(err)
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(len(suite.findall(f"testcase/{tag}"))))
    suite.set("tests", str(len(suite.findall("testcase"))))


def _serialized(root: ET.Element) -> str:
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _clean(text: str) -> str:
    return _ILLEGAL.sub("\ufffd", text)


def _line(text: str) -> str:
    return _SPACE.sub(" ", text).strip()
