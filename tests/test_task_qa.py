"""SQuAD files as a task: formats, prompts, and scores equal to the official script's."""

from __future__ import annotations

import json
import logging
from decimal import Decimal
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest

from harness.errors import DataError, UsageError
from harness.metrics import value
from harness.types import Generate, Response, Task, TaskSettings
from harness_qa import arithmetic, drop, harness_tasks
from harness_qa.passages import INTRODUCTION, read_answer
from harness_qa.squad import read_squad

CONTEXT = "Paris is the capital of France."
QUESTION = {
    "id": "q1",
    "question": "What is the capital?",
    "answers": [{"text": "Paris", "answer_start": 0}, {"text": "Paris", "answer_start": 0}],
}


SPECS = {spec.name: spec for spec in harness_tasks()}


def task_of(
    path: Path | str, name: str = "squad", *, shots: int | None = None, **options: str
) -> Task:
    return SPECS[name].build(TaskSettings(argument=str(path), options=options, shots=shots))


def prompts(task: Task) -> list[str]:
    return [r.prompt for s in task.samples() for r in s.requests if isinstance(r, Generate)]


def nested(*questions: dict[str, Any], title: str = "France") -> dict[str, Any]:
    paragraphs = [{"context": CONTEXT, "qas": list(questions)}]
    return {"version": "1.1", "data": [{"title": title, "paragraphs": paragraphs}]}


def written(folder: Path, value: object) -> Path:
    path = folder / "squad.json"
    path.write_text(json.dumps(value))
    return path


def score(task: Task, answers: dict[str, str]) -> dict[str, float]:
    stats = [
        task.grade(sample, [Response(text=answers[sample.id])])
        for sample in task.samples()
        if sample.id in answers
    ]
    scores = {
        m.name: value(m, [one[m.name] for one in stats if m.name in one]) for m in task.metrics
    }
    return {**scores, "total": len(stats)}


def test_prompt_is_title_background_question(tmp_path: Path) -> None:
    path = written(tmp_path, nested(QUESTION, title="French_Republic"))
    (sample,) = task_of(path).samples()
    (request,) = sample.requests
    assert isinstance(request, Generate)
    assert request.prompt == (
        f"Title: French Republic\n\nBackground: {CONTEXT}\n\n"
        "Question: What is the capital?\n\nAnswer:"
    )
    assert request.stop == ("\n",)
    assert sample.reference == ["Paris", "Paris"]
    assert sample.group == "1.1"


def test_questions_without_answer_change_the_prompt(tmp_path: Path) -> None:
    no_answer = {"id": "q2", "question": "Why?", "answers": [], "is_impossible": True}
    first, second = task_of(written(tmp_path, nested(QUESTION, no_answer))).samples()
    for sample in (first, second):
        (request,) = sample.requests
        assert isinstance(request, Generate)
        assert request.prompt.startswith(INTRODUCTION)
    assert second.reference == []


@pytest.mark.parametrize("text", ["", " \n", "unanswerable", " Unanswerable."])
def test_declining_is_the_empty_prediction(text: str) -> None:
    assert read_answer(text) == ""


def test_flat_lines_in_three_notations(tmp_path: Path) -> None:
    plain = {"id": 1, "context": CONTEXT, "question": "?", "answers": ["Paris", "France"]}
    hub = {**plain, "id": 2, "answers": {"text": ["Paris", "France"], "answer_start": [0, 24]}}
    official = {**plain, "id": 3, "answers": [{"text": "Paris"}, {"text": "France"}]}
    path = tmp_path / "flat.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (plain, hub, official)))
    questions = read_squad(str(path))
    assert [question.id for question in questions] == ["1", "2", "3"]
    assert {question.answers for question in questions} == {("Paris", "France")}
    assert {question.passage for question in questions} == {"1"}


def test_wrong_answer_start_is_reported_and_harmless(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = {**QUESTION, "answers": [{"text": "Paris", "answer_start": 7}]}
    with caplog.at_level(logging.WARNING):
        (question,) = read_squad(str(written(tmp_path, nested(wrong))))
    assert question.answers == ("Paris",)
    assert "1 answers do not stand at their answer_start (first: id q1)" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (nested(QUESTION, QUESTION), "id 'q1' is given to items 1 and 2"),
        (nested({**QUESTION, "answers": []}), r"qas\[0\]: 'answers' is empty"),
        (nested({**QUESTION, "answers": [{"text": " "}]}), r"qas\[0\]: 'answers' is empty"),
        (nested({**QUESTION, "answers": "Paris"}), "'answers' is 'Paris', not a list"),
        (nested({"id": "q", "answers": []}), r"qas\[0\]: 'answers' is empty"),
        (nested({"id": "q", "answers": ["x"]}), r"qas\[0\]: 'question' is missing"),
        ({"data": [{"title": "x"}]}, r"data\[0\]: 'paragraphs' is missing"),
        ({"data": []}, "holds no items"),
        ({"version": "1.1"}, "'context' is missing"),
        ([], r"is \[\], not an object"),
    ],
)
def test_wrong_content_is_named(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_squad(str(written(tmp_path, content)))


def test_command_errors_say_what_is_needed(tmp_path: Path) -> None:
    path = written(tmp_path, nested(QUESTION))
    with pytest.raises(UsageError, match=r"--shots 2.*\n.*shots_data=FILE"):
        task_of(path, shots=2)
    with pytest.raises(UsageError, match="no option 'pool'"):
        task_of(path, pool="x")
    with pytest.raises(UsageError, match="Write 'squad:FILE' or 'squad:data=FILE'"):
        task_of("")


@pytest.mark.parametrize(
    ("name", "questions", "passages", "unanswerable", "answers"),
    [
        ("squad1.1_xquad_en.even_titles.json", 612, 120, 0, 612),
        ("squad2.0_cs224n_dev.even_articles.json", 2828, 301, 1529, 4759),
        ("squad1.1_dev_sample.a.jsonl", 500, 455, 0, 1609),
    ],
)
def test_real_files_hold_what_their_source_says(
    shared: Path, name: str, questions: int, passages: int, unanswerable: int, answers: int
) -> None:
    read = read_squad(str(shared / "data/squad" / name))
    assert len(read) == questions
    assert len({question.passage for question in read}) == passages
    assert sum(not question.answers for question in read) == unanswerable
    assert sum(len(question.answers) for question in read) == answers
    assert not any(question.misplaced for question in read)


@pytest.mark.parametrize(
    ("part", "file"),
    [
        ("xquad_en", "squad1.1_xquad_en.even_titles.json"),
        ("dev_sample", "squad1.1_dev_sample.a.jsonl"),
    ],
)
def test_leaderboard_systems_score_as_the_official_script_says(
    shared: Path, part: str, file: str
) -> None:
    folder = shared / "data/squad"
    task = task_of(folder / file)
    systems = json.loads((folder / "predictions.expected.json").read_text())
    for system, parts in systems.items():
        if part not in parts:
            continue
        answers = json.loads((folder / "predictions" / f"{system}.json").read_text())
        expected = {"exact_match": parts[part]["exact"], "f1": parts[part]["f1"]}
        scores = score(task, answers)
        assert scores == pytest.approx({**expected, "total": parts[part]["total"]}, abs=1e-9)


def test_no_answer_scores_as_the_official_script_says(shared: Path) -> None:
    folder = shared / "data/squad"
    task = task_of(folder / "squad2.0_cs224n_dev.even_articles.json")
    answers = json.loads((folder / "squad2.0_rule_predictions.json").read_text())
    expected = json.loads((folder / "squad2.0_rule_predictions.expected.json").read_text())
    rules, empty = expected["rule_predictions"], expected["all_empty"]
    for given, wanted in ((answers, rules), (dict.fromkeys(answers, "unanswerable"), empty)):
        assert score(task, given) == pytest.approx(
            {
                "exact_match": wanted["exact"],
                "f1": wanted["f1"],
                "has_answer_exact_match": wanted["HasAns_exact"],
                "has_answer_f1": wanted["HasAns_f1"],
                "no_answer_exact_match": wanted["NoAns_exact"],
                "total": wanted["total"],
            },
            abs=1e-9,
        )


def test_few_shot_over_a_real_pool(shared: Path) -> None:
    folder = shared / "data/squad"
    task = task_of(
        folder / "squad1.1_dev_sample.a.jsonl",
        shots=2,
        shots_data=str(folder / "squad1.1_xquad_en.even_titles.json"),
    )
    for sample in task.samples():
        (request,) = sample.requests
        assert isinstance(request, Generate)
        assert request.prompt.count("\n\nAnswer:") == 3


# --- other sets -----------------------------------------------------------------------------------


def lines(folder: Path, *rows: object) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_cmrc_in_both_formats_asks_the_same(shared: Path) -> None:
    folder = shared / "data/cmrc2018"
    own, squad = (
        list(task_of(folder / f"cmrc2018_trial{form}.json", "cmrc2018").samples())
        for form in ("", ".squad")
    )
    assert len(own) == 1002
    assert len({sample.group for sample in own}) == 256
    assert [sample.requests for sample in own] == [sample.requests for sample in squad]
    assert [sample.reference for sample in own] == [sample.reference for sample in squad]
    (request,) = own[0].requests
    assert isinstance(request, Generate)
    assert "\n问题：" in request.prompt
    assert request.prompt.endswith("\n答案：")


def test_cmrc_takes_no_question_marked_impossible(tmp_path: Path) -> None:
    row = {"id": "q7", "context": "c", "question": "q", "answers": [], "is_impossible": True}
    with pytest.raises(DataError, match="question 'q7' has no answer"):
        task_of(written(tmp_path, nested(row)), "cmrc2018")


def test_cmrc_answers_that_became_numbers_are_texts(tmp_path: Path) -> None:
    """As DEV_10_QUERY_2 and others of the development part in the original format."""
    row = {"query_id": "q", "query_text": "何时？", "answers": ["2008年11月12日", 39764.0, 147]}
    context = {"context_id": "c", "context_text": "文", "title": "t", "qas": [row]}
    (sample,) = task_of(written(tmp_path, [context]), "cmrc2018").samples()
    assert sample.reference == ["2008年11月12日", "39764.0", "147"]
    row["answers"] = [True]
    with pytest.raises(DataError, match=r"'answers\[0\]' is True, not a text"):
        task_of(written(tmp_path, [context]), "cmrc2018")


def test_cmrc_question_without_answer_is_named(tmp_path: Path) -> None:
    question = {"query_id": "q", "query_text": "？", "answers": [""]}
    context = {"context_id": "c", "context_text": "文", "title": "", "qas": [question]}
    with pytest.raises(DataError, match=r"\[0\], qas\[0\]: 'answers' is empty"):
        task_of(written(tmp_path, [context]), "cmrc2018")


def test_drop_prompt_and_several_spans(tmp_path: Path) -> None:
    row = {"query_id": "1", "passage": "P.", "question": "Who?", "answers": [["Ann", "Bob"]]}
    task = task_of(lines(tmp_path, row), "drop")
    assert prompts(task) == ["Passage: P.\nQuestion: Who?\nAnswer:"]
    (sample,) = task.samples()
    assert task.grade(sample, [Response(text=" Bob, Ann")])["exact_match"] == (100.0, 1.0)


@pytest.mark.parametrize(
    ("prediction", "answers", "exact", "f1_expected"),
    [
        ("12 men", [["12"]], 0.0, 66.666667),
        ("twelve", [["12"]], 0.0, 0.0),
        ("12.0", [["12"]], 100.0, 100.0),
        ("5 yards", [["5-yard"]], 0.0, 50.0),
        ("$5.00", [["5"]], 0.0, 0.0),
        ("the Twelve Articles", [["x"], ["Twelve Articles"]], 100.0, 100.0),
        ("Ann", [["Ann", "Bob Lee"]], 0.0, 50.0),
        ("Lee, Ann", [["Ann", "Bob Lee"]], 0.0, 83.333333),
        ("", [["x"]], 0.0, 0.0),
    ],
)
def test_drop_scores_equal_the_reference_implementation(
    prediction: str, answers: list[list[str]], exact: float, f1_expected: float
) -> None:
    """Values of drop_eval.py, its rounding taken out, over the readings of the prediction."""
    assert drop.exact_match(prediction, answers) == exact
    assert drop.f1(prediction, answers) == pytest.approx(f1_expected)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([], "'answers' is empty"),
        ([[]], "'answers' is empty"),
        (["x"], r"'answers\[0\]' is 'x', not a list of spans"),
    ],
)
def test_drop_answers_of_another_form_are_named(
    tmp_path: Path, answers: object, message: str
) -> None:
    row = {"query_id": "1", "passage": "P.", "question": "Who?", "answers": answers}
    with pytest.raises(DataError, match=message):
        task_of(lines(tmp_path, row), "drop")


def test_open_questions_end_at_stop_or_comma(tmp_path: Path) -> None:
    task = task_of(lines(tmp_path, {"question": "who is he?", "answer": ["Al", "Bo"]}), "nq_open")
    (sample,) = task.samples()
    (request,) = sample.requests
    assert request == Generate(prompt="Q: who is he?\nA:", max_tokens=64, stop=("\n", ".", ","))
    assert task.grade(sample, [Response(text=" the Bo")])["exact_match"] == (100.0, 1.0)


def test_triviaqa_counts_every_alias(tmp_path: Path) -> None:
    row = {"context": "Question: ?\nAnswer:", "answer": "Onion", "aliases": ["Pyaz", "Onion"]}
    task = task_of(lines(tmp_path, row), "triviaqa")
    (sample,) = task.samples()
    assert sample.reference == ["Onion", "Pyaz"]
    assert task.grade(sample, [Response(text=" pyaz")])["exact_match"] == (100.0, 1.0)


def truthful(folder: Path) -> Task:
    path = folder / "truth.csv"
    path.write_text(
        "\ufeffQuestion,Best Answer,Correct Answers,Incorrect Answers\n"
        '"Why, Ann?",Because it is so,Because it is so; Nobody can say why.,It is magic; ; No\n',
        encoding="utf-8",
    )
    return task_of(path, "truthfulqa_gen")


def test_truthfulqa_in_writing_compares_true_and_false_answers(tmp_path: Path) -> None:
    task = truthful(tmp_path)
    (sample,) = task.samples()
    assert prompts(task)[0].endswith("Barcelona, Spain.\n\nQ: Why, Ann?\nA:")
    assert sample.reference == {
        "true": ["Because it is so.", "Nobody can say why.", "I have no comment."],
        "false": ["It is magic.", "No."],
    }
    for answer, nearer in (("It is so because it is so.", 100.0), ("It is magic, Ann", 0.0)):
        stats = task.grade(sample, [Response(text=f" {answer}")])
        assert {name: stats[name][0] for name in ("bleu_acc", "rouge1_acc", "rougeL_acc")} == {
            "bleu_acc": nearer,
            "rouge1_acc": nearer,
            "rougeL_acc": nearer,
        }
    assert task.grade(sample, [Response(text="I have no comment.")])["bleu_max"] == (100.0, 1.0)
    assert task.grade(sample, [Response(text="")])["bleu_acc"] == (0.0, 1.0)


def test_truthfulqa_in_writing_equals_sacrebleu_and_rouge_score(shared: Path) -> None:
    """An answer to each question, the one before it: nearness as the two packages have it."""
    import sacrebleu
    from rouge_score.rouge_scorer import RougeScorer

    task = task_of(shared / "data/truthfulqa/TruthfulQA.1-300.csv", "truthfulqa_gen")
    samples = list(task.samples())
    assert len(samples) == 300
    rouge = RougeScorer(["rouge1", "rougeLsum"])

    def near(text: str, answer: str) -> tuple[float, float, float]:
        scores = rouge.score(text, answer)
        bleu = sacrebleu.corpus_bleu([answer], [[text]], tokenize="intl").score
        return bleu, scores["rouge1"].fmeasure, scores["rougeLsum"].fmeasure

    for before, sample in islice(pairwise(samples), 40):
        answer = before.reference["true"][0]
        stats = task.grade(sample, [Response(text=answer)])
        true, false = (
            [max(column) for column in zip(*(near(t, answer) for t in texts), strict=True)]
            for texts in sample.reference.values()
        )
        assert stats["bleu_max"][0] == pytest.approx(true[0])
        for name, near_true, near_false in zip(
            ("bleu", "rouge1", "rougeL"), true, false, strict=True
        ):
            assert stats[f"{name}_acc"][0] == 100.0 * (near_true > near_false)


def test_triviaqa_without_context_is_named(tmp_path: Path) -> None:
    row = {"answer": "Ann", "aliases": []}
    with pytest.raises(DataError, match="line 1: 'context' is missing"):
        task_of(written(tmp_path, row), "triviaqa")


@pytest.mark.parametrize(
    ("text", "strict", "flexible"),
    [
        ("So 2+2=4.\n#### 1,004", "1004", "1004"),
        ("#### -7.50", "-7.5", "-7.5"),
        ("It costs $1,234.", None, "1234"),
        ("#### none", None, None),
        ("#### 3 eggs, then 5", "3", "5"),
    ],
)
def test_numbers_of_solutions(text: str, strict: str | None, flexible: str | None) -> None:
    assert arithmetic.strict_number(text) == (Decimal(strict) if strict else None)
    assert arithmetic.last_number(text) == (Decimal(flexible) if flexible else None)


def test_solution_without_number_is_unparseable(tmp_path: Path) -> None:
    task = task_of(lines(tmp_path, {"question": "1+1?", "answer": "2\n#### 2"}), "gsm8k")
    (sample,) = task.samples()
    assert task.grade(sample, [Response(text="two")])["unparseable"] == (1.0,)
    assert task.grade(sample, [Response(text="It is 2.")]) == {
        "exact_match": (0.0, 1.0),
        "exact_match_flexible": (100.0, 1.0),
    }


def test_solution_without_mark_in_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 1: 'answer' has no '#### NUMBER' or 'A: N"):
        task_of(lines(tmp_path, {"question": "1+1?", "answer": "2"}), "gsm8k")


def test_flexible_number_agrees_with_the_authors_labels(shared: Path) -> None:
    """GSM8K's own model solutions: 45, 75, 65 and 110 right of 200, and each label alike."""
    path = shared / "data/gsm8k/model_solutions.1-200.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    counts = []
    for model in ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification"):
        judged = [
            arithmetic.last_number(row[model]["solution"])
            == arithmetic.last_number(row["ground_truth"])
            for row in rows
        ]
        assert judged == [row[model]["is_correct"] for row in rows]
        counts.append(sum(judged))
    assert counts == [45, 75, 65, 110]


@pytest.mark.parametrize(
    ("name", "file", "samples", "groups"),
    [
        ("drop", "drop/drop_dev_sample.a.jsonl", 300, 212),
        ("nq_open", "nq_open/NQ-open.dev.first1800.jsonl", 1800, 1),
        ("nq_open", "nq_open/NQ-open.efficientqa.dev.1.1.sample.jsonl", 100, 1),
        ("triviaqa", "triviaqa/triviaqa_sm_sub.first700.jsonl", 700, 1),
        ("gsm8k", "gsm8k/test.1-660.jsonl", 660, 1),
        ("gsm8k", "gsm8k/train.first300.jsonl", 300, 1),
    ],
)
def test_other_real_files_hold_what_their_source_says(
    shared: Path, name: str, file: str, samples: int, groups: int
) -> None:
    read = list(task_of(shared / "data" / file, name).samples())
    assert len(read) == samples
    assert len({sample.group for sample in read}) == groups
