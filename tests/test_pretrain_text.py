"""Preparation of text for pre-training: every step does what it says, and says what it did."""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import DataError, UsageError
from harness.pretraining import CorpusOptions, Evaluation, PretrainRequest, Step
from harness.types import Generate, Sample
from harness_train.pretrain import cleaning
from harness_train.pretrain.contamination import index_tasks, note_of, overlaps
from harness_train.pretrain.documents import Document, read_corpus
from harness_train.pretrain.duplicates import (
    jaccard,
    shingles_of,
    without_exact,
    without_near,
)
from harness_train.pretrain.preparation import prepare

ENGLISH = "The keeper of the house was in the garden with a book that he had read to the end."
GERMAN = "Der Wirt war mit dem Buch in dem Garten und hat es nicht bis zu dem Ende gelesen."


def doc(text: str, prompt: str = "") -> Document:
    return Document(text=text, prompt=prompt)


def texts(documents: object) -> list[str]:
    assert hasattr(documents, "__iter__")
    return [document.text for document in documents]


def asked(folder: Path, corpus: CorpusOptions, *evaluations: Evaluation) -> PretrainRequest:
    return PretrainRequest(objective="mlm", output=folder, corpus=corpus, evaluations=evaluations)


def write(path: Path, content: str) -> str:
    path.write_text(content, encoding="utf-8")
    return str(path)


def many(number: int) -> str:
    draw = random.Random(0)
    letters = "abcdefghij"
    words = ["".join(draw.choice(letters) for _ in range(5)) for _ in range(400)]
    return "\n\n".join(" ".join(draw.choice(words) for _ in range(30)) for _ in range(number))


def test_blank_lines_part_documents_and_json_lines_hold_one_each(tmp_path: Path) -> None:
    plain = write(tmp_path / "a.txt", "one\ntwo\n\n  \nthree\n")
    packed = tmp_path / "b.jsonl.gz"
    packed.write_bytes(gzip.compress(json.dumps({"text": "x", "prompt": "p"}).encode()))
    found = list(read_corpus([plain, str(packed)], None))
    assert found == [doc("one\ntwo"), doc("three"), doc("x", "p")]
    assert len(list(read_corpus([plain, str(packed)], 2))) == 2


@pytest.mark.parametrize("line", ["{", "[1]", '{"text": 3}', '{"prompt": "x"}'])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "x"}\n' + line)
    with pytest.raises(DataError, match="line 2"):
        list(read_corpus([path], None))


def test_an_endless_corpus_must_be_bounded() -> None:
    with pytest.raises(UsageError, match="--documents"):
        list(read_corpus(["world"], None))


def test_the_worlds_text_is_its_sentences_without_the_questions() -> None:
    found = texts(read_corpus(["world:text"], 300))
    assert not any("Question:" in text or "Names:" in text or "\n>" in text for text in found)
    assert all(text.strip() for text in found)


def test_normalisation_composes_letters_and_joins_blanks() -> None:
    assert cleaning.normalised(doc("  e\u0301  a\t b \r\n\r\n c ")).text == "é a b\nc"


@given(st.text(max_size=80))
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = cleaning.normalised(doc(text))
    assert cleaning.normalised(once) == once


def test_symbols_go_and_punctuation_stays() -> None:
    found = cleaning.without_symbols(doc("a\u200bb 🙂 ok!!!!!! 3 € < 4 — “x”…"))
    assert found.text == "ab ok! 3 € < 4 — “x”…"


def test_stop_words_go_whatever_their_case() -> None:
    remove = cleaning.stop_word_remover("en")
    assert remove(doc("The king and THE theory of it")).text == "king theory"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (ENGLISH, "en"),
        (GERMAN, "de"),
        ("Le livre de la maison est dans le jardin et il ne sait pas qui est là.", "fr"),
        ("这是一本关于花园的书。", "zh"),
        ("これは庭についての本です。", "ja"),
        ("Это книга о саде и доме.", "ru"),
        ("blue cat", None),
        ("123 456", None),
    ],
)
def test_languages_are_told_by_script_and_function_words(text: str, language: str | None) -> None:
    assert cleaning.likely_language(text) == language


def test_exact_duplicates_keep_the_first() -> None:
    found = without_exact([doc("a"), doc("b"), doc("a"), doc("a", "p")])
    assert list(found) == [doc("a"), doc("b"), doc("a", "p")]


def test_near_duplicates_are_those_whose_grams_agree() -> None:
    words = [f"w{number}" for number in range(100)]
    one = " ".join(words)
    near = " ".join([*words[:99], "other"])
    far = " ".join(words[:50] + [f"v{number}" for number in range(50)])
    assert jaccard(shingles_of(one), shingles_of(near)) > 0.9
    assert texts(without_near([doc(one), doc(near), doc(far)], 0.8)) == [one, far]


@given(st.lists(st.text("ab c", min_size=1, max_size=12), max_size=8))
def test_no_kept_pair_is_as_near_as_the_threshold_when_it_is_one(drawn: list[str]) -> None:
    kept = texts(without_near([doc(text) for text in drawn], 1.0))
    grams = [shingles_of(f" {text}") for text in kept]
    assert len(set(grams)) == len(grams)
    assert {shingles_of(f" {text}") for text in drawn} == set(grams)


def quiz(*prompts: str) -> Evaluation:
    samples = [
        Sample(id=str(number), requests=(Generate(prompt=prompt),), reference="x")
        for number, prompt in enumerate(prompts)
    ]
    return Evaluation(name="quiz", samples=lambda: samples)


def test_overlap_counts_samples_whose_words_are_in_the_text() -> None:
    held = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
    free = "red green blue white black pink brown grey gold lime teal navy plum rose"
    index = index_tasks([quiz(held, free, "too short")], 13)
    (found,) = overlaps([doc(f"before, {held.upper()}! after")], index)
    assert (found.samples, found.checked, found.found) == (3, 2, 1)
    assert "1 of 2 samples of quiz" in note_of([found], 13)


def test_what_many_samples_share_is_the_tasks_wording() -> None:
    wording = "answer the question below with one word and nothing else at all please now"
    prompts = [f"{wording} {a} {b}" for a, b in zip("abcdefgh", "ijklmnop", strict=True)]
    (found,) = overlaps([doc(wording)], index_tasks([quiz(*prompts)], 6))
    assert found.found == 0


def test_the_words_around_a_short_sample_do_not_hide_it() -> None:
    asked = ("the old house on a red hill", "my cat sat under two green trees")
    task = quiz(*(f"Name the words: {text}\nAnswer" for text in asked))
    (found,) = overlaps([doc(f"Once {asked[0]} burnt.")], index_tasks([task], 13))
    assert (found.checked, found.found) == (2, 1)


def test_every_step_reports_what_came_in_and_went_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", f"{many(60)}\n\n{ENGLISH}\n\n{ENGLISH}\n\n{GERMAN}\n\nno\n")
    corpus = CorpusOptions(
        files=(path,), steps=("exact", "language", "normalise", "length"), held_out=0.1
    )
    text = prepare(asked(tmp_path, corpus))
    assert [step.name for step in text.steps] == [
        "read",
        "normalise",
        "language",
        "length",
        "exact",
    ]
    assert [step.documents_out for step in text.steps] == [64, 64, 63, 62, 61]
    for before, after in zip(text.steps, text.steps[1:], strict=False):
        assert (after.documents_in, after.bytes_in) == (before.documents_out, before.bytes_out)
    assert len(text.documents) + len(text.held_out["corpus"]) == 61
    assert not {*texts(text.documents)} & {*texts(text.held_out["corpus"])}


def test_decontamination_leaves_no_overlap(tmp_path: Path) -> None:
    content = many(40)
    path = write(tmp_path / "a.txt", content)
    task = quiz(content.split("\n\n")[3])
    corpus = CorpusOptions(files=(path,), steps=(), against=("quiz",), held_out=0.1)
    assert prepare(asked(tmp_path, corpus, task)).overlaps[0].found == 1
    cleaned = prepare(asked(tmp_path, replace(corpus, steps=("decontaminate",)), task))
    assert cleaned.overlaps[0].found == 0 and cleaned.steps[-1].documents_out == 39


def test_a_text_without_its_stop_words_is_still_found(tmp_path: Path) -> None:
    sentence = "The old miller of the village sold all of his grain to the son of an innkeeper"
    path = write(tmp_path / "a.txt", "\n\n".join([many(40), sentence]))
    corpus = CorpusOptions(files=(path,), steps=("stopwords",), against=("quiz",), held_out=0.1)
    request = replace(asked(tmp_path, corpus, quiz(sentence)), objective="mlm")
    assert prepare(request).overlaps[0].found == 1
    steps: tuple[Step, ...] = ("stopwords", "decontaminate")
    dropped = prepare(replace(request, corpus=replace(corpus, steps=steps)))
    assert dropped.overlaps[0].found == 0 and dropped.steps[-1].documents_out == 40


def test_stop_words_are_refused_for_causal_models(tmp_path: Path) -> None:
    corpus = CorpusOptions(files=("x",), steps=("stopwords",))
    with pytest.raises(UsageError, match="without them"):
        prepare(replace(asked(tmp_path, corpus), objective="causal"))


@pytest.mark.parametrize(
    ("corpus", "said"),
    [
        (CorpusOptions(), "--corpus"),
        (CorpusOptions(files=("x",), steps=("language",), language="xx"), "does not know"),
        (CorpusOptions(files=("x",), steps=("decontaminate",)), "--against"),
        (CorpusOptions(files=("x",), near=0), "Jaccard"),
    ],
)
def test_what_cannot_be_is_refused_before_reading(
    tmp_path: Path, corpus: CorpusOptions, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        prepare(asked(tmp_path, corpus))


def test_a_step_that_leaves_nothing_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", f"{GERMAN}\n\n{GERMAN} Und er ist zu dem Haus.")
    corpus = CorpusOptions(files=(path,), steps=("language",))
    with pytest.raises(DataError, match="--skip language"):
        prepare(asked(tmp_path, corpus))
