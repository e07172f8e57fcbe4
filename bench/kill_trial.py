"""Kill runs with SIGKILL at random moments, and see what the same command makes of them.

    python bench/kill_trial.py [--kills 100] [--seed 0]

A model that writes down whatever it is asked answers two tasks, eight requests at a time. Its run
is killed at a random moment, between the start of the program and a little after its usual end, and
started again with the same command, until it ends by itself; then the next run begins, until there
were enough kills. Asked twice may be only what was in flight when a kill came, at most one batch;
an answer that was in the store is never asked again; and the scores of every run must be those of
a run that nobody disturbed. Exits with 1 where one of these does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PLUGIN = """
import os, time
from harness import hookimpl, metrics
from harness.types import Generate, ModelInfo, ModelSpec, Response, Sample, TaskSpec

BATCH = 8

class Model:
    info = ModelInfo(name="witness", family="witness", identity="1")

    def respond(self, requests):
        with open(os.environ["ASKED"], "a") as log:
            for start in range(0, len(requests), BATCH):
                batch = requests[start : start + BATCH]
                log.write("".join(f"{request.prompt}\\n" for request in batch))
                log.flush()
                time.sleep(float(os.environ["DELAY"]))
                for i, request in enumerate(batch, start):
                    number = int(request.prompt.split()[-1])
                    yield i, Response(text=str(number if number % 3 else -number))

class Task:
    scorer = metrics.exact_match()
    metrics = (scorer.metric,)

    def __init__(self, name):
        self.name = name

    def samples(self):
        for i in range(160):
            prompt = Generate(prompt=f"{self.name} {i}")
            yield Sample(id=str(i), requests=(prompt,), reference=str(i))

    def grade(self, sample, responses):
        return {"exact_match": self.scorer.stats(responses[0].text, sample.reference)}

@hookimpl
def harness_models():
    yield ModelSpec(name="witness", build=lambda settings: Model(), kinds=frozenset({"generate"}))

@hookimpl
def harness_tasks():
    for name in ("first", "second"):
        yield TaskSpec(
            name=name,
            build=lambda settings, name=name: Task(name),
            needs=(frozenset({"generate"}),),
        )
"""
BATCH = 8
DELAY = 0.1


@dataclass(kw_only=True)
class Tally:
    """What was seen over all kills."""

    kills: int = 0
    runs: int = 0
    phases: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    stored_and_asked: int = 0
    most_in_flight: int = 0
    wrong: int = 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kill-trial-"))
    try:
        return _trial(folder, options.kills, random.Random(options.seed))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _trial(folder: Path, kills: int, generator: random.Random) -> int:
    (folder / "witness_plugin.py").write_text(PLUGIN)
    site = folder / "witness-1.dist-info"
    site.mkdir()
    (site / "METADATA").write_text("Metadata-Version: 2.1\nName: witness\nVersion: 1\n")
    (site / "entry_points.txt").write_text("[harness]\nwitness = witness_plugin\n")
    started = time.monotonic()
    _start(folder, "whole").wait()
    usual = time.monotonic() - started
    expected = _scores(folder, "whole")
    tally = Tally()
    while tally.kills < kills:
        tally.runs += 1
        _one_run(folder, f"run{tally.runs}", usual, kills, generator, tally)
        tally.wrong += _scores(folder, f"run{tally.runs}") != expected
    print(f"{tally.kills} kills of {tally.runs} runs, of {usual:.1f} s each when left alone")
    print("killed while: " + ", ".join(f"{k} {n}" for k, n in sorted(tally.phases.items())))
    print(f"asked again, as no answer was stored yet: {tally.repeated}, of one kill at most "
          f"{tally.most_in_flight} (a batch is {BATCH})")  # fmt: skip
    print(f"asked again although the answer was stored: {tally.stored_and_asked}")
    print(f"runs with other scores than the undisturbed one: {tally.wrong}")
    return int(tally.wrong + tally.stored_and_asked > 0 or tally.most_in_flight > BATCH)


def _one_run(
    folder: Path,
    name: str,
    usual: float,
    kills: int,
    generator: random.Random,
    tally: Tally,
) -> None:
    """Start a run and kill it, again and again, until it ends or there were enough kills."""
    log = folder / f"{name}.log"
    while True:
        before, kept = _asked(log), _stored(folder / name)
        process = _start(folder, name)
        end: float | None = None
        if tally.kills < kills:
            end = generator.uniform(0, 1.1 * usual)
        try:
            process.wait(timeout=end)
        except subprocess.TimeoutExpired:
            tally.phases[_phase(folder / name, log, len(before))] += 1
            process.send_signal(signal.SIGKILL)
            process.wait()
            tally.kills += 1
        else:
            assert process.returncode == 0, f"the run exited with {process.returncode}"
        new = _asked(log)[len(before) :]
        again = set(new) & set(before)
        tally.repeated += len(again)
        tally.stored_and_asked += len(again & kept)
        tally.most_in_flight = max(tally.most_in_flight, len(again))
        if process.returncode == 0:
            return


def _start(folder: Path, name: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]),
        "ASKED": str(folder / f"{name}.log"),
        "DELAY": str(DELAY),
    }
    command = ("run", "-m", "witness", "-t", "first,second", "-o", name)
    return subprocess.Popen(
        [sys.executable, "-c", "from harness.cli import main; main()", *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _asked(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def _stored(run: Path) -> set[str]:
    """The prompts whose answers are stored; the store must be sound after every kill."""
    path = run / "responses.sqlite"
    if not path.exists():
        return set()
    with sqlite3.connect(path) as connection:
        (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
        assert verdict == "ok", f"the store is damaged: {verdict}"
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        rows = connection.execute("SELECT request FROM responses") if tables else ()
        return {json.loads(request)["prompt"] for (request,) in rows}


def _phase(run: Path, log: Path, before: int) -> str:
    """What the run was doing, told by its files."""
    if len(_asked(log)) > before:
        done = len(list((run / "cells").glob("*.json")))
        return "asking" if done < 2 else "ending"
    return "starting" if not (run / "manifest.json").exists() else "starting again"


def _scores(folder: Path, name: str) -> Any:
    shown = subprocess.run(
        [sys.executable, "-c", "from harness.cli import main; main()", "show", name, "--json"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        check=False,
    )
    document = json.loads(shown.stdout)
    return document["status"], document["scores"]


if __name__ == "__main__":
    sys.exit(main())
