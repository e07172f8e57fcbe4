"""From start to first answer: a checkpoint read from its files, and the same by transformers.

    python bench/first_answer.py CHECKPOINT [--repeats 3]

Each run is a fresh Python that asks for a few tokens and a log-likelihood, on one thread of a CPU;
the two ways take turns. ``trust_remote_code=true`` is what leaves weights and tokenizer to
transformers. Prints the median of CPU seconds and of peak memory, and their ratios.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

ASK = """
import resource, sys, harness_hf
from harness.types import Generate, Loglikelihood, ModelSettings
options = {"trust_remote_code": "true"} if sys.argv[2] == "transformers" else {}
model = harness_hf.build(ModelSettings(argument=sys.argv[1], options=options, device="cpu"))
asked = [Generate(prompt="The keeper", max_tokens=8), Loglikelihood(context="a", continuation=" b")]
for _, response in model.respond(asked):
    assert response.error is None, response.error
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, "transformers" in sys.modules)
"""


def ask(checkpoint: str, way: str) -> tuple[float, float]:
    """CPU seconds and peak MB of one run."""
    command = [sys.executable, "-c", ASK, checkpoint, way]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, env=one_thread, check=True, capture_output=True, text=True)
    seconds, peak, imported = done.stdout.split()
    if (imported == "True") != (way == "transformers"):
        sys.exit(f"{checkpoint}: this checkpoint is not read without transformers")
    return float(seconds), float(peak)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    ways = ("files", "transformers")
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(args.repeats):
        for way in ways:
            found[way].append(ask(args.checkpoint, way))
    medians = {way: [statistics.median(c) for c in zip(*found[way], strict=True)] for way in ways}
    for way in ways:
        seconds, peak = medians[way]
        print(f"{way:12} {seconds:6.2f} CPU s {peak:6.0f} MB")
    ratios = [b / a for a, b in zip(medians["files"], medians["transformers"], strict=True)]
    print(f"{'ratio':12} {ratios[0]:6.2f}       {ratios[1]:6.2f}")


if __name__ == "__main__":
    main()
