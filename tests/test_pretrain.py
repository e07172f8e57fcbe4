"""Pre-training: rows, sizes, schedule, checkpoints, and going on after any kind of end."""

from __future__ import annotations

import json
import math
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import Program
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import DataError, SaveError, UsageError
from harness.pretraining import (
    STEPS,
    CorpusOptions,
    Evaluation,
    FamilyOptions,
    Objective,
    PretrainRequest,
    SizeOptions,
    TrainingOptions,
)
from harness.sweeps import add_row
from harness.training import TrainedModel
from harness.types import CellRecord, Generate, ModelSettings, Sample

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import numpy as np  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

from harness_hf.checkpoint import read_header  # noqa: E402
from harness_hf.counts import count_parameters  # noqa: E402
from harness_train.pretrain.batches import Masking, causal_batch, masked_batch  # noqa: E402
from harness_train.pretrain.documents import Document  # noqa: E402
from harness_train.pretrain.feed import Feed  # noqa: E402
from harness_train.pretrain.job import PretrainingJob  # noqa: E402
from harness_train.pretrain.loop import DivergedError, Training  # noqa: E402
from harness_train.pretrain.networks import Transformer, build_network  # noqa: E402
from harness_train.pretrain.optimise import orthogonalised  # noqa: E402
from harness_train.pretrain.pairs import masked_rows, sentences  # noqa: E402
from harness_train.pretrain.rows import NO_PAIR, Rows, causal_rows, empty, pack  # noqa: E402
from harness_train.pretrain.schedule import schedule_of  # noqa: E402
from harness_train.pretrain.shapes import Shape, ruled_rate, shapes_of  # noqa: E402
from harness_train.pretrain.vocabulary import byte_pairs, word_pieces  # noqa: E402

SENTENCE = "the red house on a hill was old and its door did not open in rain"
WORDS = SENTENCE.split()
TINY = SizeOptions(name="tiny", width=8, layers=2, heads=1, hidden=16)


def text(count: int, seed: int = 0) -> list[Document]:
    draw = random.Random(seed)
    made = [
        " ".join(
            " ".join(draw.choice(WORDS) for _ in range(draw.randrange(4, 9))).capitalize() + "."
            for _ in range(draw.randrange(1, 4))
        )
        for _ in range(count)
    ]
    return [Document(text=one) for one in made]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    path.write_text("\n\n".join(one.text for one in text(120)), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def bytes_() -> Tokenizer:
    return byte_pairs([one.text for one in text(120)], 300)


@pytest.fixture(scope="module")
def pieces() -> Tokenizer:
    return word_pieces([one.text for one in text(120)], 120)


def asked(folder: Path, corpus: str, objective: Objective = "causal") -> PretrainRequest:
    return PretrainRequest(
        objective=objective,
        output=folder,
        corpus=CorpusOptions(
            files=(corpus,), steps=(), vocabulary=300 if objective == "causal" else 120
        ),
        family=FamilyOptions(name="toy", context=32, shapes=(TINY,)),
        training=TrainingOptions(batch_tokens=128, checkpoints=2, rate=0.01),
        device="cpu",
    )


def train(request: PretrainRequest) -> list[TrainedModel]:
    return list(PretrainingJob(request).run(lambda _: None))


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


# --- rows and batches -----------------------------------------------------------------------------


def test_joined_rows_hold_the_text_in_order(bytes_: Tokenizer) -> None:
    documents = text(20)
    rows = causal_rows(bytes_, documents, length=16, whole=False)
    tokens = [t for d in documents for t in [1, *bytes_.encode(d.text).ids[1:], 2]]
    assert rows.tokens.reshape(-1).tolist() == tokens[: rows.tokens.size]
    assert not rows.learnt[:, 0].any() and not rows.learnt[rows.tokens == 1].any()


def test_packing_keeps_documents_whole_and_learns_what_follows_the_prompt() -> None:
    rows = pack([([1, 5, 6, 2], 2), ([1, 7, 2], 1), ([1] * 9, 1)], empty(40, 8, 100))
    assert rows.tokens.tolist() == [[1, 5, 6, 2, 1, 7, 2, 0]]
    assert rows.documents.tolist() == [[1, 1, 1, 1, 2, 2, 2, 0]]
    assert rows.learnt.tolist()[0] == [False, False, True, True, False, True, True, False]


def test_packed_documents_do_not_see_each_other(bytes_: Tokenizer) -> None:
    shape = shape_of(vocabulary=300)
    documents = text(6)
    for network in ("stacked", "transformers"):
        options = TrainingOptions(network=network)  # type: ignore[arg-type]
        model = build_network(options, shape)
        assert isinstance(model, torch.nn.Module)
        with torch.no_grad():
            for weight in model.parameters():  # some start at zero
                weight.add_(0.1)
            together = model(whole_batch(bytes_, documents)).tokens.sum()
            alone = sum(model(whole_batch(bytes_, [one])).tokens.sum() for one in documents)
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-2)


def whole_batch(tokenizer: Tokenizer, documents: Sequence[Document]) -> Any:
    rows = causal_rows(tokenizer, documents, length=64, whole=True)
    return causal_batch(rows, np.arange(len(rows)), whole=True)


def shape_of(vocabulary: int = 300, objective: Objective = "causal") -> Shape:
    request = PretrainRequest(
        objective=objective,
        output=Path(),
        family=FamilyOptions(context=64, shapes=(replace(TINY, width=16, heads=2),)),
    )
    return shapes_of(request, vocabulary)[0]


def test_sentences_end_with_their_marks() -> None:
    assert sentences("One. Two!  Three?\nFour 3.5 five。六") == [
        "One.", "Two!", "Three?", "Four 3.5 five。", "六",
    ]  # fmt: skip


def test_half_of_the_pairs_go_on_with_another_document(pieces: Tokenizer) -> None:
    documents = text(400)
    rows = masked_rows(pieces, documents, length=48, pairs=True, generator=np.random.default_rng(0))
    assert rows.pairs is not None and rows.types is not None
    labelled = rows.pairs[rows.pairs != NO_PAIR]
    assert 0.4 < labelled.mean() < 0.6
    for number in np.flatnonzero(rows.pairs == 0)[:20]:
        ids = rows.tokens[number][rows.learnt[number]].tolist()
        inside = pieces.decode(ids)
        assert any(inside in pieces.decode(pieces.encode(d.text).ids) for d in documents)
    assert (rows.types.sum(axis=1)[rows.pairs == NO_PAIR] == 0).all()


def test_masks_hide_fifteen_in_a_hundred_and_never_special_tokens(pieces: Tokenizer) -> None:
    rows = masked_rows(
        pieces, text(300), length=32, pairs=False, generator=np.random.default_rng(0)
    )
    masking = Masking(mask=pieces.token_to_id("[MASK]"), first=5, vocabulary=120)
    batch = masked_batch(rows, np.arange(len(rows)), masking, np.random.default_rng(1))
    assert abs(len(batch.where) / rows.learnt.sum() - 0.15) < 0.02
    hidden = batch.tokens.reshape(-1)[batch.where]
    assert (batch.targets >= 5).all()
    assert abs(float((hidden == masking.mask).float().mean()) - 0.8) < 0.05
    assert abs(float((hidden == batch.targets).float().mean()) - 0.1) < 0.05


@given(st.integers(1, 9), st.integers(1, 40), st.booleans())
def test_a_pass_takes_every_row_once(batch: int, count: int, shuffle: bool) -> None:
    rows = Rows(
        tokens=np.arange(count, dtype=np.int16)[:, None].repeat(2, axis=1),
        documents=np.ones((count, 2), np.int16),
        learnt=np.array([[False, True]] * count),
    )
    feed = Feed(rows=rows, batch_rows=batch, seed=3, shuffle=shuffle, whole=False, masking=None)
    taken = [int(n) for step in range(count) for n in feed.batch(step).tokens[:, 0]]
    for begin in range(0, len(taken) - count + 1, count):
        assert sorted(taken[begin : begin + count]) == list(range(count))
    assert feed.tokens(count) == 2 * batch * count


def test_pieces_of_words_are_the_same_in_every_process(pieces: Tokenizer) -> None:
    texts = repr([one.text for one in text(120)])
    script = (
        "from harness_train.pretrain.vocabulary import word_pieces\n"
        f"print(word_pieces({texts}, 120).to_str())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == pieces.to_str()
    assert pieces.encode("house hill").tokens == ["[CLS]", "house", "hill", "[SEP]"]
    assert "[UNK]" not in pieces.encode("shole").tokens  # unseen, but of letters that are known


# --- sizes, rates, schedule -----------------------------------------------------------------------


@pytest.mark.parametrize("objective", ["causal", "mlm", "mlm+nsp"])
def test_counts_are_those_of_transformers_and_of_the_file(
    tmp_path: Path, objective: Objective
) -> None:
    from safetensors.torch import save_file

    shape = shape_of(objective=objective)
    network = Transformer(shape, 0)
    assert sum(p.numel() for p in network.parameters()) == shape.total
    made = network.checkpoint()
    save_file({k: v.detach() for k, v in made.weights.items()}, tmp_path / "x.safetensors")
    counted = count_parameters(list(read_header(tmp_path / "x.safetensors")), made.config)
    assert (counted.total, counted.non_embedding) == (shape.total, shape.non_embedding)


@given(st.integers(2, 6), st.floats(1e5, 1e9))
def test_sizes_grow_in_width_and_depth_up_to_the_largest(sizes: int, most: float) -> None:
    request = PretrainRequest(
        objective="causal", output=Path(), family=FamilyOptions(sizes=sizes, most=most)
    )
    shapes = shapes_of(request, 1000)
    counts = [shape.non_embedding for shape in shapes]
    assert (
        len(shapes) == sizes and counts == sorted(set(counts)) and most / 2.5 < counts[-1] <= most
    )
    assert all(a.layers <= b.layers and a.width < b.width for a, b in pairwise(shapes))


def test_a_learning_rate_falls_with_the_compute() -> None:
    shape = shape_of()
    compute = 6 * shape.non_embedding * 1000
    assert ruled_rate(shape, 1000) == pytest.approx(0.3118 * compute**-0.125)
    masked = shape_of(objective="mlm")
    compute = 6 * masked.non_embedding * 1000
    assert ruled_rate(masked, 1000) == pytest.approx(0.3118 * compute**-0.125 / 4)


@given(st.integers(1, 4), st.integers(40, 500))
def test_each_checkpoint_is_reached_at_no_rate(checkpoints: int, steps: int) -> None:
    schedule = schedule_of(steps, checkpoints, 0.03, 0.2)
    assert len(schedule.ends) == checkpoints and schedule.steps == steps
    for branch, end in enumerate(schedule.ends):
        rates = [schedule.rate(step, branch) for step in range(end)]
        assert max(rates) <= 1.01 and rates[-1] <= max(0.5, 1.01 / (0.2 * end))
        if branch:
            earlier = schedule.ends[branch - 1]
            assert schedule.begin(branch) >= schedule.begin(branch - 1)
            assert earlier * 2 == pytest.approx(end, abs=2)


@pytest.mark.parametrize("size", [(3, 16, 16), (2, 48, 16), (16, 48)])
def test_orthogonalised_matrices_have_singular_values_near_one(size: tuple[int, ...]) -> None:
    matrices = torch.randn(*size, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalised(matrices, steps=10))
    assert values.min() > 0.5 and values.max() < 1.4


# --- training -------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["stacked", "transformers"])
def test_a_causal_checkpoint_gives_the_networks_logits(
    tmp_path: Path, corpus: str, network: Any
) -> None:
    request = asked(tmp_path, corpus)
    request = replace(request, training=replace(request.training, network=network))
    rows = train(request)
    assert [row.outcome for row in rows] == ["complete", "complete"]
    assert rows[0].tokens * 2 == pytest.approx(rows[1].tokens, rel=0.1)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "tiny")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "tiny")
    assert tokenizer.decode(tokenizer("The red house.")["input_ids"][1:]) == "The red house."
    record = json.loads((tmp_path / "tiny" / "harness_model.json").read_text())
    assert record["losses"]["held_out"]["corpus"]["nats_per_token"] < math.log(300)
    assert sum(p.numel() for p in model.parameters()) == record["parameters"]["total"]
    assert record["train_flops"] == 6 * record["parameters"]["total"] * record["train_tokens"]


def test_masked_checkpoints_load_for_their_heads_and_for_tagging(
    tmp_path: Path, corpus: str
) -> None:
    train(asked(tmp_path / "pairs", corpus, "mlm+nsp"))
    train(asked(tmp_path / "masks", corpus, "mlm"))
    for folder, kind in (("pairs", "PreTraining"), ("masks", "MaskedLM")):
        place = tmp_path / folder / "tiny"
        _, found = getattr(transformers, f"AutoModelFor{kind}").from_pretrained(
            place, output_loading_info=True
        )
        assert not found["missing_keys"] and not found["unexpected_keys"]
        transformers.AutoModelForTokenClassification.from_pretrained(place, num_labels=3)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "pairs" / "tiny")
    coded = tokenizer("The red", "house")
    assert coded["token_type_ids"][-1] == 1 and tokenizer.mask_token == "[MASK]"


def test_what_the_text_shares_with_tasks_stands_below_the_models_scores(
    tmp_path: Path, corpus: str
) -> None:
    from harness.table import model_notes
    from harness_hf import build

    line = Path(corpus).read_text().split("\n\n")[0]
    samples = [Sample(id="1", requests=(Generate(prompt=line),), reference=None)]
    quiz = Evaluation(name="quiz", samples=lambda: samples)
    train(replace(asked(tmp_path, corpus), evaluations=(quiz,)))
    info = build(ModelSettings(argument=str(tmp_path / "tiny"))).info
    assert info.notes == ("its training text shares 13-grams of words with 1 of 1 samples of quiz",)
    (said,) = model_notes([CellRecord(model=info, task="quiz", status="complete")])
    assert said == f"Notes on models\n  tiny: {info.notes[0]}"


def test_training_learns(tmp_path: Path, corpus: str) -> None:
    request = asked(tmp_path, corpus)
    train(replace(request, training=replace(request.training, tokens=20_000)))
    lines = [json.loads(line) for line in (tmp_path / "logs" / "tiny.jsonl").open()]
    assert lines[-1]["train_nats_per_token"] < lines[0]["train_nats_per_token"] - 0.5
    assert lines[-1]["held_out"]["corpus"]["nats_per_token"] < 5


def test_the_same_seed_gives_the_same_weights_and_another_does_not(
    tmp_path: Path, corpus: str
) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        request = asked(tmp_path / name, corpus)
        train(replace(request, training=replace(request.training, seed=seed)))
    assert weights(tmp_path / "a" / "tiny") == weights(tmp_path / "b" / "tiny")
    assert weights(tmp_path / "a" / "tiny") != weights(tmp_path / "c" / "tiny")


@pytest.mark.parametrize(("objective", "optimizer"), [("causal", "adamw"), ("mlm+nsp", "muon")])
def test_an_interrupted_training_ends_in_the_same_weights(
    tmp_path: Path, corpus: str, monkeypatch: pytest.MonkeyPatch, objective: Any, optimizer: Any
) -> None:
    """Stopped at every fifth step: in the stem, in a branch, and where they part."""

    def request(folder: Path) -> PretrainRequest:
        made = asked(folder, corpus, objective)
        options = replace(made.training, optimizer=optimizer, average=0.1, tokens=4000)
        return replace(made, training=options)

    train(request(tmp_path / "whole"))
    plain, taken = Training._one_step, 0

    def step(self: Training, end: int) -> None:
        nonlocal taken
        taken += 1
        if taken % 5 == 0:
            raise KeyboardInterrupt
        plain(self, end)

    monkeypatch.setattr(Training, "_one_step", step)
    for _ in range(100):
        try:
            rows = train(request(tmp_path / "parts"))
            break
        except KeyboardInterrupt:
            continue
    names = [row.name for row in rows]
    assert len(names) == 2 and taken > 10
    for name in names:
        assert weights(tmp_path / "whole" / name) == weights(tmp_path / "parts" / name)
    assert log_of(tmp_path / "whole") == log_of(tmp_path / "parts")
    assert not list((tmp_path / "parts" / ".state").iterdir())


def log_of(folder: Path) -> list[tuple[int, int]]:
    lines = [json.loads(line) for line in (folder / "logs" / "tiny.jsonl").open()]
    return [(line["checkpoint"], line["step"]) for line in lines]


def test_a_finished_size_is_not_trained_again(tmp_path: Path, corpus: str) -> None:
    rows = train(asked(tmp_path, corpus))
    before = (tmp_path / "tiny" / "harness_model.json").stat().st_mtime_ns
    assert train(asked(tmp_path, corpus)) == rows
    assert (tmp_path / "tiny" / "harness_model.json").stat().st_mtime_ns == before


def test_a_loss_that_is_no_number_stops_that_size_and_no_other(
    tmp_path: Path, corpus: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = asked(tmp_path, corpus)
    two = (replace(TINY, name="bad", rates=(1e30,)), replace(TINY, name="good"))
    request = replace(
        request,
        family=replace(request.family, shapes=two),
        training=replace(request.training, clip=0.0),
    )
    rows = train(request)
    assert [(row.name, row.outcome) for row in rows if row.name[:3] == "bad"] == [
        ("bad", "diverged")
    ]
    assert "step" in rows[0].error and not (tmp_path / "bad").exists()
    assert rows[-1].name == "good" and rows[-1].outcome == "complete"
    assert train(request)[0] == rows[0]  # it is not tried again


def test_a_size_that_diverges_late_leaves_no_model_of_earlier_checkpoints(
    tmp_path: Path, corpus: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = asked(tmp_path, corpus)

    def late(job: PretrainingJob, training: Any, record: Any) -> None:
        if record["share"] == 1:
            raise DivergedError("too late")

    monkeypatch.setattr(PretrainingJob, "_refuse_useless", late)
    for _ in range(2):  # the second time it is remembered
        rows: list[TrainedModel] = []
        for row in PretrainingJob(request).run(lambda _: None):
            add_row(rows, row)
        assert [(row.name, row.outcome) for row in rows] == [("tiny", "diverged")]
        assert not list(tmp_path.rglob("harness_model.json"))


def test_another_plan_in_the_same_folder_is_refused(tmp_path: Path, corpus: str) -> None:
    request = asked(tmp_path, corpus)
    train(request)
    other = replace(request, training=replace(request.training, rate=0.02))
    with pytest.raises(UsageError, match="its rate is 0.01, and 0.02"):
        train(other)


def test_a_corpus_below_one_batch_is_refused(tmp_path: Path, corpus: str) -> None:
    request = asked(tmp_path, corpus)
    with pytest.raises(DataError, match="a smaller --batch-tokens"):
        train(replace(request, training=replace(request.training, batch_tokens=10**6)))


@pytest.mark.parametrize("objective", ["mlm", "mlm+nsp"])
def test_a_network_that_cannot_learn_so_is_refused(
    tmp_path: Path, corpus: str, objective: Objective
) -> None:
    request = asked(tmp_path, corpus, objective)
    for options in ({"network": "stacked"}, {"packing": "whole"}):
        with pytest.raises(UsageError, match="causal"):
            PretrainingJob(replace(request, training=replace(request.training, **options)))  # type: ignore[arg-type]


def test_what_does_not_fit_is_refused_before_training(tmp_path: Path, corpus: str) -> None:
    request = asked(tmp_path, corpus)
    huge = replace(TINY, width=65_536, heads=512, layers=200, hidden=200_000)
    job = PretrainingJob(replace(request, family=replace(request.family, shapes=(huge,))))
    assert "are free" in job.estimates()[0].refused
    with pytest.raises(UsageError, match="GB are free"):
        list(job.run(lambda _: None))
    assert not list(tmp_path.glob("*.json"))  # a smaller plan may have the folder


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="skipped: no folder that takes no files")
def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, corpus: str) -> None:
    with pytest.raises(SaveError, match="'/proc/models/pretrain.json' cannot be saved"):
        train(replace(asked(tmp_path, corpus), output=Path("/proc/models")))


def test_a_full_disk_leaves_nothing_that_looks_complete(tmp_path: Path, corpus: str) -> None:
    """A limit on the size of files stands for the disk."""
    request = asked(tmp_path, corpus)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, limits[1]))
    try:
        with pytest.raises(SaveError, match="cannot be saved"):
            train(request)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(tmp_path.rglob("harness_model.json"))
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp")]
    assert [row.outcome for row in train(request)] == ["complete", "complete"]


# --- the command ----------------------------------------------------------------------------------

RECIPE = """
objective = "causal"
[corpus]
files = ["text.txt"]
vocabulary = 300
steps = ["normalise"]
[family]
name = "toy"
context = 32
shapes = [{name = "tiny", width = 8, layers = 2, heads = 1, hidden = 16}]
[training]
batch_tokens = 128
tokens = 20_000
"""


@pytest.fixture
def recipe(tmp_path: Path, corpus: str) -> Path:
    (tmp_path / "text.txt").write_bytes(Path(corpus).read_bytes())
    (tmp_path / "toy.toml").write_text(RECIPE)
    return tmp_path / "toy.toml"


def test_kill_and_the_same_command_again(program: Program, recipe: Path) -> None:
    command = ("pretrain", str(recipe), "-o", "out")
    first = program.start(*command)
    log = program.folder / "out" / "logs" / "tiny.jsonl"
    for _ in range(600):
        if log.exists() and log.stat().st_size:
            break
        time.sleep(0.1)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert not list(program.folder.rglob("out/tiny/*"))
    done = program.json(*command)
    assert [model["outcome"] for model in done["models"]] == ["complete"]


def test_a_dry_run_shows_steps_and_sizes_and_trains_nothing(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from harness.cli import invoke

    monkeypatch.chdir(recipe.parent)
    assert (
        invoke(["pretrain", str(recipe), "--dry-run", "--sizes", "2", "--max-params", "9e3"]) == 0
    )
    said = capsys.readouterr().out
    assert "normalise" in said and "documents in" in said
    changed = ["--also", "near,exact", "--also", "symbols", "--skip", "normalise, near"]
    assert invoke(["pretrain", str(recipe), "--dry-run", *changed]) == 0
    other = capsys.readouterr().out
    assert [name for name in STEPS if f"\n{name} " in other] == ["symbols", "exact"]
    assert said.count("toy-") == 2 and "memory MB" in said
    assert not (recipe.parent / "models").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--corpus", "no.txt"), "no.txt"),
        (("--corpus", "text.txt", "--also", "stopword"), "Unknown step"),
        (("--corpus", "text.txt", "--also", "stopwords"), "without them"),
        (("--corpus", "text.txt", "--sizes", "9", "--max-params", "5e3"), "fewer --sizes"),
        (("--corpus", "text.txt", "--vocabulary", "100"), "at least 260"),
        (("--corpus", "text.txt", "--max-params", "1"), "smallest of all"),
        (("--corpus", "text.txt", "--packing", "tight"), "packing"),
        (("--corpus", "text.txt", "--against", "no-task"), "Unknown task"),
        (("--corpus", "text.txt", "--dtype", "float16"), "--dtype bfloat16"),
        (("--corpus", "text.txt", "--tokens", "-5"), "not above 0"),
        (("--corpus", "text.txt", "--tokenizer", "text.txt"), "cannot be read as a tokenizer"),
        (("no.toml",), "no recipe"),
    ],
)
def test_bad_input_is_refused_in_words(
    recipe: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    from harness.cli import invoke

    monkeypatch.chdir(recipe.parent)
    assert invoke(["pretrain", *arguments, "-o", "out"]) in (2, 4)
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error and len(error.splitlines()) <= 4
    assert not list(recipe.parent.glob("out/*"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("objective = 3", "Unknown objective"),
        ("[training]\nrate = 'fast'", "rate"),
        ("[training]\nrates = 3", "unknown entry 'rates'"),
        ("[[family.shapes]]\nname = 'x'", "shape"),
        ("[model]", "unknown entry 'model'"),
        ("x = ", "cannot be read as a recipe"),
    ],
)
def test_a_bad_recipe_is_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, said: str
) -> None:
    from harness.cli import invoke

    path = tmp_path / "bad.toml"
    path.write_text(change)
    assert invoke(["pretrain", str(path)]) in (2, 4)
    assert said in capsys.readouterr().err
