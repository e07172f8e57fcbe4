"""What starting up costs, against lm-evaluation-harness: help, the list of tasks, an empty run.

    python bench/startup.py PYTHON [--rounds 5]

PYTHON is the interpreter of an environment that holds lm_eval (``pip install lm_eval[hf]``). The
empty run asks a model that computes nothing one question of a task of one item, from a file. Each
command runs in a process of its own, in turn for both sides; the first round only warms the disk's
cache and compiles what no installer has compiled, for both. Prints the median of wall and CPU
seconds and the ratio, and the largest resident memory; first of Python itself, the floor of both.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tabulate

PLUGIN = """
from harness import hookimpl
from harness.types import ModelInfo, ModelSpec, Response


class Silent:
    info = ModelInfo(name="silent", family="silent", identity="silent")

    def respond(self, requests):
        for index, _ in enumerate(requests):
            yield index, Response(text="", tokens=0)


@hookimpl
def harness_models():
    kinds = frozenset({"generate"})
    yield ModelSpec(name="silent", build=lambda settings: Silent(), kinds=kinds)
"""
TASK = """
task: startup
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["\\n"], max_gen_toks: 8}}
metric_list: [{{metric: exact_match}}]
"""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one command took: seconds, seconds of processors, bytes."""

    wall: float
    cpu: float
    memory: int


@dataclass(frozen=True, kw_only=True)
class Work:
    """The same thing asked of both sides."""

    name: str
    ours: tuple[str, ...]
    theirs: tuple[str, ...]


def prepare(folder: Path, python: str) -> tuple[Work, ...]:
    """Write the plugin, the task and the data; return the commands, lm-eval's by ``python``."""
    site = folder / "site" / "startup_bench-1.dist-info"
    site.mkdir(parents=True)
    (site / "METADATA").write_text("Metadata-Version: 2.1\nName: startup-bench\nVersion: 1\n")
    (site / "entry_points.txt").write_text("[harness]\nstartup = startup_bench\n")
    (site.parent / "startup_bench.py").write_text(PLUGIN)
    data = folder / "items.json"
    data.write_text(json.dumps([{"question": "What is the colour of the sky?", "answer": "blue"}]))
    tasks = folder / "tasks"
    tasks.mkdir()
    (tasks / "startup.yaml").write_text(TASK.format(data=data))
    (folder / "a.txt").write_text("blue\n")
    own = (sys.executable, "-c", "from harness.cli import main; main()")
    other = (python, "-m", "lm_eval")
    ours = ("run", "-m", "silent", "-t", f"translation:src={folder}/a.txt,ref={folder}/a.txt")
    ours += ("-o", str(folder / "run"))
    theirs = ("run", "--model", "dummy", "--tasks", "startup", "--include_path", str(tasks))
    return (
        Work(name="Python", ours=(*own[:2], "pass"), theirs=(python, "-c", "pass")),
        Work(name="--help", ours=(*own, "--help"), theirs=(*other, "--help")),
        Work(name="run --help", ours=(*own, "run", "--help"), theirs=(*other, "run", "--help")),
        Work(name="list of tasks", ours=(*own, "tasks"), theirs=(*other, "ls", "tasks")),
        Work(name="empty run", ours=(*own, *ours), theirs=(*other, *theirs)),
    )


def measure(command: Sequence[str], environment: dict[str, str], folder: Path) -> Cost:
    """Run one command to its end; raises SystemExit with its words when it fails."""
    began = time.perf_counter()
    with (folder / "said").open("w+b") as said:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=said, stderr=subprocess.STDOUT
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - began
        if process.returncode:
            said.seek(0)
            words = said.read().decode(errors="replace")[-2000:]
            raise SystemExit(f"{' '.join(command)} failed ({process.returncode}):\n{words}")
    return Cost(wall=wall, cpu=used.ru_utime + used.ru_stime, memory=used.ru_maxrss * 1024)


def median(costs: Sequence[Cost]) -> Cost:
    return Cost(
        wall=statistics.median(cost.wall for cost in costs),
        cpu=statistics.median(cost.cpu for cost in costs),
        memory=max(cost.memory for cost in costs),
    )


def row(name: str, ours: Cost, theirs: Cost) -> list[str]:
    return [
        name,
        f"{theirs.wall:.2f}",
        f"{ours.wall:.2f}",
        f"{theirs.wall / ours.wall:.1f}",
        f"{theirs.cpu:.2f}",
        f"{ours.cpu:.2f}",
        f"{theirs.cpu / ours.cpu:.1f}",
        f"{theirs.memory / 1e6:.0f}",
        f"{ours.memory / 1e6:.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("python", help="the interpreter of lm-eval's environment")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        works = prepare(folder, arguments.python)
        # Without compiled modules, which pip makes, a checkout would be compiled at each start.
        left = {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE"}
        bare = {key: value for key, value in os.environ.items() if key not in left}
        bare |= {"PYTHONPYCACHEPREFIX": str(folder / "compiled")}
        bare |= {"HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        table = []
        for work in works:
            taken: tuple[list[Cost], list[Cost]] = ([], [])
            for _ in range(arguments.rounds + 1):
                site = bare | {"PYTHONPATH": str(folder / "site")}
                subprocess.run(["rm", "-rf", str(folder / "run")], check=True)
                taken[0].append(measure(work.ours, site, folder))
                taken[1].append(measure(work.theirs, bare, folder))
            table.append(row(work.name, median(taken[0][1:]), median(taken[1][1:])))
            print(*table[-1], sep="\t", file=sys.stderr, flush=True)
    headers = ["command", "lm-eval s", "ours s", "ratio"]
    headers += ["lm-eval CPU s", "ours CPU s", "ratio", "lm-eval MB", "ours MB"]
    print(tabulate.tabulate(table, headers, disable_numparse=True, stralign="right"))


if __name__ == "__main__":
    main()
