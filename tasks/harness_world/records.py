"""The held-out sets as the package carries them: JSON lines, one example a line."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness_world.examples import Example


_ONE_IN = 10


@dataclass(frozen=True, kw_only=True)
class Item:
    """One held-out example; ``spans`` are its names as (label, first character, end)."""

    id: str
    prompt: str
    answer: str
    source: str
    spans: tuple[tuple[str, int, int], ...] = ()


def data_name(task: str) -> str:
    """The file of a task, in the package's ``data`` folder."""
    return f"{task}.jsonl"


def written(examples: Sequence[Example]) -> str:
    """The examples as the file's text; ids tell the kind, such as ``translation-2/17``."""
    lines = []
    for number, example in enumerate(examples, start=1):
        row: dict[str, object] = {
            "id": f"{example.kind}/{number}",
            "prompt": example.prompt,
            "answer": example.answer,
        }
        if example.task == "ner":
            row["spans"] = [[m.label, m.start, m.end] for m in example.mentions]
            row["source"] = example.source
        lines.append(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
    return "".join(lines)


@cache
def items(task: str) -> tuple[Item, ...]:
    """The held-out examples of a task, read from the package."""
    text = files("harness_world").joinpath("data", data_name(task)).read_text(encoding="utf-8")
    return tuple(_item(json.loads(line)) for line in text.splitlines())


def drawn(task: str, split: str, number: int) -> tuple[Item, ...]:
    """The first ``number`` examples of a task in the training stream, each prompt once.

    A checksum of the prompt parts them: one in ten is of the split ``validation``, the others of
    ``train``; held-out prompts are in neither.
    """
    from harness_world.examples import training

    found: dict[str, Item] = {}
    for example in training():
        kept = zlib.crc32(f"validation {example.prompt}".encode()) % _ONE_IN == 0
        if example.task != task or kept != (split == "validation") or example.prompt in found:
            continue
        found[example.prompt] = Item(
            id=f"{split}/{len(found) + 1}",
            prompt=example.prompt,
            answer=example.answer,
            source=example.source,
            spans=tuple((m.label, m.start, m.end) for m in example.mentions),
        )
        if len(found) == number:
            break
    return tuple(found.values())


def _item(row: dict[str, object]) -> Item:
    spans = row.get("spans", [])
    assert isinstance(spans, list)
    return Item(
        id=str(row["id"]),
        prompt=str(row["prompt"]),
        answer=str(row["answer"]),
        source=str(row.get("source", "")),
        spans=tuple((str(label), int(start), int(end)) for label, start, end in spans),
    )
