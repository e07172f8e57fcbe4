"""The parts of fine-tuning: examples, shares, alignment, methods, costs."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

import hf_tiny  # noqa: E402
import train_tiny  # noqa: E402

from harness.errors import DataError, UsageError  # noqa: E402
from harness.training import FinetuneRequest, Method, Start  # noqa: E402
from harness.types import TaskSettings  # noqa: E402
from harness_hf.tokens import Codec  # noqa: E402
from harness_train.finetune import (  # noqa: E402
    costs,
    course,
    examples,
    losses,
    methods,
    ready,
    recording,
    starting,
    training,
)
from harness_train.finetune.cells import Cell  # noqa: E402
from harness_train.finetune.encoding import IGNORED, Encoder, collator  # noqa: E402
from harness_train.finetune.examples import Labelled, Prompted, Tagged  # noqa: E402

TAGS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny.write_bert(tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "llama"
    hf_tiny.write_model(folder, "llama")
    hf_tiny.write_tokenizer(folder)
    return folder


def base_of(folder: Path, kind: str, length: int | None = None) -> starting.Base:
    start = Start(folder=folder, name=folder.name, family="tiny")
    return starting.open_base(start, kind, length)  # type: ignore[arg-type]


def labelled(number: int) -> tuple[Labelled, ...]:
    return tuple(Labelled(texts=(f"text {i}",), label="ab"[i % 5 == 0]) for i in range(number))


def test_iob1_columns_are_learnt_as_iob2(tmp_path: Path) -> None:
    from harness_ner.sets import CONLL

    settings = TaskSettings(kinds=frozenset({"tag"}))
    read = {
        scheme: examples.read_examples(
            CONLL.build(
                TaskSettings(
                    argument=str(train_tiny.columns(tmp_path / scheme, 12, scheme=scheme)),
                    kinds=settings.kinds,
                )
            ),
            "tag",
            "--train",
        )
        for scheme in ("iob1", "iob2", "iobes")
    }
    assert read["iob1"] == read["iob2"] == read["iobes"]
    assert examples.labels_of(read["iob1"]) == TAGS


@given(st.floats(0.2, 1.0), st.floats(0.2, 1.0), st.integers(0, 9))
def test_a_smaller_share_lies_within_a_larger_one(a: float, b: float, seed: int) -> None:
    texts = labelled(20)
    small, large = (examples.share_of(texts, share, seed) for share in sorted((a, b)))
    assert set(small) <= set(large)
    assert {one.label for one in small if isinstance(one, Labelled)} == {"a", "b"}


def test_a_share_below_one_example_a_class_is_refused() -> None:
    with pytest.raises(DataError, match=r"share 0.05 of 20 examples is 1, .* 2 classes"):
        examples.share_of(labelled(20), 0.05, 0)


def test_a_label_that_training_never_shows_is_refused() -> None:
    with pytest.raises(DataError, match=r"--test has labels .* never show: B-ORG \(1×\)"):
        examples.check_labels(TAGS, [Tagged(tokens=("x",), tags=("B-ORG",))], "--test")


def test_validation_texts_are_a_tenth_and_not_trained_on() -> None:
    train, validation = examples.split(labelled(40), 0)
    assert len(validation) == 4 and not set(train) & set(validation)


def test_a_tag_is_learnt_at_the_first_piece_of_its_word(bert: Path) -> None:
    tokenizer = starting.load_tokenizer(base_of(bert, "tag"), "tag")
    text = Tagged(
        tokens=("Tila", "\x07", "is", "in", "Boria"), tags=("B-PER", "O", "O", "O", "B-LOC")
    )
    found = Encoder(tokenizer=tokenizer, length=64, labels=TAGS).encode([text], "x")
    (row,) = found.rows
    pieces = tokenizer.convert_ids_to_tokens(row["input_ids"])
    learnt = [(p, TAGS[n]) for p, n in zip(pieces, row["labels"], strict=True) if n != IGNORED]
    assert learnt == [("t", "B-PER"), ("is", "O"), ("in", "O"), ("b", "B-LOC")]
    assert found.unread == 1 and found.places == ((0, (0, 2, 3, 4)),)
    assert found.tokens == len(pieces)


def test_a_text_beyond_the_context_is_cut_and_counted(bert: Path) -> None:
    tokenizer = starting.load_tokenizer(base_of(bert, "tag"), "tag")
    text = Tagged(tokens=("is",) * 30, tags=("O",) * 30)
    found = Encoder(tokenizer=tokenizer, length=10, labels=TAGS).encode([text], "x")
    assert found.cut == 1 and found.places[0][1] == tuple(range(8))


def test_a_tokenizer_that_leaves_nothing_is_refused(bert: Path) -> None:
    tokenizer = starting.load_tokenizer(base_of(bert, "tag"), "tag")
    encoder = Encoder(tokenizer=tokenizer, length=64, labels=TAGS)
    with pytest.raises(DataError, match="the tokenizer leaves nothing of it"):
        encoder.encode([Tagged(tokens=("\x07",), tags=("O",))], "the training texts")


def test_the_loss_is_on_the_answer_and_its_end_only(llama: Path) -> None:
    base = base_of(llama, "generate")
    tokenizer = starting.load_tokenizer(base, "generate")
    codec = Codec.of(tokenizer, vocabulary=hf_tiny.EMBEDDED)
    encoder = Encoder(tokenizer=tokenizer, length=64, codec=codec)
    (row,) = encoder.encode([Prompted(prompt="the sea\n>", answer=" little")], "x").rows
    pair = codec.pair("the sea\n>", " little")
    answer = [*pair.continuation, tokenizer.eos_token_id]
    assert row["input_ids"] == [*pair.context.ids, *answer]
    assert row["labels"] == [IGNORED] * len(pair.context.ids) + answer


@pytest.mark.parametrize("first", [[], [0]])
def test_a_decoder_learns_what_is_forced_the_answer_and_its_end(
    tmp_path: Path, first: list[int]
) -> None:
    hf_tiny.write_seq2seq(tmp_path, "bart")
    hf_tiny.write_tokenizer(tmp_path)  # one that puts nothing behind a text
    base = base_of(tmp_path, "generate")
    tokenizer = starting.load_tokenizer(base, "generate")
    codec = Codec.of(tokenizer, vocabulary=hf_tiny.EMBEDDED)
    encoder = Encoder(tokenizer=tokenizer, length=12, codec=codec, before=[1, *first])
    long = Prompted(prompt="the sea and the ship " * 9, answer=" little", cut="end")
    endless = Prompted(prompt="the sea", answer="little " * 20)
    found = encoder.encode([Prompted(prompt="the sea", answer=" little"), long, endless], "x")
    assert (found.cut, found.left) == (1, 1)
    short, cut = found.rows
    assert short["input_ids"] == list(codec.whole("the sea").ids)
    assert cut["input_ids"] == list(codec.whole(long.prompt).within(12, "end").ids)
    assert short["labels"] == [*first, *codec.plain("little"), tokenizer.eos_token_id]


@pytest.mark.parametrize(
    ("put", "wanted"), [([1, 5], [1, 5, 1]), ([5, 1, 0], [5, 1, 0]), ([1], [1])]
)
def test_an_end_in_front_ends_nothing(put: list[int], wanted: list[int]) -> None:
    class Tokenizer:
        """Puts around an answer what the case asks for."""

        eos_token_id = 1

        def __call__(self, **_: object) -> dict[str, list[int]]:
            return {"input_ids": put}

    assert Encoder(tokenizer=Tokenizer(), length=12, before=[2])._written("x") == wanted


def test_texts_of_which_nothing_is_left_are_counted(bert: Path) -> None:
    tokenizer = starting.load_tokenizer(base_of(bert, "classify"), "classify")
    encoder = Encoder(tokenizer=tokenizer, length=8, labels=("a", "b"))
    empty, word = Labelled(texts=("\u200b",), label="a"), Labelled(texts=("we",), label="b")
    found = encoder.encode([empty, word], "x")
    assert (found.unread, len(found.rows)) == (1, 2)
    (note,) = recording.notes_of(SimpleNamespace(train=found))  # type: ignore[arg-type]
    assert note == "texts of which the tokenizer leaves nothing: 1"
    with pytest.raises(DataError, match="the tokenizer leaves nothing of it"):
        encoder.encode([empty, empty], "x")


def test_a_decoder_that_does_not_say_how_it_begins_is_refused(tmp_path: Path) -> None:
    hf_tiny.write_seq2seq(tmp_path, "t5")
    for path in (tmp_path / "config.json", tmp_path / "generation_config.json"):
        said = json.loads(path.read_text("utf-8"))
        said.pop("decoder_start_token_id", None)
        path.write_text(json.dumps(said), "utf-8")
    with pytest.raises(DataError, match="with which token its decoder begins"):
        base_of(tmp_path, "generate")


@pytest.mark.parametrize("key", ["decoder_start_token_id", "forced_bos_token_id"])
@pytest.mark.parametrize("value", ["</s>", -3, 9_000])
def test_a_beginning_that_is_no_token_of_the_model_is_refused(
    tmp_path: Path, key: str, value: object
) -> None:
    hf_tiny.write_seq2seq(tmp_path, "t5")
    path = tmp_path / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {key: value}), "utf-8")
    texts = ready.Texts(
        train=(Prompted(prompt="a", answer=" b"),),
        validation=(Prompted(prompt="a", answer=" b"),),
        labels=(),
    )
    with pytest.raises(DataError, match="are token ids|json gives token id 9,000"):
        base = base_of(tmp_path, "generate")
        request = SimpleNamespace(kind="generate")
        cell = Cell(start=base.start, method="full", share=1.0, seed=0)
        ready.make_ready(cell, base, texts, request)  # type: ignore[arg-type]


def test_relative_positions_may_be_trained_beyond_the_stated_length(tmp_path: Path) -> None:
    hf_tiny.write_seq2seq(tmp_path, "t5")
    start = Start(folder=tmp_path, name="t5", family="")
    assert starting.open_base(start, "generate", None).length == 512
    assert starting.open_base(start, "generate", 700).length == 700


def test_batches_are_padded_with_what_is_not_learnt() -> None:
    rows = [{"input_ids": [5, 6], "labels": [1, 2]}, {"input_ids": [7], "labels": [3]}]
    batch = collator(9)(rows)
    assert batch["input_ids"].tolist() == [[5, 6], [7, 9]]
    assert batch["labels"].tolist() == [[1, 2], [3, IGNORED]]
    assert batch["attention_mask"].tolist() == [[1, 1], [1, 0]]


def test_class_weights_are_those_of_scikit_learn() -> None:
    numpy = pytest.importorskip("numpy")
    utils = pytest.importorskip("sklearn.utils.class_weight")
    labels = [0] * 7 + [1] * 2 + [2]
    theirs = utils.compute_class_weight("balanced", classes=numpy.arange(3), y=labels)
    assert losses.class_weights(Counter(labels), 3) == pytest.approx(list(theirs))
    assert losses.class_weights(Counter(labels), 4)[3] == 1.0


def test_weighted_classes_learn_the_same_from_a_batch_and_from_its_halves(bert: Path) -> None:
    """Gradients add up over the steps of an update, so a batch's half must not count as a whole."""
    rows = [{"input_ids": [2, 5 + i, 3], "labels": int(i > 5)} for i in range(8)]
    data = SimpleNamespace(train=SimpleNamespace(rows=rows), labels=("a", "b"))
    weigh = losses.weighted_loss(data.train, 2)  # type: ignore[arg-type]
    learnt = []
    for size in (8, 4):
        with training.seeded(0):
            model = starting.load_model(base_of(bert, "classify"), "classify", data.labels, 0)
        for start in range(0, 8, size):
            batch = collator(0)(rows[start : start + size])
            labels = batch.pop("labels")
            weigh(model.eval()(**batch), labels, 8).backward()
        learnt.append(model.classifier.weight.grad)
    torch.testing.assert_close(*learnt)


def test_operations_are_six_a_parameter_and_token_where_all_is_trained() -> None:
    assert costs.flops_per_token(1000, 1000, "full") == 6000
    assert costs.flops_per_token(1000, 10, "lora") == 4020
    assert costs.flops_per_token(1000, 10, "head") == 2020


@pytest.mark.parametrize("method", ["lora", "adalora", "adapter"])
@pytest.mark.parametrize("kind", ["tag", "generate"])
def test_what_a_method_learns_is_merged_into_plain_weights(
    bert: Path, llama: Path, method: Method, kind: str
) -> None:
    base = base_of(bert if kind == "tag" else llama, kind)
    plain = starting.load_model(base, kind, TAGS, 0)  # type: ignore[arg-type]
    model = methods.apply_method(plain, method, kind, 20)  # type: ignore[arg-type]
    assert 0 < methods.trainable_parameters(model) < sum(p.numel() for p in model.parameters())
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.05)
        ids = torch.tensor([[3, 8, 9, 4]])
        before = model.eval()(input_ids=ids).logits
        merged = methods.plain_model(model, method)
        after = merged(input_ids=ids).logits
    assert type(merged).__module__.startswith("transformers.")
    assert torch.allclose(before, after, atol=1e-4)


@pytest.mark.parametrize("steps", [2, 3, 7, 30])
def test_adalora_ends_at_its_budget_however_few_steps_there_are(bert: Path, steps: int) -> None:
    model = starting.load_model(base_of(bert, "tag"), "tag", TAGS, 0)
    model = methods.apply_method(model, "adalora", "tag", steps)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-2)
    watch = course.watch(model, "tag", steps, SimpleNamespace())  # type: ignore[arg-type]
    ids = torch.tensor([[2, 8, 9, 3]])
    for step in range(steps):
        model(input_ids=ids, labels=torch.tensor([[0, 1, 2, 0]])).loss.backward()
        optimiser.step()
        watch.on_optimizer_step(None, SimpleNamespace(global_step=step), None)
        optimiser.zero_grad()
    ranks = [int((w != 0).sum()) for name, w in model.named_parameters() if "lora_E" in name]
    assert len(ranks) > 1 and sum(ranks) == methods.RANK * len(ranks)


def test_the_head_alone_is_trained_by_the_method_head(bert: Path) -> None:
    model = starting.load_model(base_of(bert, "tag"), "tag", TAGS, 0)
    methods.apply_method(model, "head", "tag", 20)
    names = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert names == {"classifier.weight", "classifier.bias"}


def test_a_method_unknown_to_an_architecture_is_refused(tmp_path: Path) -> None:
    base = base_of(train_tiny.write_distilbert(tmp_path / "distil"), "tag")
    model = starting.empty_model(base, "tag", TAGS)
    with pytest.raises(UsageError, match="'adapter' cannot be applied to .* 'distilbert'"):
        methods.apply_method(model, "adapter", "tag", 20)
    assert methods.trainable_parameters(methods.apply_method(model, "lora", "tag", 20)) > 0


@pytest.mark.parametrize(("method", "kind"), [("head", "generate")])
def test_a_method_without_a_plain_checkpoint_is_refused(method: Method, kind: str) -> None:
    with pytest.raises(UsageError, match=f"Method '{method}'"):
        methods.refuse_method(method, kind, "x")  # type: ignore[arg-type]


def test_an_encoder_cannot_be_trained_to_write(bert: Path) -> None:
    with pytest.raises(UsageError, match="'bert', which cannot be trained to write answers"):
        base_of(bert, "generate")


def test_a_length_beyond_the_context_is_refused(bert: Path) -> None:
    with pytest.raises(UsageError, match="--max-length 65 is more than the 64 tokens"):
        base_of(bert, "tag", 65)


def test_missing_weights_of_the_body_are_refused(bert: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for path in bert.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = load_file(bert / "model.safetensors")
    lost = next(name for name in weights if "attention.self.query.weight" in name)
    del weights[lost]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match="1 tensors are missing"):
        starting.load_model(base_of(tmp_path, "tag"), "tag", TAGS, 0)


def test_memory_grows_with_rows_and_shrinks_by_checkpointing() -> None:
    shape = costs.Shape(layers=4, width=64, heads=4, vocabulary=100)

    def of(rows: int, checkpointing: bool) -> int:
        return costs.memory_bytes(
            shape, total=10**6, trained=10**6, rows=rows, length=32, checkpointing=checkpointing
        )

    assert of(16, True) < of(16, False) < of(32, False)
    assert of(1, False) > 20 * 10**6


def test_the_generators_are_put_back() -> None:
    import random

    state = random.getstate(), torch.get_rng_state()
    with training.seeded(3):
        first = random.random(), float(torch.rand(1))
    with training.seeded(3):
        assert first == (random.random(), float(torch.rand(1)))
    assert random.getstate() == state[0] and torch.equal(torch.get_rng_state(), state[1])


def test_narrow_models_learn_faster_up_to_a_bound() -> None:
    assert methods.usual_rate("full", 768) == pytest.approx(5e-5)
    assert methods.usual_rate("full", 64) == pytest.approx(6e-4)
    assert methods.usual_rate("lora", 2) == methods.MOST_RATE
    assert math.isfinite(methods.usual_rate("head", 1))


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = train_tiny.write_bert(tmp_path / "bert")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 20}), encoding="utf-8")
    base = base_of(folder, "tag")
    text = Tagged(tokens=("we",) * 3, tags=("O", "B-PER", "I-PER"))
    texts = ready.Texts(train=(text,) * 4, validation=(text,), labels=TAGS)
    task = SimpleNamespace(samples=lambda: iter(()))
    request = FinetuneRequest(
        models=(base.start,),
        kind="tag",
        task="x",
        train=task,  # type: ignore[arg-type]
        output=tmp_path,
    )
    cell = Cell(start=base.start, method="full", share=1.0, seed=0)
    with pytest.raises(DataError, match="token id .*, the model embeds 20: they do not belong"):
        ready.make_ready(cell, base, texts, request)
