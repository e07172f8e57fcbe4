"""Comparing two runs, or models, or families: matched cells, paired tests, one correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.compare.cells import (
    CellComparison,
    Settings,
    check_metrics,
    compare_match,
    wanted_scores,
    with_holm,
)
from harness.compare.families import CurveComparison, compare_families, matched_families
from harness.compare.sides import (
    Match,
    Side,
    match_cells,
    refusal,
    require_some,
    run_side,
)
from harness.errors import NotComparableError, UsageError

__all__ = [
    "CellComparison",
    "Comparison",
    "CurveComparison",
    "Match",
    "Settings",
    "Side",
    "compare",
    "compare_all",
    "compare_families",
    "match_cells",
    "refusal",
    "run_side",
]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All that two sides say of each other. ``refused`` names cells that may not be compared."""

    a: Side
    b: Side
    settings: Settings
    cells: tuple[CellComparison, ...]
    curves: tuple[CurveComparison, ...]
    missing: tuple[str, ...]
    refused: tuple[str, ...]


def compare(a: Side, b: Side, settings: Settings) -> Comparison:
    """Compare every matching cell, and the curves of families with at least three sizes.

    Raises:
        NotComparableError: no cell may be compared; the message names what differs.
        UsageError: a metric or a test that no cell suits.
    """
    matches, missing = match_cells(a, b)
    errors = [refusal(match, a, b, strict=False) for match in matches]
    refused = [error for error in errors if error is not None]
    sound = [match for match, error in zip(matches, errors, strict=True) if error is None]
    tests = sum(len(wanted_scores(match, settings.metrics)) for match in sound)
    settings = replace(settings, tests=max(1, tests))
    if not sound and refused:
        raise refused[0]
    cells, curves = compare_all(sound, a, b, settings)
    require_some([*sound, *curves], a, b)
    if not curves:
        check_metrics(sound, settings.metrics)
    _require_a_test(cells, settings)
    return Comparison(
        a=a,
        b=b,
        settings=settings,
        cells=with_holm(cells),
        curves=tuple(curves),
        missing=missing,
        refused=tuple(str(error) for error in refused),
    )


def compare_all(
    matches: Sequence[Match], a: Side, b: Side, settings: Settings, *, curves: bool = True
) -> tuple[list[CellComparison], list[CurveComparison]]:
    """Every matched cell in order, and every pair of matching curves.

    Work goes family by family, so that few cells' statistics are needed at a time.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    for i, match in enumerate(matches):
        groups.setdefault((match.a.model.family, match.a.task), []).append(i)
    pairs = {(one.family, one.task): (one, other) for one, other in matched_families(a, b)}
    # An exponent and a level of each metric.
    settings = replace(
        settings, curve_tests=2 * sum(len(one.cells[0].scores) for one, _ in pairs.values())
    )
    cells: dict[int, list[CellComparison]] = {}
    found: list[CurveComparison] = []
    for key in dict.fromkeys((*groups, *pairs)):
        for i in groups.get(key, ()):
            cells[i] = list(compare_match(matches[i], a, b, settings))
        if curves and key in pairs:
            found += compare_families(*pairs[key], settings)
    return [one for i in sorted(cells) for one in cells[i]], found


def _require_a_test(cells: list[CellComparison], settings: Settings) -> None:
    """A test asked for by name that suits no cell is the command's mistake."""
    if settings.test == "auto" or not cells or any(one.test for one in cells):
        return
    if all(one.standard_error is None for one in cells):
        raise NotComparableError(f"{cells[0].match.label}: {cells[0].note}")
    raise UsageError(
        f"--test {settings.test} suits none of the cells: {cells[0].note}\nUse --test auto."
    )
