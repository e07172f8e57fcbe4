"""The derived index of a run: every cell's statistics in a form that is read at once.

One file a cell, made whenever the samples are written, or read without it. It holds nothing that
the samples file does not, says which samples file it was made of (size and time of its last
change), and may be deleted at any moment.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cellstats import CellStats, MetricRows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORM = 1


def source_of(samples: Path) -> list[int]:
    """What tells one state of a samples file from another; raises OSError."""
    found = samples.stat()
    return [found.st_size, found.st_mtime_ns]


def save_index(path: Path, stats: CellStats, source: list[int]) -> None:
    """Write a cell's index, if that can be done: everything works without it."""
    import numpy as np

    head = {
        "form": FORM,
        "source": source,
        "ids": stats.ids,
        "groups": stats.groups,
        "metrics": list(stats.tables),
    }
    arrays: dict[str, NDArray[Any]] = {
        "head": np.frombuffer(json.dumps(head).encode(), dtype=np.uint8)
    }
    for number, table in enumerate(stats.tables.values()):
        arrays[f"rows{number}"] = _small(table.rows)
        if len(table.places) < len(stats.ids):
            arrays[f"places{number}"] = table.places
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with suppress(OSError):
        try:
            path.parent.mkdir(exist_ok=True)
            temporary.write_bytes(buffer.getvalue())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def load_index(path: Path, source: list[int]) -> CellStats | None:
    """A cell's statistics from its index; ``None`` where none is of this very samples file."""
    import numpy as np

    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            head = json.loads(arrays["head"].tobytes())
            if head["form"] != FORM or head["source"] != source:
                return None
            return CellStats(
                ids=tuple(head["ids"]),
                groups=None if head["groups"] is None else tuple(head["groups"]),
                tables={
                    metric: _table(arrays, number, len(head["ids"]))
                    for number, metric in enumerate(head["metrics"])
                },
            )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def _table(arrays: Mapping[str, NDArray[Any]], number: int, samples: int) -> MetricRows:
    import numpy as np

    whole = f"places{number}" not in arrays
    places = np.arange(samples, dtype=np.intp) if whole else arrays[f"places{number}"]
    rows = arrays[f"rows{number}"].astype(np.float64)
    if rows.ndim != 2 or len(rows) != len(places):
        raise ValueError("an index of another form")
    return MetricRows(places=places, rows=rows)


def _small(rows: NDArray[np.float64]) -> NDArray[Any]:
    """Counts in as few bytes as hold them exactly."""
    import numpy as np

    if rows.size and np.isfinite(rows).all() and rows.min() >= 0:
        for kind in (np.uint8, np.uint16, np.uint32):
            if rows.max() <= np.iinfo(kind).max and (rows == np.rint(rows)).all():
                return rows.astype(kind)
    return rows
