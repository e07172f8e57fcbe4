"""ROUGE equals rouge-score on the Perl script's vectors, real summaries and random texts."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.metrics import rouge, value
from harness.metrics.summaries import cjk_tokens, lcs_length

if TYPE_CHECKING:
    from pathlib import Path

KINDS = ("rouge1", "rouge2", "rouge3", "rougeL", "rougeLsum")
TEXT = st.lists(
    st.sampled_from(["a", "b", "cats", "running", "it's", "3rd", "\n", ".", "Ü", "c-d", ""]),
    max_size=25,
).map(" ".join)


def measured(kind: str, prediction: str, reference: Any, **options: Any) -> float:
    return rouge(kind, **options).stats(prediction, reference)[0] / 100


def test_rouge_155_vectors(shared: Path) -> None:
    path = shared / "data" / "vectors" / "rouge_155_google.json"
    cases = json.loads(path.read_text(encoding="utf-8"))["cases"]
    for case in cases:
        for measure, expected in case["expected"].items():
            got = measured(
                case["type"],
                case["prediction"],
                case["target"],
                stemmer=case["stemmer"],
                measure=measure,
            )
            assert got == pytest.approx(expected, abs=1e-5)
    assert len(cases) == 10


@pytest.mark.parametrize(("stemmer", "measure"), [(False, "fmeasure"), (True, "recall")])
def test_xsum_outputs_of_convs2s(shared: Path, stemmer: bool, measure: str) -> None:
    folder = shared / "data" / "xsum"
    expected = json.loads((folder / "convs2s.expected.json").read_text(encoding="utf-8"))
    means = expected[f"rouge_score_0.1.2_stemmer_{stemmer}"]

    def read(name: str) -> list[str]:
        with gzip.open(folder / name, "rt", encoding="utf-8") as stream:
            return stream.read().split("\n")[:-1]

    golds, outputs = read("gold-test-sentences.txt.gz"), read("convs2s-test-output.txt.gz")
    pairs = list(zip(outputs, golds, strict=True))
    for kind in ("rouge1", "rouge2", "rougeL"):
        scorer = rouge(kind, stemmer, measure=cast("Any", measure))
        got = value(scorer.metric, [scorer.stats(o, g) for o, g in pairs])
        assert got == pytest.approx(means[f"{kind}_{measure[0]}"], abs=5.1e-5)


@pytest.mark.parametrize(
    ("output", "gold"),
    [
        ("ptr_generator.out_pointer_gen_cov.txt", "ref.ptr_generator.txt"),
        ("bart.out.txt", "ref.bart.txt"),
        ("t5.out_small.txt", "ref.t5.txt"),
        ("presumm.out_ext_abs.txt", "ref.presumm.txt"),
    ],
)
def test_cnn_dailymail_outputs_with_stemmer(shared: Path, output: str, gold: str) -> None:
    folder = shared / "data" / "cnndm"
    expected = json.loads((folder / "expected.rouge_score.json").read_text())[output]

    def read(name: str) -> list[str]:
        texts = (folder / name).read_text(encoding="utf-8").split("\n")[:-1]
        return [t.replace("<t>", "").replace("</t>", "\n") for t in texts]

    for kind, wanted in expected["mean"].items():
        scorer = rouge(kind, stemmer=True)
        stats = [scorer.stats(o, g) for o, g in zip(read(output), read(gold), strict=True)]
        assert value(scorer.metric, stats) == pytest.approx(100 * wanted, abs=1e-9)
        for (score, _), line in zip(stats, expected["per_line"], strict=True):
            assert score / 100 == pytest.approx(line[kind], abs=5.1e-7)


@settings(max_examples=100, deadline=None)
@given(prediction=TEXT, references=st.lists(TEXT, min_size=1, max_size=3), stemmer=st.booleans())
def test_random_texts_equal_rouge_score(
    prediction: str, references: list[str], stemmer: bool
) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    wanted = RougeScorer(list(KINDS), use_stemmer=stemmer).score_multi(references, prediction)
    for kind in KINDS:
        for measure in ("precision", "recall", "fmeasure"):
            got = measured(kind, prediction, references, stemmer=stemmer, measure=measure)
            assert got == pytest.approx(getattr(wanted[kind], measure), abs=1e-12)


@given(a=st.lists(st.integers(0, 4), max_size=30), b=st.lists(st.integers(0, 4), max_size=30))
def test_the_bit_parallel_lcs_equals_the_table(a: list[int], b: list[int]) -> None:
    previous = [0] * (len(b) + 1)
    for x in a:
        row = [0]
        for j, y in enumerate(b):
            row.append(previous[j] + 1 if x == y else max(previous[j + 1], row[j]))
        previous = row
    assert lcs_length(a, b) == previous[-1]


def test_chinese_is_scored_by_characters() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    class ByHand:
        def tokenize(self, text: str) -> list[str]:
            return text.split()

    assert cjk_tokens("BLEU得分是12.5，很好") == [
        "bleu",
        "得",
        "分",
        "是",
        "12",
        "5",
        "很",
        "好",
    ]
    wanted = RougeScorer(["rougeL"], tokenizer=ByHand()).score(
        "今 天 天 气 好", "今 日 天 气 很 好"
    )
    got = measured("rougeL", "今日天气很好。", "今天天气好", tokenizer="cjk")
    assert got == pytest.approx(wanted["rougeL"].fmeasure)
    assert measured("rougeL", "今日天气很好。", "今天天气好") == 0.0


def test_the_best_of_several_references_counts() -> None:
    # The example in the documentation of Hugging Face's evaluate (a7dd3383), metrics/rouge.
    references = [["hello", "there"], ["general kenobi", "general yoda"]]
    pairs = list(zip(["hello there", "general kenobi"], references, strict=True))
    for kind, wanted in (("rouge1", 0.8333), ("rouge2", 0.5), ("rougeLsum", 0.8333)):
        scorer = rouge(kind)
        got = value(scorer.metric, [scorer.stats(*pair) for pair in pairs])
        assert round(got / 100, 4) == wanted


def test_an_unknown_kind_or_tokenizer_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"Unknown kind of ROUGE 'rougel'. Did you mean 'rougeL'"):
        rouge("rougel")
    with pytest.raises(UsageError, match="Unknown tokenizer 'zh'"):
        rouge(tokenizer="zh")
