"""The derived index of a run: every cell's statistics in a form that is read at once.

One file a cell, made whenever the samples are written, or read without it. It holds nothing that
the samples file does not, says which samples file it was made of (size and time of its last
change), and may be deleted at any moment. The file is a line of JSON, which names the parts, the
parts' bytes one after another, and a checksum of all that.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cellstats import CellStats, MetricRows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORM = 2
_KINDS = ("u1", "<u2", "<u4", "<i8", "<f8")


def source_of(samples: Path) -> list[int]:
    """What tells one state of a samples file from another; raises OSError."""
    found = samples.stat()
    return [found.st_size, found.st_mtime_ns]


def save_index(path: Path, stats: CellStats, source: list[int]) -> None:
    """Write a cell's index, if that can be done: everything works without it."""
    parts: dict[str, NDArray[Any]] = {}
    for number, table in enumerate(stats.tables.values()):
        parts[f"rows{number}"] = _small(table.rows)
        if len(table.places) < len(stats.ids):
            parts[f"places{number}"] = table.places.astype("<i8")
    head = {
        "form": FORM,
        "source": source,
        "ids": stats.ids,
        "groups": stats.groups,
        "metrics": list(stats.tables),
        "parts": {name: [part.dtype.str.lstrip("|"), *part.shape] for name, part in parts.items()},
    }
    content = b"".join(
        [json.dumps(head).encode(), b"\n", *(part.tobytes() for part in parts.values())]
    )
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with suppress(OSError):
        try:
            path.parent.mkdir(exist_ok=True)
            temporary.write_bytes(content + _checksum(content))
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def load_index(path: Path, source: list[int]) -> CellStats | None:
    """A cell's statistics from its index; ``None`` where none is of this very samples file."""
    try:
        content = path.read_bytes()
        content, checksum = content[:-4], content[-4:]
        if _checksum(content) != checksum:
            return None
        first, _, rest = content.partition(b"\n")
        head = json.loads(first)
        if head["form"] != FORM or head["source"] != source:
            return None
        parts = dict(_parts(head["parts"], rest))
        return CellStats(
            ids=tuple(head["ids"]),
            groups=None if head["groups"] is None else tuple(head["groups"]),
            tables={
                metric: _table(parts, number, len(head["ids"]))
                for number, metric in enumerate(head["metrics"])
            },
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _checksum(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(4, "little")


def _parts(named: Mapping[str, list[Any]], content: bytes) -> Iterator[tuple[str, NDArray[Any]]]:
    """The arrays that follow the first line; raises ValueError where they do not fill the file."""
    import numpy as np

    at = 0
    for name, (kind, *shape) in named.items():
        if kind not in _KINDS:
            raise ValueError("an index of another form")
        count = math.prod(shape)
        part = np.frombuffer(content, dtype=kind, count=count, offset=at)
        yield name, part.reshape(shape)
        at += part.nbytes
    if at != len(content):
        raise ValueError("an index that is cut, or holds more than it names")


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
        for kind in (np.uint8, np.dtype("<u2"), np.dtype("<u4")):
            if rows.max() <= np.iinfo(kind).max and (rows == np.rint(rows)).all():
                return rows.astype(kind)
    return rows.astype("<f8")
