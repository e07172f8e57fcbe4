"""What a checkpoint's settings of generation ask for and answers do without is told."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from hf_tiny import write_checkpoint, write_seq2seq  # noqa: E402
from test_hf_models import ask, generated, model_at, tokenizer_at  # noqa: E402

from harness.types import Generate, Loglikelihood  # noqa: E402
from harness_hf.checkpoint import open_checkpoint  # noqa: E402
from harness_hf.unheeded import unheeded  # noqa: E402


def change(path: Path, **settings: Any) -> None:
    stored = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    path.write_text(json.dumps(stored | settings), encoding="utf-8")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpt2")
    write_checkpoint(folder, "gpt2")
    return folder


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, None),
        ({"num_beams": 1, "repetition_penalty": 1.0, "no_repeat_ngram_size": 0}, None),
        ({"bad_words_ids": [], "suppress_tokens": None, "min_length": 0}, None),
        ({"do_sample": True, "temperature": 0.6, "top_p": 0.9, "max_length": 20}, None),
        ({"num_beams": 4, "length_penalty": 2.0}, "num_beams=4"),
        ({"repetition_penalty": 1.05, "min_length": 56}, "repetition_penalty=1.05, min_length=56"),
        ({"bad_words_ids": [[5]], "suppress_tokens": [7]}, "bad_words_ids, suppress_tokens"),
        ({"forced_bos_token_id": 0}, "forced_bos_token_id=0"),
    ],
)
def test_only_what_makes_other_texts_is_named(
    made: Path, settings: dict[str, Any], words: str | None
) -> None:
    path = made / "generation_config.json"
    path.unlink(missing_ok=True)
    change(path, eos_token_id=1, **settings)
    found = unheeded(open_checkpoint(made))
    assert found == (None if words is None else (words, "generation_config.json"))


def test_what_an_encoder_decoder_heeds_is_not_named(tmp_path: Path) -> None:
    write_seq2seq(tmp_path, "marian")
    path = tmp_path / "generation_config.json"
    change(path, bad_words_ids=[[2], [3]], suppress_tokens=[4], forced_bos_token_id=0)
    assert unheeded(open_checkpoint(tmp_path)) is None
    change(path, bad_words_ids=[[2, 3]], forced_eos_token_id=1, num_beams=6)
    words = "num_beams=6, bad_words_ids, forced_eos_token_id=1"
    assert unheeded(open_checkpoint(tmp_path)) == (words, path.name)


def test_the_configuration_is_asked_where_there_are_no_settings_of_generation(
    made: Path,
) -> None:
    (made / "generation_config.json").unlink(missing_ok=True)
    stored = (made / "config.json").read_text(encoding="utf-8")
    change(made / "config.json", no_repeat_ngram_size=3)
    try:
        assert unheeded(open_checkpoint(made)) == ("no_repeat_ngram_size=3", "config.json")
    finally:
        (made / "config.json").write_text(stored, encoding="utf-8")


def test_it_is_said_once_a_model_and_only_where_texts_are_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain, codes = write_checkpoint(tmp_path, "gpt2"), tokenizer_at(tmp_path)
    request = Generate(prompt="Once upon a time there was", max_tokens=12)
    greedy = generated(plain, codes, request.prompt, request.max_tokens)
    plain.generation_config.repetition_penalty = 5.0
    assert generated(plain, codes, request.prompt, request.max_tokens) != greedy
    plain.generation_config.save_pretrained(tmp_path)
    model = model_at(tmp_path)
    with caplog.at_level(logging.WARNING, logger="harness.hf"):
        ask(model, [Loglikelihood(context="Once", continuation=" upon")])
        assert caplog.records == []
        assert [answer.text for answer in ask(model, [request])] == [greedy]
        ask(model, [Generate(prompt="a", max_tokens=1)])
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"{tmp_path}: texts are written without repetition_penalty=5.0, which")
