"""Texts against references, line by line."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from harness.errors import DataError, UsageError, suggestion
from harness.outputs.records import Outcome, Pair, PairTask, scored_pairs
from harness.reading import place, read_lines

if TYPE_CHECKING:
    from harness.metrics import Scorer

ENTITY_METRICS = ("entity_f1", "entity_precision", "entity_recall")
MARK = re.compile(r"\s*</?t>\s*")
"""Sentence marks in files of CNN/DailyMail summaries: ``<t> A sentence . </t>``."""


def score_lines(spec: str, outputs: str, references: Sequence[str], *, seed: int) -> Outcome:
    """Compare line N of ``outputs`` with line N of every file of ``references``.

    ``spec`` is as :func:`harness.metrics.named_scorer` takes it. A blank line in one of several
    reference files means that this file has none there. For ROUGE, sentences marked with ``<t>``
    and ``</t>`` stand on lines of their own. Raises DataError for unequal line counts and for a
    line without any reference.
    """
    _text_scorer(spec, ())  # a wrong name is said before a wrong file
    texts = read_lines(outputs)
    columns = [read_lines(path) for path in references]
    for path, lines in zip(references, columns, strict=True):
        if len(lines) != len(texts):
            raise DataError(
                f"'{outputs}' has {len(texts)} lines, '{path}' has {len(lines)}.\n"
                "Give files of one line per output, aligned line by line."
            )
    clean = _sentences if spec.startswith("rouge") else str
    pairs: dict[str, Pair] = {}
    for number, (text, *given) in enumerate(zip(texts, *columns, strict=True), start=1):
        filled = [clean(one) for one in given if one.strip()]
        if not filled:
            raise DataError(
                f"{place(references[0], number)} is an empty reference.\n"
                "Remove this line from every file, or add a file that has one."
            )
        pairs[str(number)] = Pair(id=str(number), output=clean(text), reference=filled)
    scorer = _text_scorer(spec, {len(pair.reference) for pair in pairs.values()})
    return scored_pairs(PairTask(scorer=scorer, pairs=pairs), "lines", outputs, seed)


def _text_scorer(spec: str, counts: Collection[int]) -> Scorer:
    """The scorer by its name; how many references every line has belongs in its signature."""
    from harness.metrics import TEXT_SCORERS, named_scorer

    name, _, options = spec.partition(":")
    if name not in TEXT_SCORERS:
        known = (*TEXT_SCORERS, *ENTITY_METRICS)
        raise UsageError(f"Unknown metric '{name}'. {suggestion(name, known)}")
    parts = [options] if options else []
    if "nrefs" in TEXT_SCORERS[name].options and "nrefs=" not in options and len(counts) == 1:
        parts.append(f"nrefs={next(iter(counts))}")
    return named_scorer(f"{name}:{','.join(parts)}")


def _sentences(text: str) -> str:
    return "\n".join(part for part in MARK.split(text.strip()) if part)
