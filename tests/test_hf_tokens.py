"""Boundaries between context and continuation, windows, stop strings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("transformers")
from hf_tiny import VOCABULARY, write_tokenizer

from harness_hf.tokens import Codec, Pair, Prompt, Stops, TokenError, windows

KINDS = [("bytes", False), ("bytes", True), ("pieces", True), ("pieces", False), ("bare", False)]


def codec_of(folder: Path, kind: str, bos: bool) -> Codec:
    return Codec.of(write_tokenizer(folder, kind, bos=bos), vocabulary=VOCABULARY)


@pytest.fixture(scope="module", params=KINDS, ids=lambda k: f"{k[0]}{'-bos' * k[1]}")
def codec(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return codec_of(tmp_path_factory.mktemp("tokenizer"), *request.param)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    return codec_of(tmp_path_factory.mktemp("plain"), "bytes", False)


@pytest.fixture(scope="module")
def with_bos(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    return codec_of(tmp_path_factory.mktemp("bos"), "bytes", True)


def test_bos_exactly_once_iff_the_tokenizer_adds_it(codec: Codec) -> None:
    text = "Once upon a time"
    assert codec.encode(text) == tuple(codec.tokenizer(text)["input_ids"])
    if codec.prefix:
        assert codec.encode("<s>" + text).count(codec.prefix[0]) == 1


def test_pair_is_tokenised_together_with_spaces_moved(codec: Codec) -> None:
    pair = codec.pair("Once upon a time ", "there was")
    assert pair.context.ids == codec.encode("Once upon a time")
    assert pair.context.ids + pair.continuation == codec.encode("Once upon a time there was")


def test_empty_context_is_the_start_token(plain: Codec, with_bos: Codec) -> None:
    for codec in (plain, with_bos):
        pair = codec.pair("", "Once upon")
        assert pair.context.ids == (codec.tokenizer.bos_token_id,)
        assert pair.continuation == codec.plain("Once upon")


def test_blank_context_counts_as_empty(plain: Codec) -> None:
    assert plain.pair("  ", "Once").continuation == plain.plain("  Once")


def test_without_bos_and_eos_an_empty_context_is_an_error(tmp_path: Path) -> None:
    codec = codec_of(tmp_path, "bare", False)
    with pytest.raises(TokenError, match="no BOS or EOS"):
        codec.pair("", "Once")
    with pytest.raises(TokenError, match="no BOS or EOS"):
        codec.prompt("")


def test_a_continuation_swallowed_by_the_context_is_scored_alone(plain: Codec) -> None:
    # "th" + "e" may be one token, which is as many as the context has alone
    for context, continuation in (("Once upon a time ther", "e"), ("Once upo", "n")):
        assert plain.pair(context, continuation).continuation


def test_token_ids_beyond_the_model_are_refused(tmp_path: Path) -> None:
    codec = Codec.of(write_tokenizer(tmp_path), vocabulary=60)
    with pytest.raises(TokenError, match="the model knows 60"):
        codec.encode("~~~")


@given(text=st.text(max_size=30), more=st.text(max_size=30))
def test_bytes_round_trip_behind_any_context(plain: Codec, text: str, more: str) -> None:
    if "<s>" in text + more or "</s>" in text + more:
        return
    before, after = plain.encode(text), plain.encode(more)
    assert plain.text(before, after) == more


def test_decoding_keeps_the_leading_space(codec: Codec) -> None:
    whole = codec.encode("Once upon a time")
    before = codec.encode("Once")
    assert whole[: len(before)] == before
    assert codec.text(before, whole[len(before) :]) == " upon a time"


@given(
    context=st.integers(1, 12),
    continuation=st.integers(1, 40),
    most=st.integers(2, 10),
)
def test_windows_score_every_token_once_in_order(
    context: int, continuation: int, most: int
) -> None:
    ids = tuple(range(100, 100 + context + continuation))
    pair = Pair(context=Prompt(ids=ids[:context]), continuation=ids[context:])
    cut, kept = windows(pair, most=most)
    scored = [token for w in cut for token in w.ids[-w.scored :]]
    assert tuple(scored) == pair.continuation
    for window in cut:
        assert window.scored < len(window.ids) <= most + 1
        assert window.ids in [ids[i : i + len(window.ids)] for i in range(len(ids))]
    assert (kept.cut > 0) == (
        context + continuation > most + 1 and (continuation <= most or context > 1)
    )


def test_windows_equal_those_of_lm_evaluation_harness() -> None:
    # get_rolling_token_windows(range(10), prefix_token=-100, max_seq_len=4, context_len=1),
    # made disjoint, from the doctest of lm_eval/utils.py 0.4.13
    pair = Pair(context=Prompt(ids=(-100,)), continuation=tuple(range(10)))
    cut, kept = windows(pair, most=4)
    assert [w.ids for w in cut] == [(-100, 0, 1, 2, 3), (3, 4, 5, 6, 7), (5, 6, 7, 8, 9)]
    assert [w.scored for w in cut] == [4, 4, 2]
    assert not kept.cut


@pytest.mark.parametrize(
    ("side", "kept", "at"),
    [("start", (0, 14, 15, 1), 1), ("middle", (0, 11, 15, 1), 2), ("end", (0, 11, 12, 1), 3)],
)
def test_a_long_prompt_is_cut_where_the_task_says(
    side: Any, kept: tuple[int, ...], at: int
) -> None:
    prompt = Prompt(ids=(0, 11, 12, 13, 14, 15, 1), head=1, tail=1)
    short = prompt.within(4, side)
    assert (short.ids, short.cut, short.at) == (kept, 3, at)
    assert prompt.within(7, side) is prompt
    assert len(prompt.within(2, side).ids) == 2  # no room for anything but what is around


def test_bos_stays_when_a_prompt_is_cut(with_bos: Codec) -> None:
    prompt = with_bos.prompt("Once upon a time there was a boy")
    short = prompt.within(3, "start")
    assert short.ids == (0, *prompt.ids[-2:])


def test_earliest_stop_string_wins() -> None:
    assert Stops(strings=("b", "ab", "\n")).find("xab\n") == 1
    assert Stops(strings=("", "z")).find("xab") is None


@given(text=st.text("ab\n", max_size=12), stop=st.text("ab\n", min_size=1, max_size=3))
def test_text_before_a_stop_holds_none(text: str, stop: str) -> None:
    at = Stops(strings=(stop,)).find(text)
    assert (at is None) == (stop not in text)
    if at is not None:
        assert stop not in text[:at]
        assert text[at:].startswith(stop)
