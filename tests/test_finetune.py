"""``harness finetune``: sweeps of small models, their records, what stops and resumes them."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

import hf_tiny
import train_tiny

from harness.cli import invoke
from harness.errors import SaveError, UsageError
from harness.results import RunDirectory
from harness.tagreports import tag_reports
from harness_train import memory
from harness_train.finetune import saving


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sizes of BERT in one folder, and labelled texts beside it."""
    folder = tmp_path_factory.mktemp("finetune")
    for width in (8, 16):
        train_tiny.write_bert(folder / "family" / f"bert-{width}", width=width)
    train_tiny.columns(folder / "train", 48, scheme="iob1")
    train_tiny.columns(folder / "valid", 16, first=48)
    train_tiny.columns(folder / "test", 24, first=64)
    return folder


METHODS = ("full", "lora", "adalora", "adapter", "prefix", "head")


def arguments(place: Path, output: Path, *more: str, train: str = "train") -> list[str]:
    return [
        *("finetune", "-m", str(place / "family"), "-t", "conll"),
        *("--train", str(place / train), "--validation", str(place / "valid")),
        *("--learning-rate", "0.01", "--epochs", "3", "--batch-size", "8", "--device", "cpu"),
        *("-o", str(output)),
        *more,
    ]


@pytest.fixture(scope="module")
def sweep(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sizes × two shares × two seeds, evaluated on texts of their own."""
    output = tmp_path_factory.mktemp("sweep")
    test = ("--test", str(place / "test"))
    assert invoke(arguments(place, output, "--shares", "0.25,1", "--seeds", "2", *test)) == 0
    return output


def table(output: Path) -> list[dict[str, str]]:
    with (output / "sweep.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def record(output: Path, name: str) -> Any:
    path = output / "models" / name / "harness_model.json"
    return json.loads(path.read_text(encoding="utf-8"))


def test_every_cell_of_the_sweep_is_a_model_of_one_family(sweep: Path) -> None:
    rows = table(sweep)
    assert len(rows) == 8 and {row["outcome"] for row in rows} == {"complete"}
    assert {row["family"] for row in rows} == {"bert-full"}
    assert [row["N"] for row in rows] == sorted((row["N"] for row in rows), key=int)
    run = RunDirectory(sweep / "run").read_run()
    assert [cell.model.name for cell in run.cells] == [row["address"] for row in rows]


def test_the_model_info_says_what_it_learnt_from_and_what_that_cost(sweep: Path) -> None:
    run = RunDirectory(sweep / "run").read_run()
    for row, cell in zip(table(sweep), run.cells, strict=True):
        info, said = cell.model, record(sweep, row["model"])
        assert info.family == "bert-full"
        assert info.parameters.non_embedding == int(row["N"])
        assert info.parameters.trainable == info.parameters.total == int(row["params"])
        assert info.train_samples == (12 if row["share"] == "0.25" else 48)
        assert info.train_tokens is not None and info.unique_tokens is not None
        assert info.train_tokens % info.unique_tokens == 0  # whole epochs
        assert info.train_flops == 6 * int(row["N"]) * info.train_tokens
        assert "2 N forward" in said["train_flops_rule"]


def test_larger_shares_are_learnt_better(sweep: Path) -> None:
    scores = {row["model"]: float(row["entity_f1"]) for row in table(sweep)}
    for seed in (0, 1):
        assert scores[f"bert-16-full-1-s{seed}"] > scores[f"bert-16-full-0.25-s{seed}"] + 10


def test_validation_and_run_agree_on_the_same_texts(place: Path, sweep: Path) -> None:
    rows = [row for row in table(sweep) if row["model"] == "bert-16-full-1-s0"]
    output = sweep.parent / "again"
    command = ["run", "-m", rows[0]["address"], "-t", f"conll:{place / 'valid'}"]
    assert invoke([*command, "--device", "cpu", "-o", str(output)]) == 0
    (cell,) = RunDirectory(output).read_run().cells
    assert cell.scores[0].value == pytest.approx(float(rows[0]["entity_f1"]))


def test_reports_equal_seqeval_and_scikit_learn(sweep: Path) -> None:
    seqeval = pytest.importorskip("seqeval.metrics")
    sklearn = pytest.importorskip("sklearn.metrics")
    directory = RunDirectory(sweep / "run")
    for found in tag_reports(directory, directory.read_run().cells):
        assert found.reports is not None
        samples = list(directory.read_samples(found.record))
        ours = [list(sample.responses[0].tags or ()) for sample in samples]
        gold = [gold_tags(sample) for sample in samples]
        theirs = seqeval.classification_report(gold, ours, output_dict=True, zero_division=0)
        single = sklearn.classification_report(
            list(chain(*gold)), list(chain(*ours)), output_dict=True, zero_division=0
        )
        for report, reference in ((found.reports.entities, theirs), (found.reports.tokens, single)):
            rows = {row.name: row for row in (*report.rows, report.macro, report.weighted)}
            if "micro avg" in reference:
                rows["micro avg"] = report.micro
            wanted = {k: v for k, v in reference.items() if isinstance(v, dict)}
            assert set(rows) == set(wanted)
            for name, row in rows.items():
                assert row.precision == pytest.approx(100 * wanted[name]["precision"])
                assert row.recall == pytest.approx(100 * wanted[name]["recall"])
                assert row.f1 == pytest.approx(100 * wanted[name]["f1-score"])
                assert row.support == wanted[name]["support"]


def gold_tags(sample: Any) -> list[str]:
    from harness.metrics import tags_from_spans

    spans = [(kind, start, end) for kind, start, end in sample.reference["spans"]]
    return tags_from_spans(spans, len(sample.reference["tokens"]))


def test_the_law_in_size_data_and_compute_is_fitted_to_the_run(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    command = [
        "fit",
        str(sweep / "run"),
        "--law",
        "product",
        "--x",
        "N*1,D*1,C",
        "--y",
        "entity_f1",
    ]
    code = invoke([*command, "--where", "entity_f1>0", "--json"])
    said = capsys.readouterr()
    assert code in (0, 4), said.err
    (fit,) = json.loads(said.out)["fits"]
    assert fit["law"] == "product" and fit["n"] >= 6
    assert fit["verdict"] != "ok"  # C is 6·N·D here, so three exponents cannot be told apart


def test_the_curve_in_size_is_read_at_the_most_data(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert invoke(["show", str(sweep / "run"), "--json"]) == 0
    (fit,) = json.loads(capsys.readouterr().out)["fits"]
    assert fit["n"] == 4 and "Of 8 models the 4 with the most training data" in fit["note"]


def test_the_same_command_again_trains_nothing(
    place: Path, sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in sweep.glob("models/*/*")}
    capsys.readouterr()
    assert invoke(arguments(place, sweep, "--shares", "0.25,1", "--seeds", "2")) == 0
    assert capsys.readouterr().err.count("done before") == 8
    assert before == {path: path.stat().st_mtime_ns for path in sweep.glob("models/*/*")}


def test_other_settings_are_not_mixed_with_what_is_there(
    place: Path, sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(arguments(place, sweep, "--weight-decay", "0.5")) == 2
    said = capsys.readouterr().err
    assert "was trained from other texts, other weights or with other settings" in said


def test_the_same_seed_gives_the_same_weights(place: Path, sweep: Path, tmp_path: Path) -> None:
    only = ["-m", str(place / "family" / "bert-8")]
    command = arguments(place, tmp_path, "--shares", "0.25", "--seeds", "2")
    assert invoke([*command[:1], *only, *command[3:]]) == 0
    for seed in (0, 1):
        name = f"models/bert-8-full-0.25-s{seed}/model.safetensors"
        assert (tmp_path / name).read_bytes() == (sweep / name).read_bytes()
    first, second = sorted(tmp_path.glob("models/*/model.safetensors"))
    assert first.read_bytes() != second.read_bytes()


def test_a_killed_sweep_goes_on_where_it_was(place: Path, tmp_path: Path) -> None:
    command = arguments(place, tmp_path, "--shares", "0.25,1")
    command[2] = str(place / "family" / "bert-8")
    code = [sys.executable, "-c", "from harness.cli import main; main()"]
    process = subprocess.Popen([*code, *command], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "bert-8-full-1-s0: epoch 1" in line:
            process.send_signal(signal.SIGKILL)
            break
    process.stderr.close()
    assert process.wait() == -signal.SIGKILL
    whole = [path.name for path in (tmp_path / "models").iterdir() if path.name[0] != "."]
    assert whole == ["bert-8-full-0.25-s0"]
    (tmp_path / "models" / ".bert-8-full-1-s0.partial").mkdir()
    assert invoke(command) == 0
    assert {row["outcome"] for row in table(tmp_path)} == {"complete"} and len(table(tmp_path)) == 2
    assert not list((tmp_path / "models").glob(".*"))


def test_a_loss_that_is_no_number_stops_its_cell_and_no_other(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "family"
    for name in ("bert-8", "bert-16"):
        (broken / name).mkdir(parents=True)
        for path in (place / "family" / name).iterdir():
            (broken / name / path.name).write_bytes(path.read_bytes())
    weights = load_file(broken / "bert-8" / "model.safetensors")
    key = next(name for name in weights if name.endswith("word_embeddings.weight"))
    weights[key][:] = float("nan")
    save_file(weights, broken / "bert-8" / "model.safetensors", metadata={"format": "pt"})
    command = arguments(place, tmp_path / "out")
    command[2] = str(broken)
    for _ in range(2):  # the second time it is remembered
        assert invoke(command) == 4
        small, large = table(tmp_path / "out")
        assert small["outcome"] == "diverged" and "step 1: the loss is nan" in small["error"]
        assert small["N"] == small["entity_f1"] == "" and large["outcome"] == "complete"
    assert [path.name for path in (tmp_path / "out" / "models").iterdir()] == ["bert-16-full-1-s0"]
    assert "diverged: step 1: the loss is nan" in capsys.readouterr().out


def test_a_full_disk_leaves_nothing_that_looks_complete(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    import torch
    from safetensors.torch import save_file

    def write(folder: Path) -> dict[str, Any]:
        save_file({"x": torch.zeros(100_000)}, folder / "model.safetensors")
        return {}

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with saving.prepared(tmp_path), pytest.raises(SaveError, match="not be saved") as caught:
            saving.save_checkpoint(tmp_path, "x", write)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert len(str(caught.value).splitlines()) <= 3
    assert list((tmp_path / "models").iterdir()) == []


def test_two_processes_do_not_train_in_one_place(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    said = pytest.raises(UsageError, match="Another process is training")
    with saving.prepared(tmp_path), said, saving.prepared(tmp_path):
        pass
    with saving.prepared(tmp_path):
        pass


def test_the_plan_says_what_it_costs_and_trains_nothing(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(arguments(place, tmp_path / "out", "--dry-run", "--json")) == 0
    small, large = json.loads(capsys.readouterr().out)["estimates"]
    assert 0 < small["flops"] < large["flops"] and 0 < small["memory"] < large["memory"]
    assert small["seconds"] > 0 and small["refused"] == ""
    assert not (tmp_path / "out").exists()


def test_what_cannot_fit_is_refused_before_training(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda device: 1000)
    assert invoke(arguments(place, tmp_path / "out")) == 4
    assert "'bert-8-full-1-s0' cannot be trained here: it needs about" in capsys.readouterr().err
    assert invoke(arguments(place, tmp_path / "out", "--dry-run")) == 4
    assert "2 cannot fit" in capsys.readouterr().out


def test_methods_are_compared_in_one_table(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = arguments(place, tmp_path, "--method", ",".join(METHODS))
    command[2] = str(place / "family" / "bert-16")
    assert invoke([*command, "--accumulate", "2"]) == 0
    said = capsys.readouterr().out.partition("Methods compared")[2]
    shares = {line.split()[2]: float(line.split()[3]) for line in said.splitlines()[3:] if line}
    assert list(shares) == list(METHODS)
    assert shares["full"] == 100 > shares["adalora"] > shares["lora"] > shares["adapter"]
    assert {row["family"] for row in table(tmp_path)} == {f"bert-16-{name}" for name in shares}


def test_a_prefix_is_read_again_with_the_checkpoint(place: Path, tmp_path: Path) -> None:
    command = arguments(place, tmp_path, "--method", "prefix", "--test", str(place / "valid"))
    command[2] = str(place / "family" / "bert-16")
    assert invoke(command) == 0
    (row,) = table(tmp_path)
    (cell,) = RunDirectory(tmp_path / "run").read_run().cells
    assert cell.scores[0].value == pytest.approx(float(row["entity_f1"]))
    assert cell.model.context_length == 64  # a prefix takes no position
    # Without what was learnt the answers are others, so it was in use.
    (tmp_path / "models" / row["model"] / "prefix" / "prefix.safetensors").unlink()
    bare = ["run", "-m", row["address"], "-t", f"conll:{place / 'valid'}", "--device", "cpu"]
    assert invoke([*bare, "-o", str(tmp_path / "bare")]) == 0
    (other,) = RunDirectory(tmp_path / "bare").read_run().cells
    assert other.model.identity != cell.model.identity
    assert other.model.parameters.total < cell.model.parameters.total
    assert answers(tmp_path / "bare") != answers(tmp_path / "run")


def answers(output: Path) -> list[Any]:
    directory = RunDirectory(output)
    (cell,) = directory.read_run().cells
    return [sample.responses[0].tags for sample in directory.read_samples(cell)]


def test_a_language_model_learns_a_tasks_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hf_tiny.write_model(tmp_path / "llama", "llama")
    hf_tiny.write_tokenizer(tmp_path / "llama")
    command = ["finetune", "-m", str(tmp_path / "llama"), "-t", "world-qa"]
    command += ["--train", "split=train,items=20", "--max-length", "64", "--epochs", "2"]
    command += ["--validation", "split=validation,items=6", "--learning-rate", "0.01"]
    assert invoke([*command, "--device", "cpu", "-o", str(tmp_path / "out")]) == 0
    (row,) = table(tmp_path / "out")
    said = record(tmp_path / "out", row["model"])
    assert row["address"].startswith("hf:")
    assert float(row["loss"]) < said["training"]["first_validation_loss"]


@pytest.mark.parametrize("kind", ["t5", "bart_forced"])
def test_an_encoder_decoder_learns_a_tasks_answers_by_heart(tmp_path: Path, kind: str) -> None:
    hf_tiny.write_seq2seq(tmp_path / "model", kind)
    texts = {"en": ["the sea", "a boy", "the ship"], "de": ["was", "once", "little"]}
    for name, lines in texts.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        (tmp_path / f"{name}-often").write_text("\n".join(lines * 25) + "\n", encoding="utf-8")
    often = f"src={tmp_path / 'en-often'},ref={tmp_path / 'de-often'}"
    once = f"src={tmp_path / 'en'},ref={tmp_path / 'de'}"
    command = ["finetune", "-m", str(tmp_path / "model"), "-t", "translation", "--device", "cpu"]
    command += ["--train", often, "--validation", once, "--test", once]
    command += ["--epochs", "4", "--learning-rate", "0.005", "--batch-size", "3"]
    assert invoke([*command, "-o", str(tmp_path / "out")]) == 0
    (row,) = table(tmp_path / "out")
    assert float(row["loss"]) < 0.1
    assert float(row["translation/chrf"]) == 100  # begun, written and ended as it was learnt


def test_a_classifier_learns_labels_and_answers_by_them(tmp_path: Path) -> None:
    train_tiny.write_bert(tmp_path / "bert")
    lines = [
        f"{'we like the road' if i % 3 else 'it is near'}\t{int(i % 3 > 0)}" for i in range(30)
    ]
    (tmp_path / "texts.tsv").write_text("sentence\tlabel\n" + "\n".join(lines), encoding="utf-8")
    command = ["finetune", "-m", str(tmp_path / "bert"), "-t", "sst2", "--class-weights"]
    command += ["--train", str(tmp_path / "texts.tsv"), "--test", str(tmp_path / "texts.tsv")]
    command += ["--epochs", "4", "--batch-size", "4", "--learning-rate", "0.01"]
    assert invoke([*command, "--device", "cpu", "-o", str(tmp_path / "out")]) == 0
    (cell,) = RunDirectory(tmp_path / "out" / "run").read_run().cells
    assert cell.model.name.startswith("hf-classifier:")
    assert cell.scores[0].value == 100.0


def test_a_missing_library_is_said_with_the_extra_that_brings_it(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    assert invoke(arguments(place, tmp_path / "out", "--method", "lora")) == 2
    assert "needs peft, which is not installed.\nInstall it: pip in" in capsys.readouterr().err


BAD = {
    "no folder": (["-m", "nowhere"], "'nowhere' is neither a folder nor a model's name"),
    "no checkpoint": (["-m", "."], "no checkpoint is in"),
    "no task": (["-t", "conl"], "Did you mean 'conll'"),
    "cannot be learnt so": (["-t", "conll", "--as", "classify"], "cannot be learnt --as classify"),
    "no method": (["--method", "lorra"], "Unknown method 'lorra'. Did you mean 'lora'"),
    "no share": (["--shares", "0"], "The share 0 is not above 0"),
    "words for shares": (["--shares", "half"], "--shares half"),
    "a share too small": (["--shares", "0.02"], "fewer than one for each of 2 classes"),
    "no length": (["--max-length", "-3"], "--max-length -3 is less than 1"),
    "weights that grow": (["--weight-decay", "-1"], "--weight-decay -1.0 is less than 0"),
    "no end of a step": (["--learning-rate", "inf"], "inf is not a number above 0"),
    "no epochs": (["--epochs", "0"], "--epochs 0 is less than 1"),
    "a new label": (["--test", "strange"], "labels that the training texts never show: B-ORG"),
    "one label": (["--train", "bare"], "bear one label only, O"),
    "no tag": (["--train", "broken"], "is no tag such as O"),
    "no number type": (["--dtype", "int8"], "Unknown --dtype 'int8'"),
    "no half on a processor": (["--dtype", "fp16"], "float16 trains on a GPU only"),
    "no device": (["--device", "gpu"], "device gpu asked for, but torch"),
    "too long": (["--max-length", "100"], "more than the 64 tokens"),
    "an encoder that writes": (["--as", "generate"], "which cannot be trained to write answers"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_said_in_one_to_three_lines(
    place: Path,
    tmp_path: Path,
    name: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("strange").write_text("Tila B-ORG\n", encoding="utf-8")
    Path("bare").write_text("we O\n\nlike O\n", encoding="utf-8")
    Path("broken").write_text("we PERSON\n", encoding="utf-8")
    more, said = BAD[name]
    command = arguments(place, tmp_path / "out")
    for option, value in zip(more[::2], more[1::2], strict=True):
        if option in command:
            command[command.index(option) + 1] = value
        else:
            command += [option, value]
    assert invoke(command) in (2, 4)
    error = capsys.readouterr().err
    assert said in error and len(error.strip().splitlines()) <= 4
    assert not (tmp_path / "out").exists()
