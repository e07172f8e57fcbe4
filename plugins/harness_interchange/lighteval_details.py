"""Details files of lighteval: one Parquet file per task, one row per document.

Columns are ``doc``, ``model_response`` and ``metric`` (in older versions with two underscores
before and after), each a structure; ``metric`` holds the numbers by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import DataError
from harness.types import Generate, Loglikelihood, Request, Response, SampleRecord
from harness_interchange import reading
from harness_interchange.reading import inside, number

BATCH = 500


@dataclass(frozen=True, kw_only=True)
class Details:
    """Graded samples, or in ``note`` why there are none although the file is there."""

    records: tuple[SampleRecord, ...] = ()
    note: str = ""


def read(results: Path, key: str) -> Details:
    """The details of task ``key`` that were written with the file ``results``.

    ``OUT/results/MODEL/results_DATE.json`` goes with
    ``OUT/details/MODEL/DATE/details_KEY_DATE.parquet``.
    """
    date = results.stem.removeprefix("results_")
    parts = list(results.parent.parts)
    if "results" not in parts:
        return Details()
    parts[len(parts) - 1 - parts[::-1].index("results")] = "details"
    folder = Path(*parts) / date
    name = f"details_{key}_{date}.parquet"
    # Looked up in the folder's list: a hostile task name is never a path.
    if not folder.is_dir() or name not in {path.name for path in folder.glob("*.parquet")}:
        return Details()
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return Details(note="its details are Parquet and not read: pip install 'harness[parquet]'")
    try:
        return Details(records=tuple(_records(folder / name, pyarrow.parquet)))
    except (OSError, pyarrow.ArrowException) as error:
        raise reading.unreadable(folder / name, error) from error


def _records(path: Path, parquet: Any) -> Iterator[SampleRecord]:
    with parquet.ParquetFile(path) as file:
        groups = range(file.metadata.num_row_groups)
        if sum(file.metadata.row_group(i).total_byte_size for i in groups) > reading.LIMITS.file:
            raise reading.too_large(path)
        seen: set[str] = set()
        for batch in file.iter_batches(batch_size=BATCH):
            for row in batch.to_pylist():
                record = _record({str(name).strip("_"): value for name, value in row.items()}, path)
                if record.id in seen:
                    raise DataError(f"{path} holds the document '{record.id}' twice.")
                seen.add(record.id)
                yield record


def _record(row: Mapping[str, Any], path: Path) -> SampleRecord:
    if not {"doc", "metric"} <= row.keys():
        raise DataError(f"{path} has no columns 'doc' and 'metric': {', '.join(row)[:200]}.")
    doc, answered = inside(row, "doc"), inside(row, "model_response")
    choices = [str(choice) for choice in doc.get("choices") or ()]
    gold = doc.get("gold_index")
    right = [choices[i] for i in _indices(gold) if 0 <= i < len(choices)]
    requests, responses = _exchange(doc, answered, choices)
    return SampleRecord(
        id=str(doc.get("id")),
        requests=requests,
        responses=responses,
        reference=right,
        stats={
            name: (found, 1.0)
            for name, value in inside(row, "metric").items()
            if (found := number(value)) is not None and found == found
        },
    )


def _indices(gold: Any) -> Sequence[int]:
    rows = gold if isinstance(gold, list) else [gold]
    return [int(i) for i in rows if isinstance(i, int) and not isinstance(i, bool)]


def _exchange(
    doc: Mapping[str, Any], answered: Mapping[str, Any], choices: Sequence[str]
) -> tuple[tuple[Request, ...], tuple[Response, ...]]:
    """What was asked and answered: generated texts, else the choices' log-probabilities."""
    asked = answered.get("input")
    prompt = asked if isinstance(asked, str) else str(doc.get("query") or "")
    texts = answered.get("text")
    if isinstance(texts, list) and texts:
        limit = number(doc.get("generation_size"))
        size = int(limit) if limit and 0 < limit < 1e9 else 256
        request = Generate(prompt=prompt, max_tokens=size)
        return (request,), (Response(text=str(texts[0])),)
    logprobs = answered.get("logprobs")
    rows = logprobs if isinstance(logprobs, list) else []
    pairs = list(zip(choices, rows, strict=False))
    return (
        tuple(Loglikelihood(context=prompt, continuation=choice) for choice, _ in pairs),
        tuple(Response(logprob=number(value)) for _, value in pairs),
    )
