"""Choices by log-likelihood: prompts, readers, and what each metric picks."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from harness.errors import DataError, UsageError
from harness.metrics import value
from harness.types import Classify, Loglikelihood, Response, Sample, Task, TaskSettings
from harness_choice import harness_tasks
from harness_choice.labels import TNEWS_TOPICS

SPECS = {spec.name: spec for spec in harness_tasks()}


def task_of(name: str, path: Path | str, *, shots: int | None = None, **options: str) -> Task:
    settings = TaskSettings(argument=str(path), options=options, shots=shots)
    return SPECS[name].build(settings)


def written(folder: Path, *rows: object, name: str = "data.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def asked(sample: Sample) -> list[tuple[str, str]]:
    return [(r.context, r.continuation) for r in sample.requests if isinstance(r, Loglikelihood)]


QUERY = {"query": "Question: Which is red?\n", "choices": [" blood", "the deep sea"], "gold": 0}


def test_question_gets_answer_and_blank(tmp_path: Path) -> None:
    (sample,) = task_of("piqa", written(tmp_path, QUERY)).samples()
    context = "Question: Which is red?\nAnswer:"
    assert asked(sample) == [(context, " blood"), (context, " the deep sea")]
    assert sample.reference == [0]


def test_text_goes_on_without_answer(tmp_path: Path) -> None:
    (sample,) = task_of("hellaswag", written(tmp_path, {**QUERY, "query": "They"})).samples()
    assert asked(sample)[0] == ("They", " blood")


def test_metrics_of_one_answer(tmp_path: Path) -> None:
    """-6 beats -10 raw; per byte, -10 over 12 bytes beats -6 over 5."""
    task = task_of("piqa", written(tmp_path, QUERY))
    (sample,) = task.samples()
    stats = task.grade(sample, [Response(logprob=-6.0), Response(logprob=-10.0)])
    assert stats["acc"] == (100.0, 1.0)
    assert stats["acc_per_byte"] == (0.0, 1.0)
    assert stats["bits_per_byte"] == (pytest.approx(8.656170), 5.0)
    assert [metric.chance for metric in task.metrics[:2]] == [50.0, 50.0]


def test_unconditional_probability_is_asked_for_apart(tmp_path: Path) -> None:
    """blood: -6 less -9 is 3; the deep sea: -10 less -15 is 5."""
    task = task_of("piqa", written(tmp_path, QUERY), unconditional="yes")
    (sample,) = task.samples()
    assert asked(sample)[2:] == [("Answer:", " blood"), ("Answer:", " the deep sea")]
    stats = task.grade(sample, [Response(logprob=one) for one in (-6.0, -10.0, -9.0, -15.0)])
    assert stats["acc"] == (100.0, 1.0)
    assert stats["acc_unconditional"] == (0.0, 1.0)


def test_accuracy_per_token_divides_by_the_tokens_that_the_model_tells(tmp_path: Path) -> None:
    """-6 beats -10 raw; per token, -10 over 5 beats -6 over 1. Nobody guesses unknown tokens."""
    path = written(tmp_path, QUERY)
    task = task_of("piqa", path, per_token="yes", unconditional="yes")
    (sample,) = task.samples()
    given = [Response(logprob=-6.0, tokens=1), Response(logprob=-10.0, tokens=5)]
    neutral = [Response(logprob=-9.0, tokens=1), Response(logprob=-15.0, tokens=5)]
    stats = task.grade(sample, [*given, *neutral])
    assert stats["acc"] == (100.0, 1.0)
    assert stats["acc_per_token"] == (0.0, 1.0)
    assert "acc_per_token" in [metric.name for metric in task.metrics]
    untold = [Response(logprob=one.logprob) for one in (*given, *neutral)]
    assert "acc_per_token" not in task.grade(sample, untold)
    assert "acc_per_token" not in [metric.name for metric in task_of("piqa", path).metrics]


def test_winogrande_scores_one_ending_after_each_reading(tmp_path: Path) -> None:
    row = {"context_options": ["Ann", "Bob"], "continuation": "won.", "gold": 1}
    task = task_of("winogrande", written(tmp_path, row))
    (sample,) = task.samples()
    assert asked(sample) == [("Ann", " won."), ("Bob", " won.")]
    assert "acc_per_byte" not in [metric.name for metric in task.metrics]


def test_winogrande_examples_never_hold_either_reading(tmp_path: Path) -> None:
    rows = [
        {"context_options": [f"Ann {n}", f"Bob {n}"], "continuation": "won.", "gold": n % 2}
        for n in range(6)
    ]
    path = written(tmp_path, *rows)
    for number, sample in enumerate(
        task_of("winogrande", path, shots=5, shots_data=str(path)).samples()
    ):
        heads = {context.rsplit("\n\n", 1)[0] for context, _ in asked(sample)}
        assert len(heads) == 1
        assert f" {number} won." not in heads.pop()


def test_blimp_takes_turns_so_that_position_says_nothing(tmp_path: Path) -> None:
    rows = [
        {"sentence_good": "Good.", "sentence_bad": "Bad.", "UID": "x", "pairID": str(n)}
        for n in range(2)
    ]
    first, second = task_of("blimp", written(tmp_path, *rows)).samples()
    assert (asked(first), first.reference) == ([("", "Good."), ("", "Bad.")], [0])
    assert (asked(second), second.reference) == ([("", "Bad."), ("", "Good.")], [1])


def test_lambada_counts_greedy_words(tmp_path: Path) -> None:
    task = task_of("lambada", written(tmp_path, {"context": "I do ", "continuation": "not"}))
    (sample,) = task.samples()
    assert asked(sample) == [("I do", " not")]
    for greedy, score in ((True, 100.0), (False, 0.0), (None, 0.0)):
        stats = task.grade(sample, [Response(logprob=-2.0, greedy=greedy, tokens=2)])
        assert stats == {"acc": (score, 1.0), "word_perplexity": (2.0, 1.0)}


def test_mmlu_prompt_and_its_five_examples_in_order(tmp_path: Path) -> None:
    dev = tmp_path / "abstract_algebra_dev.csv"
    dev.write_text("".join(f'"q{n}, or\nnot",1,2,3,4,{"ABCDA"[n]}\n' for n in range(5)))
    test = tmp_path / "abstract_algebra_test.csv"
    test.write_text("Which?,w,x,y,z,C\n")
    (sample,) = task_of("mmlu", test, shots=5, shots_data=str(dev)).samples()
    head, *examples, question = asked(sample)[0][0].split("\n\n")
    assert head.endswith("(with answers) about abstract algebra.")
    assert examples[1] == "q1, or\nnot\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer: B"
    assert [example[:2] for example in examples] == ["q0", "q1", "q2", "q3", "q4"]
    assert question == "Which?\nA. w\nB. x\nC. y\nD. z\nAnswer:"
    assert [continuation for _, continuation in asked(sample)] == [" A", " B", " C", " D"]
    assert sample.reference == [2]


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("piqa", {**QUERY, "gold": 2}, "line 1: 'gold' is 2, not the number of a choice, 0 to 1"),
        ("piqa", {**QUERY, "gold": True}, "'gold' is True, not a whole number"),
        ("piqa", {**QUERY, "choices": ["x"]}, "'choices' needs two choices or more"),
        ("piqa", {**QUERY, "choices": ["x", " "]}, "none of them empty"),
        ("piqa", {"choices": ["x", "y"], "gold": 0}, "'query' is missing"),
        ("boolq", {"question": "?", "passage": "p", "answer": "yes"}, "'yes', not true or false"),
        ("lambada", {"context": "a", "continuation": ""}, "'continuation' is empty"),
        ("blimp", {"sentence_good": "a"}, "'sentence_bad' is missing"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, name: str, row: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        task_of(name, written(tmp_path, row))


def test_wrong_mmlu_answer_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x_test.csv"
    path.write_text("q,1,2,3,4,E\n")
    with pytest.raises(DataError, match="line 1: 'answer' is 'E', not one of A, B, C, D"):
        task_of("mmlu", path)


def test_command_errors_say_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Write 'copa:FILE'"):
        task_of("copa", "")
    with pytest.raises(UsageError, match="has no option 'shots_data'"):
        task_of("blimp", "x", shots_data="y")


@pytest.mark.parametrize(
    ("name", "file", "items", "options", "right"),
    [
        ("arc_challenge", "arc_challenge.1-500.jsonl", 500, 4, (116, 140, 137, 107)),
        ("arc_easy", "arc_easy.1-500.jsonl", 500, 4, (112, 131, 132, 125)),
        ("blimp", "adjunct_island.jsonl", 200, 2, (100, 100)),
        ("boolq", "boolq.validation.first500.jsonl", 500, 2, (185, 315)),
        ("boolq", "mosaic_boolq.first200.jsonl", 200, 2, (73, 127)),
        ("commonsense_qa", "commonsense_qa.1-500.jsonl", 500, 4, (94, 106, 196, 104)),
        ("copa", "copa.1-50.jsonl", 50, 2, (26, 24)),
        ("hellaswag", "hellaswag_sample.1-300.jsonl", 300, 4, (85, 75, 74, 66)),
        ("logiqa", "logiqa.1-325.jsonl", 325, 4, (63, 79, 84, 99)),
        ("mmlu", "test/college_chemistry_test.csv", 100, 4, None),
        ("mmlu", "test/high_school_us_history_test.csv", 100, 4, None),
        ("mmlu", "dev/professional_law_dev.csv", 5, 4, None),
        ("mmlu", "variant_with_header/abstract_algebra_test.csv", 100, 4, None),
        ("openbookqa", "openbookqa.1-250.jsonl", 250, 4, (73, 55, 68, 54)),
        ("piqa", "piqa.1-500.jsonl", 500, 2, (247, 253)),
        ("siqa", "siqa.1-500.jsonl", 500, 2, (237, 263)),
        ("winogrande", "winogrande.1-500.jsonl", 500, 2, (248, 252)),
    ],
)
def test_real_files_hold_what_their_source_says(
    shared: Path, name: str, file: str, items: int, options: int, right: tuple[int, ...] | None
) -> None:
    samples = list(task_of(name, shared / "data" / name / file).samples())
    assert len(samples) == items
    assert {len(sample.requests) for sample in samples} == {options}
    if right:
        counts = Counter(sample.reference[0] for sample in samples)
        assert tuple(counts[index] for index in range(options)) == right


@pytest.mark.parametrize(
    ("name", "file", "labels"),
    [
        ("afqmc", "afqmc/dev.1-1000.json", (639, 361)),
        ("ag_news", "ag_news/test.first1000.csv", (268, 274, 205, 253)),
        ("bustm", "fewclue_bustm/dev_few_all.json", (82, 78)),
        ("eprstmt", "fewclue_eprstmt/dev_few_all.json", (86, 74)),
        ("ocnli", "fewclue_ocnli/dev_few_all.json", (49, 51, 60)),
        ("sst2", "sst2/dev.tsv", (428, 444)),
        ("sst2", "sst2/glue_sst2_validation.jsonl", (428, 444)),
        (
            "tnews",
            "fewclue_tnews/dev_few_all.json",
            (0, 0, 79, 76, 75, 35, 75, 76, 78, 77, 76, 0, 0, 79, 74),
        ),
    ],
)
def test_real_labels_are_counted(
    shared: Path, name: str, file: str, labels: tuple[int, ...]
) -> None:
    samples = list(task_of(name, shared / "data" / file).samples())
    counts = Counter(sample.reference[0] for sample in samples)
    assert tuple(counts[index] for index in range(len(labels))) == labels
    assert {len(sample.requests) for sample in samples} == {len(labels)}


def test_label_words_follow_the_text(tmp_path: Path) -> None:
    row = {"sentence1": "花呗", "sentence2": "借呗", "label": "1"}
    (sample,) = task_of("afqmc", written(tmp_path, row)).samples()
    assert asked(sample) == [("花呗，借呗", "不同。"), ("花呗，借呗", "相似。")]
    assert sample.reference == [1]


def test_tnews_topics_are_those_of_its_label_file(shared: Path) -> None:
    path = shared / "data/fewclue_tnews/label_index2en2zh.json"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    assert {row["label"]: row["label_zh"] for row in rows}.items() <= TNEWS_TOPICS.items()


def test_unknown_label_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'label' is '2', not one of 0, 1"):
        task_of("sst2", written(tmp_path, {"sentence": "x", "label": 2}))


@pytest.mark.parametrize("key", ["id", "idx"])
def test_a_repeated_id_is_named_with_both_lines(tmp_path: Path, key: str) -> None:
    row = {"sentence1": "s", "sentence2": "t", "label": "1", key: 7}
    path = tmp_path / "rows.json"
    path.write_text("\n".join(json.dumps(one) for one in (row, {**row, key: 8}, row)))
    with pytest.raises(DataError, match=rf"line 3: '{key}' is 7, as in .*, line 1\."):
        task_of("bustm", path)


def test_sst2_sentences_keep_their_quotes(tmp_path: Path) -> None:
    path = tmp_path / "dev.tsv"
    path.write_text('sentence\tlabel\n"an unclosed quote\t1\n')
    (sample,) = task_of("sst2", path).samples()
    assert asked(sample)[0][0].startswith('"an unclosed quote\nQuestion:')


def test_truthfulqa_answers_are_counted(shared: Path) -> None:
    """1076 true answers, two of them twice in their cell; 1183 false ones."""
    path = shared / "data/truthfulqa/TruthfulQA.1-300.csv"
    best = list(task_of("truthfulqa_mc1", path).samples())
    true = list(task_of("truthfulqa_mc2", path).samples())
    assert len(best) == len(true) == 300
    assert sum(len(sample.requests) for sample in best) == 300 + 1183
    assert sum(len(sample.reference) for sample in true) == 1076 - 2
    assert sum(len(sample.requests) for sample in true) == 1076 - 2 + 1183


def test_truthfulqa_share_of_true_answers(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    header = "Question,Best Answer,Correct Answers,Incorrect Answers\n"
    path.write_text(header + "Is it?,Yes,Yes; It is,No; Never; Not so\n")
    task = task_of("truthfulqa_mc2", path)
    (sample,) = task.samples()
    assert sample.reference == [0, 1]
    stats = task.grade(sample, [Response(logprob=-1.0)] * 5)
    assert stats["choice_probability"] == (pytest.approx(40.0), 1.0)


def test_lambada_file_is_whole(shared: Path) -> None:
    task = task_of("lambada", shared / "data/lambada/lambada.1-1000.jsonl")
    assert len(list(task.samples())) == 1000


def test_both_forms_of_boolq_ask_the_same(shared: Path) -> None:
    folder = shared / "data/boolq"
    own = list(task_of("boolq", folder / "boolq.validation.first500.jsonl").samples())
    gauntlet = list(task_of("boolq", folder / "mosaic_boolq.first200.jsonl").samples())
    pairs = zip(own[:200], gauntlet, strict=True)
    differ = [one.id for one, other in pairs if asked(one) != asked(other)]
    assert differ == ["46"], "the gauntlet's file breaks one passage at 'questions'"
    assert [s.reference for s in own[:200]] == [s.reference for s in gauntlet]


def test_both_layouts_of_mmlu_ask_the_same(shared: Path) -> None:
    folder = shared / "data/mmlu"
    plain, headed = (
        list(task_of("mmlu", folder / part / "abstract_algebra_test.csv").samples())
        for part in ("test", "variant_with_header")
    )
    assert plain == headed


def test_equal_probabilities_score_near_chance(shared: Path) -> None:
    task = task_of("blimp", shared / "data/blimp/adjunct_island.jsonl")
    stats = [
        task.grade(sample, [Response(logprob=-1.0), Response(logprob=-1.0)])["acc"]
        for sample in task.samples()
    ]
    assert value(task.metrics[0], stats) == 50.0


def labelled(name: str, path: Path, **more: int) -> Task:
    settings = TaskSettings(argument=str(path), kinds=frozenset({"classify"}), **more)
    return SPECS[name].build(settings)


def test_classifiers_read_texts_as_they_are(tmp_path: Path) -> None:
    row = {"sentence1": "他在睡觉", "sentence2": "他醒着", "label": "contradiction"}
    task = labelled("ocnli", written(tmp_path, row))
    (sample,) = task.samples()
    (request,) = sample.requests
    assert isinstance(request, Classify)
    assert request.texts == ("他在睡觉", "他醒着")
    assert request.labels == (("entailment",), ("neutral",), ("contradiction",))
    assert sample.reference == [2]
    stats = task.grade(sample, [Response(logprobs=(-3.0, -2.0, -0.2))])
    assert stats["acc"] == (100.0, 1.0)
    assert [metric.name for metric in task.metrics] == ["acc", "choice_probability"]


@pytest.mark.parametrize("name", [name for name, spec in SPECS.items() if len(spec.needs) > 1])
def test_labels_have_names_of_their_own(name: str) -> None:
    from harness_choice.labels import READERS

    names = [one for label in READERS[name][1].labels for one in label]
    assert len(set(names)) == len(names)
    assert SPECS[name].category == "classification"


def test_classifiers_take_no_examples(tmp_path: Path) -> None:
    path = written(tmp_path, {"sentence": "fine", "label": "Positive"})
    with pytest.raises(UsageError, match="which take no worked examples"):
        labelled("eprstmt", path, shots=2)
