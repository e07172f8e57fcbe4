"""``harness score`` gives published numbers back, and names what is wrong with a file."""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_docs import run_page

from harness.cli import invoke
from harness.errors import HarnessError
from harness.outputs import read_answers


class Told:
    """What one command printed, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


class Score:
    """Runs ``harness score`` in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: object) -> Told:
        code = invoke(["score", *map(str, arguments)])
        told = self.capsys.readouterr()
        return Told(code, told.out, told.err)

    def json(self, *arguments: object, code: int = 0) -> dict[str, Any]:
        told = self(*arguments, "--json")
        assert told.code == code, told.err
        document: dict[str, Any] = json.loads(told.out)
        low, high = document["ci"]
        assert low <= document["value"] <= high
        return document


@pytest.fixture
def score(capsys: pytest.CaptureFixture[str]) -> Score:
    return Score(capsys)


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(("pair", "system"), [("zh-en", "NiuTrans"), ("en-de", "Online-W")])
def test_wmt22_systems_get_their_published_scores(
    score: Score, shared: Path, pair: str, system: str
) -> None:
    folder, target = shared / "data" / "wmt22", pair[-2:]
    expected = json.loads((folder / "expected.json").read_text())[pair][system]
    published = expected["published_automatic_scores"]

    def file(part: str) -> Path:
        return folder / f"generaltest2022.{pair}.{part}.{target}"

    one = ("--hyp", file(f"hyp.{system}"), "--ref", file("ref.A"))
    both = (*one, file("ref.B"))
    assert score.json("bleu", *one)["value"] == pytest.approx(published["bleu-A"], abs=1e-9)
    assert score.json("bleu", *both)["value"] == pytest.approx(published["bleu-all"], abs=1e-9)
    assert score.json("chrf", *one)["value"] == pytest.approx(published["chrf-A"], abs=1e-9)
    # chrF with several references moved by up to 0.01 between versions of sacreBLEU.
    computed = expected["sacrebleu_2_6_0"]["chrf-all"]
    document = score.json("chrf", *both)
    assert document["value"] == pytest.approx(computed, abs=1e-9)
    assert document["n"] == {"zh-en": 1875, "en-de": 2037}[pair]
    assert document["signature"].startswith("nrefs:2|case:mixed|eff:yes|nc:6|nw:0|")


def test_blank_references_do_not_count(score: Score, shared: Path) -> None:
    folder = shared / "data" / "webnlg"
    expected = json.loads((folder / "expected.json").read_text())
    files = ["--hyp", folder / "hypothesis", "--ref"]
    files += [folder / f"reference{number}" for number in range(4)]
    for metric, wanted in (("bleu", "sacrebleu_bleu"), ("chrf++", "sacrebleu_chrfpp")):
        document = score.json(metric, *files)
        assert document["value"] == pytest.approx(expected[wanted], abs=1e-9)
        assert document["signature"].startswith("nrefs:var|")


SQUAD = {
    "xquad_en": "squad1.1_xquad_en.even_titles.json",
    "dev_sample": "squad1.1_dev_sample.a.jsonl",
}


@pytest.mark.parametrize("part", SQUAD)
@pytest.mark.parametrize("system", ["bert_ensemble", "logistic_regression", "rnet_ensemble"])
def test_squad_predictions_score_as_the_official_script_says(
    score: Score, shared: Path, system: str, part: str
) -> None:
    folder = shared / "data" / "squad"
    expected = json.loads((folder / "predictions.expected.json").read_text())[system][part]
    predictions = folder / "predictions" / f"{system}.json"
    for metric, wanted in (("exact_match", "exact"), ("f1", "f1")):
        document = score.json(
            metric, "--hyp", predictions, "--ref", folder / SQUAD[part], "--max-errors", 1
        )
        assert document["value"] == pytest.approx(expected[wanted], abs=1e-9)
        assert document["n"] == expected["total"]


def test_squad_v2_parts_score_as_the_official_script_says(score: Score, shared: Path) -> None:
    folder = shared / "data" / "squad"
    expected = json.loads((folder / "squad2.0_rule_predictions.expected.json").read_text())
    files = (
        *("--hyp", folder / "squad2.0_rule_predictions.json"),
        *("--ref", folder / "squad2.0_cs224n_dev.even_articles.json"),
    )
    for metric, wanted in (
        ("f1", "f1"),
        ("has_answer_f1", "HasAns_f1"),
        ("no_answer_exact_match", "NoAns_exact"),
    ):
        found = score.json(metric, *files)["value"]
        assert found == pytest.approx(expected["rule_predictions"][wanted], abs=1e-9)


def test_conll2003_baseline_scores_as_conlleval_and_seqeval_say(score: Score, shared: Path) -> None:
    folder = shared / "data" / "conll2003"
    expected = json.loads((folder / "lexicon_baseline.testa.expected.json").read_text())
    tagged = folder / "lexicon_baseline.testa.5col.gz"
    micro, macro = (expected["seqeval_default"][f"{kind} avg"] for kind in ("micro", "macro"))
    for metric, wanted in (
        ("entity_f1", micro["f1-score"]),
        ("entity_f1:average=macro", macro["f1-score"]),
    ):
        document = score.json(metric, "--hyp", tagged)
        assert document["value"] == pytest.approx(100 * wanted, abs=1e-9)
    assert document["n"] == 3250
    types = {row["name"]: row for row in document["entities"]["rows"]}
    for name, row in expected["conlleval_pl"]["types"].items():
        assert round(types[name]["f1"], 2) == row["f1"]
        assert types[name]["predicted"] == row["found"]


def test_gold_in_a_file_of_its_own_gives_the_same_score(
    score: Score, shared: Path, tmp_path: Path
) -> None:
    folder = shared / "data" / "conll2003"
    lines = gzip.decompress((folder / "lexicon_baseline.testa.5col.gz").read_bytes()).decode()
    found = write(
        tmp_path,
        "found.conll",
        "\n".join(" ".join(line.split()[:1] + line.split()[-1:]) for line in lines.split("\n")),
    )
    document = score.json("entity_f1", "--hyp", found, "--ref", folder / "eng.testa")
    expected = json.loads((folder / "lexicon_baseline.testa.expected.json").read_text())
    wanted = expected["seqeval_default"]["micro avg"]["f1-score"]
    assert document["value"] == pytest.approx(100 * wanted, abs=1e-9)


@pytest.mark.parametrize(
    ("output", "reference"),
    [
        ("ptr_generator.out_pointer_gen_cov.txt", "ref.ptr_generator.txt"),
        ("bart.out.txt", "ref.bart.txt"),
        ("t5.out_small.txt", "ref.t5.txt"),
        ("presumm.out_ext_abs.txt", "ref.presumm.txt"),
    ],
)
def test_summaries_score_as_rouge_score_says(
    score: Score, shared: Path, output: str, reference: str
) -> None:
    folder = shared / "data" / "cnndm"
    expected = json.loads((folder / "expected.rouge_score.json").read_text())[output]["mean"]
    for kind, wanted in expected.items():
        document = score.json(
            f"{kind}:stemmer=yes", "--hyp", folder / output, "--ref", folder / reference
        )
        assert document["value"] == pytest.approx(100 * wanted, abs=1e-9)


def test_text_output_says_value_interval_n_and_signature(score: Score, tmp_path: Path) -> None:
    path = write(tmp_path, "a", "one two three four five\nsix seven eight nine ten\n")
    told = score("bleu", "--hyp", path, "--ref", path)
    first, second = told.out.splitlines()
    assert first == "bleu 100.00 [22.36, 100.00] (95 %), n = 2"
    assert second.startswith("nrefs:1|") and "|task:lines@" in second


def test_unequal_line_counts_name_both(score: Score, tmp_path: Path) -> None:
    two, three = write(tmp_path, "two", "a\nb\n"), write(tmp_path, "three", "a\nb\nc\n")
    told = score("bleu", "--hyp", two, "--ref", three)
    assert told.code == 4
    assert "two' has 2 lines" in told.err and "three' has 3" in told.err


def test_an_empty_last_line_needs_its_newline_as_for_sacrebleu(
    score: Score, tmp_path: Path
) -> None:
    out, ended = write(tmp_path, "out", "a\nb"), write(tmp_path, "ended", "a\n\n")
    full, short = write(tmp_path, "full", "a\nb\n"), write(tmp_path, "short", "a\n")
    assert score("bleu", "--hyp", out, "--ref", full, ended).code == 0
    told = score("bleu", "--hyp", out, "--ref", full, short)
    assert told.code == 4
    assert "an empty last line counts only where a newline ends it" in told.err


def test_variety_over_all_answers_is_a_metric_of_its_own(score: Score, tmp_path: Path) -> None:
    path = write(tmp_path, "out", "a b\nb c\n\n")  # unigrams a b b c, 3 of 4 distinct
    document = score.json("corpus_distinct:n=1", "--hyp", path)
    assert (document["metric"], document["value"]) == ("corpus_distinct_1", 75.0)
    assert score.json("distinct:n=1", "--hyp", path)["value"] == 100.0


def test_model_solutions_of_gsm8k_agree_with_the_authors(
    score: Score, shared: Path, tmp_path: Path
) -> None:
    folder = shared / "data" / "gsm8k"
    path = folder / "model_solutions.1-200.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    expected = json.loads((folder / "model_solutions.expected.json").read_text())
    for model, correct in expected["correct"].items():
        solutions = {str(i): row[model]["solution"] for i, row in enumerate(rows, start=1)}
        out = write(tmp_path, f"{model}.json", json.dumps(solutions))
        document = score.json(
            "exact_match_flexible", "--task", "gsm8k", "--hyp", out, "--ref", path
        )
        assert document["value"] * expected["total"] / 100 == pytest.approx(correct)


def test_a_line_without_any_reference_is_named(score: Score, tmp_path: Path) -> None:
    told = score(
        "chrf",
        *("--hyp", write(tmp_path, "out", "a\nb\n")),
        *("--ref", write(tmp_path, "one", "a\n\n"), write(tmp_path, "other", "a\n \n")),
    )
    assert told.code == 4 and "one', line 2 is an empty reference" in told.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("blue", "--hyp", "x", "--ref", "x"), "Did you mean 'bleu'?"),
        (("bleu:tokenise=zh", "--hyp", "x", "--ref", "x"), "Did you mean 'tokenize'?"),
        (("bleu:nrefs=5", "--hyp", "x", "--ref", "x"), "has no option 'nrefs=5'"),
        (("acc:choices=0", "--hyp", "x", "--ref", "x"), "two choices or more, not 0"),
        (("bleu", "--hyp", "x"), "Give the references: --ref FILE"),
        (("f1", "--hyp", "x.json", "--ref", "a", "b"), "Name one file"),
        (
            ("entity_f1:average=mean", "--hyp", "x.conll", "--ref", "x.conll"),
            "macro, micro, weighted",
        ),
        (("f1", "--task", "squat", "--hyp", "x", "--ref", "x"), "Did you mean 'squad'"),
        (("rouge1:measure=f1", "--hyp", "x.conll", "--ref", "x.conll"), "Unknown measure 'f1'"),
        (("chrf:char_order=0", "--hyp", "x.conll", "--ref", "x.conll"), "a char_order from 1"),
        (("entity_f1:scheme=iob", "--hyp", "x.conll"), "Did you mean 'iob2' or 'iob1'"),
        (("entity_recall:average=macro", "--hyp", "x.conll"), "scheme=auto|iob1|iob2"),
        (("entity_f1", "--task", "cluener", "--hyp", "x.conll"), "name the gold one with --ref"),
        (
            ("entity_f1:scheme=iob2", "--task", "conll", "--hyp", "x.conll", "--ref", "x.conll"),
            "read without --task",
        ),
    ],
)
def test_a_wrong_command_is_answered_with_what_was_meant(
    score: Score,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "x.conll", "Ann B-PER\n")
    told = score(*arguments)
    assert told.code == 2
    assert words in told.err and len(told.err.splitlines()) <= 3


QUESTIONS = (
    '{"id": "1", "context": "The cat sat.", "question": "Who?", "answers": ["The cat"]}\n'
    '{"id": "2", "context": "The cat sat.", "question": "What?", "answers": ["sat"]}\n'
)


def test_texts_are_measured_without_any_reference(score: Score, tmp_path: Path) -> None:
    found = write(tmp_path, "out", "a b a b a b\n\nc d e f g\n")
    for metric, wanted in (("distinct:n=2", 70.0), ("repetition:n=4", 50 / 3), ("length", 11 / 3)):
        document = score.json(metric, "--hyp", found)
        assert document["value"] == pytest.approx(wanted)
        assert (document["n"], document["samples"]) == (3, 3)
        again = score.json(metric, "--hyp", found, "--ref", found)
        assert again["value"] == document["value"]


def test_a_model_that_says_nothing_has_a_score(score: Score, tmp_path: Path) -> None:
    nothing, gold = write(tmp_path, "out", "\n \n"), write(tmp_path, "gold", "a b\nc\n")
    assert score.json("bleu", "--hyp", nothing, "--ref", gold)["value"] == 0.0
    assert score.json("ter", "--hyp", nothing, "--ref", gold)["value"] == 100.0
    told = score("bleu", "--hyp", gold, "--ref", nothing)
    assert told.code == 4 and "holds blanks only" in told.err


def test_character_spans_are_scored_by_the_task_that_reads_them(
    score: Score, tmp_path: Path
) -> None:
    gold = write(
        tmp_path, "gold.json", '{"text": "李明在北京", "label": {"name": {"李明": [[0, 1]]}}}'
    )
    found = write(
        tmp_path, "out.json", '{"text": "李明在北京", "label": {"name": {"李": [[0, 0]]}}}'
    )
    files = ("--task", "cluener", "--hyp", found, "--ref", gold)
    document = score.json("entity_f1", *files)
    assert (document["value"], document["entities"]["micro"]["support"]) == (0.0, 1)
    assert document["tokens"]["micro"]["f1"] == 80.0


def test_a_missing_prediction_is_counted_and_ends_with_4(score: Score, tmp_path: Path) -> None:
    gold = write(tmp_path, "gold.jsonl", QUESTIONS)
    found = write(tmp_path, "found.json", '{"1": "cat", "9": "dog"}')
    told = score("f1", "--hyp", found, "--ref", gold)
    assert told.code == 4
    assert "f1 100.00" in told.out
    assert "no output for 1 of 2 samples" in told.err and "1 outputs for other ids" in told.err
    assert score("f1", "--hyp", found, "--ref", gold, "--max-errors", 1).code == 0


def test_predictions_by_line_and_by_id_agree(score: Score, tmp_path: Path) -> None:
    gold = write(tmp_path, "gold.jsonl", QUESTIONS)
    plain = write(tmp_path, "plain.txt", "a cat\nstood\n")
    lines = '{"id": 2, "prediction": "stood"}\n{"id": "1", "prediction": "a cat"}\n'
    for found in (plain, write(tmp_path, "found.jsonl", lines)):
        document = score.json("exact_match", "--task", "squad", "--hyp", found, "--ref", gold)
        assert (document["value"], document["n"], document["errors"]) == (50.0, 2, 0)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.json", '["a"]', "no object of texts by id"),
        ("x.json", '{"1": 3}', "is 3, not a text"),
        ("x.json", '{"1": "a", "1": "b"}', "has the id '1' twice"),
        ("x.json", '{"7": "cat"}', "answers none of the 2 samples"),
        ("x.jsonl", '{"id": "1"}', "line 1 has no 'id' and 'prediction'"),
        (
            "x.jsonl",
            '{"id": 1, "prediction": ""}\n{"id": "1", "prediction": ""}',
            "has 2 outputs for id '1'",
        ),
        ("x.txt", "one\n", "has 1 lines, and the task asks 2 times"),
        ("x.json", '{"1": "cat"', "is not JSON"),
    ],
)
def test_a_file_of_predictions_that_is_none_is_named(
    score: Score, tmp_path: Path, name: str, content: str, words: str
) -> None:
    gold = write(tmp_path, "gold.jsonl", QUESTIONS)
    told = score("f1", "--task", "squad", "--hyp", write(tmp_path, name, content), "--ref", gold)
    assert told.code == 4
    assert words in told.err and len(told.err.splitlines()) <= 3


def test_tags_of_another_text_are_refused(score: Score, tmp_path: Path) -> None:
    gold = write(tmp_path, "gold", "Ann B-PER\nsaw O\n\nRome B-LOC\n")
    short = write(tmp_path, "short", "Ann B-PER\nsaw O\n")
    other = write(tmp_path, "other", "Ann B-PER\nsaw O\n\nParis B-LOC\n")
    told = score("entity_f1", "--hyp", short, "--ref", gold)
    assert told.code == 4 and "1 sentences" in told.err
    told = score("entity_f1", "--hyp", other, "--ref", gold)
    assert told.code == 4 and "Sentence 2" in told.err
    told = score("entity_f1", "--hyp", gold)
    assert told.code == 4 and "2 columns, not token, gold tag and predicted tag" in told.err


def test_a_task_without_entities_is_refused(score: Score, tmp_path: Path) -> None:
    gold = write(tmp_path, "gold.jsonl", QUESTIONS)
    told = score("entity_f1", "--task", "squad", "--hyp", gold, "--ref", gold)
    assert told.code == 2 and "has no entities" in told.err


def test_a_path_with_a_comma_is_one_path(score: Score, tmp_path: Path) -> None:
    gold = write(tmp_path, "gold, {new}.jsonl", QUESTIONS)
    found = write(tmp_path, "found.json", '{"1": "cat", "2": "sat"}')
    assert score.json("f1", "--hyp", found, "--ref", gold)["value"] == 100.0


@settings(max_examples=60, deadline=None)
@given(
    content=st.one_of(
        st.binary(max_size=80),
        st.text(max_size=80).map(str.encode),
        st.recursive(st.none() | st.text(max_size=5) | st.integers(), st.lists, max_leaves=5).map(
            lambda value: json.dumps({"id": value, "prediction": value}).encode()
        ),
    ),
    name=st.sampled_from(["a.json", "a.jsonl", "a.jsonl.gz"]),
)
def test_no_file_of_predictions_brings_the_reader_down(content: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            answers = read_answers(str(path))
        except HarnessError:
            return
    assert all(isinstance(text, str) for texts in answers.values() for text in texts)


def test_the_page_on_scoring_works(root: Path, tmp_path: Path) -> None:
    run_page(root / "docs" / "score.md", tmp_path)
