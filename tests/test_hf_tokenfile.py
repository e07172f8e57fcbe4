"""Tokenizers read straight from their files against what transformers makes of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hf_hub_shapes import END, SHAPES, listed, typed, write_shape
from hf_tiny import CORPUS, write_checkpoint, write_tokenizer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.types import ModelSettings

pytest.importorskip("transformers")

from harness_hf.checkpoint import Checkpoint
from harness_hf.options import read_options
from harness_hf.tokenfile import FileTokenizer, read_tokenizer

NASTY = [
    *CORPUS,
    *("<s>", "</s>", "<unk>", "<pad>", "<0x41>", END, "<|padding|>", "<|im_start|>", "<tool_call>"),
    *("<|begin_of_text|>", "<|eot_id|>", "<repo_name>", "▁", " ", "  ", "     ", "\n", "\r\n"),
    *("\t", "é", "e\u0301", "ﬁ", "ǅ", "🙂", "👩‍👩‍👧", "\u200b", "\u00a0", "東京", "12345", "don't"),
    *("\x00", "\ufeff", "\ufffd", "क्षि", "𝔘"),
]
TEXTS = st.one_of(
    st.text(max_size=30),
    st.lists(st.sampled_from(NASTY), max_size=6).map("".join),
    st.lists(st.sampled_from(NASTY), max_size=6).map(" ".join),
)


def read(folder: Path, **options: str) -> FileTokenizer | None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    asked = ModelSettings(argument=str(folder), options=options, device="cpu")
    checkpoint = Checkpoint(folder=folder, config=config, weights=(), notes={})
    return read_tokenizer(checkpoint, read_options("hf", asked, name=None, family=None))


def tokenizers(folder: Path) -> tuple[Any, Any]:
    """Ours and transformers'."""
    from transformers import AutoTokenizer

    ours = read(folder)
    assert ours is not None
    return ours, AutoTokenizer.from_pretrained(folder)


KINDS = ["bytes", "bytes-bos", "bare", "pieces", "nano", "shared", "baby", *SHAPES]
KINDS += [f"{shape} saved" for shape in SHAPES]
VARIANTS: dict[str, dict[str, Any]] = {
    "llama2 legacy": {"legacy": True},
    "llama2 unspaced": {"add_prefix_space": False},
    "llama3 neox": {"tokenizer_class": "GPTNeoXTokenizer"},  # which puts nothing around a text
    "qwen more": {"eos_token": "<tool_call>", "additional_special_tokens": ["<tool_call>", "the"]},
    "qwen extra": {"additional_special_tokens": ["<tool_call>"]},
    "qwen spaced": {"add_prefix_space": True},
    "opt unmarked": {"add_bos_token": False},
    "opt both": {"add_eos_token": True},
}


@pytest.fixture(scope="module", params=[*KINDS, *VARIANTS])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Any]:
    kind = request.param
    if kind == "nano":
        harness_nano = pytest.importorskip("harness_nano")
        return tokenizers(harness_nano.WEIGHTS / "nano-9k")
    if kind in ("shared", "baby"):
        name = "stories260K" if kind == "shared" else "babyllama105"
        return tokenizers(request.getfixturevalue("shared") / "models" / name)
    folder = tmp_path_factory.mktemp(kind)
    shape, _, saved = kind.partition(" ")
    if shape in SHAPES:
        write_shape(folder, shape, **VARIANTS.get(kind, {}))
        if saved == "saved":  # as who trains the model further saves it
            from transformers import AutoTokenizer

            again = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            again.save_pretrained(folder)
    else:
        write_checkpoint(folder)
        write_tokenizer(folder, kind.split("-")[0], bos=kind.endswith("bos"))
    return tokenizers(folder)


def compare_texts(ours: Any, theirs: Any, text: str, more: str, *, special: bool) -> None:
    for asked in (text, [text, more]):
        expected = theirs(asked, add_special_tokens=special)["input_ids"]
        assert ours(asked, add_special_tokens=special)["input_ids"] == expected


def compare_ids(ours: Any, theirs: Any, ids: list[int]) -> None:
    ids = [*ids, *theirs.get_added_vocab().values()]
    assert [ours.convert_ids_to_tokens(n) for n in ids] == theirs.convert_ids_to_tokens(ids)
    for skipped in (True, False):
        how = {"skip_special_tokens": skipped, "clean_up_tokenization_spaces": False}
        assert ours.decode(ids, **how) == theirs.decode(ids, **how)


def compare_selves(ours: Any, theirs: Any) -> None:
    assert len(ours) == len(theirs)
    assert ours.get_vocab() == theirs.get_vocab()
    assert ours.get_added_vocab() == theirs.get_added_vocab()
    assert (ours.bos_token_id, ours.eos_token_id) == (theirs.bos_token_id, theirs.eos_token_id)
    assert ours.all_special_tokens == theirs.all_special_tokens
    for name in ours.all_special_tokens:
        assert ours.convert_tokens_to_ids(name) == theirs.convert_tokens_to_ids(name)


@settings(max_examples=60, deadline=None)
@given(text=TEXTS, more=TEXTS, special=st.booleans(), data=st.data())
def test_texts_become_the_tokens_that_transformers_makes(
    pair: tuple[Any, Any], text: str, more: str, special: bool, data: st.DataObject
) -> None:
    ours, theirs = pair
    compare_texts(ours, theirs, text, more, special=special)
    compare_ids(ours, theirs, data.draw(st.lists(st.integers(0, len(theirs) - 1), max_size=12)))


def test_a_tokenizer_says_of_itself_what_transformers_says(pair: tuple[Any, Any]) -> None:
    compare_selves(*pair)


def test_opt_puts_its_mark_before_a_text(tmp_path: Path) -> None:
    write_shape(tmp_path, "opt")
    ours = read(tmp_path)
    assert ours is not None
    end = ours.convert_tokens_to_ids("</s>")
    assert ours("The")["input_ids"][0] == end == ours.bos_token_id
    assert ours("The", add_special_tokens=False)["input_ids"][0] != end


NAMES = st.sampled_from([..., None, END, "</s>", "<new>", typed("</s>"), typed(END, lstrip=True)])
CHANGES = {
    "tokenizer_class": st.sampled_from(
        [
            ...,
            *("GPT2Tokenizer", "GPT2TokenizerFast", "GPTNeoXTokenizerFast", "LlamaTokenizer"),
            *("LlamaTokenizerFast", "PreTrainedTokenizerFast", "Qwen2Tokenizer"),
            *("Qwen2TokenizerFast", "TokenizersBackend"),
        ]
    ),
    "add_prefix_space": st.sampled_from([..., True, False]),
    "add_bos_token": st.sampled_from([..., True, False]),
    "add_eos_token": st.sampled_from([..., True, False]),
    "legacy": st.sampled_from([..., None, True, False]),
    "bos_token": NAMES,
    "eos_token": NAMES,
    "pad_token": NAMES,
    "unk_token": NAMES,
    "additional_special_tokens": st.sampled_from([..., [], ["<more>"], [typed("<more>"), END]]),
    "extra_special_tokens": st.sampled_from([..., [], ["<other>"]]),
    "added_tokens_decoder": st.sampled_from(
        [
            ...,
            {},
            {"2": listed("</s>", normalized=True), "9000": listed("<far>", special=False)},
        ]
    ),
}


def test_a_special_token_that_is_said_in_two_ways_is_left_to_transformers(tmp_path: Path) -> None:
    write_shape(tmp_path, "gpt2", added_tokens_decoder={}, unk_token=typed(END, lstrip=True))
    assert read(tmp_path) is None


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    shape=st.sampled_from(sorted(SHAPES)),
    model_type=st.sampled_from([None, "gpt2", "gpt_neox", "llama", "mistral", "opt", "qwen3"]),
    apart=st.sampled_from([None, None, True, False]),
    changes=st.fixed_dictionaries({}, optional=CHANGES),
    texts=st.tuples(TEXTS, TEXTS),
    data=st.data(),
)
def test_whatever_the_settings_tokens_are_those_of_transformers_or_left_to_it(
    tmp_path_factory: pytest.TempPathFactory,
    shape: str,
    model_type: str | None,
    apart: bool | None,
    changes: dict[str, Any],
    texts: tuple[str, str],
    data: st.DataObject,
) -> None:
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("any")
    write_shape(folder, shape, model_type=model_type, apart=apart, **changes)
    ours = read(folder)
    if ours is None:
        return
    theirs = AutoTokenizer.from_pretrained(folder)
    compare_selves(ours, theirs)
    for special in (True, False):
        compare_texts(ours, theirs, *texts, special=special)
    compare_ids(ours, theirs, data.draw(st.lists(st.integers(0, len(theirs) - 1), max_size=12)))


@pytest.mark.parametrize(
    ("shape", "change"),
    [
        ("llama3", {"tokenizer_class": "CohereTokenizerFast"}),
        ("llama3", {"tokenizer_class": "PreTrainedTokenizer"}),
        ("llama3", {"eos_token": listed("</s>")}),
        ("llama3", {"eos_token": 3}),
        ("pythia", {"extra_special_tokens": {"image_token": "the"}}),
        ("pythia", {"image_token": "the"}),
        ("pythia", {"split_special_tokens": True}),
        ("pythia", {"fix_mistral_regex": True}),
        ("pythia", {"auto_map": {"AutoTokenizer": ["x.Y", None]}}),
        ("llama2", {"legacy": "yes"}),
    ],
)
def test_tokenizers_with_other_settings_are_left_to_transformers(
    tmp_path: Path, shape: str, change: dict[str, Any]
) -> None:
    write_shape(tmp_path, shape)
    assert read(tmp_path) is not None
    write_shape(tmp_path, shape, **change)
    assert read(tmp_path) is None


@pytest.mark.parametrize(
    "trouble", ["empty", "cut", "added", "kind", "chat", "tekken", "padding", "words", "renamed"]
)
def test_other_tokenizer_files_are_left_to_transformers(tmp_path: Path, trouble: str) -> None:
    write_shape(tmp_path, "pythia")
    path = tmp_path / "tokenizer.json"
    file = json.loads(path.read_text(encoding="utf-8"))
    if trouble == "empty":
        path.write_text("", encoding="utf-8")
    elif trouble == "cut":
        path.write_text(path.read_text(encoding="utf-8")[:-9], encoding="utf-8")
    elif trouble == "added":
        (tmp_path / "added_tokens.json").write_text("{}", encoding="utf-8")
    elif trouble == "kind":
        shutil.rmtree(tmp_path)
        write_checkpoint(tmp_path, "gemma")
    elif trouble == "tekken":
        (tmp_path / "tekken.json").write_text("{}", encoding="utf-8")
    elif trouble == "padding":
        how = {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None}
        file["padding"] = how | {"pad_id": 1, "pad_type_id": 0, "pad_token": "<|padding|>"}
        path.write_text(json.dumps(file), encoding="utf-8")
    elif trouble == "words":
        file["model"] = {"type": "WordLevel", "vocab": {"a": 0, "b": 1}, "unk_token": "a"}
        path.write_text(json.dumps(file), encoding="utf-8")
    elif trouble == "renamed":
        config = {"model_type": "gpt_neox", "_name_or_path": "deepseek-ai/deepseek-coder-x"}
        (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert read(tmp_path, **({"chat_template": "default"} if trouble == "chat" else {})) is None
