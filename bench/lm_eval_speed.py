"""Time in the model against lm-evaluation-harness, on one thread and the same requests.

    python bench/lm_eval_speed.py PYTHON [--sizes 1M,10M] [--work translation,choices] [--items 32]
                                  [--vocabulary 512] [--batches 1,8,32] [--rounds 2]

PYTHON is the interpreter of an environment that holds lm_eval (``pip install lm_eval[hf]``) and the
same torch and transformers. Both sides get Llama models with random weights and requests of fixed
lengths; weights are loaded and warm. A round asks ours once and lm-eval at every batch size, in
turn; the least of the rounds counts for either, and lm-eval's best batch size. Prints items per CPU
second of both, their ratio, the memory that each took above the loaded model, the share of the
arithmetic floor that ours reaches (2 x parameters x tokens over the rate measured for one large
matrix product), and how far apart the answers are.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tabulate
import torch
from works import SIZES, WORKS, Work, write_checkpoint

from harness.types import Generate

HEADERS = (
    "model",
    "work",
    "lm-eval items/s",
    "at batch",
    "ours items/s",
    "ratio",
    "lm-eval MB",
    "ours MB",
    "of floor",
    "difference",
)


def matrix_rate() -> float:
    """Floating-point operations per second of a large float32 product, on one thread."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    a @ b
    began, rounds = time.process_time(), 8
    for _ in range(rounds):
        a @ b
    return rounds * 2 * 1024**3 / (time.process_time() - began)


def as_json(work: Work) -> list[dict[str, Any]]:
    return [
        {"prompt": r.prompt, "max_tokens": r.max_tokens}
        if isinstance(r, Generate)
        else {"context": r.context, "continuation": r.continuation}
        for r in work.requests
    ]


def distinct_tokens(work: Work) -> int:
    """Words that a perfect evaluation must read or write once: prefixes of the prompts' tree."""
    nodes: set[tuple[str, ...]] = set()
    written = 0
    for request in work.requests:
        if isinstance(request, Generate):
            text, written = request.prompt, written + request.max_tokens
        else:
            text = request.context + request.continuation
        words = text.replace("\n", " \n ").split(" ")
        nodes.update(tuple(words[:end]) for end in range(1, len(words) + 1))
    return len(nodes) + written


class Side:
    """A child that answers in its own environment."""

    def __init__(self, python: str, side: str, job: Path) -> None:
        """Start it; its model is loaded and warm when this returns."""
        environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        self.log = job.with_name(f"{side}.log")
        self.process = subprocess.Popen(
            [python, str(Path(__file__).with_name("speed_side.py")), side, str(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log.open("w", encoding="utf-8"),
            text=True,
            env=environment,
        )
        self._reply()

    def ask(self, work: str, batch: int | None) -> Any:
        """Time one work."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"work": work, "batch": batch}) + "\n")
        self.process.stdin.flush()
        return self._reply()

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()

    def _reply(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"A side ended:\n{self.log.read_text(encoding='utf-8')[-2000:]}")
        return json.loads(line)


def difference(ours: list[Any], theirs: list[Any]) -> str:
    """Texts that differ, or the largest difference of log-likelihoods."""
    if isinstance(theirs[0], str):
        wrong = sum(a.split() != b.split() for a, b in zip(ours, theirs, strict=True))
        return f"{wrong} of {len(theirs)} texts"
    return f"{max(abs(a - b) for a, b in zip(ours, theirs, strict=True)):.1e} nats"


def compared(
    arguments: argparse.Namespace, size: str, works: Sequence[Work]
) -> Iterator[tuple[Any, ...]]:
    """One row of the table for every work; the sides are asked in turn."""
    batches = [int(batch) for batch in arguments.batches.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.redirect_stderr(io.StringIO()):
            write_checkpoint(Path(folder), size, arguments.vocabulary)
        job = Path(folder) / "job.json"
        content = {"folder": folder, "works": {w.name: as_json(w) for w in works}}
        job.write_text(json.dumps(content | {"warm": None}), encoding="utf-8")
        ours = Side(sys.executable, "harness", job)
        job.write_text(json.dumps(content | {"warm": 1}), encoding="utf-8")
        theirs = Side(arguments.python, "lm_eval", job)
        rate = matrix_rate()
        try:
            for work in works:
                asked: list[tuple[Side, int | None]] = [(ours, None)]
                asked += [(theirs, batch) for batch in batches]
                found = [
                    (side is ours, side.ask(work.name, batch))
                    for _ in range(arguments.rounds)
                    for side, batch in asked
                ]
                yield _row(size, work, found, rate / _parameters(size))
        finally:
            ours.close()
            theirs.close()


def _row(
    size: str, work: Work, found: Sequence[tuple[bool, Any]], tokens_per_second: float
) -> tuple[Any, ...]:
    items = len(work.requests) / work.per_item
    mine = min((r for ours, r in found if ours), key=lambda r: float(r["cpu"]))
    best = min((r for ours, r in found if not ours), key=lambda r: float(r["cpu"]))
    floor = 2 * distinct_tokens(work) / tokens_per_second
    return (
        size,
        work.name,
        items / best["cpu"],
        best["batch"],
        items / mine["cpu"],
        best["cpu"] / mine["cpu"],
        _megabytes(best["memory"]),
        _megabytes(max((r["memory"] for ours, r in found if ours), key=lambda m: m or 0)),
        f"{100 * floor / mine['cpu']:.0f} %",
        difference(mine["answers"], best["answers"]),
    )


def _parameters(size: str) -> int:
    """Parameters of the layers' matrices, which every token passes; the head is left out."""
    shape = SIZES[size]
    width, hidden = shape["hidden_size"], shape["intermediate_size"]
    attention = (3 if size == "1M" else 4) * width**2
    return shape["num_hidden_layers"] * (attention + 3 * width * hidden)


def _megabytes(memory: int | None) -> str:
    return "" if memory is None else f"{memory / 1e6:.0f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("python", help="interpreter of the environment with lm_eval")
    parser.add_argument("--sizes", default="1M,10M")
    parser.add_argument("--work", default=",".join(WORKS))
    parser.add_argument("--vocabulary", type=int, default=512)
    parser.add_argument("--items", type=int, default=32)
    parser.add_argument("--batches", default="1,8,32", help="of lm-eval")
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    works = [WORKS[w](random.Random(0), arguments.items) for w in arguments.work.split(",")]
    rows: list[tuple[Any, ...]] = []
    for size in arguments.sizes.split(","):
        for row in compared(arguments, size, works):
            rows.append(row)  # a long bench shows what it has
            print(tabulate.tabulate([row], tablefmt="plain", floatfmt=".2f"), file=sys.stderr)
    print(tabulate.tabulate(rows, HEADERS, floatfmt=".2f"))


if __name__ == "__main__":
    main()
