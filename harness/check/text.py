"""A check for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness import stats, table
from harness.check.gate import Gate
from harness.check.verdicts import Judgement, Verdict
from harness.codec import SCHEMA, to_json
from harness.compare.text import (
    difference_text,
    grid,
    number,
    p_text,
    printable,
    unpaired_words,
)
from harness.table import value_text
from harness.wording import MISSING, short_names

HEADER = (
    "verdict", "model", "task", "metric", "baseline", "now", "change [95 %]", "p (Holm)",
    "detectable", "n",
)  # fmt: skip
MOST_ANSWERS = 40
WHAT = {"cell": "", "band": " vs band", "exponent": " exponent"}


def gate_text(gate: Gate) -> str:
    """What ``harness check`` prints."""
    parts = [f"{gate.run.label} against {gate.baseline.path}"]
    if gate.judgements:
        parts.append(_table(gate))
        parts += [unpaired_words(tests)] if (tests := unpaired(gate)) else []
    reasons = [f"  {printable(title(one))}: {reason}" for one, reason in remarkable(gate)]
    if reasons:
        parts.append("Why\n" + "\n".join(reasons))
    answers = [f"  {printable(text)}" for text in answer_remarks(gate)]
    if answers:
        parts.append("Answers\n" + "\n".join(answers))
    remarks = [f"  {printable(remark)}" for remark in all_remarks(gate)]
    if remarks:
        parts.append("Not judged\n" + "\n".join(remarks))
    parts.append(f"{gate.verdict.value}: {summary(gate)}")
    return "\n\n".join(parts) + "\n"


def unpaired(gate: Gate) -> int:
    """How many of the tests are unpaired."""
    return sum(one.test == stats.UNPAIRED for one in gate.judgements)


def _table(gate: Gate) -> str:
    tasks = short_names(one.task for one in gate.judgements)
    models = short_names(one.subject for one in gate.judgements)
    rows = [
        [one.verdict.value, models[one.subject], tasks[one.task], *columns(one)]
        for one in gate.judgements
    ]
    return grid(rows, HEADER, left=(0, 1, 2, 3))


def columns(one: Judgement) -> list[str]:
    """Metric, baseline, now, change, p, detectable, n."""
    scale = None if one.kind == "exponent" else one.metric

    def score(value: float | None) -> str:
        if value is None:
            return MISSING
        return number(None, value) if scale is None else value_text(scale, value)

    return [
        f"{one.metric.name}{WHAT[one.kind]}",
        score(one.baseline),
        score(one.value),
        difference_text(scale, one.difference, one.ci),
        p_text(one.p_holm),
        MISSING if one.detectable is None else number(scale, one.detectable),
        MISSING if one.n is None else str(one.n),
    ]


def title(one: Judgement) -> str:
    """What was judged, in words."""
    return f"{one.subject} on {one.task}, {one.metric.name}{WHAT[one.kind]}"


def remarkable(gate: Gate) -> Iterator[tuple[Judgement, str]]:
    """Every reason that is no PASS, gravest first."""
    ordered = sorted(gate.judgements, key=lambda one: -one.verdict.severity)
    for one in ordered:
        for reason in one.reasons:
            if reason.verdict is not Verdict.PASS:
                yield one, f"{reason.verdict.value}: {reason.text}"


def answer_remarks(gate: Gate) -> Iterator[str]:
    """Cells of the run whose answers are missing, cut, empty or unparseable, and how many are."""
    told = [
        f"{cell.model.name} on {cell.task}: {words} of {cell.counts.samples}"
        for cell in gate.run.cells
        if (words := table.remarks(cell)) and cell.scores
    ]
    yield from told[:MOST_ANSWERS]
    if len(told) > MOST_ANSWERS:
        yield f"and {len(told) - MOST_ANSWERS} cells more"


def all_remarks(gate: Gate) -> Iterator[str]:
    """What could not be judged, and why."""
    yield from (f"{text} (no score)" for text in gate.failed)
    yield from (f"{name}: in the baseline only" for name in gate.skipped)
    yield from (f"{name}: not in the baseline" for name in gate.unjudged)
    yield from gate.notes
    if gate.run.status != "complete":
        yield f"{gate.run.label} is partial: some cells or samples are missing or failed"


def summary(gate: Gate) -> str:
    """How many of what, in one sentence."""
    counts = {v: sum(one.verdict is v for one in gate.judgements) for v in Verdict}
    words = [f"{counts[v]} {v.value}" for v in reversed(Verdict) if counts[v]] or ["nothing judged"]
    text = f"{', '.join(words)} of {len(gate.judgements)}."
    if gate.verdict is Verdict.FAIL:
        return text
    if gate.exit_code == 4:
        return f"{text} The run is partial, so the check is not complete."
    if gate.verdict is Verdict.INCONCLUSIVE:
        effect = "passes" if gate.policy.inconclusive == "pass" else "fails"
        return (
            f"{text} The data can neither show nor exclude a loss that matters; the policy "
            f"{effect} such a check. More samples would decide."
        )
    return text


def gate_document(gate: Gate) -> dict[str, Any]:
    """What ``harness check --json`` prints."""
    document: dict[str, Any] = to_json(
        {
            "schema": SCHEMA,
            "verdict": gate.verdict.value,
            "exit_code": gate.exit_code,
            "run": gate.run.label,
            "status": gate.run.status,
            "baseline": {
                "file": str(gate.baseline.path),
                "run": gate.baseline.run,
                "created": gate.baseline.created,
            },
            "alpha": gate.policy.alpha,
            "judgements": [_entry(one) for one in gate.judgements],
            "answers": list(answer_remarks(gate)),
            "failed": gate.failed,
            "unjudged": gate.unjudged,
            "skipped": gate.skipped,
            "notes": gate.notes,
        }
    )
    return document


def _entry(one: Judgement) -> dict[str, Any]:
    return {
        "verdict": one.verdict.value,
        "kind": one.kind,
        "subject": one.subject,
        "task": one.task,
        "metric": one.metric.name,
        "higher_is_better": one.metric.higher_is_better,
        "baseline": one.baseline,
        "value": one.value,
        "difference": one.difference,
        "ci": one.ci,
        "n": one.n,
        "test": one.test,
        "p": one.p,
        "p_holm": one.p_holm,
        "detectable": one.detectable,
        "reasons": [
            {"criterion": r.criterion, "verdict": r.verdict.value, "text": r.text}
            for r in one.reasons
        ],
    }
