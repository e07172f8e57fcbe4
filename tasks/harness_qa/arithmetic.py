"""GSM8K: the number that a worked solution ends with.

Asked and read as lm-evaluation-harness does (``gsm8k``, Cobbe et al. 2021, arXiv:2110.14168): the
strict reading takes the number after ``####``, the flexible one the last number of the text.
Numbers are compared as numbers: commas, a dollar sign and a final full stop do not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from harness import metrics
from harness.errors import DataError
from harness.metrics.scorer import signature
from harness_files import DataSet, Item, read_json_lines

if TYPE_CHECKING:
    from harness.metrics.scorer import Scorer

MARK = re.compile(r"####\s*(-?[$0-9.,]*[0-9])")
ENDING = re.compile(r"^A:\s*(-?[$0-9.,]*[0-9])\.?\s*\Z", re.ASCII | re.MULTILINE)
NUMBER = re.compile(r"-?[$0-9.,]*[0-9]", re.ASCII)


def strict_number(text: str) -> Decimal | None:
    """The number after the first ``####``."""
    found = MARK.search(text)
    return _number(found[1]) if found else None


def stated_number(text: str) -> Decimal | None:
    """The number that a solution ends with: after ``####``, or after ``A:`` on its last line.

    The latter is how the authors' file of model solutions writes it.
    """
    found = ENDING.search(text)
    return strict_number(text) if found is None else _number(found[1])


def last_number(text: str) -> Decimal | None:
    """The last number of a text."""
    found = NUMBER.findall(text)
    return _number(found[-1]) if found else None


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text.replace(",", "").replace("$", ""))
    except InvalidOperation:
        return None


def _items(path: str) -> Iterator[Item]:
    for number, row in enumerate(read_json_lines(path), start=1):
        key = "answer" if row.has("answer") else "ground_truth"
        solution = row.filled(key if row.has(key) else "answer")
        answer = stated_number(solution)
        if answer is None:
            raise DataError(
                f"{row.place}: '{key}' has no '#### NUMBER' or 'A: NUMBER' at its end.\n"
                "Name a file with worked solutions, as GSM8K's own files."
            )
        yield Item(
            id=str(number),
            question=f"Question: {row.filled('question').strip()}\nAnswer:",
            answer=f" {solution.strip()}",
            reference=str(answer),
        )


def _readable(text: str) -> str | None:
    return text if NUMBER.search(text) else None


def _scorers() -> tuple[Scorer, ...]:
    return (
        metrics.mean(
            "exact_match",
            lambda text, right: 100.0 * (strict_number(text) == Decimal(right)),
            bounds=(0.0, 100.0),
            settings=signature(extract="after-####", match="number"),
        ),
        metrics.mean(
            "exact_match_flexible",
            lambda text, right: 100.0 * (last_number(text) == Decimal(right)),
            bounds=(0.0, 100.0),
            settings=signature(extract="last-number", match="number"),
        ),
    )


GSM8K = DataSet(
    name="gsm8k",
    category="reasoning",
    description="grade-school mathematics with worked solutions, JSON lines (exact match)",
    read=_items,
    scorers=_scorers,
    clean=_readable,
    max_tokens=256,
    stop=("Question:",),
)
