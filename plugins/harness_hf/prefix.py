"""A learnt prefix beside a checkpoint's weights: keys and values that stand before every text.

Prefix tuning (Li and Liang 2021, arXiv:2101.00190) leaves the weights as they are; what it learns
lies in the checkpoint's folder ``prefix``, as peft writes it, and needs peft to be read.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from harness.errors import DataError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "prefix"
CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
LEARNT = "prompt_embeddings"
"""The tensor of the prefix itself; the file may repeat a head that the weights hold, too."""


def prefix_files(folder: Path) -> tuple[Path, ...]:
    """The configuration and the weights of the prefix in a checkpoint's folder; empty: none."""
    found = (folder / FOLDER / CONFIG, folder / FOLDER / WEIGHTS)
    return found if found[0].is_file() else ()


def prefix_length(folder: Path) -> int:
    """How many positions the prefix takes; 0 where there is none. Raises DataError."""
    files = prefix_files(folder)
    if not files:
        return 0
    try:
        return int(json.loads(files[0].read_text(encoding="utf-8"))["num_virtual_tokens"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{files[0]} does not say how long the prefix is: {error}.") from error


def with_prefix(model: Any, folder: Path) -> Any:
    """The model behind its prefix, if it has one.

    Raises UsageError where peft is missing and DataError for files that peft does not take.
    """
    if not prefix_files(folder):
        return model
    try:
        import peft
    except ImportError as error:
        raise UsageError(
            f"{folder} was trained with a prefix, which peft reads, and that is not installed.\n"
            "Install it: pip install 'harness[train]'"
        ) from error
    try:
        return peft.PeftModel.from_pretrained(model, str(folder / FOLDER))
    except Exception as error:  # whatever peft raises for files of another model
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{folder / FOLDER}: the prefix cannot be read: {reason}") from error
