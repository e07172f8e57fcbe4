"""The two sides of ``lm_eval_speed.py`` as children, each in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from works import Work

from harness.types import Generate


@dataclass(frozen=True, kw_only=True)
class Job:
    """What both sides are given alike."""

    folder: str
    works: dict[str, list[dict[str, Any]]]
    device: str
    dtype: str
    weights: int


def as_json(work: Work) -> list[dict[str, Any]]:
    return [
        {"prompt": r.prompt, "max_tokens": r.max_tokens}
        if isinstance(r, Generate)
        else {"context": r.context, "continuation": r.continuation}
        for r in work.requests
    ]


class Side:
    """A child that answers in its own environment."""

    def __init__(self, python: str, side: str, job: Job) -> None:
        """Start it; its model is loaded and warm when this returns."""
        environment = os.environ | {"HF_HUB_OFFLINE": "1"}
        if job.device == "cpu":
            environment |= {"OMP_NUM_THREADS": "1"}
        path = Path(job.folder) / "job.json"
        path.write_text(json.dumps(asdict(job)), encoding="utf-8")
        self.log = path.with_name(f"{side}.log")
        self.process = subprocess.Popen(
            [python, str(Path(__file__).with_name("speed_side.py")), side, str(path)],
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
