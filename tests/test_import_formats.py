"""Real files of other programs: what they report is what their runs hold."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from interchange import read, take, values

from harness.results import RunDirectory
from harness.scaling import fit_run
from harness.types import Generate, Parameters


@pytest.fixture(scope="session")
def files(shared: Path) -> Path:
    folder = shared / "data" / "importers"
    if not folder.is_dir():
        pytest.skip("skipped: no shared data")
    return folder


@pytest.fixture(scope="session")
def pythia(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of the acceptance line: eight sizes, 87 tasks."""
    folder = tmp_path_factory.mktemp("pythia") / "run"
    paths = sorted((shared / "scaling" / "pythia" / "lm_eval_json").glob("*.json"))
    assert len(paths) == 8
    take("lm-eval", folder, *paths)
    return folder


def test_every_number_of_old_lm_eval_files_is_kept(pythia: Path, shared: Path) -> None:
    records = RunDirectory(pythia).read_run().cells
    assert len(records) == 8 * 87
    found = values(records)
    expected: dict[tuple[str, str, str], float] = {}
    for path in (shared / "scaling" / "pythia" / "lm_eval_json").glob("*.json"):
        data = json.loads(path.read_text())
        pairs = (pair.split("=") for pair in data["config"]["model_args"].split(","))
        arguments = dict(pair for pair in pairs if len(pair) == 2)
        model = f"{arguments['pretrained']}@{arguments['revision']}"
        for task, row in data["results"].items():
            for name, value in row.items():
                if not name.endswith("_stderr"):
                    expected[model, task, name] = value
    assert found == expected
    assert len(found) == 8 * 172


def test_sizes_of_the_pythia_suite_are_the_published_ones(pythia: Path, shared: Path) -> None:
    with (shared / "scaling" / "pythia" / "pythia_v1.csv").open() as file:
        known = {
            (int(row["params_total"]), int(row["params_nonemb"])) for row in csv.DictReader(file)
        }
    records = RunDirectory(pythia).read_run().cells
    counts = {r.model.name: r.model.parameters for r in records}
    assert {(c.total, c.non_embedding) for c in counts.values()} == known
    assert {r.origin.sizes for r in records if r.origin} == {"published"}
    assert {r.model.family for r in records} == {"pythia-v1.1@step143000"}


def test_an_imported_family_is_fitted_with_honest_verdicts(pythia: Path) -> None:
    directory = RunDirectory(pythia)
    run = directory.read_run()
    chosen = [c for c in run.cells if c.task in ("arc_easy", "wsc", "lambada_openai")]
    fits = {(f.task, f.metric.name): f for f in fit_run(_only(run, chosen), directory)}
    easy = fits["arc_easy", "acc"]
    assert easy.fit.verdict == "ok" and easy.x == "non_embedding" and len(easy.points) == 8
    assert easy.fit.exponent.ci is not None and easy.fit.exponent.ci.covers(0.12)
    assert easy.fit.resampling is not None
    assert easy.fit.resampling.unit == "standard errors × leave-one-size-out"
    # Every size answers the Winograd schemas by chance: no exponent may be printed.
    assert fits["wsc", "acc"].fit.verdict == "not-identifiable"
    assert "chance" in fits["wsc", "acc"].fit.note
    assert fits["lambada_openai", "ppl"].fit.law == "power-floor"


def _only(run: Any, cells: list[Any]) -> Any:
    from dataclasses import replace

    return replace(run, cells=tuple(cells))


def test_new_lm_eval_files(files: Path, tmp_path: Path) -> None:
    records = take("lm-eval", tmp_path / "run", files / "lm_eval")
    found = values(records)
    memorised = "RylanSchaeffer/mem_Qwen3-93M_minerva_math_rep_0_sbst_1.0000_epch_1_ot_1"
    assert found == {
        ("google/gemma-2b", "masakhaner_luo_prompt_5", "f1,flexible-extract"): 0.07741027445456866,
        ("google/gemma-2b", "afrimmlu_direct_swa_prompt_1", "acc"): 0.226,
        ("google/gemma-2b", "afrimmlu_direct_swa_prompt_1", "f1"): 0.21785667126908828,
        (memorised, "math_perturbed_full", "exact_match"): 0.0,
        (memorised, "math_rephrased_full", "exact_match"): 0.0004,
    }
    cells = {(r.model.name, r.task): r for r in records}
    math = cells[memorised, "math_perturbed_full"]
    assert math.model.parameters == Parameters(total=93069280)
    assert math.origin is not None and math.origin.sizes == "file"
    assert math.counts.samples == 5000
    # Ten of five thousand samples are no ground for an interval.
    assert "the file holds 10; they are not used" in math.origin.notes[0]
    assert math.scores[0].ci[1] == pytest.approx(3.8416 / 5003.8416, rel=1e-3)  # Wilson's
    entities = cells["google/gemma-2b", "masakhaner_luo_prompt_5"]
    assert (entities.counts.samples, entities.shots) == (185, 5)
    samples = list(RunDirectory(tmp_path / "run").read_samples(entities))
    assert len(samples) == 185
    asked = samples[0].requests[0]
    assert isinstance(asked, Generate) and asked.stop == ("</s>", "<|im_end|>")
    assert samples[0].responses[0].text is not None
    assert samples[0].responses[0].text.startswith(" gi 1000.Provide")


def test_an_old_file_at_an_earlier_step_is_a_family_of_its_own(files: Path, tmp_path: Path) -> None:
    records = take("lm-eval", tmp_path / "run", files / "lm_eval_old")
    assert len(records) == 65
    assert {r.shots for r in records} == {5}
    assert {r.model.family for r in records} == {"pythia-v1.1@step53000"}


def test_inspect_logs_of_both_kinds_say_the_same(files: Path, tmp_path: Path) -> None:
    folder = files / "inspect"
    archive = take("inspect", tmp_path / "a", folder / "log_formats.eval")
    plain = take("inspect", tmp_path / "b", folder / "log_formats.json")
    assert values(archive) == values(plain) == {("ollama/llama3.1", "popularity", "accuracy"): 0.0}
    assert archive[0].counts == plain[0].counts


def test_inspect_samples_give_the_reported_accuracy(files: Path, tmp_path: Path) -> None:
    name = "2025-02-11T15-18-04-05-00_popularity_mj7khqpMM4GBCfVQozKgzB.eval"
    (record,) = take("inspect", tmp_path / "run", files / "inspect" / name)
    assert record.scores[0].value == 0.8 and record.scores[0].n == 10
    assert record.scores[0].stderr == pytest.approx(0.13333333333333333)
    rows = RunDirectory(tmp_path / "run").read_stats(record).by_sample("accuracy")
    assert sorted(rows.values()) == [(0.0, 1.0)] * 2 + [(1.0, 1.0)] * 8
    assert record.versions["inspect_ai"] == "0.3.58.dev16+g6a87748b"


@pytest.mark.parametrize(
    ("name", "task", "value", "n", "truncated"),
    [
        ("data_arc_qwen.json", "inspect_evals/arc_easy", 1 / 3, 3, 0),
        ("data_pubmedqa_gpt4o_mini.json", "inspect_evals/pubmedqa", 1.0, 2, 0),
    ],
)
def test_inspect_json_logs(
    files: Path, tmp_path: Path, name: str, task: str, value: float, n: int, truncated: int
) -> None:
    (record,) = take("inspect", tmp_path / "run", files / "inspect" / name)
    assert record.task == task and record.status == "complete"
    assert record.scores[0].value == pytest.approx(value)
    assert (record.counts.samples, record.counts.truncated) == (n, truncated)


def test_helm_directories(files: Path, tmp_path: Path) -> None:
    records = take("helm", tmp_path / "run", files / "helm")
    found = values(records)
    assert found["openai/gpt2", "narrative_qa", "f1_score"] == 0.17424242424242425
    assert found["openai/gpt2", "narrative_qa", "rouge_l"] == 0.05365510777881912
    task = "mmlu:subject=philosophy,method=multiple_choice_joint"
    assert found["openai/gpt2", task, "exact_match"] == 1 / 9
    cells = {r.task: r for r in records}
    # The test split alone: nine of the ten instances, four of the five.
    assert {t: r.scores[0].n for t, r in cells.items()} == {task: 9, "narrative_qa": 4}
    assert {note for r in records if r.origin for note in r.origin.notes} == {
        "1 instance of the split 'valid' left out"
    }
    assert cells[task].scores[0].metric.chance == 0.25
    rows = RunDirectory(tmp_path / "run").read_stats(cells["narrative_qa"])
    assert sum(value for value, _ in rows.by_sample("f1_score").values()) / 4 == pytest.approx(
        0.1742424242
    )
    assert not any("num_" in metric or "runtime" in metric for _, _, metric in found)


def test_lighteval_results(files: Path, tmp_path: Path) -> None:
    records = take("lighteval", tmp_path / "run", files / "lighteval")
    assert len(records) == 7
    cells = {r.task: r for r in records}
    arc = cells["harness|arc:challenge"]
    assert arc.shots == 25
    assert [(s.metric.name, s.value, s.stderr) for s in arc.scores] == [
        ("acc", 0.4991467576791809, 0.014611369529813262),
        ("acc_norm", 0.5460750853242321, 0.014549221105171872),
    ]
    # "model_size": "15.08 GB" is not a number of parameters.
    assert arc.model.parameters == Parameters()
    assert arc.scores[0].metric.chance == 0.25


def test_evalscope_reports_with_reviews(files: Path, tmp_path: Path) -> None:
    (record,) = take("evalscope", tmp_path / "run", files / "evalscope")
    assert (record.model.name, record.task) == ("qwen-plus", "gsm8k")
    assert [(s.metric.name, s.value, s.n) for s in record.scores] == [("mean_acc", 1.0, 10)]
    samples = list(RunDirectory(tmp_path / "run").read_samples(record))
    assert len(samples) == 10 and samples[0].reference == "3"
    assert samples[0].stats == {"mean_acc": (1.0, 1.0)}


def test_requests_of_olmes_hold_no_scores(files: Path) -> None:
    from harness.errors import DataError

    with pytest.raises(DataError, match="hold no scores"):
        read("olmes", files / "oe_eval_requests")
    for name in ("requests.jsonl.gz", "config.json"):
        with pytest.raises(DataError, match="no metrics file of OLMES.*hold no scores"):
            read("olmes", files / "oe_eval_requests" / f"openbookqa_val_rc_5shot.{name}")
