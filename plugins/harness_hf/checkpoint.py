"""The files of a checkpoint: where they are, what they hold, whether they are whole.

Reads JSON files and safetensors headers only; the header's layout is documented at
https://huggingface.co/docs/safetensors: eight bytes of little-endian length, then that many
bytes of JSON ``{tensor: {"dtype", "shape", "data_offsets": [begin, end]}}``, then the data.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import DataError
from harness_hf.prefix import prefix_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

CHUNK = 8 << 20
MOST_HEADER = 100 << 20
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
)
VOCABULARIES = (
    "tokenizer.json",
    "vocab.json",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
)
LFS_POINTER = b"version "
"""The first eight bytes of what git leaves in the place of a large file."""
GENERATION = "generation_config.json"
LEFTOVERS = (
    *(".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias"),
    ".rotary_emb.inv_freq",
)
"""How the names of masks and frequencies end that old checkpoints of GPT-2 and GPT-NeoX hold; they
are computed."""
SHARD_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
SINGLE_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One tensor of a weights file: its name, number type, shape and where its bytes lie."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    begin: int = 0
    end: int = 0

    @property
    def numel(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint's folder with its configuration and weight files.

    ``commit`` is the resolved commit where the files come from a hub.
    """

    folder: Path
    config: Mapping[str, Any]
    weights: tuple[Path, ...]
    notes: Mapping[str, Any]
    hub_id: str | None = None
    commit: str | None = None

    @property
    def is_safetensors(self) -> bool:
        """Whether the weights can be read without unpickling."""
        return self.weights[0].suffix == ".safetensors"


def open_checkpoint(
    folder: Path, *, hub_id: str | None = None, commit: str | None = None
) -> Checkpoint:
    """Find and check the files of the checkpoint in ``folder``.

    Raises :class:`harness.errors.DataError` saying which file is missing or unreadable.
    """
    if not (folder / "config.json").is_file():
        found = sorted(p.name for p in folder.iterdir())[:5]
        raise DataError(
            f"{folder}: not a Hugging Face checkpoint: config.json is missing.\n"
            f"The folder holds {', '.join(found) or 'nothing'}. Name the folder that "
            "save_pretrained wrote."
        )
    config = read_json(folder / "config.json")
    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise DataError(
            f"{folder}: the tokenizer is missing (no tokenizer.json, vocab.json or "
            "tokenizer.model).\nSave it beside the weights: tokenizer.save_pretrained(...)."
        )
    notes_file = folder / "harness_model.json"
    notes = read_json(notes_file) if notes_file.is_file() else {}
    return Checkpoint(
        folder=folder,
        config=config,
        weights=_weight_files(folder),
        notes=notes,
        hub_id=hub_id,
        commit=commit,
    )


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in ``path``; :class:`harness.errors.DataError` if it is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read as JSON: {error}.\nFetch or save the checkpoint again."
        ) from error
    if not isinstance(value, dict):
        raise DataError(
            f"{path}: holds a JSON {type(value).__name__}, not an object.\n"
            "Fetch or save the checkpoint again."
        )
    return value


def generation_settings(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """Settings of generation: those of their own file, else of the configuration."""
    return {**checkpoint.config, **(own_generation(checkpoint) or {})}


def own_generation(checkpoint: Checkpoint) -> Mapping[str, Any] | None:
    """The settings of generation that are in a file of their own, ``None`` where there is none.

    Where there is one transformers does not ask the configuration.
    """
    path = checkpoint.folder / GENERATION
    return read_json(path) if path.is_file() else None


def _weight_files(folder: Path) -> tuple[Path, ...]:
    for single, index in zip(SINGLE_WEIGHTS, SHARD_INDEXES, strict=True):
        if (folder / single).is_file():
            return (folder / single,)
        if (folder / index).is_file():
            return _shards(folder, index)
    raise DataError(
        f"{folder}: the weights are missing (no model.safetensors, no pytorch_model.bin).\n"
        "Fetch or save them beside config.json."
    )


def _shards(folder: Path, index: str) -> tuple[Path, ...]:
    placed = read_json(folder / index).get("weight_map")
    if not isinstance(placed, dict) or not placed:
        raise DataError(f"{folder / index}: holds no weight_map.")
    if not all(isinstance(name, str) for name in placed.values()):
        raise DataError(f"{folder / index}: weight_map names files that are no texts.")
    names = sorted(set(placed.values()))
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise DataError(
            f"{folder}: {len(missing)} of {len(names)} weight files that {index} lists are "
            f"missing, first {missing[0]}."
        )
    return tuple(folder / name for name in names)


def read_tensors(checkpoint: Checkpoint) -> tuple[Tensor, ...]:
    """Return what the weight files hold, a learnt prefix too, without reading the weights.

    Raises :class:`harness.errors.DataError` for a corrupt or truncated file.
    """
    read = read_header if checkpoint.is_safetensors else _read_pickled
    weights = [tensor for path in checkpoint.weights for tensor in read(path)]
    prefix = [tensor for path in prefix_files(checkpoint.folder) for tensor in read_header(path)]
    return (*weights, *prefix)


def read_header(path: Path) -> Iterator[Tensor]:
    """Yield the tensors that the safetensors file ``path`` declares, checked against its size."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if start == LFS_POINTER:
            raise DataError(
                f"{path}: is a pointer of Git LFS, not the file itself.\n"
                "Run git lfs pull in the checkpoint's folder, or fetch it again."
            )
        if not 2 <= length <= min(size - 8, MOST_HEADER):
            raise DataError(
                f"{path}: not a safetensors file, or cut short: {size:,} bytes, of which the "
                f"header claims {length:,}.\nFetch or save the checkpoint again."
            )
        text = file.read(length)
    try:
        tensors = list(_parse_header(text, path, 8 + length))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: the safetensors header is corrupt ({type(error).__name__}: {error}).\n"
            "Fetch or save the checkpoint again."
        ) from error
    expected = max((t.end for t in tensors), default=8 + length)
    if expected != size:
        raise DataError(
            f"{path}: {'truncated' if size < expected else 'corrupt'}: the header promises "
            f"{expected:,} bytes, the file has {size:,}.\nFetch or save the checkpoint again."
        )
    yield from tensors


def _parse_header(text: bytes, path: Path, base: int) -> Iterator[Tensor]:
    for name, entry in json.loads(text).items():
        if name == "__metadata__":
            continue
        begin, end = (int(n) for n in entry["data_offsets"])
        if not 0 <= begin <= end:
            raise ValueError(f"data_offsets of {name} are {begin}, {end}")
        shape = tuple(int(n) for n in entry["shape"])
        yield Tensor(
            name=name,
            dtype=str(entry["dtype"]),
            shape=shape,
            file=path,
            begin=base + begin,
            end=base + end,
        )


def _read_pickled(path: Path) -> Iterator[Tensor]:
    """Yield the tensors of a ``.bin`` file, mapped, with only tensors allowed in the pickle."""
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch raises many kinds for a broken archive
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: cannot be read as PyTorch weights: {reason}") from error
    seen: set[tuple[int, tuple[int, ...]]] = set()
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            continue
        place = (value.data_ptr(), tuple(value.shape))
        if value.numel() and place in seen:
            continue  # a tied weight, stored once under two names
        seen.add(place)
        dtype = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}.get(
            str(value.dtype).removeprefix("torch."), str(value.dtype)
        )
        yield Tensor(name=name, dtype=dtype, shape=tuple(value.shape), file=path)


def digest(checkpoint: Checkpoint) -> str:
    """Return a SHA-256 over all files that decide the answers.

    These are the configuration, the tokenizer, the weights and a prefix, in the order of their
    names.
    """
    names = {"config.json", GENERATION, *TOKENIZER_FILES}
    files = [checkpoint.folder / name for name in names]
    whole = hashlib.sha256()
    there = [p for p in files if p.is_file()] + list(checkpoint.weights)
    for path in sorted([*there, *prefix_files(checkpoint.folder)]):
        part = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                part.update(chunk)
        whole.update(f"{path.name}\0{part.hexdigest()}\n".encode())
    return whole.hexdigest()
