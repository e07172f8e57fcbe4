"""A plain table of scores: one line per model, task and metric."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness.errors import DataError, UsageError
from harness.sizes import parse_size
from harness.types import ImportedCell, ImportedScore, Metric, Parameters
from harness_interchange import measures, published
from harness_interchange.reading import LIMITS, find_files, too_large

NEEDED = ("model", "task", "metric", "value")
OPTIONAL = (
    "stderr", "n", "params", "non_embedding", "active", "train_tokens", "family", "shots",
    "higher_is_better", "low", "high", "chance", "loss", "ci_low", "ci_high",
)  # fmt: skip
WORDS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
Row = Mapping[str, str]


def read(paths: Sequence[Path]) -> Iterator[ImportedCell]:
    """Cells of the tables, lines of one model and task together."""
    for path in find_files(paths, ("*.csv",)):
        cells: dict[tuple[str, str], list[tuple[str, Row]]] = {}
        for where, row in _rows(path):
            cells.setdefault((row["model"], row["task"]), []).append((where, row))
        if not cells:
            raise DataError(f"{path} has no line of scores below its first.")
        for (model, task), rows in cells.items():
            yield _cell(path, model, task, rows)


def _rows(path: Path) -> Iterator[tuple[str, Row]]:
    try:
        if path.stat().st_size > LIMITS.file:
            raise too_large(path)
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            columns = [name.strip() for name in table.fieldnames or []]
            missing = [name for name in NEEDED if name not in columns]
            if missing:
                raise DataError(
                    f"{path} has no column '{missing[0]}'; it needs {', '.join(NEEDED)} and may "
                    f"have {', '.join(OPTIONAL)}.\n"
                    f"Its columns: {', '.join(columns)[:200] or 'none'}."
                )
            for row in table:
                where = f"{path} line {table.line_num}"
                fields = {k.strip(): (v or "").strip() for k, v in row.items() if k is not None}
                if None in row:
                    raise DataError(f"{where} has more fields than the first line names.")
                for name in ("model", "task", "metric"):
                    if not fields[name]:
                        raise DataError(f"{where} has no {name}.")
                    fields[name] = _unescaped(fields[name])
                yield where, fields
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a table: {error}.") from error


def _unescaped(text: str) -> str:
    """Our own tables put an apostrophe before what a spreadsheet would run as a formula."""
    return text[1:] if len(text) > 1 and text[0] == "'" and text[1] in "=+-@" else text


def _cell(path: Path, model: str, task: str, rows: Sequence[tuple[str, Row]]) -> ImportedCell:
    scores: dict[str, ImportedScore] = {}
    for where, row in rows:
        if row["metric"] in scores:
            raise DataError(f"{where}: '{model}' on '{task}' has {row['metric']} a second time.")
        scores[row["metric"]] = _score(where, task, row)
    where, first = rows[0]
    known = published.find(model)
    counts = {name: _size(where, name, first.get(name, "")) for name in OPTIONAL[2:6]}
    parameters = Parameters(
        total=counts["params"], non_embedding=counts["non_embedding"], active=counts["active"]
    )
    sized = parameters != Parameters()
    shots = first.get("shots") or None
    return ImportedCell(
        model=model,
        task=task,
        scores=tuple(scores.values()),
        files=(str(path),),
        family=first.get("family") or known.family,
        identity=f"csv:{model}",
        parameters=parameters if sized else known.parameters,
        sizes="file" if sized else known.source,
        train_tokens=counts["train_tokens"],
        shots=int(shots) if shots and shots.isdecimal() else None,
        setup={"shots": shots} if shots else {},
    )


def _score(where: str, task: str, row: Row) -> ImportedScore:
    low, high = (_number(where, name, row.get(name, "")) for name in ("low", "high"))
    better = row.get("higher_is_better", "").lower()
    if better and better not in WORDS:
        raise DataError(f"{where}: higher_is_better is '{better}'; write yes or no.")
    made = measures.metric(
        row["metric"],
        task=task,
        source=f"csv:{row['metric']}",
        better=WORDS[better] if better else None,
        bounds=(low, high) if row.get("low") or row.get("high") else None,
    )
    chance = _number(where, "chance", row.get("chance", ""))
    made = Metric(
        name=made.name,
        formula=made.formula,
        higher_is_better=made.higher_is_better,
        is_loss=WORDS.get(row.get("loss", "").lower(), made.is_loss),
        bounds=made.bounds,
        chance=made.chance if chance is None else chance,
        signature=made.signature,
    )
    value = _number(where, "value", row["value"])
    n = _number(where, "n", row.get("n", ""))
    return ImportedScore(
        metric=made,
        value=float("nan") if value is None else value,
        stderr=_stderr(where, row),
        n=int(n) if n else None,
    )


def _stderr(where: str, row: Row) -> float | None:
    """The column, or what the ends of a 95 % interval imply."""
    given = _number(where, "stderr", row.get("stderr", ""))
    ends = [_number(where, name, row.get(name, "")) for name in ("ci_low", "ci_high")]
    if given is None and ends[0] is not None and ends[1] is not None:
        return abs(ends[1] - ends[0]) / (2 * 1.959963984540054)
    return given


def _number(where: str, name: str, text: str) -> float | None:
    if not text:
        return None
    try:
        return float(text)
    except ValueError as error:
        raise DataError(f"{where}: {name} is '{text[:40]}', which is no number.") from error


def _size(where: str, name: str, text: str) -> int | None:
    if not text:
        return None
    try:
        return parse_size(text)
    except UsageError as error:
        raise DataError(f"{where}, {name}: {error}") from error
