"""A check as a Markdown comment for a pull or merge request."""

from __future__ import annotations

import re

from harness.check.gate import Gate
from harness.check.text import (
    HEADER,
    all_remarks,
    answer_remarks,
    columns,
    remarkable,
    summary,
    title,
    unpaired,
)
from harness.check.verdicts import Verdict
from harness.compare.text import unpaired_words
from harness.errors import NotComparableError

MARKS = {Verdict.PASS: "✅", Verdict.INCONCLUSIVE: "❔", Verdict.FAIL: "❌"}
MOST_ROWS = 200
"""A comment may hold 65,536 characters; what matters most comes first."""

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+.!|~-])")
_BREAKS = re.compile(r"\s+|[\u0085\u2028\u2029]")
_HIDDEN = re.compile("[\u0000-\u001f\u007f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def markdown_text(gate: Gate) -> str:
    """Verdict, table and reasons; hostile names are escaped and ping nobody."""
    ordered = sorted(gate.judgements, key=lambda one: -one.verdict.severity)
    lines = [f"### {MARKS[gate.verdict]} {gate.verdict.value}: {escape(summary(gate))}", ""]
    lines += ["| " + " | ".join(HEADER) + " |", "|" + " --- |" * 4 + " ---: |" * (len(HEADER) - 4)]
    for one in ordered[:MOST_ROWS]:
        cells = [f"{MARKS[one.verdict]} {one.verdict.value}", one.subject, one.task, *columns(one)]
        lines.append("| " + " | ".join(escape(cell) for cell in cells) + " |")
    if len(ordered) > MOST_ROWS:
        lines += ["", f"and {len(ordered) - MOST_ROWS} more, none graver."]
    if tests := unpaired(gate):
        lines += ["", escape(unpaired_words(tests))]
    reasons = [f"- {escape(title(one))}: {escape(text)}" for one, text in remarkable(gate)]
    if reasons:
        lines += ["", *reasons[:MOST_ROWS]]
    answers = [f"- {escape(text)}" for text in answer_remarks(gate)]
    if answers:
        lines += ["", "Answers:", "", *answers]
    remarks = [f"- {escape(text)}" for text in all_remarks(gate)]
    if remarks:
        lines += ["", "Not judged:", "", *remarks[:MOST_ROWS]]
    lines += ["", f"Baseline {escape(gate.baseline.run)} of {escape(gate.baseline.created)}."]
    return "\n".join(lines) + "\n"


def refusal_text(error: NotComparableError) -> str:
    """A comment that says why nothing was judged."""
    return f"### ❌ NOT COMPARABLE\n\n{escape(str(error))}\n"


def escape(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no mention, one line."""
    text = _HIDDEN.sub("\ufffd", _BREAKS.sub(" ", text)).strip()
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = _SPECIAL.sub(r"\\\1", text)
    return text.replace("@", "&#64;").replace("://", ":&#47;&#47;")
