"""Every task of files keeps the harness's contract on real data, and declares itself cheaply."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import harness_choice
import harness_generation
import harness_ner
import harness_qa
import harness_text
import harness_translation
from harness.plugins import PluginInfo, Registered, Registry
from harness.testing import check_task
from harness.types import TaskSpec

PACKAGES = (
    harness_choice,
    harness_generation,
    harness_ner,
    harness_qa,
    harness_text,
    harness_translation,
)

SQUAD = "squad:{d}/squad/squad1.1_dev_sample.a.jsonl,shots_data={d}/squad/"
MULTI30K = "{d}/multi30k/"
FLORES, WMT = "flores101/wikipedia.devtest.ne-en", "wmt22/generaltest2022"
PAIRS = {
    "flores200": (f"{FLORES}.ne", f"{FLORES}.en", "ne", "en"),
    "multi30k": ("multi30k/val.en.gz", "multi30k/val.de.gz", "en", "de"),
    "ntrex": ("ntrex128/newstest2019-src.eng.txt", "ntrex128/newstest2019-ref.deu.txt", "en", "de"),
    "tatoeba": ("tatoeba/tatoeba.cmn-eng.cmn", "tatoeba/tatoeba.cmn-eng.eng", "zh", "en"),
    "wmt14": (f"{WMT}.en-de.src.en", f"{WMT}.en-de.ref.A.de", "en", "de"),
    "wmt19": (f"{WMT}.zh-en.src.zh", f"{WMT}.zh-en.ref.A.en", "zh", "en"),
}
TASKS = (
    f"translation:src={MULTI30K}val.en.gz,ref={MULTI30K}val.de.gz,"
    f"shots_src={MULTI30K}val.fr.gz,shots_ref={MULTI30K}val.de.gz",
    SQUAD + "squad1.1_xquad_en.even_titles.json",
    "squad:{d}/squad/squad2.0_cs224n_dev.even_articles.json,"
    "shots_data={d}/squad/squad2.0_cs224n_dev.even_articles.json",
    "cmrc2018:{d}/cmrc2018/cmrc2018_trial.json,shots_data={d}/cmrc2018/cmrc2018_trial.squad.json",
    "drop:{d}/drop/drop_dev_sample.a.jsonl,shots_data={d}/drop/drop_dev_sample.a.jsonl",
    "nq_open:{d}/nq_open/NQ-open.dev.first1800.jsonl,"
    "shots_data={d}/nq_open/NQ-open.efficientqa.dev.1.1.sample.jsonl",
    "triviaqa:{d}/triviaqa/triviaqa_sm_sub.first700.jsonl,"
    "shots_data={d}/triviaqa/triviaqa_sm_sub.first700.jsonl",
    "truthfulqa_gen:{d}/truthfulqa/TruthfulQA.1-300.csv",
    "gsm8k:{d}/gsm8k/test.1-660.jsonl,shots_data={d}/gsm8k/train.first300.jsonl",
    "conll:{d}/conll2003/eng.testa,shots_data={d}/conll2003/eng.train.first1500",
    "conll:{d}/wnut17/emerging.dev.conll,form=tags,shots_data={d}/wnut17/emerging.dev.conll",
    "cluener:{d}/cluener/dev.first_half.json,form=json,shots_data={d}/cluener/train.first500.json",
    "text:{d}/lm_text/tinystories_sample.txt",
    "text:{d}/lm_text/wikitext-2.valid.txt.gz",
    "tinyshakespeare:{d}/lm_text/tinyshakespeare.first90pct.txt,split=paragraphs,max_chars=200",
    "wikitext:{d}/lm_text/wikitext-2.valid.txt.gz",
    "continuation:{d}/lm_text/tinystories_sample.txt",
    "conll2003:{d}/conll2003/eng.testa,shots_data={d}/conll2003/eng.train.first1500",
    "conll2002:{d}/conll2002/ned.testa.first800,shots_data={d}/conll2002/ned.testa.first800",
    "wnut17:{d}/wnut17/emerging.dev.conll,shots_data={d}/wnut17/emerging.dev.conll",
    "wikiann:{d}/wikiann/en.test.first1000,shots_data={d}/wikiann/en.test.first1000",
    "squad2:{d}/squad/squad2.0_cs224n_dev.even_articles.json,"
    "shots_data={d}/squad/squad2.0_cs224n_dev.even_articles.json",
    *(
        f"{name}:src={{d}}/{pair[0]},ref={{d}}/{pair[1]},source_lang={pair[2]},"
        f"target_lang={pair[3]},shots_src={{d}}/{pair[0]},shots_ref={{d}}/{pair[1]}"
        for name, pair in PAIRS.items()
    ),
    "xsum:src={d}/xsum/convs2s-test-output.txt.gz,ref={d}/xsum/gold-test-sentences.txt.gz,"
    "shots_src={d}/xsum/convs2s-test-output.txt.gz,"
    "shots_ref={d}/xsum/gold-test-sentences.txt.gz",
    "cnn_dailymail:src={d}/cnndm/src.txt,ref={d}/cnndm/ref.t5.txt,"
    "shots_src={d}/cnndm/src.txt,shots_ref={d}/cnndm/ref.t5.txt",
    "dialogsum:{d}/dialogsum/dialogsum.dev.jsonl,shots_data={d}/dialogsum/dialogsum.dev.jsonl",
    "e2e:{d}/e2e_nlg/devset.csv.gz,shots_data={d}/e2e_nlg/devset.head300.csv",
    "webnlg:{d}/webnlg/xml/1triples_Airport.xml,shots_data={d}/webnlg/xml/1triples_Airport.xml",
    "summarization:src={d}/cnndm/src.txt,ref={d}/cnndm/ref.t5.txt,"
    "shots_src={d}/cnndm/src.txt,shots_ref={d}/cnndm/ref.t5.txt",
    "arc_challenge:{d}/arc_challenge/arc_challenge.1-500.jsonl,"
    "shots_data={d}/arc_challenge/arc_challenge.1-500.jsonl",
    "arc_easy:{d}/arc_easy/arc_easy.1-500.jsonl,shots_data={d}/arc_easy/arc_easy.1-500.jsonl",
    "blimp:{d}/blimp/adjunct_island.jsonl",
    "boolq:{d}/boolq/boolq.validation.first500.jsonl,shots_data={d}/boolq/mosaic_boolq.first200.jsonl",
    "commonsense_qa:{d}/commonsense_qa/commonsense_qa.1-500.jsonl,"
    "shots_data={d}/commonsense_qa/commonsense_qa.1-500.jsonl",
    "copa:{d}/copa/copa.1-50.jsonl,shots_data={d}/copa/copa.1-50.jsonl",
    "hellaswag:{d}/hellaswag/hellaswag_sample.1-300.jsonl,"
    "shots_data={d}/hellaswag/hellaswag_sample.1-300.jsonl",
    "lambada:{d}/lambada/lambada.1-1000.jsonl,shots_data={d}/lambada/lambada.1-1000.jsonl",
    "logiqa:{d}/logiqa/logiqa.1-325.jsonl,shots_data={d}/logiqa/logiqa.1-325.jsonl",
    "mmlu:{d}/mmlu/test/college_chemistry_test.csv,"
    "shots_data={d}/mmlu/test/abstract_algebra_test.csv",
    "openbookqa:{d}/openbookqa/openbookqa.1-250.jsonl,unconditional=yes,"
    "shots_data={d}/openbookqa/openbookqa.1-250.jsonl",
    "piqa:{d}/piqa/piqa.1-500.jsonl,shots_data={d}/piqa/piqa.1-500.jsonl",
    "siqa:{d}/siqa/siqa.1-500.jsonl,shots_data={d}/siqa/siqa.1-500.jsonl",
    "afqmc:{d}/afqmc/dev.1-1000.json,shots_data={d}/afqmc/dev.1-1000.json",
    "ag_news:{d}/ag_news/test.first1000.csv,shots_data={d}/ag_news/test.first1000.csv",
    "bustm:{d}/fewclue_bustm/dev_few_all.json,shots_data={d}/fewclue_bustm/dev_few_all.json",
    "eprstmt:{d}/fewclue_eprstmt/dev_few_all.json,shots_data={d}/fewclue_eprstmt/dev_few_all.json",
    "ocnli:{d}/fewclue_ocnli/dev_few_all.json,shots_data={d}/fewclue_ocnli/dev_few_all.json",
    "sst2:{d}/sst2/dev.tsv,shots_data={d}/sst2/glue_sst2_validation.jsonl",
    "tnews:{d}/fewclue_tnews/dev_few_all.json,shots_data={d}/fewclue_tnews/dev_few_all.json",
    "truthfulqa_mc1:{d}/truthfulqa/TruthfulQA.1-300.csv",
    "truthfulqa_mc2:{d}/truthfulqa/TruthfulQA.1-300.csv",
    "winogrande:{d}/winogrande/winogrande.1-500.jsonl,"
    "shots_data={d}/winogrande/winogrande.1-500.jsonl",
)


def specs() -> list[TaskSpec]:
    return [spec for package in PACKAGES for spec in package.harness_tasks()]


@pytest.fixture(scope="module")
def registry() -> Registry:
    """The file tasks alone, whether or not they are installed."""
    plugin = PluginInfo(name="files", target="", distribution="harness", version="0")
    tasks = {spec.name: Registered(spec=spec, plugin=plugin) for spec in specs()}
    return Registry(plugins=(plugin,), models={}, tasks=tasks, clashes={})


LINES = {".json": 220, ".jsonl": 220, ".conll": 5000, ".testa": 5000, ".first1500": 5000}
"""How much of a file of lines the checks are run on, to keep them short."""


def beginning(path: Path, folder: Path) -> Path:
    """A copy of the first lines of a file of lines; a file of another kind as it is."""
    lines = path.read_text("utf-8").split("\n") if path.suffix in LINES else []
    if len(lines) <= LINES.get(path.suffix, 0) or len(lines) < 3:
        return path
    copy = folder / path.parent.name / path.name
    copy.parent.mkdir(exist_ok=True)
    copy.write_text("\n".join(lines[: LINES[path.suffix]]) + "\n", "utf-8")
    return copy


@pytest.mark.parametrize("text", TASKS, ids=lambda text: text.split(",")[0].split("/")[-1])
def test_task_conforms_on_real_data(
    registry: Registry, shared: Path, tmp_path: Path, text: str
) -> None:
    whole = text.format(d=shared / "data")
    short = re.sub(r"/[^,]+", lambda found: str(beginning(Path(found[0]), tmp_path)), whole)
    results = check_task(short, registry)
    assert results
    failed = [result.line for result in results if result.status == "failed"]
    # Tags take no worked examples: a task that is asked for some with them refuses. And real text
    # repeats words, so that no answer is at once the right one and the most varied.
    known = ("take no worked examples", "continuation:.*oracle scores the maximum.*distinct_2")
    assert not [line for line in failed if not any(re.search(one, line) for one in known)]


def test_every_task_is_tried() -> None:
    assert {text.split(":")[0] for text in TASKS} == {spec.name for spec in specs()}


def test_declaring_tasks_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        + "".join(f"import {p.__name__}; list({p.__name__}.harness_tasks())\n" for p in PACKAGES)
        + "heavy = {'numpy', 'scipy', 'torch', 'sacrebleu', 'rouge_score', 'nltk', 'xml'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
