"""Results and samples as lm-evaluation-harness 0.4 writes them, one folder per model.

That program gives accuracies and exact matches as shares: such metrics of ours, in percent, are
divided by a hundred here and here only. Every other metric keeps its scale and carries its
``bounds`` in ``metric_list``, which our own importer reads back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from harness import __version__
from harness.codec import to_json
from harness.types import (
    CellRecord,
    ExportedFile,
    ExportSource,
    Generate,
    Loglikelihood,
    Metric,
    Request,
    Response,
    SampleRecord,
)
from harness_interchange import writing
from harness_interchange.lm_eval_samples import CORPUS

SHARES = frozenset({"acc", "acc_norm", "exact_match"})


def write_lm_eval(source: ExportSource) -> Iterator[ExportedFile]:
    """``MODEL/results_TIME.json`` and ``MODEL/samples_TASK_TIME.jsonl``."""
    stamp = datetime.fromtimestamp(source.made, UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")
    for name, cells in writing.models_of(source).items():
        folder = writing.file_name(name.replace("/", "__"))
        text = f"{writing.dump(_results(source, name, cells))}\n"
        yield ExportedFile(name=f"{folder}/results_{stamp}.json", chunks=[text.encode()])
        for cell in cells:
            lines = partial(_lines, source, cell)
            if next(lines(), None) is not None:
                file = f"{folder}/samples_{writing.file_name(cell.task)}_{stamp}.jsonl"
                yield ExportedFile(name=file, chunks=lines())


def scale(metric: Metric) -> float:
    """What our values are divided by: 100 for shares that we give in percent."""
    return 100.0 if metric.name in SHARES and metric.bounds == (0, 100) else 1.0


def _results(source: ExportSource, name: str, cells: Sequence[CellRecord]) -> Mapping[str, Any]:
    first = cells[0]
    return {
        "results": {cell.task: _scores(cell) for cell in cells},
        "configs": {
            cell.task: {
                "task": cell.task,
                "num_fewshot": cell.shots,
                "metric_list": [_metric(score.metric) for score in cell.scores],
            }
            for cell in cells
        },
        "versions": {cell.task: cell.fingerprint for cell in cells},
        "n-shot": {cell.task: cell.shots for cell in cells if cell.shots is not None},
        "higher_is_better": {
            cell.task: {s.metric.name: s.metric.higher_is_better for s in cell.scores}
            for cell in cells
        },
        "n-samples": {
            cell.task: {
                "original": cell.counts.samples,
                "effective": cell.counts.samples - cell.counts.errors,
            }
            for cell in cells
            if cell.counts.samples  # 0: an imported file did not say it
        },
        "config": {
            "model": "harness",
            "model_args": {"pretrained": name},
            "model_num_parameters": first.model.parameters.total,
            "limit": first.limit,
            "random_seed": first.seed,
        },
        "model_name": name,
        "date": writing.evaluated(source, first),
        "harness_version": __version__,
    }


def _scores(cell: CellRecord) -> Mapping[str, Any]:
    row: dict[str, Any] = {"alias": cell.task}
    for score in cell.scores:
        by = scale(score.metric)
        error = writing.stderr_of(score)
        name, _, filtered = score.metric.name.partition(",")
        ending = filtered or "none"
        row[f"{name},{ending}"] = score.value / by if math.isfinite(score.value) else "N/A"
        row[f"{name}_stderr,{ending}"] = "N/A" if error is None else error / by
    return row


def _metric(metric: Metric) -> Mapping[str, Any]:
    by = scale(metric)
    ends = [None if end is None else end / by for end in metric.bounds]
    return {
        "metric": metric.name.partition(",")[0],
        "aggregation": metric.formula,
        "higher_is_better": metric.higher_is_better,
        "bounds": ends,
    }


def _lines(source: ExportSource, cell: CellRecord) -> Iterator[bytes]:
    for number, sample in enumerate(source.samples(cell)):
        # Graded or not: an import keeps answers whose own numbers could not be used.
        if sample.responses and not any(response.error for response in sample.responses):
            yield f"{writing.dump(_line(cell, sample, number))}\n".encode()


def _line(cell: CellRecord, sample: SampleRecord, number: int) -> Mapping[str, Any]:
    values: dict[str, Any] = {}
    for score in cell.scores:
        value = _value(score.metric, sample)
        if value is not None:
            values[score.metric.name] = value
    return {
        "doc_id": number,
        "doc": {"id": sample.id, "group": sample.group},
        "target": to_json(sample.reference),
        "arguments": {
            f"gen_args_{i}": _arguments(request) for i, request in enumerate(sample.requests)
        },
        "resps": [[_response(response)] for response in sample.responses],
        "filter": "none",
        "metrics": list(values),
        **values,
    }


def _value(metric: Metric, sample: SampleRecord) -> Any:
    """A number, or for a corpus metric the pair that lm-eval keeps: reference, hypothesis."""
    if metric.name in CORPUS:
        text = sample.responses[0].text if sample.responses else None
        return [to_json(sample.reference), text] if text is not None else None
    value = writing.sample_value(metric, sample)
    return None if value is None else value / scale(metric)


def _arguments(request: Request) -> Mapping[str, Any]:
    if isinstance(request, Generate):
        settings: dict[str, Any] = {
            "until": list(request.stop),
            "max_gen_toks": request.max_tokens,
        }
        if request.temperature:
            settings |= {"do_sample": True, "temperature": request.temperature}
            settings |= {"top_p": request.top_p} if request.top_p < 1 else {}
        return {"arg_0": request.prompt, "arg_1": settings}
    if isinstance(request, Loglikelihood):
        return {"arg_0": request.context, "arg_1": request.continuation}
    return {"arg_0": writing.prompt(request), "arg_1": {"until": []}}


def _response(response: Response) -> Any:
    if response.logprob is not None:
        return [response.logprob, bool(response.greedy)]
    if response.logprobs is not None:
        return list(response.logprobs)
    return writing.answer(None, response)
