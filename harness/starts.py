"""Checkpoints to start training from: by folder, by scheme, by a model's or a family's name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

from harness.errors import UsageError, suggestion
from harness.names import Item, parse_items
from harness.plugins import Registry
from harness.training import Start
from harness.types import ModelSettings

CONFIG = "config.json"
RECORD = "harness_model.json"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
"""What a scheme's argument may be besides a folder; the trainer fetches it."""


def find_starts(
    registry: Registry, texts: Sequence[str], *, family: str | None = None
) -> tuple[Start, ...]:
    """The checkpoints that ``texts`` name, with shell-like braces and commas.

    A folder that holds checkpoints, such as a pre-training's output, stands for all of them, a
    family's name for all its sizes. ``family`` is what they are sizes of; else what each says of
    itself counts, and several that say nothing are the family of what their names begin with.
    Raises UsageError for what is no checkpoint.
    """
    found = {
        start.folder.resolve(): start
        for text in texts
        for item in parse_items(text, what="model name")
        for start in _starts(registry, item)
    }
    if not found:
        raise UsageError("--models names no checkpoint.")
    silent = [start.name for start in found.values() if not start.family]
    common = _beginning(silent) if len(silent) > 1 else ""
    return tuple(
        replace(start, family=family or start.family or common or start.name)
        for start in found.values()
    )


def _beginning(names: Sequence[str]) -> str:
    """What all names begin with, without the mark that ends it: ``bert`` of bert-1k, bert-2k."""
    same = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in same).rstrip("-_. ")


def _starts(registry: Registry, item: Item) -> Iterator[Start]:
    family = registry.families().get(item.name)
    if item.argument:
        registry.model(item.name)
        folder = Path(item.argument).expanduser()
        if not folder.is_dir() and HUB_ID.fullmatch(item.argument):
            yield Start(folder=Path(item.argument), name=folder.name, family="")
        else:
            yield from _folders(folder, item.text)
    elif family or item.name in registry.models:
        for name in family or (item.name,):
            yield _carried(registry, name)
    elif Path(item.name).is_dir():
        yield from _folders(Path(item.name), item.text)
    else:
        known = [*registry.models, *registry.families()]
        raise UsageError(
            f"'{item.text}' is neither a folder nor a model's name. "
            f"{suggestion(item.name, known)}\nName a checkpoint's folder, or one that holds some."
        )


def _carried(registry: Registry, name: str) -> Start:
    """A model that a plugin brings along as a checkpoint."""
    model = registry.model(name).spec.build(ModelSettings())
    folder = getattr(model, "folder", None)
    if not isinstance(folder, Path):
        raise UsageError(
            f"Model '{name}' is no checkpoint that training could start from.\n"
            "Name a checkpoint's folder."
        )
    return Start(folder=folder, name=name, family=model.info.family)


def _folders(folder: Path, text: str) -> Iterator[Start]:
    """The checkpoint in ``folder``, or those in the folders below it, the smaller first."""
    if (folder / CONFIG).is_file():
        yield _start(folder)
        return
    below = sorted({path.parent for path in folder.glob("**/" + CONFIG) if _visible(path, folder)})
    if not below:
        raise UsageError(
            f"'{text}': no checkpoint is in {folder} (no {CONFIG}).\n"
            "Name a folder that save_pretrained or `harness pretrain` wrote."
        )
    yield from (_start(path) for path in sorted(below, key=lambda p: (_weight(p), p.name)))


def _visible(path: Path, folder: Path) -> bool:
    return not any(part.startswith(".") for part in path.relative_to(folder).parts)


def _weight(folder: Path) -> int:
    """Bytes of the weights, which order sizes."""
    files = [*folder.glob("*.safetensors"), *folder.glob("*.bin")]
    return sum(path.stat().st_size for path in files)


def _start(folder: Path) -> Start:
    """Named by its record, else by its folder."""
    notes: object = {}
    if (folder / RECORD).is_file():
        try:
            notes = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"{folder / RECORD} cannot be read: {error}.") from error
    said = notes if isinstance(notes, dict) else {}
    name = said.get("name") or folder.resolve().name
    return Start(folder=folder, name=str(name), family=str(said.get("family") or ""))
