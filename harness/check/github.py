"""A check as annotations of GitHub Actions: workflow commands on a line of their own."""

from __future__ import annotations

from collections.abc import Iterator

from harness.check.gate import Gate
from harness.check.text import remarkable, summary, title
from harness.check.verdicts import Verdict

LEVELS = {Verdict.FAIL: "error", Verdict.INCONCLUSIVE: "warning", Verdict.PASS: "notice"}


def gate_annotations(gate: Gate) -> Iterator[str]:
    """One line a failed or open criterion, one a cell without a score, and one for the whole."""
    for one, reason in remarkable(gate):
        level = "error" if reason.startswith(Verdict.FAIL.value) else "warning"
        yield annotation(level, title(one), reason)
    for text in gate.failed:
        yield annotation("error", "no score", text)
    level = LEVELS[gate.verdict] if gate.exit_code == 0 else "error"
    yield annotation(level, f"harness check: {gate.verdict.value}", summary(gate))


def annotation(level: str, title: str, message: str) -> str:
    """``::error title=...::message``, escaped as the runner's toolkit does (command.ts)."""
    return f"::{level} title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
