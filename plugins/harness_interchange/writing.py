"""What several exporters share: names for files and ids, texts of samples, values per sample."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from harness.types import (
    CellRecord,
    Classify,
    ExportSource,
    Generate,
    Loglikelihood,
    Metric,
    Request,
    Response,
    SampleRecord,
    Score,
)

Z = 1.959963984540054
UNSAFE = re.compile(r"[^A-Za-z0-9._=@+-]+")
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d|data)(\..*)?\Z", re.IGNORECASE)
SCHEME = re.compile(r"[a-z][a-z0-9_-]*:(?!//)")


def file_name(text: str) -> str:
    """A portable name for one path component; a digest is added when something was lost."""
    plain = UNSAFE.sub("_", text).strip("._ ")[:100]
    if plain and plain == text and not RESERVED.match(plain):
        return text
    return f"{plain or 'name'}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def hub_id(model: str) -> tuple[str, str]:
    """Developer and name of a model: ``hf:org/name,revision=x`` is ``org`` and ``name``."""
    plain = SCHEME.sub("", model, count=1).split(",")[0]
    parts = [part for part in plain.split("/") if part not in ("", ".", "..")]
    if len(parts) > 1 and not plain.startswith((".", "/", "~")):  # a folder has no developer
        return parts[0], parts[-1]
    return "unknown", parts[-1] if parts else model


def models_of(source: ExportSource) -> Mapping[str, Sequence[CellRecord]]:
    """The run's cells with scores, by model, in order."""
    found: dict[str, list[CellRecord]] = {}
    for record in source.run.cells:
        if record.scores:
            found.setdefault(record.model.name, []).append(record)
    return found


def stderr_of(score: Score) -> float | None:
    """The standard error: the source's own, or what the interval's width implies."""
    if score.stderr is not None:
        return score.stderr
    width = score.ci[1] - score.ci[0]
    return width / (2 * Z) if math.isfinite(width) else None


def sample_value(metric: Metric, sample: SampleRecord) -> float | None:
    """The metric on one sample alone; None where it has no statistics or no value."""
    stats = sample.stats.get(metric.name)
    if stats is None:
        return None
    import numpy as np

    from harness import metrics

    value = float(metrics.per_sample(metric, np.array([stats], dtype=float))[0])
    return value if math.isfinite(value) else None


def prompt(request: Request) -> str:
    """What was asked, as one text."""
    if isinstance(request, Generate):
        return request.prompt
    if isinstance(request, Loglikelihood):
        return request.context
    if isinstance(request, Classify):
        return "\n".join(request.texts)
    return " ".join(request.tokens)


def answer(request: Request | None, response: Response) -> str:
    """What was answered, as one text."""
    if response.text is not None:
        return response.text
    if response.tags is not None:
        return " ".join(response.tags)
    if response.logprob is not None and isinstance(request, Loglikelihood):
        return f"{request.continuation} ({response.logprob:.6g})"
    if response.logprobs is not None and isinstance(request, Classify):
        return max(zip(response.logprobs, request.labels, strict=False))[1][0]
    return "" if response.logprob is None else f"{response.logprob:.6g}"


def references(sample: SampleRecord) -> list[str]:
    """The reference as texts."""
    value = sample.reference
    rows = value if isinstance(value, list | tuple) else [value]
    return [one if isinstance(one, str) else dump(one) for one in rows if one is not None]


def dump(value: Any) -> str:
    """Compact JSON in a fixed order, ASCII only: no reader splits its lines elsewhere."""
    return json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False)


def evaluated(source: ExportSource, cell: CellRecord) -> float | None:
    """When a cell's scores were computed; None for an import whose file does not say it."""
    return source.made if cell.origin is None else cell.origin.evaluated


def iso(seconds: float) -> str:
    """A time in UTC, ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
