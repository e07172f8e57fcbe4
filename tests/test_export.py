"""Runs in the formats of others: valid by their rules, equal when made again, safe to open."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Program
from hypothesis import given
from hypothesis import strategies as st
from interchange import PLUGIN, give, save, take, values

from harness.errors import PluginError, SaveError, UsageError
from harness.exporting import check_options, save_files
from harness.plugins import Registered
from harness.results import RunDirectory
from harness.sizes import read_sizing
from harness.types import (
    Classify,
    ExportedFile,
    ExporterSpec,
    Generate,
    ImportedCell,
    ImportedScore,
    Loglikelihood,
    Metric,
    Option,
    Response,
    SampleRecord,
)
from harness_interchange import writing
from harness_interchange.lm_eval_writer import _arguments
from harness_interchange.reading import moment
from harness_interchange.writing import file_name, hub_id
from harness_interchange.yaml import to_yaml

F1 = Metric(name="f1", bounds=(0.0, 100.0))
LOSS = Metric(name="nll", bounds=(0.0, None), higher_is_better=False, is_loss=True)
SIZES = ("70m", "160m", "410m", "1.4b")
HOSTILE = '=cmd("x")\n<script>"\u2028'


def sample(number: int, value: float) -> SampleRecord:
    requests = (
        Generate(prompt=f"Q{number}\u2028?", max_tokens=5),
        Loglikelihood(context="Q", continuation=" yes"),
        Loglikelihood(context="Q", continuation=" no"),
    )
    answers = (
        Response(text=HOSTILE, prompt_tokens=3, tokens=2),
        Response(logprob=-1.0, greedy=True, prompt_tokens=3, tokens=1),
        Response(logprob=-2.0, greedy=False, prompt_tokens=3, tokens=1),
    )
    if number == 2:
        failed = (Response(error="out of memory"), *answers[1:])
        return SampleRecord(
            id="2", requests=requests, responses=failed, reference=["a", "b"], stats={}
        )
    return SampleRecord(
        id=str(number),
        requests=requests,
        responses=answers,
        reference=["a", "b"],
        stats={"f1": (value, 1.0), "nll": (1.5, 1.0)},
    )


def test_a_drawn_answer_is_exported_with_its_temperature() -> None:
    drawn = Generate(prompt="Q", max_tokens=5, temperature=0.8, top_p=0.95, attempt=1)
    plain = Generate(prompt="Q", max_tokens=5)
    assert _arguments(plain)["arg_1"] == {"until": [], "max_gen_toks": 5}
    assert _arguments(drawn)["arg_1"] == {
        "until": [],
        "max_gen_toks": 5,
        "do_sample": True,
        "temperature": 0.8,
        "top_p": 0.95,
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four sizes with samples, one of them failed, and a task whose name is an attack."""
    folder = tmp_path_factory.mktemp("source") / "run"
    cells = []
    for rank, size in enumerate(SIZES):
        numbers = [100.0, 20.0 * rank]
        rows = (sample(0, numbers[0]), sample(1, numbers[1]), sample(2, 0))
        scores = (
            ImportedScore(metric=F1, value=sum(numbers) / 2, stderr=5.0, n=2),
            ImportedScore(metric=LOSS, value=1.5, n=2),
        )
        for task in ("qa", HOSTILE):
            cells.append(
                ImportedCell(
                    model=f"hf:org/m-{size}",
                    task=task,
                    scores=scores,
                    files=("x",),
                    samples=rows,
                    shots=2,
                    evaluated=1.7e9,
                )
            )
    save("lm-eval", cells, folder, read_sizing(None, "m-([0-9.]+[mb])", None))
    return folder


# --- Every Eval Ever: its rules, as its schema 0.3.0 and its validator have them -----------------

AGGREGATE = {
    "schema_version", "evaluation_id", "retrieved_timestamp", "source_metadata", "eval_library",
    "model_info", "evaluation_results",
}  # fmt: skip
AGGREGATE_MAY = {"evaluation_timestamp", "detailed_evaluation_results"}
RESULT = {"evaluation_name", "source_data", "metric_config", "score_details"}
RESULT_MAY = {"evaluation_result_id", "evaluation_timestamp", "generation_config"}
ROW = {
    "schema_version", "evaluation_id", "model_id", "evaluation_name", "sample_id",
    "interaction_type", "input", "answer_attribution", "evaluation",
}  # fmt: skip
ROW_MAY = {
    "evaluation_result_id", "sample_hash", "output", "messages", "token_usage", "performance",
    "error", "metadata",
}  # fmt: skip
PATH = re.compile(
    r"data/[^/]+/[^/]+/[^/]+/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    r"(\.json|_samples\.jsonl)"
)


def keys_are(data: Mapping[str, Any], needed: set[str], allowed: set[str]) -> None:
    assert needed <= data.keys() <= needed | allowed


def details(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every ``additional_details``, ``details`` and ``metadata`` in a document."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ("additional_details", "details", "metadata"):
                yield item
            yield from details(item)
    elif isinstance(value, list):
        for item in value:
            yield from details(item)


def check_aggregate(data: Mapping[str, Any]) -> None:
    keys_are(data, AGGREGATE, AGGREGATE_MAY)
    assert data["schema_version"] == "0.3.0"
    assert re.fullmatch(r"[^/]+/[^/]+/[^/]+/\d+", data["evaluation_id"])
    assert data["source_metadata"]["source_type"] in ("documentation", "evaluation_run")
    assert data["source_metadata"]["evaluator_relationship"] in (
        "first_party", "third_party", "collaborative", "other",
    )  # fmt: skip
    assert {"name", "version"} <= data["eval_library"].keys()
    about = data["model_info"]["additional_details"]
    assert about["deployment_type"] in ("self_deployed", "externally_managed", "unknown")
    assert about["model_availability"] in ("open_weights", "closed_weights", "unknown")
    assert all(isinstance(v, str) for one in details(data) for v in one.values())
    for result in data["evaluation_results"]:
        keys_are(result, RESULT, RESULT_MAY)
        check_result(result)


def check_result(result: Mapping[str, Any]) -> None:
    assert {"dataset_name", "source_type"} <= result["source_data"].keys()
    assert result["source_data"]["source_type"] in ("url", "hf_dataset", "other")
    metric, score = result["metric_config"], result["score_details"]["score"]
    assert isinstance(metric["lower_is_better"], bool)
    ends = {"Infinity": float("inf"), "-Infinity": float("-inf")}
    low, high = (ends.get(metric[k], metric[k]) for k in ("min_score", "max_score"))
    assert low <= score <= high
    interval = result["score_details"]["uncertainty"].get("confidence_interval")
    assert interval is None or interval["lower"] <= score <= interval["upper"]


def check_row(row: Mapping[str, Any], aggregate: Mapping[str, Any]) -> None:
    keys_are(row, ROW, ROW_MAY)
    assert row["interaction_type"] == "single_turn" and row["output"]["raw"]
    assert row["evaluation_id"] == aggregate["evaluation_id"]
    assert row["model_id"] == aggregate["model_info"]["id"]
    assert isinstance(row["input"]["raw"], str)
    assert all(isinstance(text, str) for text in row["input"]["reference"])
    assert {"score", "is_correct"} <= row["evaluation"].keys()
    assert isinstance(row["evaluation"]["score"], float)
    needed = {"turn_idx", "source", "extracted_value", "extraction_method", "is_terminal"}
    assert all(needed == one.keys() for one in row["answer_attribution"])
    assert all(isinstance(v, str) for one in details(row) for v in one.values())


def test_every_eval_ever_follows_the_rules_of_the_format(run: Path, tmp_path: Path) -> None:
    files = give("every-eval-ever", run, tmp_path, organization="Acme")
    assert len(files) == 8
    for path in files:
        assert PATH.fullmatch(path.relative_to(tmp_path).as_posix())
        if path.suffix == ".jsonl":
            continue
        data = json.loads(path.read_text())
        check_aggregate(data)
        assert data["source_metadata"]["source_organization_name"] == "Acme"
        linked = data["detailed_evaluation_results"]
        samples = path.with_name(f"{path.stem}_samples.jsonl")
        assert linked["file_path"] == samples.relative_to(tmp_path).as_posix()
        assert linked["checksum"] == hashlib.sha256(samples.read_bytes()).hexdigest()
        # A reader that splits at Unicode's line ends must still find one object a line.
        lines = samples.read_text().splitlines()
        assert linked["total_rows"] == len(lines) == 6
        for line in lines:
            check_row(json.loads(line), data)


def test_every_eval_ever_holds_the_fit_the_size_and_the_failures(run: Path, tmp_path: Path) -> None:
    files = give("every-eval-ever", run, tmp_path)
    path = next(p for p in files if p.suffix == ".json" and "m-160m" in str(p))
    data = json.loads(path.read_text())
    assert data["model_info"]["id"] == "org/m-160m"
    assert data["model_info"]["additional_details"]["num_parameters"] == "160000000"
    assert data["model_info"]["additional_details"]["parameters_from"] == "pattern"
    assert data["eval_library"]["name"] == "lm_eval"
    first = data["evaluation_results"][0]["score_details"]
    assert first["score"] == 60.0 and first["details"]["errors"] == "1"
    fit = json.loads(first["details"]["scaling_fit"])
    assert fit["x"] == "total" and "exponent" in fit["estimates"]
    rows = path.with_name(f"{path.stem}_samples.jsonl").read_text().splitlines()
    done, failed = json.loads(rows[0]), json.loads(rows[2])
    assert done["evaluation"] == {"score": 100.0, "is_correct": True}
    assert done["input"]["choices"] == [" yes", " no"]
    assert done["token_usage"] == {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13}
    assert failed["error"] == "out of memory" and "unscored" in failed["metadata"]


def test_every_eval_ever_is_the_same_when_made_again(run: Path, tmp_path: Path) -> None:
    first = give("every-eval-ever", run, tmp_path / "a")
    again = give("every-eval-ever", run, tmp_path / "b")
    assert [p.relative_to(tmp_path / "a") for p in first] == [
        p.relative_to(tmp_path / "b") for p in again
    ]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in again]
    other = give("every-eval-ever", run, tmp_path / "c", organization="Other")
    assert not {p.name for p in first} & {p.name for p in other}
    assert {uuid.UUID(p.name[:36]).version for p in first} == {4}


def test_dates_are_those_of_the_files_or_none_and_ids_outlive_an_import(tmp_path: Path) -> None:
    score = ImportedScore(metric=F1, value=50.0, stderr=2.0, n=9)
    plain = ImportedCell(model="o/m", task="t", scores=(score,), files=("x",))
    names = []
    for folder, cell in (("a", plain), ("b", plain), ("c", replace(plain, evaluated=1.7e9))):
        save("x", [cell], tmp_path / folder)
        if folder == "b":  # as if imported on another day
            path = tmp_path / folder / "manifest.json"
            path.write_text(path.read_text().replace('"20', '"19'))
        (path,) = give("every-eval-ever", tmp_path / folder, tmp_path / f"{folder}-out")
        data = json.loads(path.read_text())
        dates = [data, *data["evaluation_results"]]
        known = ["1700000000"] * 2 if folder == "c" else [None] * 2
        assert [one.get("evaluation_timestamp") for one in dates] == known
        names.append(path.name)
        (path,) = give("lm-eval", tmp_path / folder, tmp_path / f"{folder}-lm")
        assert json.loads(path.read_text())["date"] == (1.7e9 if folder == "c" else None)
    assert names[0] == names[1] == names[2]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1768967058.5, 1768967058.5),
        ("2024-11-18 22:05:49 UTC", 1731967549.0),
        ("2024-10-15T12:53:13-04:00", 1729011193.0),
        ("2024-10-15T12:53:13", None),
        (1781075.6, None),
        ("yesterday", None),
        (None, None),
        (float("nan"), None),
    ],
)
def test_moments_are_read_or_not_known(value: Any, seconds: float | None) -> None:
    assert moment(value) == seconds


def test_every_eval_ever_without_samples(run: Path, tmp_path: Path) -> None:
    files = give("every-eval-ever", run, tmp_path, samples="no")
    assert {p.suffix for p in files} == {".json"}
    assert all("detailed_evaluation_results" not in json.loads(p.read_text()) for p in files)


# --- Hugging Face -------------------------------------------------------------------------------


def test_eval_results_hold_what_the_hub_asks_for(run: Path, tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    table = tmp_path / "map.csv"
    table.write_text("task,id,task_id,revision,metric\nqa,org/qa,default,abc,nll\n")
    files = give(
        "eval-results", run, tmp_path / "out", datasets=str(table), url="https://example.org/x"
    )
    assert len(files) == 4 and files[0].parent.name == ".eval_results"
    (entry,) = yaml.safe_load(files[0].read_text())
    assert entry["dataset"] == {"id": "org/qa", "task_id": "default", "revision": "abc"}
    assert entry["value"] == 1.5 and entry["notes"].startswith("nll, n = 2")
    assert isinstance(entry["date"], str) and entry["date"].startswith("20")
    assert entry["source"] == {"url": "https://example.org/x", "name": "harness"}


def test_a_map_without_any_task_of_the_run_is_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "map.csv").write_text("task,id,task_id\nother,org/qa,default\n")
    with pytest.raises(UsageError, match="maps none of the run's tasks"):
        give("eval-results", run, tmp_path / "out", datasets=str(tmp_path / "map.csv"))


def test_model_index_lists_every_score(run: Path, tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    files = give("model-index", run, tmp_path)
    (model,) = yaml.safe_load(files[0].read_text())["model-index"]
    assert model["name"] == "m-70m"
    assert [r["dataset"]["name"] for r in model["results"]] == [
        "qa",
        '=cmd("x")\\u000a<script>"\\u2028',
    ]
    for result in model["results"]:
        assert result["task"]["type"] and result["dataset"]["type"]
        assert [(m["type"], m["value"]) for m in result["metrics"]] == [("f1", 50.0), ("nll", 1.5)]


yaml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(min_size=1), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


@given(yaml_values)
def test_any_value_survives_yaml(value: Any) -> None:
    yaml = pytest.importorskip("yaml")
    text = to_yaml(value).encode("utf-8")
    assert yaml.safe_load(text) == value


# --- lm-eval, CSV, Parquet ----------------------------------------------------------------------


def test_lm_eval_files_come_back_equal(run: Path, tmp_path: Path) -> None:
    give("lm-eval", run, tmp_path / "out")
    again = take("lm-eval", tmp_path / "again", tmp_path / "out")
    before = RunDirectory(run).read_run().cells
    assert values(again) == values(before)
    first = {(r.model.name, r.task): r for r in again}
    for record in before:
        twin = first[record.model.name, record.task]
        assert [s.metric.bounds for s in twin.scores] == [s.metric.bounds for s in record.scores]
        assert twin.shots == record.shots == 2
        stats = RunDirectory(tmp_path / "again").read_stats(twin)
        assert [len(stats.graded(name)) for name in ("f1", "nll")] == [2, 2]


def test_answers_whose_numbers_could_not_be_used_are_given_on_with_them(tmp_path: Path) -> None:
    score = ImportedScore(metric=F1, value=50.0, n=500)
    rows = (sample(0, 100.0), sample(1, 0.0), sample(2, 0.0))  # three of 500: not used; one failed
    made = ImportedCell(model="m", task="t", scores=(score,), files=("x",), samples=rows)
    save("x", [made], tmp_path / "run")
    give("lm-eval", tmp_path / "run", tmp_path / "out")
    (again,) = take("lm-eval", tmp_path / "again", tmp_path / "out")
    kept = list(RunDirectory(tmp_path / "again").read_samples(again))
    said = [[(r.text, r.logprob) for r in s.responses] for s in kept]
    assert said == [[(r.text, r.logprob) for r in s.responses] for s in rows[:2]]
    assert again.scores[0].value == 50.0 and not any(s.stats for s in kept)


def test_a_number_of_samples_that_no_file_said_is_not_written_as_none(tmp_path: Path) -> None:
    score = ImportedScore(metric=F1, value=50.0, stderr=2.0)
    save("x", [ImportedCell(model="m", task="t", scores=(score,), files=("x",))], tmp_path / "run")
    (path,) = give("lm-eval", tmp_path / "run", tmp_path / "lm")
    assert json.loads(path.read_text())["n-samples"] == {}
    (path,) = give("csv", tmp_path / "run", tmp_path / "csv")
    (row,) = csv.DictReader(path.read_text().splitlines())
    assert (row["n"], row["samples"], row["stderr"]) == ("", "", "2.0")
    (path,) = give("every-eval-ever", tmp_path / "run", tmp_path / "eee")
    (result,) = json.loads(path.read_text())["evaluation_results"]
    assert "num_samples" not in result["score_details"]["uncertainty"]


def test_percent_becomes_shares_where_readers_of_lm_eval_expect_them(tmp_path: Path) -> None:
    score = ImportedScore(metric=Metric(name="acc", bounds=(0.0, 100.0)), value=37.5, stderr=2.0)
    made = ImportedCell(model="m", task="t", scores=(score,), files=("x",))
    save("x", [made], tmp_path / "run")
    (path,) = give("lm-eval", tmp_path / "run", tmp_path / "out")
    assert json.loads(path.read_text())["results"]["t"] == {
        "alias": "t",
        "acc,none": 0.375,
        "acc_stderr,none": 0.02,
    }
    (back,) = take("lm-eval", tmp_path / "back", path)
    assert back.scores[0].value == 0.375 and back.scores[0].metric.bounds == (0.0, 1.0)


def test_a_table_comes_back_equal_and_runs_no_formula(run: Path, tmp_path: Path) -> None:
    (path,) = give("csv", run, tmp_path)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    assert not any(v.startswith(("=", "+", "@", "\t", "\r")) for r in rows for v in r.values())
    assert any(row["task"].startswith("'=cmd") for row in rows)
    again = take("csv", tmp_path / "again", path)
    before = RunDirectory(run).read_run().cells
    assert values(again) == values(before)
    assert [r.model.parameters for r in again] == [r.model.parameters for r in before]
    assert [r.scores[0].metric.bounds for r in again] == [(0.0, 100.0)] * 8


def test_parquet_holds_scores_and_samples(run: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    scores, samples = give("parquet", run, tmp_path)
    table = parquet.read_table(scores).to_pylist()
    assert len(table) == 16 and table[0]["value"] == 50.0 and table[0]["params"] == 70_000_000
    assert (table[0]["stderr"], table[1]["stderr"]) == (5.0, None)
    rows = parquet.read_table(samples).to_pylist()
    assert len(rows) == 24
    assert rows[0]["answers"][0] == HOSTILE and rows[0]["prompts"][0] == "Q0\u2028?"
    assert rows[2]["error"] == "out of memory" and json.loads(rows[0]["stats"])["f1"] == [100, 1]


def test_parquet_without_its_package_is_refused_in_words(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(Exception, match=r"pip install 'harness\[parquet\]'"):
        give("parquet", run, tmp_path)


# --- names, files, options ----------------------------------------------------------------------


@given(st.text())
def test_file_names_are_portable_and_distinct(text: str) -> None:
    name = file_name(text)
    assert re.fullmatch(r"[A-Za-z0-9._=@+-]+", name) and len(name) < 120
    assert name not in (".", "..") and not name.startswith(".")
    assert name == text or re.search(r"-[0-9a-f]{8}\Z", name)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("hf:EleutherAI/pythia-70m,dtype=float32", ("EleutherAI", "pythia-70m")),
        ("openai/azure/gpt-4o", ("openai", "gpt-4o")),
        ("nano-1k", ("unknown", "nano-1k")),
        ("hf:/home/me/ckpt", ("unknown", "ckpt")),
        ("../../x", ("unknown", "x")),
    ],
)
def test_model_ids_are_taken_from_names(model: str, expected: tuple[str, str]) -> None:
    assert hub_id(model) == expected


def entry(**fields: Any) -> Registered[ExporterSpec]:
    spec = ExporterSpec(name="mine", write=lambda source: iter(()))
    return Registered(spec=replace(spec, **fields), plugin=PLUGIN)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "C:/x", "a\\b", "", "a\0b"])
def test_an_exporter_cannot_leave_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(PluginError, match="Exporter 'mine' of plugin interchange"):
        save_files(entry(), [ExportedFile(name=name, chunks=[b"x"])], tmp_path / "out")
    assert not (tmp_path / "x").exists()


def test_an_exporter_cannot_write_one_file_twice(tmp_path: Path) -> None:
    file = ExportedFile(name="x", chunks=[b"x"])
    with pytest.raises(PluginError, match="'x' twice"):
        save_files(entry(), [file, file], tmp_path)


def test_a_file_that_cannot_be_saved_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError, match="cannot be saved"):
        save_files(entry(), [ExportedFile(name="x", chunks=[b"x"])], tmp_path / "file")

    def broken() -> Iterator[bytes]:
        yield b"half"
        raise OSError(28, "No space left on device")

    with pytest.raises(SaveError, match="No space left on device"):
        save_files(entry(), [ExportedFile(name="x", chunks=broken())], tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_options_are_checked() -> None:
    needing = entry(options=(Option(name="url", help="where", required=True),))
    with pytest.raises(UsageError, match="has no option 'ulr'. Did you mean 'url'?"):
        check_options(needing, {"ulr": "x"})
    with pytest.raises(UsageError, match="needs --set url="):
        check_options(needing, {})


def test_the_command_exports_our_own_run(program: Program) -> None:
    assert program("run", "-m", "adder", "-t", "sums", "-o", "out").returncode == 0
    document = program.json("export", "lm-eval", "out", "-o", "lm")
    assert len(document["files"]) == 10
    again = program("import", "lm-eval", "lm", "-o", "again", "--family", "adder", "--json")
    assert json.loads(again.stdout)["cells"] == 5
    ours = {(s["model"], s["metric"]): s for s in program.json("show", "out")["scores"]}
    theirs = {(s["model"], s["metric"]): s for s in program.json("show", "again")["scores"]}
    for key, score in ours.items():
        by = 100 if key[1] == "exact_match" else 1
        assert theirs[key]["value"] == pytest.approx(score["value"] / by, rel=1e-12)
        assert theirs[key]["ci"] == pytest.approx([end / by for end in score["ci"]], rel=1e-9)
    done = program("export", "eval-results", "out")
    assert done.returncode == 2 and "needs --set datasets=" in done.stderr
    done = program("export", "csvs", "out")
    assert done.returncode == 2 and "Did you mean 'csv'" in done.stderr


def test_texts_that_were_classified_are_written_with_the_label_chosen() -> None:
    request = Classify(texts=("It rains.", "It is dry."), labels=(("no", "0"), ("yes", "1")))
    response = Response(logprobs=(-2.0, -0.1))
    assert writing.prompt(request) == "It rains.\nIt is dry."
    assert writing.answer(request, response) == "yes"
