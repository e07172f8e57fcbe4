from __future__ import annotations

from harness.rendering import render_record, render_sample
from harness.types import (
    Classify,
    Generate,
    Loglikelihood,
    Response,
    Sample,
    SampleRecord,
    Sent,
    Tag,
)


def test_edges_and_hidden_characters_can_be_seen() -> None:
    request = Generate(prompt="a \n\n b\u202e\x1b[31m", stop=("\n", "Q:"))
    text = render_sample(Sample(id="1", requests=(request,), reference="x", group="g"))
    assert '── sample 1 (group g)\ngenerate, at most 256 tokens, stop at "\\n" or "Q:"' in text
    assert "│ a \n│ \n│  b\\u202e\\x1b[31m\n" in text


def test_every_kind_of_answer_is_shown() -> None:
    record = SampleRecord(
        id="1",
        requests=(
            Loglikelihood(context="", continuation="text"),
            Loglikelihood(context="a", continuation="b"),
            Tag(tokens=("x", "y")),
            Generate(prompt="p"),
            Generate(prompt="q", cut="end"),
            Classify(texts=("x", "y"), labels=(("no", "0"), ("yes",))),
        ),
        responses=(
            Response(logprob=-1.5, tokens=2),
            Response(logprob=-0.25, prompt_truncated=True),
            Response(tags=("O", "B-PER")),
            Response(text="cut", truncated=True),
            Response(error="overheated"),
            Response(logprobs=(-0.5, -1.0), prompt_truncated=True),
        ),
        reference={"a": [1]},
        stats={"acc": (1.0, 2.5)},
        unparseable=True,
    )
    lines = render_record(record).splitlines()
    assert "loglikelihood of a text:" in lines
    assert "the answer: -1.5000 nats over 2 tokens" in lines
    assert "the answer (the prompt lost its beginning): -0.2500 nats" in lines
    assert "the answer: O B-PER" in lines
    assert "the answer (cut at the token limit):" in lines
    assert "no answer: overheated" in lines
    assert "classify as no | yes; the text:" in lines
    assert "the answer (the prompt lost its beginning): -0.5000 -1.0000 nats" in lines
    assert '│ {"a": [1]}' in lines
    assert "statistics of acc: 1 2.5" in lines
    assert any(line.startswith("unparseable") for line in lines)


def test_tokens_are_parted_and_what_is_scored_or_cut_is_said() -> None:
    sent = Sent(ids=(0, 5, 6, 7), pieces=("<s>", "a", "\n", " b"), scored=1, cut=3, at=1)
    request = Loglikelihood(context="a\n", continuation=" b")
    sample = Sample(id="1", requests=(request,), reference=0)
    text = render_sample(sample, lambda _: (sent,))
    assert "the model reads 4 tokens, scores the last 1, 3 were cut before number 2:" in text
    assert "│ <s>¦a¦\\n\n│ ‖ b\n" in text
    encoder = Sent(ids=(3,), pieces=("x",), role="encoder")
    assert "the encoder reads 1 tokens:\n│ x\n" in render_sample(sample, lambda _: (encoder,))
