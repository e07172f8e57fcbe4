"""Time in the model against lm-evaluation-harness, on the same requests, device and dtype.

    python bench/lm_eval_speed.py PYTHON [--device cpu|cuda|cuda:N|mps] [--dtype float32]
                                  [--sizes 1M,10M] [--work translation,choices] [--items 32]
                                  [--vocabulary 512] [--batches 1,8,32] [--rounds 2]
                                  [--architecture llama|t5]

PYTHON is the interpreter of an environment that holds lm_eval (``pip install lm_eval[hf]``) and the
same torch and transformers. Both sides get Llamas or T5s with random weights (``shapes.py``) and
requests of fixed lengths; rolling perplexity is a decoder's alone. Before anything counts, weights
are loaded and both have answered four requests of each work, on a GPU all of them once more. A
round asks ours once and lm-eval at every batch size, in turn; the least of the rounds counts for
either, and lm-eval's best batch size. Prints items per second of both, their ratio, the memory that
each took above the loaded model, the share of the floor that ours reaches and which bound that is
(``floors.py``; of Llamas), and how far apart the answers are. On the CPU the seconds are CPU
seconds of one thread, elsewhere of the wall clock with the device idle at both ends.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tabulate
import torch
from floors import Floor, floor, measured_rates
from meter import free_cache
from shapes import SIZES, Shape, write_checkpoint, write_t5
from sides import Job, Side, as_json
from works import WORKS, Work

DTYPES = ("float32", "bfloat16", "float16")
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
    "bound by",
    "difference",
)


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
    device, dtype = arguments.device, arguments.dtype
    itemsize = getattr(torch, dtype).itemsize
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        with contextlib.redirect_stderr(io.StringIO()):
            shape, parameters = written(arguments, Path(folder), size)
        job = Job(
            folder=folder,
            works={w.name: as_json(w) for w in works},
            device=device,
            dtype=dtype,
            weights=parameters * itemsize,
        )
        ours = Side(sys.executable, "harness", job)
        stack.callback(ours.close)
        theirs = Side(arguments.python, "lm_eval", job)
        stack.callback(theirs.close)
        rates = measured_rates(device, dtype)
        free_cache(device)
        print(f"{size}, {parameters:,} parameters; {device}, {dtype}: {rates}", file=sys.stderr)
        for work in works:
            found = _asked(arguments, ours, theirs, work.name)
            least = shape and floor(work, shape, itemsize, rates)
            yield _row(size, work, found, least)


def written(arguments: argparse.Namespace, folder: Path, size: str) -> tuple[Shape | None, int]:
    """A checkpoint in ``folder``: its shape, where a floor is known of such, and its parameters."""
    measures = (folder, size, arguments.vocabulary, arguments.dtype)
    if arguments.architecture == "t5":
        return None, write_t5(*measures)
    shape = write_checkpoint(*measures)
    return shape, shape.total


def _asked(
    arguments: argparse.Namespace, ours: Side, theirs: Side, work: str
) -> list[tuple[bool, Any]]:
    """The replies of all rounds that count, and whether they are ours."""
    asked: list[tuple[Side, int | None]] = [(ours, None)]
    asked += [(theirs, int(batch)) for batch in arguments.batches.split(",")]
    found: list[tuple[bool, Any]] = []
    for number in range(arguments.rounds + (arguments.device != "cpu")):
        replies = [(side is ours, side.ask(work, batch)) for side, batch in asked]
        if number or arguments.device == "cpu":  # a GPU's kernels are loaded and chosen by then
            found += replies
    return [(mine, reply) for mine, reply in found if reply["seconds"] is not None]


def _row(
    size: str, work: Work, found: Sequence[tuple[bool, Any]], least: Floor | None
) -> tuple[Any, ...]:
    items = len(work.requests) / work.per_item
    mine = min((r for ours, r in found if ours), key=lambda r: float(r["seconds"]), default=None)
    best = min(
        (r for ours, r in found if not ours), key=lambda r: float(r["seconds"]), default=None
    )
    if mine is None or best is None:
        side = "ours" if mine is None else "lm-eval, at every batch size"
        return (size, work.name, *[""] * 8, f"out of memory: {side}")
    return (
        size,
        work.name,
        items / best["seconds"],
        best["batch"],
        items / mine["seconds"],
        best["seconds"] / mine["seconds"],
        _megabytes(best["memory"]),
        _megabytes(max((r["memory"] for ours, r in found if ours), key=lambda m: m or 0)),
        f"{100 * least.seconds / mine['seconds']:.0f} %" if least else "",
        least.bound if least else "",
        difference(mine["answers"], best["answers"]),
    )


def _megabytes(memory: int | None) -> str:
    return "" if memory is None else f"{memory / 1e6:.0f}"


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("python", help="interpreter of the environment with lm_eval")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or mps")
    parser.add_argument("--dtype", default="float32", choices=DTYPES)
    parser.add_argument("--sizes", default="1M,10M", help=f"of {', '.join(SIZES)}")
    parser.add_argument("--architecture", default="llama", choices=("llama", "t5"))
    parser.add_argument("--work", help="default: all that the architecture can do")
    parser.add_argument("--vocabulary", type=int, help="default: the size's own")
    parser.add_argument("--items", type=int, default=32)
    parser.add_argument("--batches", help="of lm-eval; default 1,8,32, on a GPU 8,32,128")
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    try:
        torch.empty(1, device=arguments.device)
    except (RuntimeError, AssertionError) as error:  # what torch raises of a device it lacks
        parser.error(f"no device {arguments.device}: {str(error).splitlines()[0]}")
    if arguments.work is None:
        works = [w for w in WORKS if arguments.architecture == "llama" or w != "perplexity"]
        arguments.work = ",".join(works)
    if arguments.batches is None:
        arguments.batches = "1,8,32" if arguments.device == "cpu" else "8,32,128"
    for name, known in (("sizes", SIZES), ("work", WORKS)):
        for one in getattr(arguments, name).split(","):
            if one not in known:
                parser.error(f"--{name}: no {one!r}; there are: {', '.join(known)}")
    return arguments


def main() -> None:
    """Measure and print."""
    arguments = parsed()
    if arguments.device == "cpu":
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
