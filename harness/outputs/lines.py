"""Texts against references, line by line."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.errors import DataError, UsageError, suggestion
from harness.outputs.entities import ENTITY_METRICS
from harness.outputs.records import Outcome, Pair, PairTask, scored_pairs
from harness.reading import place, read_lines

if TYPE_CHECKING:
    from harness.metrics import Scorer

LABEL_METRICS = ("label_f1", "matthews")
CORPUS_DISTINCT = "corpus_distinct"
REFERENCE_FREE = (CORPUS_DISTINCT, "distinct", "length", "repetition")
"""Metrics of the outputs alone."""

MARK = re.compile(r"\s*</?t>\s*")
"""Sentence marks in files of CNN/DailyMail summaries: ``<t> A sentence . </t>``."""


def score_lines(spec: str, outputs: str, references: Sequence[str], *, seed: int) -> Outcome:
    """Compare line N of ``outputs`` with line N of every file of ``references``.

    ``spec`` is as :func:`harness.metrics.named_scorer` takes it, or names a metric of labels, one
    on each line. A blank line in one of several
    reference files means that this file has none there. For ROUGE, sentences marked with ``<t>``
    and ``</t>`` stand on lines of their own. Outputs may be blank, even all of them: a model that
    says nothing has a score, too. Raises DataError for unequal line counts and for a line without
    any reference.
    """
    labelled = spec.partition(":")[0] in LABEL_METRICS
    if not labelled:
        _text_scorer(spec, (), ())  # a wrong name is said before a wrong file
    texts = read_lines(outputs, blank=True)
    columns = [read_lines(path) for path in references]
    for path, lines in zip(references, columns, strict=True):
        if len(lines) != len(texts):
            longer, at = (outputs, len(lines)) if len(texts) > len(lines) else (path, len(texts))
            raise DataError(
                f"'{outputs}' has {len(texts)} lines, '{path}' has {len(lines)}: "
                f"{place(longer, at + 1)} has no other side.\n"
                "Give files of one line per output, aligned line by line; an empty last line "
                "counts only where a newline ends it."
            )
    clean = _sentences if spec.startswith("rouge") else str
    pairs: dict[str, Pair] = {}
    for number, (text, *given) in enumerate(zip(texts, *columns, strict=True), start=1):
        filled = [clean(one) for one in given if one.strip()]
        if not filled and spec.partition(":")[0] not in REFERENCE_FREE:
            raise DataError(
                f"{place(references[0], number)} is an empty reference.\n"
                "Remove this line from every file, or add a file that has one."
            )
        pairs[str(number)] = Pair(id=str(number), output=clean(text), reference=filled)
    if labelled:
        pairs = {key: _labelled(pair) for key, pair in pairs.items()}
        scorer = _label_scorer(spec, [(pair.output, pair.reference) for pair in pairs.values()])
    else:
        scorer = _text_scorer(spec, {len(pair.reference) for pair in pairs.values()}, texts)
    return scored_pairs(PairTask(scorer=scorer, pairs=pairs), "lines", outputs, seed)


def _labelled(pair: Pair) -> Pair:
    """The line's label against the first file's."""
    return replace(pair, output=pair.output.strip(), reference=pair.reference[0].strip())


def _label_scorer(spec: str, pairs: Sequence[tuple[str, str]]) -> Scorer:
    """``matthews`` or ``label_f1:average=macro|micro|weighted`` or ``label_f1:positive=LABEL``.

    The labels are those that occur on either side.
    """
    from harness.metrics import label_f1, matthews

    labels = sorted({label for pair in pairs for label in pair})
    name, _, option = spec.partition(":")
    key, _, value = option.partition("=")
    if name == "matthews" and not option:
        return matthews(labels)
    if name == "label_f1" and key in ("", "average"):
        return label_f1(labels, value or "macro")
    if name == "label_f1" and key == "positive":
        return label_f1(labels, positive=value)
    raise UsageError(
        f"'{spec}' is no metric of labels.\nThere are: matthews, label_f1:average=macro, "
        "label_f1:average=micro, label_f1:average=weighted, label_f1:positive=LABEL"
    )


def _text_scorer(spec: str, counts: Collection[int], texts: Sequence[str]) -> Scorer:
    """The scorer by its name; how many references every line has belongs in its signature."""
    from harness.metrics import TEXT_SCORERS, corpus_distinct
    from harness.metrics.named import Named, made_scorer

    name = spec.partition(":")[0]
    if name == CORPUS_DISTINCT:
        return made_scorer(spec, Named(factory=corpus_distinct, settled={"answers": texts}))
    if name not in TEXT_SCORERS:
        known = (*TEXT_SCORERS, CORPUS_DISTINCT, *LABEL_METRICS, *ENTITY_METRICS)
        raise UsageError(f"Unknown metric '{name}'. {suggestion(name, known)}")
    return made_scorer(
        spec, TEXT_SCORERS[name].given(next(iter(counts)) if len(counts) == 1 else None)
    )


def _sentences(text: str) -> str:
    return "\n".join(part for part in MARK.split(text.strip()) if part)
