"""Text files as a task: which documents there are, and what a model's answers say of them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from harness.errors import DataError, UsageError
from harness.metrics import value
from harness.types import Loglikelihood, Response, Task, TaskSettings
from harness_text import OPTIONS, harness_tasks
from harness_text.task import build, cut_documents


def task_of(path: Path | str, **options: str) -> Task:
    spec = next(spec for spec in harness_tasks() if spec.name == "text")
    return spec.build(TaskSettings(argument=str(path), options=options))


def test_lines_of_the_separator_end_documents() -> None:
    text = "\nfirst\n\nline\n<|endoftext|>\n \n<|endoftext|>\nsecond <|endoftext|> inside\n"
    assert cut_documents(text) == ["first\n\nline", "second <|endoftext|> inside"]


def test_text_without_separator_is_one_document() -> None:
    assert cut_documents("one\n\ntwo\n") == ["one\n\ntwo"]


def test_paragraphs_and_lines_as_documents() -> None:
    text = "one\ntwo\n \n\nthree\n"
    assert cut_documents(text, "paragraphs") == ["one\ntwo", "three"]
    assert cut_documents(text, "lines") == ["one", "two", "three"]


def test_documents_are_scored_alone_from_the_beginning(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("grün\n<|endoftext|>\nblau\n")
    first, second = task_of(tmp_path / "text").samples()
    assert first.requests == (Loglikelihood(context="", continuation="grün"),)
    assert (first.reference, second.reference) == (5, 4)


def test_grade_gives_bits_per_byte_and_perplexity(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("12345678")
    task = task_of(tmp_path / "text")
    (sample,) = task.samples()
    stats = task.grade(sample, [Response(logprob=-4 * math.log(2), tokens=2)])
    bits, perplexity = (value(metric, [stats[metric.name]]) for metric in task.metrics)
    assert bits == pytest.approx(0.5)
    assert perplexity == pytest.approx(4.0)


def test_unknown_token_count_leaves_perplexity_out(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("x")
    task = task_of(tmp_path / "text")
    (sample,) = task.samples()
    assert list(task.grade(sample, [Response(logprob=-1.0)])) == ["bits_per_byte"]


def test_max_chars_cuts_each_document(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("abcdef\n<|endoftext|>\ngh")
    assert [s.reference for s in task_of(tmp_path / "text", max_chars="3").samples()] == [3, 2]


def test_separators_alone_are_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("<|endoftext|>\n")
    with pytest.raises(DataError, match="holds no documents"):
        task_of(tmp_path / "text")


def test_command_errors_say_what_is_needed() -> None:
    with pytest.raises(UsageError, match="Write 'text:FILE' or 'text:data=FILE'"):
        build("text", TaskSettings(), OPTIONS)
    with pytest.raises(UsageError, match=r"no option 'max_char'. Did you mean 'max_chars'\?"):
        build("text", TaskSettings(argument="x", options={"max_char": "3"}), OPTIONS)
    with pytest.raises(UsageError, match="split=pages is not possible"):
        build("text", TaskSettings(argument="x", options={"split": "pages"}), OPTIONS)
    with pytest.raises(UsageError, match="given two files"):
        build("text", TaskSettings(argument="x", options={"data": "y"}), OPTIONS)


def test_tinystories_sample_has_five_stories(shared: Path) -> None:
    samples = list(task_of(shared / "models/text/tinystories_sample.txt").samples())
    assert len(samples) == 5
    assert sum(sample.reference for sample in samples) == 3717


@pytest.mark.parametrize(
    ("model", "max_chars", "tokens", "nats_per_token"),
    [("stories260K", {}, 1804, 1.2664), ("babyllama105", {"max_chars": "254"}, 1275, 0.6149)],
)
def test_published_likelihoods_of_real_checkpoints(
    shared: Path, model: str, max_chars: dict[str, str], tokens: int, nats_per_token: float
) -> None:
    """babyllama105's figure was measured on what fits its window: the first 254 characters."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    folder = str(shared / "models" / model)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    network = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    task = task_of(shared / "models/text/tinystories_sample.txt", **max_chars)
    stats = []
    for sample in task.samples():
        (request,) = sample.requests
        assert isinstance(request, Loglikelihood)
        ids = tokenizer(request.continuation, add_special_tokens=False).input_ids
        read = torch.tensor([[tokenizer.bos_token_id, *ids]])
        with torch.no_grad():
            logprobs = torch.log_softmax(network(read).logits[0, :-1].float(), -1)
        total = logprobs.gather(-1, read[0, 1:, None]).sum().item()
        stats.append(task.grade(sample, [Response(logprob=total, tokens=len(ids))]))
    bits, perplexity = task.metrics
    assert sum(one["perplexity"][1] for one in stats) == tokens
    measured = math.log(value(perplexity, [one["perplexity"] for one in stats]))
    assert measured == pytest.approx(nats_per_token, abs=5e-5)
    if not max_chars:
        bits_value = value(bits, [one["bits_per_byte"] for one in stats])
        assert bits_value == pytest.approx(0.8868, abs=5e-5)


@pytest.mark.parametrize(("unit", "count"), [("word", 3), ("byte", 13)])
def test_perplexity_is_per_word_or_byte_where_asked(tmp_path: Path, unit: str, count: int) -> None:
    (tmp_path / "text").write_text("one two\nthree\n")
    task = task_of(tmp_path / "text", perplexity=unit)
    (sample,) = task.samples()
    stats = task.grade(sample, [Response(logprob=-6.0, tokens=5)])
    assert stats[f"{unit}_perplexity"] == (6.0, count)
