"""One side of ``lm_eval_speed.py``: answers the requests of a job, in an environment of its own.

    python bench/speed_side.py harness|lm_eval JOB.json

Every line of stdin names a work and a batch size; the reply is a line of JSON with the seconds in
the model, the peak of the memory above it (see ``meter.py``) and the answers, or null for all of
them where the memory ran out. So both sides can be asked in turn, on a machine whose speed drifts.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from meter import Meter, free_cache

WARM = 4
"""Requests of each work that either side answers before anything is timed, all in one batch."""

Answer = Callable[[list[dict[str, Any]], int | None], list[Any]]


def harness_side(folder: str, device: str, dtype: str) -> Answer:
    """The adapter of this project, on plain requests."""
    import harness_hf
    from harness.types import Generate, Loglikelihood, ModelSettings

    model = harness_hf.build(ModelSettings(argument=folder, device=device, dtype=dtype))

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


def lm_eval_side(folder: str, device: str, dtype: str) -> Answer:
    """lm-evaluation-harness's own adapter, called as its evaluator calls it."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    logging.disable(logging.WARNING)
    model = HFLM(pretrained=folder, device=device, dtype=dtype, batch_size=1)
    if model.device.type != torch.device(device).type:
        sys.exit(f"lm-eval took {model.device} where {device} was asked")

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


def measured(
    answer: Answer, meter: Meter, requests: list[dict[str, Any]], batch: int | None
) -> dict[str, Any]:
    """Time one work at one batch size."""
    meter.start()
    try:
        answers = answer(requests, batch)
    except RuntimeError as error:
        if "out of memory" not in str(error):
            raise
        free_cache(meter.device)
        return {"batch": batch, "seconds": None, "memory": None, "answers": None}
    seconds, memory = meter.stop()
    return {"batch": batch, "seconds": seconds, "memory": memory, "answers": answers}


def main() -> None:
    """Answer what stdin asks for, a line at a time."""
    side, path = sys.argv[1:]
    job = json.loads(Path(path).read_text(encoding="utf-8"))
    if job["device"] == "cpu":
        torch.set_num_threads(1)
    make = {"harness": harness_side, "lm_eval": lm_eval_side}[side]
    with contextlib.redirect_stdout(sys.stderr):
        answer = make(job["folder"], job["device"], job["dtype"])
        for requests in job["works"].values():  # weights are loaded and every path is warm
            answer(requests[:WARM], WARM)
    meter = Meter(job["device"], job["weights"])
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        with contextlib.redirect_stdout(sys.stderr):
            found = measured(answer, meter, job["works"][asked["work"]], asked["batch"])
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
