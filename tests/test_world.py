"""The mini-world: it grows the same everywhere, and its held-out sets are held out."""

from __future__ import annotations

import math
import subprocess
import sys
from importlib.resources import files
from itertools import islice

import pytest

import harness_world
from harness.errors import UsageError
from harness.metrics import spans_from_tags, value
from harness.testing import check_task
from harness.types import RequestKind, Response, Sample, Tag, TaskSettings
from harness_world import SPLITS
from harness_world.answers import placed, read_names
from harness_world.draws import Draws, Weighted, zipf
from harness_world.examples import TASKS, held_out, is_held_out, training
from harness_world.lexicon import grow
from harness_world.records import data_name, items, written
from harness_world.tasks import WorldTask, build

BOTH = frozenset({"generate", "loglikelihood"})


def task_of(name: str) -> WorldTask:
    task = build(name, TaskSettings(kinds=BOTH))
    assert isinstance(task, WorldTask)
    return task


def score(task: WorldTask, answer: str | None) -> dict[str, float]:
    """Scores of the right answers, or of one constant answer, with log-probability 0."""
    samples = list(task.samples())
    stats = []
    for sample in samples:
        right = task.oracle(sample)
        given = right[0] if answer is None else Response(text=answer)
        stats.append(task.grade(sample, [given, right[1]]))
    return {m.name: value(m, [s[m.name] for s in stats]) for m in task.metrics}


@pytest.mark.parametrize("task", TASKS)
def test_held_out_set_grows_from_the_seed_byte_for_byte(task: str) -> None:
    carried = files("harness_world").joinpath("data", data_name(task)).read_bytes()
    assert written(held_out(task)).encode() == carried


def test_no_held_out_prompt_is_trained_on() -> None:
    held = {item.prompt for task in TASKS for item in items(task)}
    assert all(is_held_out(prompt) for prompt in held)
    assert not any(example.prompt in held for example in islice(training(), 10_000))


def test_questions_of_a_passage_are_new_as_passages_too() -> None:
    passages = {i.prompt.split("\n")[0] for i in items("qa") if i.id.startswith("passage-5")}
    seen = {e.prompt.split("\n")[0] for e in islice(training(), 10_000) if e.task == "qa"}
    assert passages and not passages & seen


def test_training_stream_repeats_from_its_seed() -> None:
    assert list(islice(training(), 50)) == list(islice(training(), 50))
    assert list(islice(training(2), 50)) != list(islice(training(), 50))


def test_world_depends_on_its_seed() -> None:
    assert grow(1).nouns.items == grow(1).nouns.items
    assert grow(1).nouns.items != grow(2).nouns.items


def test_draws_are_those_of_every_python_version() -> None:
    draws = Draws(5)
    assert [draws.below(1000) for _ in range(4)] == [622, 741, 795, 942]
    assert draws.shuffled("abcdef") == list("dcbafe")


def test_draws_follow_the_weights() -> None:
    draws, bag = Draws(1), Weighted("ab", [3, 1])
    share = sum(bag.draw(draws) == "a" for _ in range(4000)) / 4000
    assert share == pytest.approx(0.75, abs=0.03)


def test_zipf_prefers_the_first_ranks() -> None:
    draws, bag = Draws(1), zipf(range(100))
    drawn = [bag.draw(draws) for _ in range(2000)]
    assert drawn.count(0) > drawn.count(5) > drawn.count(50)


def test_mentions_stand_where_they_say() -> None:
    for item in items("ner"):
        names = "; ".join(f"{label}: {item.source[a:b]}" for label, a, b in item.spans)
        assert (names or "none") == item.answer


def test_a_fifth_of_the_held_out_names_is_never_trained_on() -> None:
    names = [item.source[a:b] for item in items("ner") for _, a, b in item.spans]
    seen = {
        e.source[m.start : m.end]
        for e in islice(training(), 20_000)
        for m in e.mentions
        if e.task == "ner"
    }
    assert 0.1 < sum(name not in seen for name in names) / len(names) < 0.35


@pytest.mark.parametrize("name", TASKS)
def test_the_right_answers_score_the_maximum(name: str) -> None:
    scores = score(task_of(name), None)
    bits = scores.pop("bits_per_byte")
    assert bits == 0 and list(scores.values()) == pytest.approx([100.0] * len(scores))


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("answer", ["", ";:", "PER: ", "PER: x; LOC: y"])
def test_wrong_answers_score_nearly_nothing(name: str, answer: str) -> None:
    scores = score(task_of(name), answer)
    assert all(math.isfinite(one) and one < 5 for one in scores.values())


def test_bits_per_byte_weighs_what_follows_the_prompt() -> None:
    task = task_of("translation")
    sample = next(task.samples())
    size = len(f" {sample.reference}".encode())
    stats = task.grade(sample, [Response(text=""), Response(logprob=-math.log(2) * size)])
    assert stats["bits_per_byte"] == pytest.approx((size, size))


def test_a_model_without_logprobs_is_asked_for_answers_only() -> None:
    task = build("qa", TaskSettings(kinds=frozenset({"generate"})))
    assert all(len(sample.requests) == 1 for sample in task.samples())
    assert "bits_per_byte" not in [metric.name for metric in task.metrics]


def test_second_mention_of_a_name_is_its_second_place() -> None:
    text = "Bava lies near Bava."
    names, readable = read_names("LOC: Bava; LOC: Bava")
    assert readable and placed(names, text) == [("LOC", 0, 4), ("LOC", 15, 19)]


def test_name_within_a_longer_word_is_not_found() -> None:
    assert placed([("LOC", "Bava")], "Bavath is far.") == [("LOC", -1, -1)]


def test_unreadable_list_is_counted_and_its_readable_part_graded() -> None:
    sample = Sample(
        id="1",
        requests=(),
        reference={"answer": "PER: Tila", "text": "Tila is here.", "spans": [["PER", 0, 4]]},
    )
    stats = task_of("ner").grade(sample, [Response(text="PER: Tila; and"), Response()])
    assert stats["unparseable"] == (1.0,) and stats["entity_f1"] == (1.0, 1.0, 1.0)


def split_of(name: str, split: str, kinds: frozenset[RequestKind] = BOTH) -> list[Sample]:
    options = {"split": split, "items": "40"} if split != "test" else {}
    task = build(name, TaskSettings(kinds=kinds, options=options))
    return list(task.samples())


@pytest.mark.parametrize("name", ["ner", "qa"])
def test_no_prompt_is_in_two_splits(name: str) -> None:
    splits = [{s.requests[0] for s in split_of(name, split)} for split in SPLITS]
    assert [len(one) for one in splits] == [300, 40, 40]
    assert len(set().union(*splits)) == 380


@pytest.mark.parametrize("split", SPLITS)
def test_tags_mark_the_same_names_as_the_written_answer(split: str) -> None:
    tag: frozenset[RequestKind] = frozenset({"tag"})
    task = build("ner", TaskSettings(kinds=tag))
    for tagged, asked in zip(split_of("ner", split, tag), split_of("ner", split), strict=True):
        request, text = tagged.requests[0], asked.reference["text"]
        assert isinstance(request, Tag)
        found = spans_from_tags(task.oracle(tagged)[0].tags or ())
        names = [(kind, "".join(request.tokens[a:b])) for kind, a, b in found]
        spans = asked.reference["spans"]
        assert names == [(kind, text[a:b].replace(" ", "")) for kind, a, b in spans]


def test_one_tag_a_word_is_wanted() -> None:
    task = build("ner", TaskSettings(kinds=frozenset({"tag"})))
    sample = next(iter(task.samples()))
    assert task.grade(sample, [Response(tags=())])["unparseable"] == (1.0,)


@pytest.mark.parametrize(
    "options", [{"split": "tset"}, {"items": "5"}, {"split": "train", "items": "9999999"}]
)
def test_splits_that_cannot_be_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="world-ner"):
        build("ner", TaskSettings(kinds=BOTH, options=options))


def test_tasks_keep_the_contract() -> None:
    for spec in harness_world.harness_tasks():
        assert [r.line for r in check_task(spec.name) if r.status == "failed"] == []


def test_declaring_imports_nothing_heavy() -> None:
    code = (
        "import sys, harness_world, harness_nano\n"
        "list(harness_world.harness_tasks()), list(harness_nano.harness_models())\n"
        "print([m for m in ('torch', 'numpy', 'transformers', 'tokenizers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
