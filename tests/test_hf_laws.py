"""One law for all: whatever the architecture, the tokenizer, the batch and the order, each answer
is what transformers gives for that request alone."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
from hf_tiny import CORPUS, write_model, write_tokenizer  # noqa: E402
from test_hf_models import ask, generated, logprob, model_at, tokenizer_at  # noqa: E402

from harness.types import Generate, Loglikelihood, Request  # noqa: E402
from harness_hf.tokens import Codec  # noqa: E402

ARCHITECTURES = (
    *("gpt2", "gpt2_untied", "gpt_neox", "llama", "llama_tied", "qwen2", "qwen3"),
    *("mistral_window", "gemma", "opt", "bloom"),
)
TOKENIZERS = (("bytes", False), ("bytes", True), ("pieces", True), ("bare", False))
STARTS = tuple(text[:at] for text in CORPUS[:3] for at in (4, 11, 30))
GOES_ON = (" there", " was a", "s", " fog.'\nThen", "", "é 東京")
REQUESTS = st.one_of(
    st.builds(Generate, prompt=st.sampled_from(STARTS), max_tokens=st.integers(1, 9)),
    st.builds(
        Loglikelihood,
        context=st.sampled_from((*STARTS, *(f"{start} " for start in STARTS))),
        continuation=st.sampled_from(GOES_ON),
    ),
)


@cache
def made(architecture: str, tokenizer: tuple[str, bool], side: str) -> tuple[Path, Any, Any]:
    """A checkpoint with this tokenizer, and both as transformers has them."""
    folder = Path(tempfile.mkdtemp(prefix="harness-test-"))
    plain = write_model(folder, architecture)
    kind, bos = tokenizer
    codes = write_tokenizer(folder, kind, bos=bos)
    codes.padding_side = side
    codes.save_pretrained(folder)
    # as transformers loads it: for some architectures it takes a class of its own
    return folder, plain, tokenizer_at(folder)


def answered(request: Request, plain: Any, codes: Any) -> str | float:
    if isinstance(request, Generate):
        return generated(plain, codes, request.prompt, request.max_tokens)
    assert isinstance(request, Loglikelihood)
    pair = Codec.of(codes, vocabulary=10**6).pair(request.context, request.continuation)
    return logprob(plain, pair.context.ids, pair.continuation)


@settings(max_examples=12)
@given(
    architecture=st.sampled_from(ARCHITECTURES),
    tokenizer=st.sampled_from(TOKENIZERS),
    side=st.sampled_from(["left", "right"]),
    requests=st.lists(REQUESTS, min_size=1, max_size=7),
    batch=st.sampled_from([None, 1, 2, 5]),
)
def test_every_answer_is_that_of_the_request_alone(
    architecture: str, tokenizer: tuple[str, bool], side: str, requests: Any, batch: Any
) -> None:
    torch.set_num_threads(1)
    folder, plain, codes = made(architecture, tokenizer, side)
    answers = ask(model_at(folder, batch), requests)
    for request, answer in zip(requests, answers, strict=True):
        wanted = answered(request, plain, codes)
        if isinstance(wanted, str):
            assert answer.text == wanted
        else:
            assert answer.logprob == pytest.approx(wanted, abs=1e-4)


def test_an_end_that_the_tokenizer_does_not_know_is_no_text() -> None:
    folder, plain, codes = made("gpt2_untied", ("bare", False), "left")
    request = Generate(prompt="Once upon a", max_tokens=1)
    assert ask(model_at(folder), [request])[0].text == answered(request, plain, codes) == ""
