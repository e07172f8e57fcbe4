"""Tagging and classification heads, against transformers' own forward passes."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
from hf_tiny import CORPUS, write_head, write_wordpieces  # noqa: E402
from test_hf_models import ask  # noqa: E402

import harness_hf  # noqa: E402
from harness.errors import DataError, UsageError  # noqa: E402
from harness.plan import RunRequest, plan  # noqa: E402
from harness.plugins import load_registry  # noqa: E402
from harness.testing import check_model  # noqa: E402
from harness.types import Classify, Generate, Model, ModelSettings, Tag  # noqa: E402
from harness_hf.labels import Labels  # noqa: E402
from harness_hf.tagger import _owners, _spans  # noqa: E402

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
SENTENCES = (
    ("Ben", "loved", "the", "sea"),
    ("The", "keeper", "of", "the", "lighthouse", "wrote", "ships"),
    ("東京", "Ångström", "x"),
    ("fog",) * 9,
)
TEXTS = (("Only fog today.",), ("Ben loved the sea.", "He slept."), ("x",), ("naïve", "café boy"))
LABELS = (("negative", "0"), ("positive", "1"), ("neutral", "2"))


def model_of(scheme: str, path: Path, batch: int | None = None, **options: str) -> Model:
    spec = next(spec for spec in harness_hf.harness_models() if spec.name == scheme)
    settings = ModelSettings(argument=str(path), options=options, batch_size=batch, device="cpu")
    return spec.build(settings)


def tagger(folder: Path, labels: Sequence[str] = TAGS, kind: str = "bert") -> Any:
    return write_head(folder, kind, "TokenClassification", labels)


def classifier(folder: Path, labels: Sequence[str], kind: str = "bert") -> Any:
    return write_head(folder, kind, "SequenceClassification", labels)


@pytest.fixture(scope="module", params=["bert", "roberta", "gpt2", "fnet"])
def tagging(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp(request.param)
    return folder, tagger(folder, kind=request.param)


# --- tags -----------------------------------------------------------------------------------------


def test_each_word_has_the_tag_of_its_first_sub_token(tagging: Any) -> None:
    from transformers import AutoTokenizer

    folder, plain = tagging
    tokenizer = AutoTokenizer.from_pretrained(folder, add_prefix_space=True)
    expected = []
    for words in SENTENCES:
        found = tokenizer(list(words), is_split_into_words=True, return_tensors="pt")
        with torch.no_grad():
            best = plain(**found).logits[0].argmax(-1).tolist()
        first = {word: at for at, word in reversed(list(enumerate(found.word_ids())))}
        expected.append(tuple(TAGS[best[first[n]]] for n in range(len(words))))
    assert len({tag for tags in expected for tag in tags}) > 1
    for batch in (1, 2, None):
        answers = ask(model_of("hf-tagger", folder, batch), [Tag(tokens=s) for s in SENTENCES])
        assert [a.tags for a in answers] == expected


def test_no_words_no_tags_and_words_of_nothing_are_outside(tagging: Any) -> None:
    folder, _ = tagging
    empty, blank = ask(model_of("hf-tagger", folder), [Tag(tokens=()), Tag(tokens=("", "Ben"))])
    assert empty.tags == ()
    assert blank.tags is not None and blank.tags[0] == "O" and len(blank.tags) == 2


def test_words_that_a_tokenizer_makes_nothing_of_are_outside(tmp_path: Path) -> None:
    tagger(tmp_path, kind="gpt2")  # whose tokenizer puts nothing around a text
    sentences = [("",), ("", ""), ("Ben", "", "sea")]
    answers = ask(model_of("hf-tagger", tmp_path), [Tag(tokens=words) for words in sentences])
    assert [answer.tags for answer in answers[:2]] == [("O",), ("O", "O")]
    assert answers[2].tags is not None and answers[2].tags[1] == "O" and len(answers[2].tags) == 3


def test_long_sentences_are_read_in_overlapping_windows(tmp_path: Path) -> None:
    tagger(tmp_path)
    words = tuple(" ".join(CORPUS).split()) * 2
    model = model_of("hf-tagger", tmp_path, max_length="20")
    (answer,) = ask(model, [Tag(tokens=words)])
    assert answer.tags is not None and len(answer.tags) == len(words)
    short = model_of("hf-tagger", tmp_path)
    sent = model.tokens(Tag(tokens=words))  # type: ignore[attr-defined]
    assert len(sent) > 2 and all(len(one.ids) <= 20 for one in sent)
    # the beginning of a text is decided by its first window, which nothing before it changes
    (head,) = ask(short, [Tag(tokens=words[:4])])
    assert head.tags is not None


@given(lengths=st.lists(st.integers(0, 5), min_size=1, max_size=60), room=st.integers(5, 20))
def test_windows_hold_every_word_and_decide_each_once(lengths: list[int], room: int) -> None:
    spans = list(_spans(lengths, room))
    owners = _owners(lengths, spans)
    for start, end in spans:
        assert start < end and sum(lengths[start:end]) <= room
    for word, owner in enumerate(owners):
        start, end = spans[owner]
        assert start <= word < end
    assert spans[0][0] == 0 and spans[-1][1] == len(lengths)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (("O", "B-per", "I-per"), {"O", "B-PER", "I-PER"}),
        (("O", "PER", "LOC"), {"O", "I-PER", "I-LOC"}),
        (("O", "B_PER", "E_PER", "S_PER"), {"O", "B-PER", "E-PER", "S-PER"}),
    ],
)
def test_labels_are_told_as_tags(tmp_path: Path, labels: Sequence[str], expected: set[str]) -> None:
    tagger(tmp_path, labels)
    answers = ask(
        model_of("hf-tagger", tmp_path), [Tag(tokens=s, types=("PER",)) for s in SENTENCES]
    )
    given = {tag for answer in answers for tag in answer.tags or ()}
    assert given <= expected and given != {"O"}


def test_types_that_the_checkpoint_lacks_are_refused_and_may_be_renamed(tmp_path: Path) -> None:
    tagger(tmp_path)
    request = Tag(tokens=("Ben",), types=("person", "LOC"))
    with pytest.raises(UsageError) as error:
        ask(model_of("hf-tagger", tmp_path), [request])
    assert "finds PER, LOC; the task looks for person, LOC, of which it has no person" in str(
        error.value
    )
    assert "labels=PER=person" in str(error.value)
    (answer,) = ask(model_of("hf-tagger", tmp_path, labels="PER=person"), [request])
    assert answer.error is None
    with pytest.raises(UsageError, match="has no label 'PRE'"):
        ask(model_of("hf-tagger", tmp_path, labels="PRE=person"), [request])
    with pytest.raises(UsageError, match="is no pair"):
        model_of("hf-tagger", tmp_path, labels="PER")


def test_a_word_is_decided_where_it_stands_farthest_from_a_cut() -> None:
    assert _owners([1] * 12, [(0, 6), (3, 9), (6, 12)]) == [0] * 5 + [1] * 3 + [2] * 4


def test_one_label_of_a_head_stands_for_no_two_of_a_task() -> None:
    labels = Labels(names=("yes", "no"), who="hf-classifier:x")
    assert labels.order([("No",), ("Yes", "1")]) == (1, 0)
    with pytest.raises(UsageError, match="knows the labels yes, no; the task asks for Yes, true"):
        labels.order([("Yes",), ("true", "yes")])


def test_labels_without_a_name_are_no_tags(tmp_path: Path) -> None:
    tagger(tmp_path, ("LABEL_0", "LABEL_1"))
    with pytest.raises(UsageError, match="LABEL_0 to LABEL_1, which says no types"):
        ask(model_of("hf-tagger", tmp_path), [Tag(tokens=("Ben",))])


# --- classes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bert", "gpt2", "gpt2_padded"])
def test_label_probabilities_equal_transformers(tmp_path: Path, kind: str) -> None:
    from transformers import AutoTokenizer

    plain = classifier(tmp_path, ("Neutral", "Positive", "Negative"), kind)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    expected = []
    for texts in TEXTS:
        with torch.no_grad():
            logits = plain(**tokenizer(*texts, return_tensors="pt")).logits[0].double()
        table = logits.log_softmax(-1).tolist()
        expected.append([table[2], table[1], table[0]])
    for batch in (1, 3, None):
        model = model_of("hf-classifier", tmp_path, batch)
        answers = ask(model, [Classify(texts=t, labels=LABELS) for t in TEXTS])
        for answer, wanted in zip(answers, expected, strict=True):
            assert answer.logprobs == pytest.approx(wanted, abs=1e-4)


def test_numbered_labels_are_taken_in_the_tasks_order_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    classifier(tmp_path, ("LABEL_0", "LABEL_1", "LABEL_2"))
    named = Classify(texts=TEXTS[1], labels=LABELS)
    with caplog.at_level(logging.WARNING, logger="harness.hf"):
        (answer,) = ask(model_of("hf-classifier", tmp_path), [named])
    assert "LABEL_0 = negative, LABEL_1 = positive, LABEL_2 = neutral" in caplog.text
    swapped = Classify(texts=TEXTS[1], labels=(("x", "LABEL_1"), ("y", "LABEL_0")))
    (other,) = ask(model_of("hf-classifier", tmp_path), [swapped])
    assert answer.logprobs is not None and other.logprobs is not None
    assert other.logprobs == pytest.approx((answer.logprobs[1], answer.logprobs[0]))


def test_labels_that_do_not_match_are_refused_and_may_be_renamed(tmp_path: Path) -> None:
    classifier(tmp_path, ("Sports", "Sci/Tech"))
    request = Classify(texts=("x",), labels=(("Technology", "4"), ("Sports", "2")))
    with pytest.raises(UsageError) as error:
        ask(model_of("hf-classifier", tmp_path), [request])
    assert "knows the labels Sports, Sci/Tech; the task asks for Technology, Sports" in str(
        error.value
    )
    assert str(error.value).count("\n") <= 2
    model = model_of("hf-classifier", tmp_path, labels="Sci/Tech=Technology")
    (answer,) = ask(model, [request])
    assert answer.error is None


def test_a_text_that_is_too_long_is_cut_and_counted(tmp_path: Path) -> None:
    classifier(tmp_path, ("negative", "positive", "neutral"))
    model = model_of("hf-classifier", tmp_path, max_length="16")
    long = Classify(texts=(CORPUS[0] * 5, "short"), labels=LABELS)
    cut, whole = ask(model, [long, Classify(texts=("short",), labels=LABELS)])
    assert (cut.prompt_truncated, cut.prompt_tokens) == (True, 16)
    assert not whole.prompt_truncated
    (sent,) = model.tokens(long)  # type: ignore[attr-defined]
    assert sent.cut > 0 and len(sent.pieces) == 16
    assert sent.pieces[-5:] == (" sh", " ##o", " ##r", " ##t", "[SEP]")
    assert sent.at == sent.pieces.index("[SEP]")  # of the longer text the end is cut


def test_what_a_tokenizer_cuts_at_its_left_is_shown_there(tmp_path: Path) -> None:
    classifier(tmp_path, ("negative", "positive", "neutral"))
    path = tmp_path / "tokenizer_config.json"
    stored = json.loads(path.read_text(encoding="utf-8")) | {"truncation_side": "left"}
    path.write_text(json.dumps(stored), encoding="utf-8")
    model = model_of("hf-classifier", tmp_path, max_length="16")
    (sent,) = model.tokens(Classify(texts=(CORPUS[0],), labels=LABELS))  # type: ignore[attr-defined]
    assert (sent.at, sent.pieces[0], len(sent.ids)) == (1, "[CLS]", 16) and sent.cut > 0


@pytest.mark.parametrize(
    ("kind", "scheme", "passes"),
    [("gpt2", "hf-tagger", 1), ("gpt2", "hf-classifier", 3), ("gpt2_padded", "hf-classifier", 1)],
)
def test_only_who_needs_a_pad_id_reads_texts_one_by_one_without(
    tmp_path: Path, kind: str, scheme: str, passes: int
) -> None:
    names = ("O", "B-PER") if scheme == "hf-tagger" else ("negative", "positive", "neutral")
    (tagger if scheme == "hf-tagger" else classifier)(tmp_path, names, kind)
    requests = [
        Tag(tokens=(text,)) if scheme == "hf-tagger" else Classify(texts=(text,), labels=LABELS)
        for text in ("fog", "the sea", "Ben")
    ]
    model: Any = model_of(scheme, tmp_path)
    forward, seen = model._engine.head._forward, []
    model._engine.head._forward = lambda rows: seen.append(len(rows)) or forward(rows)
    ask(model, requests)
    assert len(seen) == passes and sum(seen) == 3


def test_a_text_without_a_token_has_no_label_and_no_other_suffers(tmp_path: Path) -> None:
    classifier(tmp_path, ("negative", "positive", "neutral"), "gpt2_padded")
    requests = [Classify(texts=text, labels=LABELS) for text in (("",), ("fog",))]
    empty, whole = ask(model_of("hf-classifier", tmp_path), requests)
    assert empty.error == "the tokenizer makes no token of this text"
    assert whole.error is None and whole.logprobs is not None


@pytest.mark.parametrize("scheme", ["hf-tagger", "hf-classifier"])
def test_a_token_that_the_model_lacks_fails_its_text_alone(tmp_path: Path, scheme: str) -> None:
    from transformers import AutoTokenizer

    names = ("O", "PER", "LOC") if scheme == "hf-tagger" else ("negative", "positive", "neutral")
    (tagger if scheme == "hf-tagger" else classifier)(tmp_path, names)
    codes = AutoTokenizer.from_pretrained(tmp_path)
    # as some do without making the embedding, which has 300 rows, larger
    codes.add_tokens([*(f"<{n}>" for n in range(300 - len(codes))), "<new>"])
    codes.save_pretrained(tmp_path)
    requests = [
        Tag(tokens=tuple(text.split()))
        if scheme == "hf-tagger"
        else Classify(texts=(text,), labels=LABELS)
        for text in ("The <new> fog", "The fog")
    ]
    strange, known = ask(model_of(scheme, tmp_path), requests)
    assert strange.error is not None and "gives token id" in strange.error
    assert known.error is None


def test_a_head_that_looks_for_an_end_names_the_tokenizer_without_one(tmp_path: Path) -> None:
    classifier(tmp_path, ("negative", "positive", "neutral"), "t5")
    with pytest.raises(DataError, match="its head refuses a text: Each example must") as error:
        ask(model_of("hf-classifier", tmp_path), [Classify(texts=("fog",), labels=LABELS)])
    assert len(str(error.value).splitlines()) == 2


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_heads_that_read_off_the_end_of_a_text_read_texts_together(
    tmp_path: Path, kind: str
) -> None:
    """But for those in which more ends stand, which are read alone; with equal answers."""
    from tokenizers import Tokenizer, processors
    from transformers import AutoTokenizer

    plain = classifier(tmp_path, ("negative", "positive", "neutral"), kind)
    path = str(tmp_path / "tokenizer.json")
    raw = Tokenizer.from_file(path)
    raw.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    raw.save(path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    texts = [("fog",), ("No ship today, only fog.",), ("the sea",), ("a</s>b",), ("Ben", "the sea")]
    asked = [Classify(texts=text, labels=LABELS) for text in texts]
    model: Any = model_of("hf-classifier", tmp_path)
    forward, seen = model._engine.head._forward, []
    model._engine.head._forward = lambda rows: seen.append(len(rows)) or forward(rows)
    assert [answer.error for answer in ask(model, asked[:3])] == [None] * 3
    assert seen == [3]
    for text, answer in zip(texts, ask(model, asked), strict=True):
        with torch.no_grad():
            logits = plain(**tokenizer(*text, return_tensors="pt")).logits[0].double()
        assert answer.logprobs == pytest.approx(logits.log_softmax(-1).tolist(), abs=1e-4)


# --- what cannot be -------------------------------------------------------------------------------


def test_heads_answer_only_what_they_are_for(tmp_path: Path) -> None:
    tagger(tmp_path)
    (answer,) = ask(model_of("hf-tagger", tmp_path), [Generate(prompt="a")])
    assert answer.error is not None and "cannot answer a generate request" in answer.error
    with pytest.raises(DataError, match="BertForTokenClassification, which gives no labels"):
        _ = model_of("hf-classifier", tmp_path).info
    with pytest.raises(DataError, match=r"cannot continue a text\.\nWrite hf-tagger:"):
        _ = model_of("hf", tmp_path).info


def test_a_regression_head_chooses_no_label(tmp_path: Path) -> None:
    classifier(tmp_path, ("score",))
    with pytest.raises(DataError, match="has the one label score: it chooses no label"):
        ask(model_of("hf-classifier", tmp_path), [Classify(texts=("a",), labels=LABELS)])


def test_a_checkpoint_without_its_head_is_named(tmp_path: Path) -> None:
    tagger(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    config["architectures"] = ["BertForSequenceClassification"]
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(DataError, match="missing"):
        ask(model_of("hf-classifier", tmp_path), [Classify(texts=("a",), labels=LABELS)])


def test_a_pooling_layer_that_no_tag_needs_does_no_harm(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tagger(tmp_path)
    file = tmp_path / "model.safetensors"
    weights = load_file(file) | {"bert.pooler.dense.weight": torch.zeros(32, 32)}
    save_file(weights, file, metadata={"format": "pt"})
    (answer,) = ask(model_of("hf-tagger", tmp_path), [Tag(tokens=("Ben",))])
    assert answer.error is None
    save_file(weights | {"bert.extra": torch.zeros(1)}, file, metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"1 surplus \(bert.extra\)"):
        ask(model_of("hf-tagger", tmp_path), [Tag(tokens=("Ben",))])


def test_parameters_of_an_encoder_leave_out_its_embeddings(tmp_path: Path) -> None:
    plain = tagger(tmp_path)
    counts = model_of("hf-tagger", tmp_path).info.parameters
    tables = sum(p.numel() for n, p in plain.named_parameters() if n.endswith("_embeddings.weight"))
    assert counts.total == sum(p.numel() for p in plain.parameters())
    assert counts.non_embedding == counts.total - tables


def test_words_before_positions_are_not_counted_as_room(tmp_path: Path) -> None:
    write_wordpieces(tmp_path)
    plain = write_head(tmp_path, "roberta", "TokenClassification", TAGS)
    positions = plain.config.max_position_embeddings
    assert model_of("hf-tagger", tmp_path).info.context_length == positions - 2


def test_a_task_without_a_set_of_labels_is_refused_before_anything_is_read() -> None:
    registry = load_registry()
    request = RunRequest(models=("hf-classifier:x",), tasks=("hellaswag:y",))
    with pytest.raises(UsageError, match="has no set of labels that all samples share"):
        plan(registry, request)
    cells = plan(registry, RunRequest(models=request.models, tasks=("sst2:y",))).cells
    assert cells[0].task.settings.kinds == {"classify"}


@pytest.mark.parametrize("scheme", ["hf-tagger", "hf-classifier"])
def test_heads_conform(tmp_path: Path, scheme: str) -> None:
    if scheme == "hf-tagger":
        tagger(tmp_path)
    else:
        classifier(tmp_path, ("No", "Yes"))
    results = check_model(f"{scheme}:{tmp_path},device=cpu")
    assert [result.line for result in results if result.status == "failed"] == []
    assert len(results) > 8
