"""Log-probabilities of a prompt from a server: of which tokens, and when they make no score."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from api_server import ApiServer, Body, Fault
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("openai")

import harness_openai
from harness.codec import flaw
from harness.errors import ModelError, UsageError
from harness.types import Loglikelihood, ModelSettings
from harness_openai.alignment import AlignmentError, first_after
from harness_openai.faults import RetryableError, UnanswerableError
from harness_openai.likelihood import Question, read_likelihood
from harness_openai.replies import read_echoed, read_generated


def model(server: ApiServer, endpoint: str = "completions") -> Any:
    options = {"endpoint": endpoint, "backoff": "0.01"}
    return harness_openai.build(ModelSettings(argument=f"m@{server.url}", options=options))


@given(st.data())
def test_the_boundary_is_found_in_whatever_form_the_tokens_come(data: st.DataObject) -> None:
    chunks = data.draw(
        st.lists(st.sampled_from(["a", "b c", " the", "\n", "問", "ß", "🙂"]), min_size=1)
    )
    pieces = {"問": 3, "🙂": 2} if data.draw(st.booleans()) else {}
    style = data.draw(st.sampled_from(["\ufffd", None, ""]))
    texts: list[str | None] = []
    starts = []
    at = 0
    for chunk in chunks:
        number = pieces.get(chunk, 1)
        shown: list[str | None] = [style] * number
        if number == 1 or style == "":
            shown[-1] = chunk
        starts.append((at, len(texts)))
        texts += shown
        at += len(chunk)
    bos = data.draw(st.sampled_from([[], ["<s>"], [None]]))
    boundary, index = data.draw(st.sampled_from(starts))
    unknown = set(pieces) if style != "" else set()
    try:
        found = first_after([*bos, *texts], "".join(chunks), boundary)
    except AlignmentError:
        assert unknown & set(chunks)  # only then may it be impossible to tell
        return
    if bos == [None] and chunks[0] in unknown:
        return  # a BOS without a text and the parts of a character look alike
    assert found == len(bos) + index


def test_tokens_that_are_not_the_prompt_are_refused() -> None:
    for texts in (["One", " two"], ["One", " two", " three", " four"], ["Two"], []):
        with pytest.raises(AlignmentError):
            first_after(texts, "One two three", 3)


WORDS = ("One", " two", " three", " four")
LOGPROBS = (None, -1.0, -2.0, -3.0)


def echoed(texts: Any, logprobs: Any, prompt_tokens: Any = None) -> Body:
    """A reply in the shape of OpenAI's, vLLM's and SGLang's, with a token generated after it."""
    listed = {"tokens": [*texts, " and"], "token_logprobs": [*logprobs, -0.5]}
    usage = {"prompt_tokens": prompt_tokens or len(texts), "completion_tokens": 1}
    return {"choices": [{"text": "", "logprobs": listed}], "usage": usage}


def listed(*entries: tuple[str | None, float | None]) -> Body:
    """A reply in the shape of vLLM's: the first token has no entry."""
    rows = [
        {str(i): {"logprob": logprob, "rank": 1, "decoded_token": text}}
        for i, (text, logprob) in enumerate(entries)
    ]
    return {"choices": [{"text": " and", "prompt_logprobs": [None, *rows]}]}


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (echoed(WORDS[2:], LOGPROBS[2:]), "do not make up the prompt"),
        (echoed(WORDS[:3], LOGPROBS[:3]), "do not make up the whole prompt"),
        (echoed((), ()), "do not make up the whole prompt"),
        (echoed(("Uno", " dos", " tres", " x"), LOGPROBS), "do not make up the prompt"),
        (echoed((*WORDS, *WORDS), (*LOGPROBS, *LOGPROBS)), "do not make up the prompt"),
        (echoed(WORDS, LOGPROBS[:3]), "no logprobs of its tokens"),
        (echoed(WORDS, (*LOGPROBS, -1.0)), "no logprobs of its tokens"),
        (echoed(WORDS, (None, -1.0, None, -3.0)), "gives a token no log-probability"),
        (echoed(WORDS, (None, -1.0, "-2", -3.0)), "gives a token no log-probability"),
        (echoed(WORDS, (None, -1.0, -9999.0, -3.0)), "gives a token no log-probability"),
        (echoed(WORDS, (None, -1.0, 2.0, -3.0)), "a probability above 1"),
        (echoed(("One", " two", None), LOGPROBS[:3]), "without their text"),
        (echoed(("One", None, " four"), LOGPROBS[:3]), "without their text"),
        (echoed(("\ufffd",), (-7.0,)), "without their text"),
        (echoed(("\ufffd",) * 4, LOGPROBS), "without their text"),
        (echoed((None,), (-7.0,)), "gives the first token of a text no text"),
        (echoed(("token_id:5", "token_id:7"), (None, -1.0)), "do not make up the prompt"),
        (listed((" two", -1.0), (" three", -2.0)), "do not make up the prompt"),
        (listed((" two", -1.0), (" three", -2.0), (" four", None)), "no log-probability"),
        (listed((" two", -1.0), (" three", -2.0), (" four", -3.0), ("!", -1.0)), "make up"),
        (listed((None, -1.0)), "cannot be scored"),
        (listed((None, -1.0), (None, -1.0), (None, -1.0)), "cannot be scored"),
        (listed(), "name what stands before it"),
    ],
)
def test_log_probabilities_of_anything_but_the_prompt_make_no_score(
    reply: Body, words: str
) -> None:
    asked = Question(prompt="".join(WORDS), boundary=len("One two"))
    route: Any = "prompt_logprobs" if "prompt_logprobs" in reply["choices"][0] else "echo"
    with pytest.raises(UnanswerableError, match=words):
        read_likelihood(asked, read_echoed(reply, route))


def test_log_probabilities_of_the_prompt_make_a_score() -> None:
    asked = Question(prompt="".join(WORDS), boundary=len("One two"))
    entries = tuple(zip(WORDS[1:], LOGPROBS[1:], strict=True))
    for found in (
        read_echoed(echoed(WORDS, LOGPROBS), "echo"),
        read_echoed(echoed(("<s>", *WORDS), (None, -9.0, *LOGPROBS[1:])), "echo"),
        read_echoed(listed(*entries), "prompt_logprobs"),
        read_echoed(listed(("One", -9.0), *entries), "prompt_logprobs"),
    ):
        answer = read_likelihood(asked, found)
        assert (answer.logprob, answer.tokens) == (-5.0, 2)


def test_a_token_across_the_boundary_belongs_to_the_continuation() -> None:
    assert first_after(["One", " twothree", "."], "One twothree.", 7) == 1


PROBED = ("One", " two", " three", " four", " five")


def test_a_server_to_which_every_token_is_certain_is_refused_before_the_run() -> None:
    reply = echoed(PROBED, (None, 0.0, 0.0, 0.0, 0.0))
    with (
        ApiServer(answer=lambda body: reply) as server,
        pytest.raises(UsageError, match="echo: every token has the log-probability 0"),
    ):
        model(server).prepare(frozenset({"loglikelihood"}))


def test_a_text_that_a_server_cuts_or_changes_is_an_error_of_its_own() -> None:
    def cutting(body: Body) -> Mapping[str, Any]:
        tokens = [f" {word}" for word in body["prompt"].split()]
        tokens[0] = tokens[0][1:]
        tokens = tokens[-5:]
        return echoed(tokens, (None, *(-1.0 for _ in tokens[1:])))

    asked = [Loglikelihood(context="a b c", continuation=" d" * n) for n in (2, 3, 1)]
    with ApiServer(answer=cutting) as server:
        answers = dict(model(server).respond(asked))
        assert [answers[i].logprob for i in range(3)] == [-2.0, None, -1.0]
        assert "do not make up the prompt" in str(answers[1].error)


def test_a_server_that_fails_at_one_way_is_asked_the_other_and_at_both_is_no_mistake() -> None:
    entries = tuple(zip(PROBED[1:], (-1.0,) * 4, strict=True))
    with ApiServer(
        answer=lambda body: listed(*entries),
        fault=lambda attempt, body: Fault() if "echo" in body else None,
    ) as server:
        model(server).prepare(frozenset({"loglikelihood"}))
    with (
        ApiServer(fault=lambda attempt, body: Fault()) as server,
        pytest.raises(ModelError, match="echo: no answer in 9 attempts; the last: 500"),
    ):
        model(server).prepare(frozenset({"loglikelihood"}))


def test_a_server_without_log_probabilities_is_refused_before_the_run() -> None:
    with ApiServer() as server:
        asked = model(server)
        with pytest.raises(UsageError, match="gives no log-probabilities") as caught:
            asked.prepare(frozenset({"loglikelihood"}))
        assert len(str(caught.value).splitlines()) == 2
        assert len(server.bodies) == 2 and all(b["max_tokens"] == 1 for b in server.bodies)
        with pytest.raises(UsageError, match="Add endpoint=completions"):
            model(server, "chat").prepare(frozenset({"loglikelihood"}))


FIELDS = [
    "choices",
    "text",
    "message",
    "content",
    "finish_reason",
    "usage",
    "logprobs",
    "tokens",
    "token_logprobs",
    "refusal",
    "top_logprobs",
    "prompt_logprobs",
    "logprob",
    "prompt_tokens",
    "completion_tokens",
    "decoded_token",
]
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["stop", "length", "One", " two", "three"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(FIELDS),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(JUNK, st.booleans(), st.sampled_from(["echo", "prompt_logprobs"]))
def test_whatever_a_server_says_is_an_answer_in_full_or_none(
    junk: Any, chat: bool, route: Any
) -> None:
    asked = Question(prompt="One two three", boundary=3)
    for data in (junk, {"choices": [junk]}, {"choices": [{"logprobs": junk, "message": junk}]}):
        if not isinstance(data, dict):
            continue
        with suppress(RetryableError, UnanswerableError):
            found = read_generated(data, chat=chat)
            assert isinstance(found.text, str)
        with suppress(RetryableError, UnanswerableError):
            likelihood = read_likelihood(asked, read_echoed(data, route))
            assert flaw(likelihood) is None
            assert likelihood.logprob is not None and likelihood.logprob <= 1e-2
