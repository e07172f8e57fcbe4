"""A comparison for people and for programs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tabulate import tabulate

from harness import stats
from harness.codec import SCHEMA, to_json
from harness.compare import Comparison, CurveComparison, Match
from harness.compare.cells import CellComparison
from harness.stats.curves import Shift
from harness.table import remarks, value_text
from harness.types import Metric
from harness.wording import MISSING, partial_words, short, short_names

CELL_HEADER = (
    "task", "model", "metric", "first", "second", "difference [95 %]", "p", "p (Holm)",
    "detectable", "n", "test", "",
)  # fmt: skip
CURVE_HEADER = (
    "task", "family", "metric", "what", "first", "second", "difference [95 %]", "p", "p (Holm)", "",
)  # fmt: skip

_BREAK = re.compile(r"[\s\u0085\u2028\u2029]+")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def comparison_text(found: Comparison) -> str:
    """What ``harness compare`` prints."""
    parts = [f"first:  {found.a.label}\nsecond: {found.b.label}"]
    if found.cells:
        parts.append(f"{_cell_table(found)}\n{_legend(found)}")
    if any(one.found.exponent for one in found.curves):
        parts.append(_curve_table(found))
    notes = [*_notes(found)]
    if notes:
        parts.append("\n".join(map(printable, notes)))
    return "\n\n".join(parts) + "\n"


def _cell_table(found: Comparison) -> str:
    tasks = short_names(one.match.b.task for one in found.cells)
    rows = [
        [
            tasks[one.match.b.task],
            model_label(one),
            f"{one.metric.name} {'↑' if one.metric.higher_is_better else '↓'}",
            value_text(one.metric, one.value_a),
            value_text(one.metric, one.value_b),
            difference_text(one.metric, one.difference, one.ci),
            p_text(one.p),
            p_text(one.p_holm),
            MISSING if one.detectable is None else number(one.metric, one.detectable),
            one.n if not one.units or one.units == one.n else f"{one.n} in {one.units}",
            one.test or MISSING,
            _word(one),
        ]
        for one in found.cells
    ]
    return grid(rows, CELL_HEADER, left=(0, 1, 2, 10, 11))


def _legend(found: Comparison) -> str:
    partial = [side.label for side in (found.a, found.b) if side.status != "complete"]
    words = (
        "Difference: second minus first on the samples both have, paired bootstrap interval. "
        "detectable: the\ndifference this test finds 4 times in 5. p (Holm): corrected for "
        f"{sum(one.p is not None for one in found.cells)} tests."
    )
    number = sum(one.test == stats.UNPAIRED for one in found.cells)
    if number:
        words += f"\n{unpaired_words(number)}"
    return words + "".join(f"\n{partial_words(label)}" for label in partial)


def unpaired_words(number: int) -> str:
    """What to know of so many unpaired tests."""
    return (
        f"{number} unpaired: samples are not kept on both sides, so that a z-test of the scores' "
        "standard errors\ntakes the place of a paired test; it finds large differences only."
    )


def _word(one: CellComparison) -> str:
    """Better or worse, where that is significant."""
    if not one.significant or not one.difference:
        return ""
    return "better" if (one.difference > 0) == one.metric.higher_is_better else "WORSE"


def _curve_table(found: Comparison) -> str:
    tasks = short_names(one.task for one in found.curves)
    rows = []
    for one, what, shift, p_holm in _shifts(found):
        is_level = what.startswith("level")
        show = one.metric if is_level else None
        rows.append(
            [
                tasks[one.task],
                " → ".join(dict.fromkeys((one.family_a, one.family_b))),
                one.metric.name,
                what,
                number(show, shift.a),
                number(show, shift.b),
                difference_text(show, shift.difference, shift.ci),
                p_text(shift.p),
                p_text(p_holm),
                "differs" if p_holm <= 0.05 else "",
            ]
        )
    title = "Scaling curves (level: the fitted score at the size named)"
    lines = [title, grid(rows, CURVE_HEADER, left=(0, 1, 2, 3, 9)), *_curve_legend(found.curves)]
    return "\n".join(lines)


def _curve_legend(curves: Sequence[CurveComparison]) -> Iterator[str]:
    """What a reader would else take for granted: samples drawn anew, non-embedding sizes."""
    told = [one for one in curves if one.found.exponent is not None]
    for drawn, words in (
        ("standard errors", "rest on the scores' standard errors, as no samples are kept"),
        (
            "nothing",
            "rest on the scatter about the laws alone: neither samples nor standard errors",
        ),
    ):
        number = sum(one.drawn == drawn for one in told)
        if number:
            yield f"{number} of {len(told)} {words}; what the sizes share does not cancel."
    if any(one.axis == "total" for one in told):
        yield "Sizes are total parameters; non-embedding ones are not known of every model."


def _shifts(found: Comparison) -> Iterator[tuple[CurveComparison, str, Shift, float]]:
    """Every difference of curves, with Holm's p over all of them."""
    rows: list[tuple[CurveComparison, str, Shift]] = []
    for one in found.curves:
        if one.found.exponent is not None:
            rows.append((one, "exponent", one.found.exponent))
        if one.found.level is not None and one.found.size is not None:
            rows.append((one, f"level at {short(one.found.size)}", one.found.level))
    adjusted = stats.holm([shift.p for _, _, shift in rows])
    for (one, what, shift), p_holm in zip(rows, adjusted, strict=True):
        yield one, what, shift, p_holm


def _notes(found: Comparison) -> Iterator[str]:
    yield from answer_notes(one.match for one in found.cells)
    for one in found.cells:
        if one.note:
            yield f"{one.match.label}, {one.metric.name}: no test: {one.note}"
        if one.only_a or one.only_b:
            yield (
                f"{one.match.label}, {one.metric.name}: {one.only_a} samples are graded in the "
                f"first only, {one.only_b} in the second only; they are left out."
            )
    for curve in found.curves:
        if curve.found.note:
            yield f"{curve.family_b}, {curve.task}, {curve.metric.name}: {curve.found.note}"
    for name in found.missing:
        yield f"{name}: in the first only."
    yield from found.refused


def answer_notes(matches: Iterable[Match]) -> Iterator[str]:
    """Missing, cut, empty and unparseable answers of either side, once a cell."""
    seen: set[int] = set()
    for match in matches:
        if id(match) in seen:
            continue
        seen.add(id(match))
        words = [
            f"{words} in the {side}"
            for side, cell in (("first", match.a), ("second", match.b))
            if (words := remarks(cell))
        ]
        if words:
            yield f"{match.label}: {'; '.join(words)}."


def comparison_document(found: Comparison) -> dict[str, Any]:
    """What ``harness compare --json`` prints."""
    document: dict[str, Any] = to_json(
        {
            "schema": SCHEMA,
            "a": found.a.label,
            "b": found.b.label,
            "status": _status(found),
            "cells": [cell_entry(one) for one in found.cells],
            "curves": _curve_entries(found),
            "missing": list(found.missing),
            "refused": list(found.refused),
        }
    )
    return document


def _status(found: Comparison) -> str:
    whole = found.a.status == found.b.status == "complete"
    return "complete" if whole else "partial"


def cell_entry(one: CellComparison) -> Mapping[str, Any]:
    """One comparison as JSON."""
    return {
        "task": one.match.b.task,
        "model_a": one.match.a.model.name,
        "model_b": one.match.b.model.name,
        "metric": one.metric.name,
        "higher_is_better": one.metric.higher_is_better,
        "counts_a": one.match.a.counts,
        "counts_b": one.match.b.counts,
        "a": one.value_a,
        "b": one.value_b,
        "difference": one.difference,
        "ci": one.ci,
        "p": one.p,
        "p_worse": one.p_worse,
        "p_holm": one.p_holm,
        "mid_p": one.mid_p,
        "significant": one.significant,
        "detectable": one.detectable,
        "test": one.test,
        "draws": one.draws,
        "n": one.n,
        "units": one.units,
        "only_a": one.only_a,
        "only_b": one.only_b,
        "note": one.note,
    }


def _curve_entries(found: Comparison) -> list[Mapping[str, Any]]:
    entries: dict[int, dict[str, Any]] = {
        id(one): {
            "task": one.task,
            "family_a": one.family_a,
            "family_b": one.family_b,
            "metric": one.metric.name,
            "law": one.found.law,
            "x": one.axis,
            "drawn": one.drawn,
            "size": one.found.size,
            "exponent": None,
            "level": None,
            "note": one.found.note,
        }
        for one in found.curves
    }
    for one, what, shift, p_holm in _shifts(found):
        entries[id(one)]["exponent" if what == "exponent" else "level"] = {
            "a": shift.a,
            "b": shift.b,
            "difference": shift.difference,
            "ci": shift.ci,
            "p": shift.p,
            "p_holm": p_holm,
        }
    return list(entries.values())


def model_label(one: CellComparison) -> str:
    """The model, or both where their names differ."""
    return " → ".join(dict.fromkeys((one.match.a.model.name, one.match.b.model.name)))


def difference_text(
    metric: Metric | None, difference: float | None, ci: tuple[float, float] | None
) -> str:
    """A signed difference with its interval."""
    if difference is None:
        return MISSING
    text = number(metric, difference, signed=True)
    if ci is None:
        return text
    return f"{text} [{', '.join(number(metric, end, signed=True) for end in ci)}]"


def number(metric: Metric | None, value: float, *, signed: bool = False) -> str:
    """A difference needs one digit more than a score: two decimals on 0-100, else three digits."""
    sign = "+" if signed else ""
    if metric is not None and metric.bounds == (0, 100):
        return f"{value:{sign}.2f}"
    return f"{value:{sign}.3g}"


def p_text(p: float | None) -> str:
    """A p-value with the digits that are worth reading."""
    if p is None:
        return MISSING
    return f"{p:.1e}" if p < 0.001 else f"{p:.3f}"


def printable(text: str) -> str:
    """Text on one line that cannot steer a terminal, whatever a model or a task is called."""
    return _CONTROL.sub("\ufffd", _BREAK.sub(" ", text))


def grid(rows: list[list[Any]], header: tuple[str, ...], *, left: tuple[int, ...]) -> str:
    """A plain table."""
    align = tuple("left" if column in left else "right" for column in range(len(header)))
    rows = [[printable(str(value)) for value in row] for row in rows]
    return tabulate(rows, headers=list(header), colalign=align, disable_numparse=True)
