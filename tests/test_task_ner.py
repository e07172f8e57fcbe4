"""CoNLL columns as a task: readers, written answers on their way back to tokens, and scores."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.columns import read_columns
from harness.errors import DataError, UsageError
from harness.metrics import spans_from_tags, tags_from_spans, value
from harness.types import Generate, RequestKind, Response, Sample, Tag, Task, TaskSettings
from harness_ner import harness_tasks
from harness_ner.forms import FORMS, read_json, read_list, read_tags, render_list, render_tags
from harness_ner.task import EntityTask

TYPES = ("LOC", "ORG", "PER")
SPECS = {spec.name: spec for spec in harness_tasks()}


def task_of(
    path: Path | str,
    kind: RequestKind = "tag",
    *,
    name: str = "conll",
    shots: int | None = None,
    **options: str,
) -> Task:
    return SPECS[name].build(
        TaskSettings(argument=str(path), options=options, shots=shots, kinds=frozenset({kind}))
    )


def written(folder: Path, text: str | bytes) -> str:
    path = folder / "columns"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def grade(task: Task, sample: Sample, response: Response) -> tuple[float, ...]:
    return task.grade(sample, [response])["entity_f1"]


# --- columns --------------------------------------------------------------------------------------


def test_columns_documents_and_sentences(tmp_path: Path) -> None:
    text = "-DOCSTART- -X- O O\n\nEU NNP I-NP I-ORG\nsays VB O O\n\n \t\nParis NNP I-NP I-LOC\n"
    text += "-DOCSTART- -X- O O\nPeter NNP I-NP B-PER"
    sentences = read_columns(written(tmp_path, text))
    assert [s.tokens for s in sentences] == [("EU", "says"), ("Paris",), ("Peter",)]
    assert [s.document for s in sentences] == ["1", "1", "2"]
    assert [s.line for s in sentences] == [3, 7, 9]


def test_tabs_part_columns_where_there_are_any(tmp_path: Path) -> None:
    (sentence,) = read_columns(written(tmp_path, "New York\tB-LOC\r\n\u3000\tO\n"))
    assert sentence.tokens == ("New York", "\u3000")
    assert sentence.document is None


def test_language_prefix_is_taken_off_where_all_tokens_bear_it(tmp_path: Path) -> None:
    (sentence,) = read_columns(written(tmp_path, "en:The\tO\nen::\tO\n"))
    assert sentence.tokens == ("The", ":")
    (sentence,) = read_columns(written(tmp_path, "en:The\tO\nx\tO\n"))
    assert sentence.tokens == ("en:The", "x")


def test_latin1_is_read_only_where_it_is_stated(tmp_path: Path) -> None:
    path = written(tmp_path, "Köln I-LOC\n".encode("latin-1"))
    with pytest.raises(DataError, match="byte offset 1"):
        task_of(path)
    (sample,) = task_of(path, encoding="latin-1").samples()
    assert sample.requests == (Tag(tokens=("Köln",), types=("LOC",)),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("word\n", "line 1 has 1 columns, not at least 2"),
        ("a O\nb\n", "line 2 has 1 columns, not 2"),
        ("a O\nb x O\n", "line 2 has 3 columns, not 2"),
        ("a NN\n", "line 1: 'NN' is no tag such as O, B-PER"),
        ("-DOCSTART- O\n\n", "holds no sentences"),
    ],
)
def test_wrong_columns_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_columns(written(tmp_path, text))


def test_command_errors_say_what_is_needed(tmp_path: Path) -> None:
    path = written(tmp_path, "a B-X O\n")
    with pytest.raises(UsageError, match="Write 'conll:FILE' or 'conll:data=FILE'"):
        task_of("")
    with pytest.raises(UsageError, match="encoding=utf-16 is not possible"):
        task_of(path, encoding="utf-16")
    with pytest.raises(DataError, match="has 3 columns, not at least 4"):
        task_of(path, column="4")
    with pytest.raises(UsageError, match="shots_data=FILE"):
        task_of(path, "generate", shots=1)
    with pytest.raises(UsageError, match="take no worked examples"):
        task_of(path, shots=1)


@pytest.mark.parametrize(
    ("name", "column", "sentences", "documents", "tokens", "entities"),
    [
        (
            "conll2003/eng.testa",
            "4",
            3250,
            216,
            51362,
            {"LOC": 1837, "MISC": 922, "ORG": 1341, "PER": 1842},
        ),
        (
            "conll2003/eng.train.first1500",
            "4",
            1500,
            105,
            21389,
            {"LOC": 957, "MISC": 434, "ORG": 518, "PER": 870},
        ),
        (
            "conll2002/esp.testa.first800",
            "3",
            800,
            0,
            21073,
            {"LOC": 450, "MISC": 193, "ORG": 667, "PER": 370},
        ),
        (
            "wnut17/emerging.dev.conll",
            "2",
            1009,
            0,
            15733,
            {
                "corporation": 34,
                "creative-work": 105,
                "group": 39,
                "location": 74,
                "person": 470,
                "product": 114,
            },
        ),
        ("wikiann/en.test.first1000", "2", 1000, 0, 8199, {"LOC": 441, "ORG": 453, "PER": 504}),
    ],
)
def test_real_files_hold_what_their_source_says(
    shared: Path,
    name: str,
    column: str,
    sentences: int,
    documents: int,
    tokens: int,
    entities: dict[str, int],
) -> None:
    samples = list(task_of(shared / "data" / name, column=column).samples())
    assert len(samples) == sentences
    assert len({sample.group for sample in samples} - {None}) == documents
    assert sum(len(sample.reference["tokens"]) for sample in samples) == tokens
    assert Counter(span[0] for s in samples for span in s.reference["spans"]) == entities


def test_sentence_right_after_a_document_line_is_kept(shared: Path) -> None:
    """Dutch documents open without a blank line; all 800 sentences count, 25 of them the first."""
    sentences = read_columns(str(shared / "data/conll2002/ned.testa.first800"))
    assert len(sentences) == 800
    assert len({sentence.document for sentence in sentences}) == 25
    assert sentences[0].tokens[:2] == ("Dat", "is")


# --- written answers ------------------------------------------------------------------------------


def test_written_form() -> None:
    tokens = ("EU", "rejects", "Peter", "Blackburn")
    assert render_list(tokens, [("PER", 2, 4), ("ORG", 0, 1)]) == "ORG: EU; PER: Peter Blackburn"
    assert render_list(tokens, []) == "None"


def test_repeated_names_are_taken_from_left_to_right() -> None:
    tokens = ("Paris", "beats", "New", "Paris", "in", "Paris")
    reading = read_list("ORG: Paris; LOC: New Paris; LOC: Paris", tokens, TYPES)
    assert reading.spans == (("ORG", 0, 1), ("LOC", 2, 4), ("LOC", 5, 6))


def test_names_out_of_order_are_found() -> None:
    reading = read_list("PER: Bo; LOC: Rome", ("Rome", "saw", "Bo"), TYPES)
    assert set(reading.spans) == {("PER", 2, 3), ("LOC", 0, 1)}


def test_blanks_do_not_hinder_alignment() -> None:
    reading = read_list("PER: Smith's; ORG: AT & T", ("Smith", "'s", "AT&T"), TYPES)
    assert reading.spans == (("PER", 0, 2), ("ORG", 2, 3))


def test_invented_names_are_wrong_entities_at_no_place() -> None:
    reading = read_list("PER: Bo; PER: Al; PER: Al", ("Bo", "left"), TYPES)
    assert reading.readable
    assert reading.entities == [("PER", 0, 1), ("PER", -1, -1), ("PER", -2, -2)]


def test_semicolons_inside_names_stay() -> None:
    reading = read_list("ORG: A ; B; PER: Bo", ("A", ";", "B", "Bo"), TYPES)
    assert reading.spans == (("ORG", 0, 3), ("PER", 3, 4))


@pytest.mark.parametrize("answer", ["None", " none.", "NONE"])
def test_none_is_an_answer(answer: str) -> None:
    reading = read_list(answer, ("a",), TYPES)
    assert reading.readable and not reading.entities


@pytest.mark.parametrize("answer", ["", "The text is about EU.", "LOC:", "EU; ORG: EU", "CITY: EU"])
def test_malformed_answers_are_not_readable(answer: str) -> None:
    assert not read_list(answer, ("EU",), TYPES).readable


WORDS = st.lists(st.text(alphabet="ab;: ,N", min_size=1, max_size=4), max_size=8)


@given(answer=st.text(alphabet="abPERLOC:; \n", max_size=40) | st.text(), tokens=WORDS)
def test_reading_never_raises_and_spans_lie_in_the_text(answer: str, tokens: list[str]) -> None:
    reading = read_list(answer, tokens, TYPES)
    taken = [position for _, start, end in reading.spans for position in range(start, end)]
    assert len(taken) == len(set(taken))
    assert all(0 <= position < len(tokens) for position in taken)


@given(st.lists(st.sampled_from([None, "LOC", "ORG", "PER"]), max_size=8), st.randoms())
def test_entities_of_distinct_words_survive_writing(
    kinds: list[str | None], shuffle: random.Random
) -> None:
    tokens = [f"w{number}" for number in range(len(kinds))]
    shuffle.shuffle(tokens)
    spans = [(kind, start, start + 1) for start, kind in enumerate(kinds) if kind]
    reading = read_list(render_list(tokens, spans), tokens, TYPES)
    assert list(reading.spans) == spans
    assert reading.readable


def test_marked_text_says_which_occurrence_is_meant() -> None:
    tokens = ("Paris", "in", "New", "Paris", "'s", "Paris")
    answer = "Paris in <LOC>New Paris</LOC>'s <org>Paris</ORG>"
    reading = read_tags(answer, tokens, TYPES)
    assert reading.spans == (("LOC", 2, 4), ("ORG", 5, 6))
    assert reading.readable


@pytest.mark.parametrize(
    ("answer", "spans"),
    [
        ("LOC: Paris; PER: Paris Hilton", [("LOC", 3, 4), ("PER", 0, 2)]),
        (
            "LOC: Paris; LOC: Paris; PER: Paris Hilton",
            [("LOC", 3, 4), ("LOC", 5, 6), ("PER", 0, 2)],
        ),
        ("PER: paris hilton; LOC: PARIS", [("PER", 0, 2), ("LOC", 3, 4)]),
        ("PER: Paris Hilton; LOC: London; LOC: Paris", [("PER", 0, 2), ("LOC", 3, 4)]),
    ],
)
def test_names_in_another_order_or_case_find_their_places(
    answer: str, spans: list[tuple[str, int, int]]
) -> None:
    tokens = ["Paris", "Hilton", "left", "Paris", "for", "Paris"]
    assert list(read_list(answer, tokens, TYPES).spans) == spans


def test_marks_in_a_changed_text_are_found_by_their_words() -> None:
    reading = read_tags("I met <PER>Bo</PER> and <PER>Al</PER>", ("Bo", "left"), TYPES)
    assert reading.entities == [("PER", 0, 1), ("PER", -1, -1)]
    assert reading.readable


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "a text of its own",
        "<LOC>EU is",
        "EU</LOC> is",
        "<LOC>EU <ORG>is</ORG></LOC>",
        "<LOC></LOC>EU is",
    ],
)
def test_marks_that_do_not_pair_are_not_readable(answer: str) -> None:
    assert not read_tags(answer, ("EU", "is"), TYPES).readable


def test_unmarked_repetition_is_an_answer_without_entities() -> None:
    reading = read_tags(" EU is.", ("EU", "is", "."), TYPES)
    assert reading.readable and not reading.entities


@pytest.mark.parametrize(
    ("answer", "spans"),
    [
        (
            '[{"type": "PER", "text": "Bo"}, {"type": "loc", "text": "EU"}]',
            [("PER", 1, 2), ("LOC", 0, 1)],
        ),
        ('Here: {"PER": ["Bo"], "LOC": ["EU"]} done', [("PER", 1, 2), ("LOC", 0, 1)]),
        ('{"entities": [{"type": "PER", "text": "Bo"}]}', [("PER", 1, 2)]),
        ("[]", []),
    ],
)
def test_json_in_both_forms(answer: str, spans: list[tuple[str, int, int]]) -> None:
    reading = read_json(answer, ("EU", "Bo"), TYPES)
    assert list(reading.spans) == spans
    assert reading.readable


@pytest.mark.parametrize(
    "answer", ["", "no", "[1]", '[{"type": "PER"}]', '{"PER": "Bo"}', '[{"type": "PER"', "[" * 5000]
)
def test_json_of_other_forms_is_not_readable(answer: str) -> None:
    assert not read_json(answer, ("Bo",), TYPES).readable


@given(answer=st.text(alphabet='<>/PERLOC[]{}":, ab', max_size=50) | st.text(), tokens=WORDS)
@pytest.mark.parametrize("form", FORMS)
def test_no_form_ever_raises(form: str, answer: str, tokens: list[str]) -> None:
    for kind, start, end in FORMS[form].read(answer, tokens, TYPES).entities:
        assert kind
        assert (start, end) == (start, start) if start < 0 else 0 <= start < end <= len(tokens)


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b;", "New"]), st.sampled_from([None, "LOC", "PER"])),
        max_size=9,
    )
)
def test_marked_text_survives_reading_whatever_repeats(parts: list[tuple[str, str | None]]) -> None:
    tokens = [word for word, _ in parts]
    spans = [(kind, start, start + 1) for start, (_, kind) in enumerate(parts) if kind]
    reading = read_tags(render_tags(tokens, spans), tokens, TYPES)
    assert list(reading.spans) == spans


# --- the task -------------------------------------------------------------------------------------

EXAMPLE = "EU I-ORG\nis O\nin O\nParis I-LOC\n\nYes O\n"


def test_generate_prompt(tmp_path: Path) -> None:
    first, _ = task_of(written(tmp_path, EXAMPLE), "generate").samples()
    (request,) = first.requests
    assert isinstance(request, Generate)
    assert request.prompt == (
        "List the named entities of each text in order, as TYPE: words, parted by semicolons, "
        "or None.\nTypes: LOC, ORG\n\nText: EU is in Paris\nEntities:"
    )
    assert request.stop == ("\n",)


def test_worked_examples_show_the_written_form(tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    pool.write_text("Bo I-PER\nleft O\n")
    task = task_of(written(tmp_path, EXAMPLE), "generate", shots=1, shots_data=str(pool))
    for sample in task.samples():
        (request,) = sample.requests
        assert isinstance(request, Generate)
        assert "Text: Bo left\nEntities: PER: Bo\n\nText: " in request.prompt


def test_malformed_answers_are_counted_and_score_nothing(tmp_path: Path) -> None:
    task = task_of(written(tmp_path, EXAMPLE), "generate")
    first, second = task.samples()
    assert task.grade(first, [Response(text="")]) == {
        "entity_f1": (0.0, 0.0, 2.0),
        "unparseable": (1.0,),
    }
    assert task.grade(second, [Response(text=" None")]) == {"entity_f1": (0.0, 0.0, 0.0)}
    assert grade(task, second, Response(text="LOC: Atlantis")) == (0.0, 1.0, 0.0)


def test_tags_of_any_scheme_are_read_and_their_number_checked(tmp_path: Path) -> None:
    task = task_of(written(tmp_path, EXAMPLE))
    first, _ = task.samples()
    for tags in (("B-ORG", "O", "O", "B-LOC"), ("S-ORG", "O", "O", "U-LOC")):
        assert task.grade(first, [Response(tags=tags)]) == {"entity_f1": (2.0, 2.0, 2.0)}
    assert "unparseable" in task.grade(first, [Response(tags=("B-ORG",))])
    assert "unparseable" in task.grade(first, [Response()])


def test_lexicon_baseline_scores_as_conlleval_says(shared: Path) -> None:
    """conlleval.pl: found 4548, correct 3609, gold 5942, F1 68.81."""
    path = shared / "data/conll2003/lexicon_baseline.testa.5col.gz"
    predicted = read_columns(str(path), column=5)
    task = task_of(path, column="4")
    stats = [
        grade(task, sample, Response(tags=sentence.tags))
        for sample, sentence in zip(task.samples(), predicted, strict=True)
    ]
    assert [sum(column) for column in zip(*stats, strict=True)] == [3609, 4548, 5942]
    assert round(value(task.metrics[0], stats), 2) == 68.81


@pytest.mark.parametrize("scheme", ["iob1", "iob2", "iobes", "bilou"])
def test_gold_of_every_scheme_is_read_alike(shared: Path, tmp_path: Path, scheme: str) -> None:
    sentences = read_columns(str(shared / "data/conll2003/eng.testa"))[:400]
    lines: list[str] = []
    for sentence in sentences:
        tags = tags_from_spans(spans_from_tags(sentence.tags), len(sentence.tokens), scheme)
        lines += [f"{t} {tag}" for t, tag in zip(sentence.tokens, tags, strict=True)] + [""]
    again = read_columns(written(tmp_path, "\n".join(lines)))
    for before, after in zip(sentences, again, strict=True):
        assert spans_from_tags(before.tags) == spans_from_tags(after.tags)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("name", "file", "ambiguous"),
    [
        ("conll", "conll2003/eng.testa", 0),
        ("conll", "conll2002/esp.testa.first800", 0),
        ("conll", "wnut17/emerging.dev.conll", 0),
        ("cluener", "cluener/dev.first_half.json", 1),
    ],
)
def test_right_entities_find_their_places(
    shared: Path, name: str, file: str, ambiguous: int, form: str
) -> None:
    """All but one: without marks, a name that stands first as part of a word is taken for it."""
    task = task_of(shared / "data" / file, "generate", name=name, form=form)
    assert isinstance(task, EntityTask)
    rows = [task.grade(sample, task.oracle(sample)) for sample in task.samples()]
    assert not any("unparseable" in row for row in rows)
    right, written_down, gold = (
        sum(column) for column in zip(*[r["entity_f1"] for r in rows], strict=True)
    )
    assert written_down == gold
    assert gold - right == (0 if form == "tags" else ambiguous)


# --- CLUENER --------------------------------------------------------------------------------------


def test_cluener_characters_are_tokens_and_last_offsets_belong(tmp_path: Path) -> None:
    path = written(tmp_path, '{"text": "在台湾", "label": {"address": {"台湾": [[1, 2]]}}}')
    (tagged,) = task_of(path, name="cluener").samples()
    assert tagged.requests == (Tag(tokens=("在", "台", "湾"), types=("address",)),)
    assert tagged.reference["spans"] == [["address", 1, 3]]
    (asked,) = task_of(path, "generate", name="cluener", form="tags").samples()
    (request,) = asked.requests
    assert isinstance(request, Generate)
    assert request.prompt.endswith("Types: address\n\nText: 在台湾\nMarked:")


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ({"name": {"x": [[0, 0]]}}, "'x' does not stand at characters 0 to 0"),
        ({"name": {"在": [[0]]}}, r"'在' is \[0\], not first and last offset"),
        ({"name": {"在": 3}}, "'在' is 3, not a list"),
        ({"name": 3}, "'name' is 3, not an object"),
        (3, "'label' is 3, not an object"),
    ],
)
def test_wrong_cluener_labels_are_named(tmp_path: Path, label: object, message: str) -> None:
    path = written(tmp_path, json.dumps({"text": "在台湾", "label": label}))
    with pytest.raises(DataError, match=message):
        task_of(path, name="cluener")


@pytest.mark.parametrize(
    ("file", "texts", "entities"),
    [("dev.first_half.json", 671, 1531), ("train.first500.json", 500, 1118)],
)
def test_cluener_files_are_whole(shared: Path, file: str, texts: int, entities: int) -> None:
    samples = list(task_of(shared / "data/cluener" / file, name="cluener").samples())
    assert len(samples) == texts
    assert sum(len(sample.reference["spans"]) for sample in samples) == entities
