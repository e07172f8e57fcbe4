"""Whether ``torch.compile`` pays back within a run: seconds of compiling against seconds saved.

    python bench/compile_step.py [--sizes 10M,60M] [--rows 32]

Steps of generation behind 64 tokens, on one thread of the CPU and in float32: by the lean pass and
by transformers' modules, each as it is and compiled. What is best for the compiler: the shapes are
those of one step for ever (slots that do not grow, a static cache), where a run's change with every
token and row. The lean pass is compiled with its weights as they were, since Inductor cannot look
into oneDNN's layout. CPU seconds, with those of the compiler's children. ``first`` is all that the
first steps take more than later ones, with an empty cache of compiled code; ``cached``, in a second
process, with what the first left there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tabulate
import torch
from shapes import write_checkpoint

BEFORE, STEPS, TIMES = 64, 16, 4
MOST = BEFORE + STEPS * TIMES
WAYS = ("lean", "lean compiled", "modules", "modules compiled")


def seconds() -> float:
    """CPU seconds of this process and of its children that have ended."""
    return sum(os.times()[:4])


def lean(model: Any, rows: int, compiled: bool) -> Callable[[int], None]:
    from harness_hf.lean import LeanNetwork
    from harness_hf.taken import take_apart

    decoder = take_apart(model, most=1024)
    assert decoder is not None
    network = LeanNetwork(decoder if compiled else decoder.laid_out(), torch.device("cpu"))
    if compiled:
        network._run = torch.compile(network._run, dynamic=False)  # type: ignore[method-assign]
    ids = torch.randint(6, 500, (rows, BEFORE))
    last = torch.arange(1, rows + 1) * BEFORE - 1
    _, slots = LeanNetwork(decoder, network.device).trunk(ids, last, header=None, keep=True)
    assert slots is not None

    def run(steps: int) -> None:
        token = ids[:, -1:].contiguous()  # with other strides it would be compiled twice
        for _ in range(steps):
            token = network.step(token, slots).greedy()[:, None]
            slots.length = BEFORE

    return run


def modules(model: Any, rows: int, compiled: bool) -> Callable[[int], None]:
    from transformers import DynamicCache, StaticCache

    forward = torch.compile(model.forward, dynamic=False) if compiled else model.forward
    ids = torch.randint(6, 500, (rows, BEFORE))
    cache = StaticCache(config=model.config, max_cache_len=MOST) if compiled else DynamicCache()
    model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)

    def run(steps: int) -> None:
        token = ids[:, -1:].contiguous()
        for _ in range(steps):
            found = forward(token, past_key_values=cache, use_cache=True)
            token = found.logits[:, -1].argmax(-1)[:, None]

    return run


def timed(way: str, folder: str, rows: int) -> dict[str, float]:
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    make = lean if way.startswith("lean") else modules
    took = []
    with torch.inference_mode():
        run = make(model, rows, way.endswith("compiled"))
        for _ in range(TIMES):
            began = seconds()
            run(STEPS)
            took.append(seconds() - began)
    later = min(took[1:])
    return {"step": later / STEPS, "first": took[0] - later}


def child(way: str, folder: str, arguments: argparse.Namespace, cache: str) -> dict[str, float]:
    Path(cache).mkdir(exist_ok=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TORCHINDUCTOR_CACHE_DIR": cache}
    environment |= {"TMPDIR": cache}  # for the headers that are compiled first
    environment |= {"TORCHINDUCTOR_COMPILE_THREADS": "1"}  # or they are nobody's children
    command = [sys.executable, __file__, "--way", way, "--folder", folder]
    command += ["--rows", str(arguments.rows)]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def main() -> None:
    """Measure and print; with ``--way``, measure one way in this process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="10M,60M")
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(timed(arguments.way, arguments.folder, arguments.rows)))
        return
    table = []
    for size in arguments.sizes.split(","):
        with tempfile.TemporaryDirectory() as folder:
            write_checkpoint(Path(folder), size)
            steps: dict[str, float] = {}
            for way in WAYS:
                asked = range(2 if way.endswith("compiled") else 1)
                cache = f"{folder}/{way.replace(' ', '-')}"
                found = [child(way, folder, arguments, cache) for _ in asked]
                steps[way] = min(one["step"] for one in found)
                saved = steps[way.partition(" ")[0]] - steps[way]
                row = [size, way, 1e3 * steps[way]]
                for one in found if len(found) > 1 else ():
                    row += [one["first"], f"{one['first'] / saved:.0f}" if saved > 0 else "never"]
                table.append(row)
                print(*table[-1], sep="\t", file=sys.stderr, flush=True)
    headers = ["model", "way", "step ms", "first s", "pays in steps", "cached s", "pays in steps"]
    print(tabulate.tabulate(table, headers, floatfmt=".1f"))


if __name__ == "__main__":
    main()
