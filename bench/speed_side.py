"""One side of ``lm_eval_speed.py``: answers the requests of a job, in an environment of its own.

    python bench/speed_side.py harness|lm_eval JOB.json

Every line of stdin names a work and a batch size; the reply is a line of JSON with CPU and wall
seconds in the model, the peak of the resident memory above what it was before (Linux; else null),
and the answers. So both sides can be asked in turn, on a machine whose speed drifts.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

Answer = Callable[[list[dict[str, Any]], int | None], list[Any]]


def harness_side(folder: str) -> Answer:
    """The adapter of this project, on plain requests."""
    import harness_hf
    from harness.types import Generate, Loglikelihood, ModelSettings

    model = harness_hf.build(ModelSettings(argument=folder, device="cpu"))

    def answer(requests: list[dict[str, Any]], batch: int | None) -> list[Any]:
        asked = [
            Generate(prompt=r["prompt"], max_tokens=r["max_tokens"])
            if "prompt" in r
            else Loglikelihood(context=r["context"], continuation=r["continuation"])
            for r in requests
        ]
        found = dict(model.respond(asked))
        replies = [found[number] for number in range(len(asked))]
        return [r.text if r.logprob is None else r.logprob for r in replies]

    return answer


def lm_eval_side(folder: str) -> Answer:
    """lm-evaluation-harness's own adapter, called as its evaluator calls it."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    logging.disable(logging.WARNING)
    model = HFLM(pretrained=folder, device="cpu", dtype="float32", batch_size=1)

    def instances(kind: str, arguments: list[tuple[Any, ...]]) -> list[Any]:
        return [
            Instance(request_type=kind, doc={}, arguments=given, idx=number)
            for number, given in enumerate(arguments)
        ]

    def answer(requests: list[dict[str, Any]], batch: int | None) -> list[Any]:
        model.batch_size_per_gpu = batch
        first = requests[0]
        if "prompt" in first:
            settings = {"until": ["</s>"], "do_sample": False}
            given = [(r["prompt"], settings | {"max_gen_toks": r["max_tokens"]}) for r in requests]
            return model.generate_until(instances("generate_until", given), disable_tqdm=True)
        if not first["context"]:
            texts = [(r["continuation"],) for r in requests]
            return model.loglikelihood_rolling(
                instances("loglikelihood_rolling", texts), disable_tqdm=True
            )
        pairs = [(r["context"], r["continuation"]) for r in requests]
        found = model.loglikelihood(instances("loglikelihood", pairs), disable_tqdm=True)
        return [logprob for logprob, _ in found]

    return answer


def _status(field: str) -> int | None:
    """A figure of /proc/self/status in bytes; None where there is no such file."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(s.split()[1]) * 1024 for s in lines if s.startswith(field + ":")), None)


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def measured(
    answer: Answer, name: str, requests: list[dict[str, Any]], batch: int | None
) -> dict[str, Any]:
    """Time one work at one batch size."""
    _forget_peak()
    before = _status("VmRSS")
    cpu, wall = time.process_time(), time.perf_counter()
    answers = answer(requests, batch)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = _status("VmHWM")
    memory = None if before is None or peak is None else max(0, peak - before)
    return {
        "work": name,
        "batch": batch,
        "cpu": cpu,
        "wall": wall,
        "memory": memory,
        "answers": answers,
    }


def main() -> None:
    """Answer what stdin asks for, a line at a time."""
    side, path = sys.argv[1:]
    job = json.loads(Path(path).read_text(encoding="utf-8"))
    torch.set_num_threads(1)
    make = {"harness": harness_side, "lm_eval": lm_eval_side}[side]
    with contextlib.redirect_stdout(sys.stderr):
        answer = make(job["folder"])
        for requests in job["works"].values():  # weights are loaded and every path is warm
            answer(requests[:4], job["warm"])
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        with contextlib.redirect_stdout(sys.stderr):
            found = measured(answer, asked["work"], job["works"][asked["work"]], asked["batch"])
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
