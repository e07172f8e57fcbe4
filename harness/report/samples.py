"""Samples for the page: what is asked once a task, what was answered once a cell, each compressed.

A block is gzip in base64: small, and no text of a model can end the script element it lies in. The
page opens a block when its cell is looked at, so that opening costs nothing.
"""

from __future__ import annotations

import base64
import gzip
import json
import math
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from harness.codec import to_json
from harness.results import RunDirectory
from harness.types import (
    CellRecord,
    Classify,
    Generate,
    Loglikelihood,
    Metric,
    Request,
    Response,
    SampleRecord,
)

LONGEST = 20_000
"""Characters of one text that the page keeps; the rest is counted."""


def cell_blocks(
    directory: RunDirectory, record: CellRecord, most: int | None, *, asked: bool
) -> tuple[str, str | None, int]:
    """The block of a cell's answers, that of what was asked (if ``asked``), and how many.

    Both are lists in the samples' order; the ids in the answers say which question each is for.
    """
    questions: list[list[Any]] = []
    answers: list[list[Any]] = []
    kept: list[SampleRecord] = []
    metric = record.scores[0].metric if record.scores else None
    for sample in islice(directory.read_samples(record), most):
        if asked:
            questions.append([sample.id, _requests(sample.requests), _reference(sample.reference)])
        answers.append(
            [sample.id, [_answer(one) for one in sample.responses], _marks(sample), None]
        )
        if metric is not None:
            kept.append(_bare(sample, metric))
    if metric is not None and kept:
        for row, score in zip(answers, _scores(metric, kept), strict=True):
            row[3] = score
    return _packed(answers), _packed(questions) if asked else None, len(answers)


def _bare(sample: SampleRecord, metric: Metric) -> SampleRecord:
    """The sample's statistics without its texts."""
    stats = {metric.name: sample.stats[metric.name]} if metric.name in sample.stats else {}
    return SampleRecord(id=sample.id, requests=(), responses=(), reference=None, stats=stats)


def _scores(metric: Metric, samples: Iterable[SampleRecord]) -> Iterator[float | None]:
    """Each sample's own score of the headline metric; ``None`` where it was not graded."""
    import numpy as np

    from harness import metrics

    rows = [sample.stats.get(metric.name) for sample in samples]
    graded = [row for row in rows if row is not None]
    widths = {len(row) for row in graded}
    values = metrics.per_sample(metric, np.array(graded)) if len(widths) == 1 else np.empty(0)
    found = iter(values.tolist())
    for row in rows:
        value = next(found, math.nan) if row is not None else math.nan
        yield round(value, 4) if math.isfinite(value) else None


def _packed(rows: list[list[Any]]) -> str:
    data = json.dumps(rows, ensure_ascii=False, separators=(",", ":"))
    # A fixed time, so that the same run always gives the same page.
    packed = gzip.compress(data.encode("utf-8", "replace"), compresslevel=6, mtime=0)
    return base64.b64encode(packed).decode("ascii")


def _requests(requests: Iterable[Request]) -> list[list[str]]:
    """Kind and texts of each."""
    rows = []
    for request in requests:
        match request:
            case Generate(prompt=prompt):
                rows.append(["generate", _cut(prompt)])
            case Loglikelihood(context=context, continuation=continuation):
                rows.append(["loglikelihood", _cut(context), _cut(continuation)])
            case Classify(texts=texts):
                rows.append(["classify", *map(_cut, texts)])
            case _:
                rows.append(["tag", _cut(" ".join(request.tokens))])
    return rows


def _reference(reference: Any) -> list[str]:
    """Every text that counts as right, else the reference as JSON; tags as a line."""
    if isinstance(reference, str):
        return [_cut(reference)]
    texts = reference if isinstance(reference, (list, tuple)) else ()
    if texts and all(isinstance(one, str) for one in texts):
        return [_cut(one) for one in texts]
    return [_cut(json.dumps(to_json(reference), ensure_ascii=False))]


def _answer(response: Response) -> list[Any]:
    """[kind, text]: ``t`` is a text, ``g`` tags, ``n`` a number in words, ``e`` an error."""
    if response.error is not None:
        return ["e", _cut(response.error)]
    if response.text is not None:
        return ["t", _cut(response.text)]
    if response.tags is not None:
        return ["g", _cut(" ".join(response.tags))]
    if response.logprobs is not None:
        return ["n", " ".join(f"{one:.4f}" for one in response.logprobs) + " nats"]
    if response.logprob is None:
        return ["e", "no answer is kept"]
    tokens = f" over {response.tokens} tokens" if response.tokens is not None else ""
    greedy = ", each the most probable" if response.greedy else ""
    return ["n", f"{response.logprob:.4f} nats{tokens}{greedy}"]


def _marks(sample: SampleRecord) -> str:
    """Letters: e no answer, t truncated, p prompt truncated, u unparseable, m empty."""
    found = ""
    for letter, present in (
        ("e", any(r.error is not None for r in sample.responses)),
        ("t", any(r.truncated for r in sample.responses)),
        ("p", any(r.prompt_truncated for r in sample.responses)),
        ("u", sample.unparseable),
        ("m", any(r.text is not None and not r.text.strip() for r in sample.responses)),
    ):
        found += letter if present else ""
    return found


def _cut(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]}… ({len(text) - LONGEST:,} more characters)"
