"""Files that are whole or not there: written under another name, synced, renamed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from harness.errors import DataError, SaveError
from harness.pretraining import Number, Objective
from harness_train.pretrain.configs import Checkpoint
from harness_train.pretrain.vocabulary import BOS, EOS, PAD, token_id, tokenizer_config

RECORD = "harness_model.json"


def is_complete(folder: Path) -> bool:
    """Whether a checkpoint's folder was finished."""
    return (folder / RECORD).is_file()


def write_file(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary file, then put it at ``path``. Raises SaveError."""
    temporary = path.with_name(f".{path.name}.tmp")
    with saving(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(temporary)
            _sync(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Let ``fill`` fill a temporary folder, then put it at ``path``. Raises SaveError."""
    temporary = path.with_name(f".{path.name}.tmp")
    with saving(path):
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            temporary.mkdir(parents=True)
            fill(temporary)
            for file in temporary.iterdir():
                _sync(file)
            shutil.rmtree(path, ignore_errors=True)  # one without a record: it was never complete
            temporary.rename(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Remove a checkpoint, its record first, so that no part of it looks complete."""
    with saving(path):
        (path / RECORD).unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """A document, keys in their order, ended by a newline. Raises SaveError."""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    write_file(path, lambda file: _write_text(file, text))


def read_json(path: Path) -> Any:
    """What :func:`write_json` wrote; None where there is nothing. Raises DataError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}.\nRemove it and train again.") from error


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """All that going on needs: tensors and plain values. Raises SaveError."""
    write_file(path, lambda file: torch.save(dict(state), file))


def read_state(path: Path) -> dict[str, Any] | None:
    """What :func:`write_state` wrote, or None. Raises DataError."""
    if not path.is_file():
        return None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a broken archive
        raise DataError(
            f"{path} cannot be read: {str(error).splitlines()[0]}.\n"
            "Remove it; this size is then trained from its beginning."
        ) from error
    return dict(found)


def fill_checkpoint(
    folder: Path,
    checkpoint: Checkpoint,
    tokenizer: Tokenizer,
    *,
    objective: Objective,
    number: Number,
    record: Mapping[str, Any],
) -> None:
    """Write a checkpoint that plain transformers loads, its record last."""
    dtype = getattr(torch, number)
    # Cloned, because the file format takes no two tensors that share memory.
    weights = {
        name: value.detach().to("cpu", dtype).clone().contiguous()
        for name, value in checkpoint.weights.items()
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    _write_json(folder / "config.json", {**checkpoint.config, "dtype": number})
    if objective == "causal":
        ids = {"bos": BOS, "eos": EOS, "pad": PAD}
        _write_json(
            folder / "generation_config.json",
            {"do_sample": False}
            | {f"{name}_token_id": token_id(tokenizer, token) for name, token in ids.items()},
        )
    context = int(checkpoint.config["max_position_embeddings"])
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    _write_json(folder / "tokenizer_config.json", tokenizer_config(objective, context))
    _write_json(folder / RECORD, record)


@contextmanager
def saving(path: Path) -> Iterator[None]:
    """Translate what goes wrong while writing; safetensors and torch have errors of their own."""
    try:
        yield
    except OSError as error:
        raise _unsaved(path, error.strerror or str(error)) from error
    except (KeyboardInterrupt, SaveError):
        raise
    except Exception as error:
        raise _unsaved(path, str(error).splitlines()[0]) from error


def _unsaved(path: Path, reason: str) -> SaveError:
    return SaveError(
        f"'{path}' cannot be saved: {reason}.\n"
        "Make room or choose another directory with -o; the same command goes on from what is "
        "saved."
    )


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    _write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
