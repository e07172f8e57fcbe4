"""Time what reads stored results on a run of many cells, with the peak of memory of each command.

    python bench/results_scale.py [--cells 1000] [--samples 1000] [--runs 100] [--folder DIR]

Makes two runs of `cells` cells (a family of ten sizes on `cells`/10 tasks) with `samples` samples
each, the second a little better than the first, and `runs` small runs of one model each. Then every
command is started in a process of its own; wall seconds, CPU seconds and the peak of its resident
memory are printed: first as a command finds the runs after `run` or `import` wrote them, then
without the derived index (deleted before), which the command makes again. The answers are made up,
with seeds; tasks are right or wrong per sample, every fifth is a corpus BLEU.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tabulate import tabulate

from harness import metrics
from harness.results import Manifest, PlannedCell, RunDirectory
from harness.types import (
    CellRecord,
    Counts,
    Generate,
    Metric,
    ModelInfo,
    Parameters,
    Response,
    SampleRecord,
    Score,
)

SIZES = 10
RUN = (sys.executable, "-c", "from harness.cli import main; main()")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How large a run is, and how much better its models are than those of the first run."""

    tasks: int
    samples: int
    gain: float = 0.0
    models: tuple[int, ...] = tuple(range(SIZES))


def main() -> None:
    options = _options()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="results-scale-"))
    tasks = max(1, options.cells // SIZES)
    try:
        started = time.monotonic()
        for name, gain in (("first", 0.0), ("second", 0.01)):
            write_run(folder / name, Shape(tasks=tasks, samples=options.samples, gain=gain), seed=0)
        small = [folder / f"one-{i:03d}" for i in range(options.runs)]
        for i, path in enumerate(small):
            write_run(path, Shape(tasks=10, samples=options.samples, models=(i % SIZES,)), seed=i)
        print(
            f"two runs of {tasks * SIZES} cells of {options.samples} samples, and {options.runs} "
            f"runs of 10 cells: written in {time.monotonic() - started:.0f} s"
        )
        rows = list(_measured(folder, small, options.only))
        header = ["command", "wall s", "CPU s", "peak MB", "exit"]
        print(tabulate(rows, headers=header, floatfmt=".1f"))
    finally:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="Keep the runs there.")
    parser.add_argument("--only", nargs="*", default=(), help="Only these commands.")
    return parser.parse_args()


def _measured(
    folder: Path, small: Sequence[Path], only: Sequence[str]
) -> Iterator[tuple[str, float, float, float, int]]:
    first, second = str(folder / "first"), str(folder / "second")
    baseline = str(folder / "baseline.json")
    commands = {
        "show": ("show", second),
        "fit": ("fit", second),
        "fit --law auto": ("fit", second, "--law", "auto"),
        "leaderboard": ("leaderboard", second, "-o", str(folder / "board.md")),
        "compare": ("compare", first, second),
        "baseline": ("baseline", first, "-o", baseline),
        "check": ("check", second, "--baseline", baseline),
        "report": ("report", second, "-o", str(folder / "page.html"), "--samples", "10"),
        "export": ("export", "lm-eval", second, "-o", str(folder / "exported")),
        f"leaderboard of {len(small)} runs": (
            "leaderboard", *map(str, small), "-o", str(folder / "all.md"),
        ),
    }  # fmt: skip
    chosen = {n: c for n, c in commands.items() if not only or n in only}
    for name, command in chosen.items():
        yield (name, *timed(command))
    for name in ("leaderboard", "compare"):
        if name in chosen:
            for path in folder.glob("*/index"):
                shutil.rmtree(path)
            yield (f"{name}, no index", *timed(chosen[name]))


def timed(command: Sequence[str]) -> tuple[float, float, float, int]:
    """Wall and CPU seconds, peak resident megabytes, exit code of one command."""
    started = time.monotonic()
    process = subprocess.Popen([*RUN, *command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - started
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, process.returncode


def write_run(path: Path, shape: Shape, *, seed: int) -> None:
    """A run on disk, as the harness itself writes it."""
    directory = RunDirectory(path, sync=False)
    directory.prepare()
    cells = []
    for task in range(shape.tasks):
        generator = np.random.default_rng([task])
        difficulty = generator.beta(2, 2, shape.samples)
        for model in shape.models:
            cell, samples = _cell(task, model, difficulty, shape.gain, seed)
            directory.write_cell(cell, samples)
            cells.append(PlannedCell(model=cell.model.name, task=cell.task))
    directory.write_manifest(
        Manifest(
            command=("bench/results_scale.py",),
            settings={},
            cells=tuple(cells),
            versions={},
            platform={},
            git_commit=None,
            started="2026-01-01T00:00:00+00:00",
            status="complete",
        )
    )


def _cell(
    task: int, model: int, difficulty: np.ndarray, gain: float, seed: int
) -> tuple[CellRecord, list[SampleRecord]]:
    generator = np.random.default_rng([task, model, seed, int(1000 * gain)])
    size = 10**6 * 2**model
    share = np.clip(1 - difficulty * 0.9 * 0.9**model + gain, 0.02, 0.98)
    metric, rows = (_bleu if task % 5 == 4 else _right)(share, generator)
    name, n = f"task-{task:03d}", len(rows)
    samples = [
        SampleRecord(
            id=f"{name}-{i}",
            requests=(Generate(prompt=f"Question {i} of {name}, with some words around it?"),),
            responses=(Response(text=f"An answer of model {model} to question {i}."),),
            reference=f"The reference of {i}",
            stats={metric.name: tuple(row)},
        )
        for i, row in enumerate(rows.tolist())
    ]
    value = metrics.value(metric, rows)
    info = ModelInfo(
        name=f"model-{size}" + ("" if not seed else f"-seed{seed}"),
        family="family",
        identity=f"{size}-{seed}",
        parameters=Parameters(total=size, non_embedding=size),
    )
    score = Score(metric=metric, value=value, ci=(value * 0.97, value * 1.03), n=n, signature="-")
    record = CellRecord(
        model=info,
        task=name,
        status="complete",
        fingerprint=f"{task:016x}",
        scores=(score,),
        counts=Counts(samples=n),
    )
    return record, samples


def _right(share: np.ndarray, generator: np.random.Generator) -> tuple[Metric, np.ndarray]:
    hits = (generator.random(len(share)) < share).astype(float)
    return metrics.accuracy().metric, np.stack([100 * hits, np.ones(len(share))], axis=1)


def _bleu(share: np.ndarray, generator: np.random.Generator) -> tuple[Metric, np.ndarray]:
    """Statistics of BLEU: n-gram matches and totals of sentences of about twenty words."""
    length = generator.integers(8, 33, len(share))
    totals = np.stack([length - k for k in range(4)], axis=1)
    hits = generator.binomial(totals, share[:, None] ** np.array([1.0, 1.5, 2.0, 2.5]))
    return metrics.bleu().metric, np.concatenate(
        [length[:, None], length[:, None], hits, totals], 1
    )


if __name__ == "__main__":
    main()
