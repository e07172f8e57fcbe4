"""Parallel text as a task: alignment, prompts, and scores equal to published ones."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from harness.errors import DataError, UsageError
from harness.metrics import value
from harness.types import Generate, Response, Task, TaskSettings
from harness_files.pairs import read_pairs
from harness_translation import harness_tasks
from harness_translation.languages import language_name, language_of_file
from harness_translation.task import default_tokenizer


def task_of(*, shots: int | None = None, seed: int = 0, **options: Path | str) -> Task:
    spec = next(spec for spec in harness_tasks() if spec.name == "translation")
    given = {name: str(option) for name, option in options.items()}
    return spec.build(TaskSettings(options=given, shots=shots, seed=seed))


def files(folder: Path, **texts: str) -> dict[str, Path]:
    for name, text in texts.items():
        (folder / name).write_bytes(text.encode())
    return {name: folder / name for name in texts}


def score(task: Task, answers: list[str]) -> dict[str, float]:
    stats = [
        task.grade(sample, [Response(text=answer)])
        for sample, answer in zip(task.samples(), answers, strict=True)
    ]
    return {m.name: value(m, [one[m.name] for one in stats]) for m in task.metrics}


def prompts(task: Task) -> list[str]:
    return [r.prompt for s in task.samples() for r in s.requests if isinstance(r, Generate)]


def test_prompt_names_the_languages_and_stops_at_the_line(tmp_path: Path) -> None:
    paths = files(tmp_path, src="A dog. \n", ref="Ein Hund.\n")
    (sample,) = task_of(**paths, source_lang="en", target_lang="deu").samples()
    (request,) = sample.requests
    assert request == Generate(prompt="English: A dog.\nGerman:", max_tokens=256, stop=("\n",))
    assert sample.reference == ["Ein Hund."]


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("val.de.gz", "German"),
        ("newstest2019-ref.zho-CN.txt", "Chinese"),
        ("newstest2019-ref.zho-TW.txt", "Chinese"),
        ("newstest2019-ref.fra-CA.txt", "French"),
        ("wikipedia.devtest.si-en.si", "Sinhala"),
        ("tatoeba.cmn-eng.cmn", "Chinese"),
        ("folder.en/plain", ""),
        ("text.txt", ""),
    ],
)
def test_language_comes_from_the_suffix(path: str, language: str) -> None:
    assert language_of_file(path) == language


def test_unknown_language_is_taken_as_a_name() -> None:
    assert language_name("Klingon") == "Klingon"
    assert language_name("deu_Latn") == language_name("de-AT") == "German"


@pytest.mark.parametrize(("language", "tokenizer"), [("Chinese", "zh"), ("German", "13a")])
def test_tokenizer_follows_the_target_language(language: str, tokenizer: str) -> None:
    assert default_tokenizer(language) == tokenizer


def test_chinese_target_is_in_the_signature(tmp_path: Path) -> None:
    paths = files(tmp_path, src="a\n", ref="一\n")
    assert "tok:zh" in task_of(**paths, target_lang="zh").metrics[0].signature
    assert "tok:char" in task_of(**paths, target_lang="zh", tokenize="char").metrics[0].signature


def test_unequal_line_counts_name_both(tmp_path: Path) -> None:
    paths = files(tmp_path, src="a\nb\n", ref="a\n")
    with pytest.raises(DataError, match=r"src' has 2 lines, '.*ref' has 1"):
        task_of(**paths)


def test_blank_reference_is_named_unless_another_one_stands(tmp_path: Path) -> None:
    paths = files(tmp_path, src="a\nb\n", ref="x\n \n", ref2="y\nz\n")
    with pytest.raises(DataError, match="ref', line 2 is an empty reference"):
        task_of(src=paths["src"], ref=paths["ref"])
    assert [s.reference for s in task_of(**paths).samples()] == [["x", "y"], ["z"]]


def test_blank_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="src', line 2 is blank"):
        task_of(**files(tmp_path, src="a\n\nb\n", ref="x\ny\nz\n"))


def test_lines_hold_what_other_readers_cut_at(tmp_path: Path) -> None:
    paths = files(tmp_path, src="a\u2028b\nc\n", ref="x\x85y\nz\n")
    assert [p.source for p in read_pairs(str(paths["src"]), [str(paths["ref"])])] == [
        "a\u2028b",
        "c",
    ]


def test_examples_come_from_their_own_files_and_are_never_the_question(tmp_path: Path) -> None:
    lines = "".join(f"s{number}\n" for number in range(6))
    paths = files(tmp_path, src=lines, ref=lines.replace("s", "t"))
    pool = {"shots_src": paths["src"], "shots_ref": paths["ref"]}
    for number, prompt in enumerate(prompts(task_of(**paths, **pool, shots=5))):
        *examples, question = prompt.split("\n\n")
        assert len(set(examples)) == 5
        assert question == f"Source: s{number}\nTranslation:"
        assert all(not example.startswith(question) for example in examples)


def test_examples_move_with_the_seed_alone(tmp_path: Path) -> None:
    lines = "".join(f"s{number}\n" for number in range(30))
    paths = files(tmp_path, src=lines, ref=lines)
    pool = {"shots_src": paths["src"], "shots_ref": paths["ref"]}
    first, again, other = (
        prompts(task_of(**paths, **pool, shots=2, seed=seed)) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_command_errors_say_what_is_needed(tmp_path: Path) -> None:
    paths = files(tmp_path, src="a\n", ref="b\n")
    with pytest.raises(UsageError, match=r"needs ref=FILE.\nWrite 'translation:src=FILE,ref=FILE"):
        task_of(src=paths["src"])
    with pytest.raises(UsageError, match=r"no option 'reff'. Did you mean 'ref'"):
        task_of(**paths, reff="x")
    with pytest.raises(UsageError, match=r"--shots 1.*\n.*shots_src=FILE,shots_ref=FILE"):
        task_of(**paths, shots=1)
    with pytest.raises(UsageError, match="needs both shots_src=FILE and shots_ref=FILE"):
        task_of(**paths, shots=1, shots_src=paths["src"])
    with pytest.raises(UsageError, match="tokenizer 'ja'"):
        task_of(**paths, tokenize="ja")


@pytest.mark.parametrize("language", ["de", "fr", "cs"])
def test_multi30k_references_score_the_maximum(shared: Path, language: str) -> None:
    folder = shared / "data/multi30k"
    task = task_of(
        src=folder / "test_2016_flickr.en.gz", ref=folder / f"test_2016_flickr.{language}.gz"
    )
    answers = [f" {sample.reference[0]}\n" for sample in task.samples()]
    assert len(answers) == 1000
    assert score(task, answers) == pytest.approx({"bleu": 100.0, "chrf": 100.0})


def test_multi30k_few_shot_from_the_validation_part(shared: Path) -> None:
    folder = shared / "data/multi30k"
    task = task_of(
        src=folder / "test_2016_flickr.en.gz",
        ref=folder / "test_2016_flickr.de.gz",
        shots_src=folder / "val.en.gz",
        shots_ref=folder / "val.de.gz",
        shots=3,
    )
    assert {prompt.count("German:") for prompt in prompts(task)} == {4}


def test_wmt22_systems_score_as_published(shared: Path) -> None:
    """Organisers' figures, from automatic-scores.tsv of WMT22: NiuTrans on both references."""
    folder = shared / "data/wmt22"
    task = task_of(
        src=folder / "generaltest2022.zh-en.src.zh",
        ref=folder / "generaltest2022.zh-en.ref.A.en",
        ref2=folder / "generaltest2022.zh-en.ref.B.en",
    )
    answers = (folder / "generaltest2022.zh-en.hyp.NiuTrans.en").read_text("utf-8").split("\n")
    scores = score(task, answers[:-1])
    assert scores["bleu"] == pytest.approx(30.503917718304564, abs=1e-9)
    assert scores["chrf"] == pytest.approx(57.210320062538266, abs=1e-9)
    assert "nrefs:2" in task.metrics[0].signature


@pytest.mark.parametrize(
    ("source", "reference", "lines"),
    [
        ("multi30k/val.en.gz", "multi30k/val.fr.gz", 1014),
        ("wmt22/generaltest2022.en-de.src.en", "wmt22/generaltest2022.en-de.ref.A.de", 2037),
        ("ntrex128/newstest2019-src.eng.txt", "ntrex128/newstest2019-ref.zho-CN.txt", 700),
        ("tatoeba/tatoeba.cmn-eng.cmn", "tatoeba/tatoeba.cmn-eng.eng", 1000),
    ],
)
def test_real_files_are_aligned(shared: Path, source: str, reference: str, lines: int) -> None:
    data = shared / "data"
    assert len(read_pairs(str(data / source), [str(data / reference)])) == lines


def test_parts_of_unequal_length_are_refused(shared: Path) -> None:
    folder = shared / "data/multi30k"
    with pytest.raises(DataError, match=r"has 1014 lines, .* has 1000"):
        read_pairs(str(folder / "val.en.gz"), [str(folder / "test_2016_flickr.de.gz")])


def test_truncated_gzip_of_a_real_file(shared: Path, tmp_path: Path) -> None:
    whole = (shared / "data/multi30k/val.en.gz").read_bytes()
    (tmp_path / "val.en.gz").write_bytes(whole[: len(whole) // 2])
    assert gzip.decompress(whole)
    with pytest.raises(DataError, match=r"val\.en\.gz' is cut short"):
        read_pairs(str(tmp_path / "val.en.gz"), [])
