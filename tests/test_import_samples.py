"""Per-sample records of other programs: what is rebuilt from them is what they reported."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from interchange import read, take, values

from harness.errors import DataError
from harness.results import RunDirectory
from harness.types import Generate, Loglikelihood

STAMP = "2026-01-01T00-00-00.123456"
REFERENCES = ["The cat sat on the mat .", "There is a dog in the garden .", "He went home ."]
HYPOTHESES = ["The cat sat on a mat .", "A dog is in the garden .", "He went to his home ."]


def write_lm_eval(
    folder: Path, results: dict[str, Any], lines: list[dict[str, Any]], task: str = "t"
) -> Path:
    path = folder / f"results_{STAMP}.json"
    document = {
        "results": {task: results},
        "n-samples": {task: {"original": 3, "effective": 3}},
        "config": {"model_args": {"pretrained": "org/m"}},
    }
    path.write_text(json.dumps(document))
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / f"samples_{task}_{STAMP}.jsonl").write_text(text)
    return path


def line(number: int, name: str, value: Any, filtered: str = "none") -> dict[str, Any]:
    return {
        "doc_id": number,
        "target": "x",
        "arguments": {"gen_args_0": {"arg_0": "Q", "arg_1": {"until": "\n", "max_gen_toks": 7}}},
        "resps": [["A"]],
        "filter": filtered,
        "metrics": [name],
        name: value,
    }


def test_bleu_chrf_and_ter_are_rebuilt_from_pairs(tmp_path: Path) -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    refs = [REFERENCES]
    results = {
        "bleu,none": sacrebleu.corpus_bleu(HYPOTHESES, refs).score,
        "chrf,none": sacrebleu.corpus_chrf(HYPOTHESES, refs).score,
        "ter,none": sacrebleu.corpus_ter(HYPOTHESES, refs).score,
        "bleu_stderr,none": 1.0,
    }
    rows = []
    for number, pair in enumerate(zip(REFERENCES, HYPOTHESES, strict=True)):
        row = line(number, "bleu", list(pair)) | {"chrf": list(pair), "ter": list(pair)}
        rows.append(row | {"metrics": ["bleu", "chrf", "ter"]})
    (record,) = take("lm-eval", tmp_path / "run", write_lm_eval(tmp_path, results, rows))
    stats = RunDirectory(tmp_path / "run").read_stats(record)
    assert {name: len(stats.graded(name)) for name in stats.tables} == {
        "bleu": 3,
        "chrf": 3,
        "ter": 3,
    }
    assert record.origin is not None and record.origin.notes == ()
    assert [s.metric.bounds for s in record.scores][:2] == [(0.0, 100.0), (0.0, 100.0)]


def test_perplexities_are_rebuilt_from_log_probabilities(tmp_path: Path) -> None:
    pairs = [[-20.0, 10], [-33.0, 12], [-8.0, 5]]
    total, words = sum(p[0] for p in pairs), sum(p[1] for p in pairs)
    results = {
        "word_perplexity,none": math.exp(-total / words),
        "bits_per_byte,none": -total / words / math.log(2),
        "perplexity,none": math.exp(-total / 3),
    }
    rows = [
        line(number, "word_perplexity", pair)
        | {"bits_per_byte": pair, "perplexity": pair[0]}
        | {"metrics": ["word_perplexity", "bits_per_byte", "perplexity"]}
        for number, pair in enumerate(pairs)
    ]
    (record,) = take("lm-eval", tmp_path / "run", write_lm_eval(tmp_path, results, rows))
    assert record.origin is not None and record.origin.notes == ()
    assert {s.metric.name: s.metric.formula for s in record.scores} == {
        "word_perplexity": "exp-ratio",
        "bits_per_byte": "ratio",
        "perplexity": "exp-ratio",
    }
    assert all(s.metric.is_loss and not s.metric.higher_is_better for s in record.scores)
    assert len(RunDirectory(tmp_path / "run").read_stats(record).tables) == 3


def test_one_line_per_filter_is_one_sample(tmp_path: Path) -> None:
    results = {"exact_match,strict": 1 / 3, "exact_match,flexible": 2 / 3}
    rows = [line(i, "exact_match", float(i < 1), "strict") for i in range(3)]
    rows += [line(i, "exact_match", float(i < 2), "flexible") for i in range(3)]
    (record,) = take("lm-eval", tmp_path / "run", write_lm_eval(tmp_path, results, rows))
    found = list(RunDirectory(tmp_path / "run").read_samples(record))
    assert [sorted(sample.stats) for sample in found] == [
        ["exact_match,flexible", "exact_match,strict"]
    ] * 3
    assert record.counts.samples == 3
    asked = found[0].requests[0]
    assert asked == Generate(prompt="Q", max_tokens=7, stop=("\n",))


@pytest.mark.parametrize(
    ("settings", "temperature"),
    [
        ({"do_sample": True, "temperature": 0.8}, 0.8),
        ({"do_sample": False, "temperature": 0.8}, 0.0),
        ({"do_sample": True, "temperature": float("nan")}, 0.0),
        ({"do_sample": True, "temperature": float("inf")}, 0.0),
        ({"do_sample": True}, 0.0),
    ],
)
def test_a_drawn_answer_keeps_its_temperature(
    tmp_path: Path, settings: dict[str, object], temperature: float
) -> None:
    row = line(0, "exact_match", 1.0)
    row["arguments"]["gen_args_0"]["arg_1"] |= settings
    (record,) = take(
        "lm-eval", tmp_path / "run", write_lm_eval(tmp_path, {"exact_match,none": 1.0}, [row])
    )
    asked = next(RunDirectory(tmp_path / "run").read_samples(record)).requests[0]
    assert asked == Generate(prompt="Q", max_tokens=7, stop=("\n",), temperature=temperature)


@pytest.mark.parametrize("arguments", ["new", "old"])
def test_choices_become_loglikelihoods(tmp_path: Path, arguments: str) -> None:
    row = line(0, "acc", 1.0)
    row["arguments"] = (
        {f"gen_args_{i}": {"arg_0": "Q", "arg_1": f" {c}"} for i, c in enumerate("ab")}
        if arguments == "new"
        else [["Q", " a"], ["Q", " b"]]
    )
    row["resps"] = [[["-1.5", "True"]], [["-2.5", "False"]]]
    rows = [row, row | {"doc_id": 1}, row | {"doc_id": 2}]
    (record,) = take("lm-eval", tmp_path / "run", write_lm_eval(tmp_path, {"acc,none": 1.0}, rows))
    sample = next(RunDirectory(tmp_path / "run").read_samples(record))
    assert sample.requests[1] == Loglikelihood(context="Q", continuation=" b")
    assert [(r.logprob, r.greedy) for r in sample.responses] == [(-1.5, True), (-2.5, False)]


def test_chance_comes_from_fixed_choices(tmp_path: Path) -> None:
    path = write_lm_eval(tmp_path, {"acc,none": 0.5}, [])
    document = json.loads(path.read_text())
    document["configs"] = {"t": {"doc_to_choice": ["A", "B", "C", "D", "E"]}}
    path.write_text(json.dumps(document))
    (cell,) = read("lm-eval", path)
    assert cell.scores[0].metric.chance == 0.2


def test_squad_in_percent_is_not_taken_for_shares(tmp_path: Path) -> None:
    path = write_lm_eval(tmp_path, {"f1,none": 45.2, "exact,none": 40.0}, [], task="squadv2")
    (cell,) = read("lm-eval", path)
    assert {s.metric.bounds for s in cell.scores} == {(0.0, 100.0)}


def test_an_unknown_metric_has_no_range_and_keeps_the_files_direction(tmp_path: Path) -> None:
    path = write_lm_eval(tmp_path, {"wibble,none": 7.0}, [])
    document = json.loads(path.read_text()) | {"higher_is_better": {"t": {"wibble": False}}}
    path.write_text(json.dumps(document))
    (cell,) = read("lm-eval", path)
    metric = cell.scores[0].metric
    assert (metric.bounds, metric.higher_is_better, metric.is_loss) == ((None, None), False, False)


def test_epochs_of_inspect_are_grouped_by_sample(tmp_path: Path) -> None:
    scores = [("C", 1), ("I", 2), ("C", 1), ("C", 2)]
    log = {
        "version": 2,
        "status": "success",
        "eval": {"task": "t", "model": "m", "config": {"epochs": 2}},
        "results": {
            "completed_samples": 4,
            "scores": [
                {"name": "s", "scorer": "s", "metrics": {"accuracy": {"value": 0.75}}},
            ],
        },
        "samples": [
            {
                "id": i // 2,
                "epoch": epoch,
                "input": [{"role": "user", "content": "?"}],
                "scores": {"s": {"value": letter}},
                "output": {"choices": [{"message": {"content": ""}, "stop_reason": "max_tokens"}]},
            }
            for i, (letter, epoch) in enumerate(scores)
        ],
    }
    path = tmp_path / "log.json"
    path.write_text(json.dumps(log))
    (record,) = take("inspect", tmp_path / "run", path)
    stats = RunDirectory(tmp_path / "run").read_stats(record)
    assert dict(zip(stats.ids, stats.groups or (), strict=True)) == {
        "0": "0",
        "0#2": "0",
        "1": "1",
        "1#2": "1",
    }
    assert (record.counts.truncated, record.counts.empty) == (4, 4)
    # Two samples of two epochs: whole samples are drawn, so the ends are those of 0.5 and 1.
    assert record.scores[0].ci == (0.5, 1.0)


def test_failed_samples_of_inspect_make_the_cell_partial(tmp_path: Path) -> None:
    log = {
        "version": 2,
        "status": "success",
        "eval": {"task": "t", "model": "m"},
        "results": {"scores": [{"name": "s", "scorer": "s", "metrics": {"mean": {"value": 1.0}}}]},
        "samples": [
            {"id": 1, "scores": {"s": {"value": 1}}},
            {"id": 2, "error": {"message": "timeout", "traceback": ""}},
        ],
    }
    (tmp_path / "log.json").write_text(json.dumps(log))
    (record,) = take("inspect", tmp_path / "run", tmp_path / "log.json")
    assert (record.status, record.counts.errors, record.scores[0].n) == ("partial", 1, 1)
    assert record.error == "1 of its samples have no answer."


def test_samples_that_inspect_lost_without_keeping_them_make_the_cell_partial(
    tmp_path: Path,
) -> None:
    entry = {"name": "s", "scorer": "s", "scored_samples": 78, "metrics": {"mean": {"value": 0.5}}}
    results = {"total_samples": 80, "completed_samples": 78, "scores": [entry]}
    log = {"version": 2, "status": "success", "eval": {"task": "t", "model": "m"}}
    (tmp_path / "log.json").write_text(json.dumps({**log, "results": results}))
    (record,) = take("inspect", tmp_path / "run", tmp_path / "log.json")
    assert (record.counts.samples, record.counts.errors, record.scores[0].n) == (80, 2, 78)
    assert (record.status, record.error) == ("partial", "2 of its samples have no answer.")


def test_olmes_metrics_and_predictions(tmp_path: Path) -> None:
    row = {
        "task_name": "openbookqa",
        "task_hash": "abc",
        "model_hash": "def",
        "model_config": {"model": "org/olmo-1b", "revision": "step7"},
        "task_config": {
            "task_core": "openbookqa",
            "primary_metric": "acc_per_char",
            "num_shots": 5,
            "split": "validation",
            "limit": 1000000,
            "metadata": {"alias": "openbookqa:rc::olmes"},
        },
        "num_instances": 2,
        "metrics": {"acc_raw": 0.0, "acc_per_char": 0.5, "primary_score": 0.5, "extra": {"x": 1}},
    }
    stem = tmp_path / "task-000-openbookqa"
    Path(f"{stem}-metrics.json").write_text(json.dumps(row))
    (tmp_path / "metrics-all.jsonl").write_text(json.dumps(row) + "\n")
    predictions = [
        {
            "doc_id": i,
            "label": 0,
            "metrics": {"acc_raw": 0.0, "acc_per_char": float(i)},
            "model_output": [{"sum_logits": -2.0, "num_tokens": 3, "continuation": " a"}],
        }
        for i in range(2)
    ]
    text = "".join(json.dumps(p) + "\n" for p in predictions)
    Path(f"{stem}-predictions.jsonl").write_text(text)
    (record,) = take("olmes", tmp_path / "run", tmp_path)
    assert values([record]) == {
        ("org/olmo-1b@step7", "openbookqa:rc::olmes", "acc_per_char"): 0.5,
        ("org/olmo-1b@step7", "openbookqa:rc::olmes", "acc_raw"): 0.0,
    }
    assert record.scores[0].metric.name == "acc_per_char"
    assert record.scores[0].metric.chance == 0.25
    assert record.shots == 5 and record.scores[0].n == 2
    assert len(RunDirectory(tmp_path / "run").read_stats(record).by_sample("acc_per_char")) == 2
    (alone,) = read("olmes", tmp_path / "metrics-all.jsonl")
    assert alone.scores == read("olmes", tmp_path)[0].scores


def test_evalscope_in_its_own_folders(tmp_path: Path) -> None:
    reports, reviews = tmp_path / "reports" / "m", tmp_path / "reviews" / "m"
    reports.mkdir(parents=True)
    reviews.mkdir(parents=True)
    report = {
        "schema_version": 2,
        "dataset_name": "arc",
        "model_name": "m",
        "metrics": [{"identity": "acc", "num": 2, "score": 0.5, "categories": []}],
    }
    (reports / "arc.json").write_text(json.dumps(report))
    for subset, value in (("easy", 1.0), ("hard", 0.0)):
        review = {"index": 0, "sample_score": {"score": {"value": {"acc": value}}, "sample_id": 0}}
        (reviews / f"arc_{subset}.jsonl").write_text(json.dumps(review) + "\n")
    (record,) = take("evalscope", tmp_path / "run", tmp_path)
    stats = RunDirectory(tmp_path / "run").read_stats(record)
    assert stats.by_sample("acc") == {"easy/0": (1.0, 1.0), "hard/0": (0.0, 1.0)}


def test_averages_and_corpus_errors_of_lighteval_are_left_out(tmp_path: Path) -> None:
    document = {
        "config_general": {"model_config": {"model_name": "org/m"}, "max_samples": 9},
        "results": {
            "wmt|0": {"bleu": 20.0, "bleu_stderr": 0.005, "acc": 0.5, "acc_stderr": 0.1},
            "wmt:_average|0": {"bleu": 20.0},
            "all": {"bleu": 20.0},
        },
    }
    path = tmp_path / "results_2026.json"
    path.write_text(json.dumps(document))
    (cell,) = read("lighteval", path)
    assert (cell.task, cell.shots, cell.limit) == ("wmt", 0, 9)
    assert {s.metric.name: s.stderr for s in cell.scores} == {"bleu": None, "acc": 0.1}


def lighteval_run(folder: Path) -> Path:
    """Results and details of two documents, laid out as lighteval lays them out."""
    results = folder / "results" / "org" / "m" / "results_2026-01-01T00-00-00.json"
    results.parent.mkdir(parents=True)
    document = {
        "config_general": {"model_name": "org/m"},
        "results": {"leaderboard|arc|0": {"acc": 0.5, "acc_stderr": 0.5}},
    }
    results.write_text(json.dumps(document))
    return results


def details_folder(folder: Path) -> Path:
    details = folder / "details" / "org" / "m" / "2026-01-01T00-00-00"
    details.mkdir(parents=True)
    return details


def test_details_of_lighteval_are_its_samples(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    results, details = lighteval_run(tmp_path), details_folder(tmp_path)
    rows = [
        {
            "doc": {"id": str(i), "query": "Q", "choices": [" a", " b"], "gold_index": 1},
            "model_response": {"input": "Context Q", "text": [], "logprobs": [-2.0, -1.0]},
            "metric": {"acc": float(i)},
        }
        for i in range(2)
    ]
    file = details / "details_leaderboard|arc|0_2026-01-01T00-00-00.parquet"
    parquet.write_table(pa.Table.from_pylist(rows), file)
    (record,) = take("lighteval", tmp_path / "run", results)
    assert len(RunDirectory(tmp_path / "run").read_stats(record).by_sample("acc")) == 2
    sample = next(RunDirectory(tmp_path / "run").read_samples(record))
    assert sample.requests[1] == Loglikelihood(context="Context Q", continuation=" b")
    assert sample.responses[1].logprob == -1.0 and sample.reference == [" b"]
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(DataError, match="Is it complete"):
        read("lighteval", results)


def test_details_without_pyarrow_are_said_to_be_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, details = lighteval_run(tmp_path), details_folder(tmp_path)
    (details / "details_leaderboard|arc|0_2026-01-01T00-00-00.parquet").write_bytes(b"")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (cell,) = read("lighteval", results)
    assert "pip install 'harness[parquet]'" in cell.notes[0] and cell.samples == ()


def test_helm_without_statistics_is_an_unfinished_run(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "run_spec.json").write_text('{"name": "x", "adapter_spec": {"model": "m"}}')
    with pytest.raises(DataError, match=r"has no stats\.json"):
        read("helm", tmp_path)
    with pytest.raises(DataError, match="none holds a run_spec.json"):
        read("helm", empty)
