"""One law for all: whatever the architecture, the tokenizer, the batch and the order, each answer
is what transformers gives for that request alone."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
from hf_tiny import CORPUS, write_head, write_model, write_seq2seq, write_tokenizer  # noqa: E402
from test_hf_heads import model_of  # noqa: E402
from test_hf_models import ask, generated, logprob, model_at, tokenizer_at  # noqa: E402
from test_hf_seq2seq import KINDS as SEQ2SEQ_KINDS  # noqa: E402
from test_hf_seq2seq import expected_logprob, first_tokens, written  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402

from harness.types import Classify, Generate, Loglikelihood, Request, Tag  # noqa: E402
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


@cache
def made_seq2seq(kind: str, side: str) -> tuple[Path, Any, Any]:
    folder = Path(tempfile.mkdtemp(prefix="harness-test-"))
    plain = write_seq2seq(folder, kind)
    turn_tokenizer(folder, side)
    return folder, plain, tokenizer_at(folder)


def turn_tokenizer(folder: Path, side: str) -> None:
    """Let the tokenizer in ``folder`` pad and cut at ``side``."""
    path = folder / "tokenizer_config.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    stored |= {"padding_side": side, "truncation_side": side}
    path.write_text(json.dumps(stored), encoding="utf-8")


def translated(request: Request, plain: Any, codes: Any) -> str | float:
    """What transformers answers to ``request`` alone."""
    before = first_tokens(plain)
    if isinstance(request, Generate):
        ids = codes(request.prompt, return_tensors="pt").input_ids
        most = request.max_tokens + len(before) - 1
        text: str = codes.decode(written(plain, ids, most)[1:], skip_special_tokens=True)
        return text
    assert isinstance(request, Loglikelihood)
    kept = request.context.rstrip()
    text = request.context[len(kept) :] + request.continuation
    rest = codes(text, add_special_tokens=False).input_ids
    return float(expected_logprob(plain, codes(kept).input_ids, before, rest))


@settings(max_examples=12)
@given(
    kind=st.sampled_from(SEQ2SEQ_KINDS),
    side=st.sampled_from(["left", "right"]),
    requests=st.lists(REQUESTS, min_size=1, max_size=7),
    batch=st.sampled_from([None, 1, 2, 5]),
)
def test_every_answer_of_an_encoder_decoder_is_that_of_the_request_alone(
    kind: str, side: str, requests: Any, batch: Any
) -> None:
    torch.set_num_threads(1)
    folder, plain, codes = made_seq2seq(kind, side)
    assert (codes.padding_side, codes.truncation_side) == (side, side)
    answers = ask(model_at(folder, batch), requests)
    for request, answer in zip(requests, answers, strict=True):
        wanted = translated(request, plain, codes)
        text = request.prompt if isinstance(request, Generate) else request.context.rstrip()
        assert answer.prompt_tokens == len(codes(text).input_ids)
        if isinstance(wanted, str):
            assert answer.text == wanted
        else:
            assert answer.logprob == pytest.approx(wanted, abs=1e-4)


@cache
def made_head(kind: str, head: str, labels: tuple[str, ...], side: str) -> tuple[Path, Any]:
    folder = Path(tempfile.mkdtemp(prefix="harness-test-"))
    plain = write_head(folder, kind, head, labels)
    turn_tokenizer(folder, side)
    return folder, plain


HEADED = st.sampled_from(["bert", "roberta", "llama", "gpt2", "gpt2_padded"])
TEXTS = st.sampled_from((*STARTS, " ".join(CORPUS)))  # the last one is longer than any context


@settings(max_examples=10)
@given(
    kind=HEADED,
    side=st.sampled_from(["left", "right"]),
    texts=st.lists(
        st.one_of(st.tuples(TEXTS), st.tuples(TEXTS, TEXTS)), min_size=1, max_size=6, unique=True
    ),
    batch=st.sampled_from([None, 1, 2, 5]),
)
def test_every_text_has_the_labels_that_it_has_alone(
    kind: str, side: str, texts: Any, batch: Any
) -> None:
    torch.set_num_threads(1)
    names = ("No", "Yes", "Maybe")
    folder, plain = made_head(kind, "SequenceClassification", names, side)
    codes, model = tokenizer_at(folder), model_of("hf-classifier", folder, batch)
    most = model.info.context_length
    requests = [Classify(texts=text, labels=tuple((name,) for name in names)) for text in texts]
    for text, answer in zip(texts, ask(model, requests), strict=True):
        read = codes(*text, truncation=True, max_length=most, return_tensors="pt")
        with torch.no_grad():
            wanted = plain(**read).logits[0].double().log_softmax(-1).tolist()
        assert answer.logprobs == pytest.approx(wanted, abs=1e-4)
        assert answer.prompt_tokens == read.input_ids.shape[1]
        assert answer.prompt_truncated is (len(codes(*text)["input_ids"]) > most)


@settings(max_examples=10)
@given(
    kind=HEADED,
    side=st.sampled_from(["left", "right"]),
    sentences=st.lists(TEXTS.filter(lambda text: len(text) < 50), min_size=1, max_size=6),
    batch=st.sampled_from([None, 1, 2, 5]),
)
def test_every_word_has_the_tag_that_it_has_alone(
    kind: str, side: str, sentences: Any, batch: Any
) -> None:
    torch.set_num_threads(1)
    tags = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
    folder, plain = made_head(kind, "TokenClassification", tags, side)
    codes = AutoTokenizer.from_pretrained(folder, add_prefix_space=True)
    requests = [Tag(tokens=tuple(text.split())) for text in sentences]
    for request, answer in zip(
        requests, ask(model_of("hf-tagger", folder, batch), requests), strict=True
    ):
        read = codes(list(request.tokens), is_split_into_words=True, return_tensors="pt")
        with torch.no_grad():
            best = plain(**read).logits[0].argmax(-1).tolist()
        first = {word: at for at, word in reversed(list(enumerate(read.word_ids())))}
        wanted = tuple(tags[best[first[n]]] for n in range(len(request.tokens)))
        assert (answer.tags, answer.prompt_tokens) == (wanted, read.input_ids.shape[1])
