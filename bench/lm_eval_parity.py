"""Ask lm-evaluation-harness the very same prompts on the same checkpoint, and compare every answer.

    python bench/lm_eval_parity.py PEER_PYTHON CHECKPOINT DATA [--limit 40] [--only NAME,...]

PEER_PYTHON is the interpreter of an environment with ``pip install 'lm_eval[hf]'``; CHECKPOINT a
causal model in Hugging Face format; DATA a folder with the files that WORKS names. Both programs
run as a user would run them. Ours runs first; its rendered requests become the peer's tasks, so
that prompts, continuations, stop strings and token limits are the same to the letter, and only
tokenisation, batching, the model's arithmetic and the metrics are compared.

Prints a row for each metric of each kind of request, and every sample on which the two differ,
with the reason. Exits with 1 where a difference has none.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from harness.results import RunDirectory
from harness.types import CellRecord, Generate, Loglikelihood, SampleRecord

LOG_TOLERANCE = 2e-3
"""Nats by which summed log-probabilities may differ: two orders of float32 additions."""

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Work:
    """A task of ours, and how the peer is asked the same.

    ``metrics`` maps our metric to the peer's and the factor that brings the peer's to our scale;
    ``settings`` are arguments of the peer's model, ``shots`` our worked examples.
    """

    name: str
    task: str
    output_type: str
    metrics: Mapping[str, tuple[str, float]]
    settings: str = ""
    shots: int = 0


TEXT = "text:{data}/lm_text/tinyshakespeare.first90pct.txt,split=paragraphs"
ONE_BOS = "add_bos_token=False"
WORKS = (
    Work(
        name="arc_easy",
        task="arc_easy:{data}/arc_easy/arc_easy.1-500.jsonl",
        output_type="multiple_choice",
        metrics={"acc": ("acc", 100), "acc_per_byte": ("acc_norm", 100)},
    ),
    Work(
        name="blimp",
        task="blimp:{data}/blimp/npi_present_1.jsonl",
        output_type="multiple_choice",
        metrics={"acc": ("acc", 100)},
    ),
    Work(
        name="lambada",
        task="lambada:{data}/lambada/lambada.1-1000.jsonl",
        output_type="loglikelihood",
        metrics={"acc": ("acc", 100), "word_perplexity": ("perplexity", 1)},
    ),
    Work(
        name="text_one_bos",
        task=TEXT,
        output_type="loglikelihood_rolling",
        metrics={"bits_per_byte": ("bits_per_byte", 1)},
        settings=ONE_BOS,
    ),
    Work(
        name="text",
        task=TEXT,
        output_type="loglikelihood_rolling",
        metrics={"bits_per_byte": ("bits_per_byte", 1)},
    ),
    Work(
        name="translation",
        task="translation:src={data}/multi30k/val.en.gz,ref={data}/multi30k/val.de.gz",
        output_type="generate_until",
        metrics={"bleu": ("bleu", 1), "chrf": ("chrf", 1)},
    ),
    Work(
        name="mmlu_shots",
        task="mmlu:{data}/mmlu/test/abstract_algebra_test.csv,"
        "shots_data={data}/mmlu/dev/abstract_algebra_dev.csv",
        output_type="multiple_choice",
        metrics={"acc": ("acc", 100)},
        shots=1,
    ),
    Work(
        name="translation_shots",
        task="translation:src={data}/multi30k/val.en.gz,ref={data}/multi30k/val.de.gz,"
        "shots_src={data}/multi30k/test_2016_flickr.en.gz,"
        "shots_ref={data}/multi30k/test_2016_flickr.de.gz",
        output_type="generate_until",
        metrics={"bleu": ("bleu", 1), "chrf": ("chrf", 1)},
        shots=1,
    ),
    Work(
        name="gsm8k",
        task="gsm8k:{data}/gsm8k/test.1-660.jsonl",
        output_type="generate_until",
        metrics={"exact_match_flexible": ("exact_match", 100)},
    ),
)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One sample: whether both answered alike, by how much numbers differ, and why not."""

    id: str
    agrees: bool
    difference: float
    reason: str


# --- our side -------------------------------------------------------------------------------------


def run_ours(
    works: Sequence[Work], options: argparse.Namespace, folder: Path
) -> dict[str, tuple[CellRecord, list[SampleRecord]]]:
    """Run the command once for each number of worked examples, and read its records."""
    found = {}
    for shots in sorted({work.shots for work in works}):
        mine = [work for work in works if work.shots == shots]
        cells = _run_shots(mine, shots, options, folder / str(shots))
        found |= {work.name: cells[work.task.format(data=options.data)] for work in mine}
    return found


def _run_shots(
    works: Sequence[Work], shots: int, options: argparse.Namespace, folder: Path
) -> dict[str, tuple[CellRecord, list[SampleRecord]]]:
    """The cells of one command, by task; it takes them in order."""
    tasks = list(dict.fromkeys(work.task.format(data=options.data) for work in works))
    program = Path(sys.executable).with_name("harness")
    command = [str(program), "run", "-m", f"hf:{options.checkpoint}"]
    command += [word for task in tasks for word in ("-t", task)]
    command += ["--limit", str(options.limit), "--dtype", "float32", "--device", "cpu"]
    command += ["--shots", str(shots)] if shots else []
    _checked([*command, "-o", str(folder)])
    run = RunDirectory(folder)
    cells = {}
    for task, cell in zip(tasks, run.read_manifest().cells, strict=True):
        record = run.read_cell(cell.model, cell.task)
        if record is None or record.status != "complete":
            raise SystemExit(f"{task}: our own run is not complete.")
        cells[task] = (record, list(run.read_samples(record)))
    return cells


# --- the peer's side ------------------------------------------------------------------------------


def peer_rows(work: Work, samples: Sequence[SampleRecord]) -> list[Row]:
    """The rendered requests as rows of a data set."""
    rows: list[Row] = []
    for sample in samples:
        first = sample.requests[0]
        if isinstance(first, Generate):
            target = sample.reference
            one = target[0] if isinstance(target, list) else str(target)
            rows.append({"prompt": first.prompt, "target": one})
        elif not isinstance(first, Loglikelihood):
            raise SystemExit(f"{work.name}: the peer has no requests of the kind '{first.kind}'.")
        elif work.output_type == "multiple_choice":
            texts = [r.continuation for r in sample.requests if isinstance(r, Loglikelihood)]
            bare = [text.removeprefix(delimiter(sample)) for text in texts]
            rows.append({"prompt": first.context, "choices": bare, "gold": sample.reference[0]})
        else:
            rows.append({"prompt": first.context, "target": first.continuation})
    return rows


def delimiter(sample: SampleRecord) -> str:
    """The blank before all continuations; the peer does not count it as part of a choice."""
    texts = [r.continuation for r in sample.requests if isinstance(r, Loglikelihood)]
    return " " if texts and all(text.startswith(" ") for text in texts) else ""


def peer_task(work: Work, samples: Sequence[SampleRecord], folder: Path) -> None:
    """Write the data and the description of one task; JSON is YAML, too."""
    data = folder / f"{work.name}.jsonl"
    lines = [json.dumps(row, ensure_ascii=False) for row in peer_rows(work, samples)]
    data.write_text("\n".join(lines) + "\n", encoding="utf-8")
    task: Row = {
        "task": f"same_{work.name}",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "output_type": work.output_type,
        "doc_to_text": "prompt",
        "doc_to_target": "target",
        "target_delimiter": "",
        "num_fewshot": 0,
        "metric_list": [{"metric": name} for name, _ in work.metrics.values()],
        "metadata": {"version": 1},
    }
    first = samples[0].requests[0]
    if work.output_type == "multiple_choice":
        task |= {"doc_to_target": "gold", "doc_to_choice": "choices"}
        task |= {"target_delimiter": delimiter(samples[0])}
    if work.output_type == "loglikelihood_rolling":
        task |= {"doc_to_text": ""}
    if isinstance(first, Generate):
        stops = {"until": list(first.stop), "max_gen_toks": first.max_tokens, "do_sample": False}
        task |= {"generation_kwargs": stops}
    if work.name == "gsm8k":
        task |= _flexible_number()
    (folder / f"{work.name}.yaml").write_text(json.dumps(task, indent=1), encoding="utf-8")


def _flexible_number() -> Row:
    """The peer's own settings for the last number of a text."""
    pattern = r"(-?[$0-9.,]{2,})|(-?[0-9]+)"
    steps = [{"function": "regex", "group_select": -1, "regex_pattern": pattern}]
    ignored = [",", r"\$", "(?s).*#### ", r"\.$"]
    return {
        "filter_list": [{"name": "flexible", "filter": [*steps, {"function": "take_first"}]}],
        "metric_list": [{"metric": "exact_match", "regexes_to_ignore": ignored}],
    }


def run_peer(works: Sequence[Work], options: argparse.Namespace, folder: Path) -> Path:
    """Run lm-evaluation-harness on the tasks of ``folder``; returns where its files lie."""
    output = folder / "output"
    for settings in dict.fromkeys(work.settings for work in works):
        tasks = ",".join(f"same_{work.name}" for work in works if work.settings == settings)
        model = f"pretrained={options.checkpoint},dtype=float32,{settings}".rstrip(",")
        command = [options.peer_python, "-m", "lm_eval", "run", "--model", "hf"]
        command += ["--model_args", model, "--tasks", tasks, "--include_path", str(folder)]
        command += ["--output_path", str(output / (settings or "default")), "--log_samples"]
        _checked([*command, "--device", "cpu", "--batch_size", str(options.batch_size)])
    return output


def _checked(command: Sequence[str]) -> None:
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **offline}
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:4])} ... failed:\n{done.stderr[-3000:]}")


def read_peer(work: Work, output: Path) -> tuple[Mapping[str, float], list[Row]]:
    """The peer's scores of a task, and its samples in order."""
    folder = output / (work.settings or "default")
    (results,) = folder.rglob("results_*.json")
    scores = json.loads(results.read_text(encoding="utf-8"))["results"][f"same_{work.name}"]
    (path,) = folder.rglob(f"samples_same_{work.name}_2*.jsonl")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    named = {key.split(",")[0]: value for key, value in scores.items() if "stderr" not in key}
    return named, sorted(rows, key=lambda row: row["doc_id"])


# --- both -----------------------------------------------------------------------------------------


def _pairs(value: Any) -> list[tuple[float, bool]]:
    """Log-probability and greediness, however deep the peer nests them; a bare number is one."""
    if not isinstance(value, list):
        return [(float(value), True)]
    if len(value) == 2 and not isinstance(value[0], list):
        return [(float(value[0]), str(value[1]) == "True")]
    return [pair for one in value for pair in _pairs(one)]


def _compare_numbers(sample: SampleRecord, row: Row, output_type: str) -> Comparison:
    theirs = _pairs(row["resps"])
    ours = [(response.logprob or 0.0, bool(response.greedy)) for response in sample.responses]
    difference = max(abs(a - b) for (a, _), (b, _) in zip(ours, theirs, strict=True))
    alike = difference <= LOG_TOLERANCE
    if output_type == "multiple_choice":
        picks = [max(range(len(one)), key=lambda i: one[i][0]) for one in (ours, theirs)]
        alike = alike and picks[0] == picks[1]
    elif output_type == "loglikelihood":
        alike = alike and ours[0][1] == theirs[0][1]
    shown = (
        f"log-probabilities {[round(a, 4) for a, _ in ours]} and {[round(b, 4) for b, _ in theirs]}"
    )
    return Comparison(id=sample.id, agrees=alike, difference=difference, reason=shown)


def _compare_texts(sample: SampleRecord, row: Row, output_type: str) -> Comparison:
    theirs, ours = row["resps"][0][0], sample.responses[0].text or ""
    agrees = theirs.strip() == ours.strip()
    letters = enumerate(zip(ours.strip(), theirs.strip(), strict=False))
    at = next((i for i, (a, b) in letters if a != b), min(len(ours.strip()), len(theirs.strip())))
    parts = [text.strip()[at : at + 40] for text in (ours, theirs)]
    shown = f"from character {at} on {parts[0]!r} and {parts[1]!r}"
    return Comparison(id=sample.id, agrees=agrees, difference=0.0, reason=shown)


COMPARE: Mapping[str, Callable[[SampleRecord, Row, str], Comparison]] = {
    "multiple_choice": _compare_numbers,
    "loglikelihood": _compare_numbers,
    "loglikelihood_rolling": _compare_numbers,
    "generate_until": _compare_texts,
}


def explained(work: Work, sample: SampleRecord, context: int, one_bos: set[str]) -> str:
    """Why two programs may answer this sample differently, empty where nothing explains it."""
    response = sample.responses[0]
    if any(one.prompt_truncated for one in sample.responses):
        return (
            f"too long for the context of {context}: both cut the beginning, ours keeps BOS before "
            "what is left, the peer cuts BOS off first"
        )
    if work.output_type != "loglikelihood_rolling":
        return ""
    if (response.tokens or 0) >= context:
        return f"longer than the context of {context}: cut into windows at other places"
    if work.settings != ONE_BOS and sample.id in one_bos:
        return (
            "the peer puts BOS before what its tokenizer began with BOS already, and scores the "
            f"second as if it were text; with {ONE_BOS} the two agree"
        )
    return ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Rows of the table, what differs (by reason, samples), and who agreed."""

    table: list[list[Any]]
    differing: dict[str, list[Comparison]]
    agreed: set[str]


def compare(
    work: Work,
    ours: tuple[CellRecord, list[SampleRecord]],
    output: Path,
    context: int,
    one_bos: set[str],
) -> Outcome:
    """Every sample and every score of one work, side by side."""
    record, samples = ours
    scores, rows = read_peer(work, output)
    kind = work.output_type
    found = [COMPARE[kind](s, row, kind) for s, row in zip(samples, rows, strict=True)]
    differing: dict[str, list[Comparison]] = {}
    for sample, one in zip(samples, found, strict=True):
        if not one.agrees:
            differing.setdefault(explained(work, sample, context, one_bos), []).append(one)
    agreed = {one.id for one in found if one.agrees}
    largest = max(one.difference for one in found)
    table = []
    for mine, (peer, factor) in work.metrics.items():
        value = next(score.value for score in record.scores if score.metric.name == mine)
        other = scores[peer] * factor
        alike = f"{len(agreed)}/{len(found)}"
        table.append([work.name, kind, mine, peer, value, other, alike, largest])
        if not differing and not math.isclose(value, other, rel_tol=1e-5, abs_tol=1e-9):
            shown = f"{mine}: {value:.6f} and {other:.6f} from answers that are alike"
            one = Comparison(id="the score", agrees=False, difference=0.0, reason=shown)
            differing.setdefault("", []).append(one)
    return Outcome(table=table, differing=differing, agreed=agreed)


def told(work: Work, outcome: Outcome) -> list[str]:
    """Lines on what differs and why, at most three samples of each reason."""
    lines = []
    for reason, ones in outcome.differing.items():
        lines.append(f"{work.name}: {len(ones)} differ: {reason or 'WITHOUT A REASON'}")
        lines += [f"    {one.id}: {one.reason}" for one in ones[:3]]
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("peer_python", help="the python of an environment with lm_eval[hf]")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=1, help="of the peer")
    parser.add_argument("--only", default="", help="names of tasks of WORKS, parted by commas")
    options = parser.parse_args()
    wanted = options.only.split(",") if options.only else [work.name for work in WORKS]
    works = [work for work in WORKS if work.name in wanted]
    if len(works) < len(wanted):
        parser.error(f"--only knows {', '.join(work.name for work in WORKS)}")
    config = json.loads((options.checkpoint / "config.json").read_text(encoding="utf-8"))
    context = int(config["max_position_embeddings"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = run_ours(works, options, folder / "ours")
        for work in works:
            peer_task(work, ours[work.name][1], folder)
        output = run_peer(works, options, folder)
        one_bos: set[str] = set()
        outcomes = []
        for work in works:
            outcomes.append(compare(work, ours[work.name], output, context, one_bos))
            one_bos |= outcomes[-1].agreed if work.settings == ONE_BOS else set()
    headers = ["task", "request kind", "metric", "its name there", "ours", "lm-eval"]
    headers += ["answers alike", "largest difference"]
    formats = ("", "", "", "", ".6g", ".6g", "", ".1e")
    rows = [row for outcome in outcomes for row in outcome.table]
    print(tabulate(rows, headers=headers, floatfmt=formats))
    notes = [told(work, one) for work, one in zip(works, outcomes, strict=True)]
    unexplained = sum(len(one.differing.get("", ())) for one in outcomes)
    lines = [line for each in notes for line in each]
    print("\n".join(["", *lines, f"{unexplained} differences without a reason."]))
    return int(unexplained > 0)


if __name__ == "__main__":
    raise SystemExit(main())
