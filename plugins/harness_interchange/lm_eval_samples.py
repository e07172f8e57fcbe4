"""Samples files of lm-evaluation-harness: requests, answers and per-sample numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.errors import DataError
from harness.types import Generate, Loglikelihood, Request, Response, SampleRecord, Stats
from harness_interchange.reading import mapping, number, read_lines

CORPUS = ("bleu", "chrf", "ter")
PAIRS = {"word_perplexity": "exp-ratio", "byte_perplexity": "exp-ratio", "bits_per_byte": "ratio"}


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Graded samples, and the formula that adds up each metric's statistics."""

    records: tuple[SampleRecord, ...] = ()
    formulas: Mapping[str, str] = field(default_factory=dict)


NONE = Samples()


def read(path: Path) -> Samples:
    """Every document of a samples file once, with the numbers of all its filters.

    Raises DataError for a line that is no sample.
    """
    records: dict[str, SampleRecord] = {}
    formulas: dict[str, str] = {}
    for where, value in read_lines(path):
        line = mapping(value, where, "the line")
        if "doc_id" not in line:
            raise DataError(f"{where} is no sample of lm-evaluation-harness: it has no 'doc_id'.")
        key = str(line["doc_id"])
        stats = {}
        for name, (formula, numbers) in _statistics(line).items():
            if formulas.setdefault(name, formula) == formula:
                stats[name] = numbers
        earlier = records.get(key)
        if earlier is None:
            records[key] = _record(key, line, stats)
        else:
            records[key] = replace(earlier, stats={**earlier.stats, **stats})
    return Samples(records=tuple(records.values()), formulas=formulas)


def _record(key: str, line: Mapping[str, Any], stats: Mapping[str, Stats]) -> SampleRecord:
    requests = _requests(line.get("arguments"))
    responses = _responses(line.get("resps"), requests)
    target = line.get("target")
    return SampleRecord(
        id=key,
        requests=requests[: len(responses)],
        responses=responses,
        reference=target if isinstance(target, str | int | float | list) else None,
        stats=stats,
    )


def _statistics(line: Mapping[str, Any]) -> Mapping[str, tuple[str, Stats]]:
    names = line.get("metrics")
    filtered = line.get("filter", "none")
    found = {}
    for name in names if isinstance(names, list) else ():
        made = _sums(str(name), line.get(name))
        if made is not None:
            found[name if filtered in ("none", None) else f"{name},{filtered}"] = made
    return found


def _sums(name: str, value: Any) -> tuple[str, Stats] | None:
    """Formula and statistics of one sample's entry, or None where it cannot be rebuilt."""
    pair = value if isinstance(value, list) and len(value) == 2 else None
    if name in CORPUS and pair is not None:
        return _corpus(name, reference=pair[0], hypothesis=pair[1])
    if name in PAIRS and pair is not None:
        logprob, weight = number(pair[0]), number(pair[1])
        if logprob is None or weight is None:
            return None
        scale = math.log(2) if name == "bits_per_byte" else 1.0
        return PAIRS[name], (-logprob / scale, weight)
    single = number(value)
    if single is None or not math.isfinite(single):
        return None
    return ("exp-ratio", (-single, 1.0)) if name == "perplexity" else ("mean", (single, 1.0))


def _corpus(name: str, *, reference: Any, hypothesis: Any) -> tuple[str, Stats] | None:
    """sacreBLEU's statistics of one sentence, with the settings that lm-eval has: the defaults."""
    from harness import metrics

    while isinstance(hypothesis, list) and len(hypothesis) == 1:
        hypothesis = hypothesis[0]
    if not isinstance(hypothesis, str) or not isinstance(reference, str | list):
        return None
    makers: dict[str, Callable[[], metrics.Scorer]]
    makers = {"bleu": metrics.bleu, "chrf": metrics.chrf, "ter": metrics.ter}
    scorer = makers[name]()
    return scorer.metric.formula, scorer.stats(hypothesis, reference)


def _requests(arguments: Any) -> tuple[Request, ...]:
    """``{"gen_args_0": {"arg_0": ..., "arg_1": ...}}`` or, before 0.4.3, ``[[..., ...]]``."""
    if isinstance(arguments, dict):
        rows = [list(v.values()) for v in arguments.values() if isinstance(v, dict)]
    elif isinstance(arguments, list):
        rows = [row for row in arguments if isinstance(row, list)]
    else:
        return ()
    made: list[Request] = []
    for row in rows:
        first = row[0] if row and isinstance(row[0], str) else ""
        second = row[1] if len(row) > 1 else None
        if isinstance(second, dict):
            until = second.get("until")
            stop = [until] if isinstance(until, str) else until
            limit = number(second.get("max_gen_toks"))
            made.append(
                Generate(
                    prompt=first,
                    max_tokens=int(limit) if limit and 0 < limit < 1e9 else 256,
                    stop=tuple(s for s in stop if isinstance(s, str))
                    if isinstance(stop, list)
                    else (),
                    temperature=_temperature(second),
                )
            )
        elif isinstance(second, str):
            made.append(Loglikelihood(context=first, continuation=second))
        else:
            made.append(Loglikelihood(context="", continuation=first))
    return tuple(made)


def _temperature(settings: Mapping[str, Any]) -> float:
    """At which the answer was drawn; 0 where it was the most probable one."""
    said = number(settings.get("temperature"))
    drawn = settings.get("do_sample") is True and said is not None and 0 < said < math.inf
    return said if drawn and said is not None else 0.0


def _responses(answers: Any, requests: tuple[Request, ...]) -> tuple[Response, ...]:
    made = []
    rows = answers if isinstance(answers, list) else []
    for answer, request in zip(rows, requests, strict=False):
        while isinstance(answer, list) and len(answer) == 1:
            answer = answer[0]
        if isinstance(request, Generate):
            text = answer[0] if isinstance(answer, list) and answer else answer
            made.append(Response(text=text if isinstance(text, str) else str(text)))
            continue
        parts = answer if isinstance(answer, list) else [answer]
        greedy = str(parts[1]) == "True" if len(parts) > 1 else None
        made.append(Response(logprob=_logprob(parts[0]), greedy=greedy))
    return tuple(made)


def _logprob(value: Any) -> float | None:
    """Numbers are written as texts in newer files."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
