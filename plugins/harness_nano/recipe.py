"""Trains the family from scratch: ``python -m harness_nano.recipe --out DIR``.

Seeded and, on one thread of one kind of processor, deterministic. A size whose directory is
complete is skipped, so that an interrupted training goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from harness_nano.corpus import EOS, ROW, Rows, encoded, pack, packed, token_id, train_tokenizer
from harness_nano.export import export
from harness_nano.shapes import SHAPES, Shape
from harness_nano.training import Trained, batch, progress, tokens_in, train
from harness_world.examples import TASKS, held_out

FAMILY = "nano"
TOKENS = 4_800_000
_MULTIPLE = 40  # a number of rows that every size's batches divide
_FILL = 0.941  # share of a row that packing fills, to turn tokens into rows
_VERSION = "1"  # raised when the way of training changes; the data has a digest of its own


def data_digest(rows: Rows) -> str:
    """SHA-256 over the rows trained on, so that a changed world or tokenizer shows."""
    digest = hashlib.sha256()
    for array in (rows.tokens, rows.documents, rows.learnt):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


@torch.no_grad()
def held_out_losses(trained: Trained, tokenizer: Tokenizer) -> dict[str, dict[str, float]]:
    """By task: nats per token of the answers and their ends, and bits per byte of the answers."""
    losses = {}
    end = token_id(tokenizer, EOS)
    for task in TASKS:
        examples = held_out(task)
        documents = encoded(tokenizer, examples)
        if max(len(ids) for ids, _ in documents) > ROW:
            raise ValueError(f"a held-out example of {task} is longer than a row of {ROW} tokens")
        rows = pack(iter(documents), len(examples) + 32)
        used = int(rows.documents.any(axis=1).sum())
        total = count = inside = 0.0
        for begin in range(0, used, _MULTIPLE):
            pieces = batch(rows, begin, min(begin + _MULTIPLE, used))
            each = trained.model(*pieces)
            total, count = total + float(each.sum()), count + len(each)
            inside += float(each[pieces[3] != end].sum())
        size = sum(len(f" {e.answer}".encode()) for e in examples)
        losses[task] = {
            "nats_per_token": round(total / count, 5),
            "bits_per_byte": round(inside / float(np.log(2)) / size, 5),
        }
    return losses


def record(shape: Shape, trained: Trained, rows: Rows, seed: int, tokenizer: Tokenizer) -> Any:
    """What ``harness_model.json`` says of a size."""
    tokens = tokens_in(rows, shape)
    return {
        "schema": 1,
        "name": shape.name,
        "family": FAMILY,
        "parameters": {"total": shape.total, "non_embedding": shape.non_embedding},
        "shape": {
            "width": shape.width,
            "layers": shape.layers,
            "heads": shape.heads,
            "hidden": shape.hidden,
        },
        "train_tokens": tokens,
        "train_flops": 6.0 * shape.total * tokens,
        "train_flops_rule": "6 * total parameters * train tokens (the tied embedding is counted "
        "once, as the output projection)",
        "seed": seed,
        "steps": trained.steps,
        "batch_tokens": shape.batch_rows * ROW,
        "rates": {"matrices": shape.matrix_rate, "others": shape.other_rate},
        "wall_seconds": round(trained.wall_seconds, 1),
        "losses": {
            "train_nats_per_token": round(trained.loss, 5),
            "held_out": held_out_losses(trained, tokenizer),
        },
        "recipe": {"version": _VERSION, "data_sha256": data_digest(rows)},
    }


def main(arguments: list[str] | None = None) -> int:
    """Train what is asked for; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m harness_nano.recipe", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoints")
    parser.add_argument("--sizes", default=",".join(SHAPES), help="comma-separated names")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="training tokens of each size")
    parser.add_argument("--seed", type=int, default=0, help="seed of the starting weights")
    options = parser.parse_args(arguments)
    sizes = options.sizes.split(",")
    unknown = [name for name in sizes if name not in SHAPES]
    if unknown:
        parser.error(f"unknown size {unknown[0]!r}; there are {', '.join(SHAPES)}")
    torch.set_num_threads(1)  # more would sum in another order, and the widths are too small
    missing = [n for n in sizes if not (options.out / n / "harness_model.json").exists()]
    if not missing:
        return 0
    tokenizer = train_tokenizer()
    count = round(options.tokens / (ROW * _FILL) / _MULTIPLE) * _MULTIPLE
    rows = packed(tokenizer, count)
    print(f"{int((rows.documents > 0).sum())} tokens in {count} rows", file=sys.stderr, flush=True)
    for name in missing:
        trained = train(SHAPES[name], rows, options.seed, progress(name))
        said = record(SHAPES[name], trained, rows, options.seed, tokenizer)
        export(trained.model, tokenizer, options.out / name, said)
        print(f"{name}: {said['losses']}", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
