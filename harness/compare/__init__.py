"""Comparing two runs, or models, or families: matched cells, paired tests, one correction."""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.compare.cells import (
    CellComparison,
    Settings,
    check_metrics,
    compare_match,
    wanted_scores,
    with_holm,
)
from harness.compare.families import CurveComparison, compare_families
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
    curves = compare_families(a, b, settings.curve_resampler, metrics=settings.metrics)
    if not sound and refused:
        raise refused[0]
    require_some([*sound, *curves], a, b)
    if not curves:
        check_metrics(sound, settings.metrics)
    cells = [one for match in sound for one in compare_match(match, a, b, settings)]
    _require_a_test(cells, settings)
    return Comparison(
        a=a,
        b=b,
        settings=settings,
        cells=with_holm(cells),
        curves=curves,
        missing=missing,
        refused=tuple(str(error) for error in refused),
    )


def _require_a_test(cells: list[CellComparison], settings: Settings) -> None:
    """A test asked for by name that suits no cell is the command's mistake."""
    if settings.test == "auto" or not cells or any(one.test for one in cells):
        return
    if all(one.spread is None for one in cells):
        raise NotComparableError(f"{cells[0].match.label}: {cells[0].note}")
    raise UsageError(
        f"--test {settings.test} suits none of the cells: {cells[0].note}\nUse --test auto."
    )
