"""The cells of a sweep: model × method × share × seed, their names and what they were made from."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness_train.finetune.methods import refuse_method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.training import FinetuneRequest, Method, Start
    from harness_train.finetune.examples import Example

VERSION = "3"
"""Moves when the same request would train other weights."""
VERSIONS: dict[str, str] = {"adalora": "3", "prefix": "3"}
"""The same for one method alone, so that the finished cells of the others stay good."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One training."""

    start: Start
    method: Method
    share: float
    seed: int

    @property
    def name(self) -> str:
        """What the finished model is called."""
        return f"{self.start.name}-{self.method}-{self.share:g}-s{self.seed}"

    @property
    def family(self) -> str:
        """Models that differ in size, share and seed only."""
        return f"{self.start.family}-{self.method}"


def cells_of(request: FinetuneRequest) -> tuple[Cell, ...]:
    """Every cell, size by size; raises UsageError for a request that cannot be."""
    _check(request)
    cells = tuple(
        Cell(start=start, method=method, share=share, seed=seed)
        for start in request.models
        for method in request.methods
        for share in sorted(request.shares)
        for seed in request.seeds
    )
    names = [cell.name for cell in cells]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UsageError(
            f"Two cells of the sweep would be called '{twice}'.\n"
            "Name each model, method, share and seed once; models of one name go to two sweeps."
        )
    return cells


def _check(request: FinetuneRequest) -> None:
    for name, value, least in (
        ("--epochs", request.epochs, 1),
        ("--batch-size", request.batch_size, 1),
        ("--accumulate", request.accumulate, 1),
        ("--patience", request.patience, 0),
        ("--max-length", request.max_length, 1),
        ("--weight-decay", request.weight_decay, 0),
    ):
        if value is not None and not value >= least:
            raise UsageError(f"{name} {value} is less than {least}.")
    wrong = next((share for share in request.shares if not 0 < share <= 1), None)
    if wrong is not None:
        raise UsageError(f"The share {wrong:g} is not above 0 and at most 1.")
    rate = request.learning_rate
    if rate is not None and not 0 < rate < math.inf:
        raise UsageError(f"--learning-rate {rate:g} is not a number above 0.")
    if request.class_weights and request.kind == "generate":
        raise UsageError("--class-weights needs classes; written answers have none.")
    for method in request.methods:
        refuse_method(method, request.kind, request.models[0].name if request.models else "")


def digest_of(
    request: FinetuneRequest, cell: Cell, *, base: str, rate: float, examples: Sequence[Example]
) -> str:
    """SHA-256 over all that decides a cell's weights; ``base`` is the checkpoint's own digest."""
    settings: dict[str, Any] = {
        "version": VERSIONS.get(cell.method, VERSION),
        "base": base,
        "kind": request.kind,
        "method": cell.method,
        "share": cell.share,
        "seed": cell.seed,
        "learning_rate": rate,
        **{
            name: getattr(request, name)
            for name in (
                "epochs",
                "warmup",
                "weight_decay",
                "batch_size",
                "accumulate",
                "patience",
                "max_length",
                "class_weights",
                "dtype",
            )
        },
    }
    whole = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for example in examples:
        whole.update(repr(example).encode())
    return whole.hexdigest()
