"""A whole size sweep, command against command, with lm-evaluation-harness.

    python bench/lm_eval_end_to_end.py LM_EVAL [--sizes 1M,10M] [--items 200] [--batch 8]

LM_EVAL is the ``lm_eval`` command of an environment of its own. Both get the same checkpoints
(random weights), the same data files and one thread: translation with worked examples, questions
about passages, four choices, and the perplexity of documents. lm-eval reads one model per command,
so it is called once per size, at one batch size for all; ours is called once. Prints wall and CPU
seconds and the largest resident memory of any process, and every score of both.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tabulate
from shapes import write_checkpoint
from works import WORKS, sentence

from harness.types import Generate, Loglikelihood

METRICS = {"translation": "bleu", "question": "exact_match"}
COMPARED = {**METRICS, "choices": "acc", "perplexity": "bits_per_byte"}
"""By task, the score that both print."""
TASKS = tuple(COMPARED)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a command took: seconds, seconds of processors, bytes of its largest process."""

    wall: float
    cpu: float
    memory: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            wall=self.wall + other.wall,
            cpu=self.cpu + other.cpu,
            memory=max(self.memory, other.memory),
        )


def write_data(folder: Path, items: int) -> None:
    """The four tasks' files for both sides."""
    draw = random.Random(0)
    for name, metric in METRICS.items():
        rows = []
        for request in WORKS[name](draw, items).requests:
            assert isinstance(request, Generate)
            rows.append({"prompt": request.prompt, "answer": sentence(draw, 12)})
        most = request.max_tokens
        _write_rows(folder / f"{name}.jsonl", rows)
        _write_toml(folder / f"{name}.toml", f'metrics = ["{metric}"]\nmax_tokens = {most}\n')
        _write_yaml(
            folder,
            name,
            {
                "output_type": "generate_until",
                "doc_to_text": "{{prompt}}",
                "doc_to_target": " {{answer}}",
                "generation_kwargs": {"until": ["\n"], "max_gen_toks": most, "do_sample": False},
                "metric_list": [{"metric": metric}],
            },
        )
    rows = []
    asked = WORKS["choices"](draw, items).requests
    for at in range(0, len(asked), 4):
        four = [r for r in asked[at : at + 4] if isinstance(r, Loglikelihood)]
        texts = [r.continuation.strip() for r in four]
        answer = draw.randrange(4)
        rows.append({"prompt": four[0].context, "answer": answer, "choices": texts})
    _write_rows(folder / "choices.jsonl", rows)
    _write_toml(folder / "choices.toml", 'kind = "choice"\nchoices = "choices"\n')
    _write_yaml(
        folder,
        "choices",
        {
            "output_type": "multiple_choice",
            "doc_to_text": "{{prompt}}",
            "doc_to_target": "answer",
            "doc_to_choice": "choices",
            "metric_list": [{"metric": "acc"}],
        },
    )
    texts = [r.continuation for r in WORKS["perplexity"](draw, items).requests]  # type: ignore[union-attr]
    (folder / "perplexity.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    _write_rows(folder / "perplexity.jsonl", [{"text": text} for text in texts])
    _write_yaml(
        folder,
        "perplexity",
        {
            "output_type": "loglikelihood_rolling",
            "doc_to_text": "",
            "doc_to_target": "text",
            "metric_list": [{"metric": "bits_per_byte"}],
        },
    )


def _write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _write_toml(path: Path, more: str) -> None:
    head = f'path = "{path.stem}.jsonl"\ntemplate = "{{prompt}}"\nanswer = "answer"\n'
    path.write_text(head + more, encoding="utf-8")


def _write_yaml(folder: Path, name: str, more: dict[str, Any]) -> None:
    """JSON is YAML."""
    data = {"data_files": {"test": str(folder / f"{name}.jsonl")}}
    base = {
        "task": f"bench_{name}",
        "dataset_path": "json",
        "dataset_kwargs": data,
        "test_split": "test",
    }
    (folder / f"{name}.yaml").write_text(json.dumps(base | more), encoding="utf-8")


def timed(command: list[str], folder: Path) -> Cost:
    """Run ``command``; its output goes to a log that is shown when it fails."""
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(folder / "hf"),
    }
    log = folder / "log.txt"
    began = time.perf_counter()
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, env=environment, cwd=folder
        )
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed:\n{log.read_text(encoding='utf-8')[-3000:]}")
    return Cost(
        wall=time.perf_counter() - began,
        cpu=usage.ru_utime + usage.ru_stime,
        memory=usage.ru_maxrss * 1024,
    )


def run_lm_eval(command: str, folder: Path, sizes: list[str], batch: int) -> Cost:
    """Once per size."""
    total = Cost(wall=0.0, cpu=0.0, memory=0)
    for size in sizes:
        total += timed(
            [
                *(command, "run", "--model", "hf", "--device", "cpu", "--batch_size", str(batch)),
                *("--model_args", f"pretrained={folder / size},dtype=float32"),
                *("--include_path", str(folder), "--output_path", str(folder / f"out-{size}.json")),
                *("--tasks", ",".join(f"bench_{name}" for name in TASKS)),
            ],
            folder,
        )
    return total


def run_ours(folder: Path, sizes: list[str]) -> Cost:
    """Once for all."""
    main = "import sys; from harness.cli import main; sys.exit(main())"
    tasks = [f"toml:{folder / name}.toml" for name in TASKS[:-1]]
    tasks += [f"text:{folder / 'perplexity.txt'},split=lines"]
    command = [sys.executable, "-c", main, "run", "-o", str(folder / "ours")]
    for size in sizes:
        command += ["--models", f"hf:{folder / size}"]
    for task in tasks:
        command += ["--tasks", task]
    return timed(command, folder)


def lm_eval_scores(folder: Path, sizes: list[str]) -> dict[tuple[str, str], float]:
    """By size and metric."""
    found = {}
    for size in sizes:
        path = next(folder.glob(f"out-{size}*.json"))
        results = json.loads(path.read_text(encoding="utf-8"))["results"]
        for scores in results.values():
            for key, value in scores.items():
                name = key.split(",")[0]
                if name in {"bleu", "exact_match", "acc", "bits_per_byte"}:
                    scale = 100.0 if name in {"exact_match", "acc"} else 1.0
                    found[size, name] = scale * value
    return found


def our_scores(folder: Path, sizes: list[str]) -> dict[tuple[str, str], float]:
    """By size and metric."""
    found = {}
    for path in sorted((folder / "ours").rglob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict) or "scores" not in record:
            continue
        size = record["model"]["name"].rsplit("/", 1)[-1]
        metric = COMPARED[next(task for task in TASKS if f"{task}." in record["task"])]
        for score in record["scores"]:
            if score["metric"]["name"] == metric:  # choices have bits per byte too
                found[size, metric] = float(score["value"])
    return {key: value for key, value in found.items() if key[0] in sizes}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lm_eval", help="lm-evaluation-harness's command")
    parser.add_argument("--sizes", default="1M,10M")
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--batch", type=int, default=8)
    arguments = parser.parse_args()
    sizes = arguments.sizes.split(",")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder, arguments.items)
        for size in sizes:
            with contextlib.redirect_stderr(io.StringIO()):
                write_checkpoint(folder / size, size)
        ours = run_ours(folder, sizes)
        theirs = run_lm_eval(arguments.lm_eval, folder, sizes, arguments.batch)
        scores, others = our_scores(folder, sizes), lm_eval_scores(folder, sizes)
    rows = [
        ("lm-eval", theirs.wall, theirs.cpu, theirs.memory / 1e6),
        ("harness", ours.wall, ours.cpu, ours.memory / 1e6),
        ("ratio", theirs.wall / ours.wall, theirs.cpu / ours.cpu, theirs.memory / ours.memory),
    ]
    print(tabulate.tabulate(rows, ("", "wall s", "CPU s", "peak MB"), floatfmt=".1f"))
    print()
    table = [(*key, others.get(key), value) for key, value in scores.items() if key in others]
    print(tabulate.tabulate(table, ("model", "metric", "lm-eval", "harness"), floatfmt=".4f"))


if __name__ == "__main__":
    main()
