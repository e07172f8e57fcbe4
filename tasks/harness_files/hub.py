"""Data sets of the hub whose columns the tasks read.

A commit is given where public records agree on one; elsewhere a branch, whose commit the first
fetch records. Data sets that the hub holds as a loading script are taken from its own conversion to
Parquet, which is a branch.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from harness.types import HubFile

MAIN = "main"
CONVERTED = "refs/convert/parquet"
ONE = "{}-00000-of-00001.parquet"
FIRST = "{}/0000.parquet"


def _files(
    repository: str,
    revision: str,
    columns: str,
    asked: str,
    examples: str = "",
    *,
    name: str = ONE,
    subset: str = "",
) -> tuple[HubFile, ...]:
    """The file that is asked, and one of worked examples where there is one.

    ``name`` makes a path of the part's name; Parquet of one shard, if nothing else is said.
    """
    return tuple(
        HubFile(
            repository=repository,
            revision=revision,
            path=name.format(part),
            columns=tuple(columns.split()),
            option=option,
            subset=subset,
        )
        for part, option in ((asked, "data"), (examples, "shots_data"))
        if part
    )


def _converted(
    repository: str, columns: str, config: str, asked: str, revision: str = CONVERTED
) -> tuple[HubFile, ...]:
    """Of the hub's own conversion to Parquet; its training part gives the examples."""
    parts = (f"{config}/{asked}", f"{config}/train")
    return _files(repository, revision, columns, *parts, name=FIRST)


def _subsets(
    repository: str, revision: str, columns: str, subsets: str, asked: str, examples: str = ""
) -> tuple[HubFile, ...]:
    """A data set in parts, each in a folder of its name."""
    return tuple(
        file
        for one in subsets.split()
        for file in _files(
            repository,
            revision,
            columns,
            f"{one}/{asked}",
            f"{one}/{examples}" if examples else "",
            subset=one,
        )
    )


def _arc(kind: str) -> tuple[HubFile, ...]:
    revision = "210d026faf9955653af8916fad021475a3f00453"
    columns = "question choices answerKey"
    return _files("allenai/ai2_arc", revision, columns, f"{kind}/test", f"{kind}/train")


def _clue(name: str, columns: str) -> tuple[HubFile, ...]:
    revision = "9bc980255c2fe8d2a9dda48c2001ace3101ad8f2"
    return _files("clue/clue", revision, columns, f"{name}/validation", f"{name}/train")


def _truthful(columns: str, part: str = "multiple_choice") -> tuple[HubFile, ...]:
    revision = "741b8276f2d1982aa3d5b832d3ee81ed3b896490"
    return _files("truthfulqa/truthful_qa", revision, columns, f"{part}/validation")


CHOICES: Mapping[str, tuple[HubFile, ...]] = {
    "afqmc": _clue("afqmc", "sentence1 sentence2 label"),
    "ag_news": _files(
        "fancyzhx/ag_news",
        "eb185aade064a813bc0b7f42de02595523103ca4",
        "text label",
        "data/test",
        "data/train",
    ),
    "arc_challenge": _arc("ARC-Challenge"),
    "arc_easy": _arc("ARC-Easy"),
    "blimp": _subsets(
        "nyu-mll/blimp",
        "877fba0801ffb7cbd8c39c1ff314a46f053f6036",
        "sentence_good sentence_bad UID",
        "adjunct_island anaphor_gender_agreement anaphor_number_agreement "
        "animate_subject_passive animate_subject_trans causative complex_NP_island "
        "coordinate_structure_constraint_complex_left_branch "
        "coordinate_structure_constraint_object_extraction determiner_noun_agreement_1 "
        "determiner_noun_agreement_2 determiner_noun_agreement_irregular_1 "
        "determiner_noun_agreement_irregular_2 determiner_noun_agreement_with_adj_2 "
        "determiner_noun_agreement_with_adj_irregular_1 "
        "determiner_noun_agreement_with_adj_irregular_2 "
        "determiner_noun_agreement_with_adjective_1 distractor_agreement_relational_noun "
        "distractor_agreement_relative_clause drop_argument ellipsis_n_bar_1 ellipsis_n_bar_2 "
        "existential_there_object_raising existential_there_quantifiers_1 "
        "existential_there_quantifiers_2 existential_there_subject_raising "
        "expletive_it_object_raising inchoative intransitive "
        "irregular_past_participle_adjectives irregular_past_participle_verbs "
        "irregular_plural_subject_verb_agreement_1 irregular_plural_subject_verb_agreement_2 "
        "left_branch_island_echo_question left_branch_island_simple_question "
        "matrix_question_npi_licensor_present npi_present_1 npi_present_2 "
        "only_npi_licensor_present only_npi_scope passive_1 passive_2 principle_A_c_command "
        "principle_A_case_1 principle_A_case_2 principle_A_domain_1 principle_A_domain_2 "
        "principle_A_domain_3 principle_A_reconstruction regular_plural_subject_verb_agreement_1 "
        "regular_plural_subject_verb_agreement_2 sentential_negation_npi_licensor_present "
        "sentential_negation_npi_scope sentential_subject_island superlative_quantifiers_1 "
        "superlative_quantifiers_2 tough_vs_raising_1 tough_vs_raising_2 transitive wh_island "
        "wh_questions_object_gap wh_questions_subject_gap "
        "wh_questions_subject_gap_long_distance wh_vs_that_no_gap "
        "wh_vs_that_no_gap_long_distance wh_vs_that_with_gap wh_vs_that_with_gap_long_distance",
        "train",
    ),
    "boolq": _files(
        "google/boolq",
        "35b264d03638db9f4ce671b711558bf7ff0f80d5",
        "question passage answer",
        "data/validation",
        "data/train",
    ),
    "commonsense_qa": _files(
        "tau/commonsense_qa",
        "94630fe30dad47192a8546eb75f094926d47e155",
        "question choices answerKey",
        "data/validation",
        "data/train",
    ),
    "copa": _files(
        "aps/super_glue",
        "3de24cf8022e94f4ee4b9d55a6f539891524d646",
        "premise choice1 choice2 question label",
        "copa/validation",
        "copa/train",
    ),
    "eprstmt": _files("suolyer/eprstmt", MAIN, "input output", "test", "train", name="{}.json"),
    "hellaswag": _files(
        "Rowan/hellaswag",
        "218ec52e09a7e7462a5400043bb9a69a41d06b76",
        "activity_label ctx_a ctx_b endings label",
        "data/validation",
        "data/train",
    ),
    "lambada": _files(
        "EleutherAI/lambada_openai",
        "900124bf3b8235c6daf21033af9948b3f07346c4",
        "text",
        "data/lambada_test",
        name="{}.jsonl",
    ),
    "logiqa": _converted(
        "lucasmccabe/logiqa",
        "context query options correct_option",
        "default",
        "test",
        "b5e76075f344f0e7b5ced46bfcd70659e6e5f03e",
    ),
    "mmlu": _files(
        "cais/mmlu",
        "c30699e8356da336a370243923dbaf21066bb9fe",
        "question subject choices answer",
        "all/test",
        "all/dev",
    ),
    "ocnli": _clue("ocnli", "sentence1 sentence2 label"),
    "openbookqa": _files(
        "allenai/openbookqa",
        "388097ea7776314e93a529163e0fea805b8a6454",
        "question_stem choices answerKey",
        "main/test",
        "main/train",
    ),
    "piqa": _files(
        "baber/piqa",
        "142f6d7367fd9877f0fb3b5734ea6a545f54cdd1",
        "goal sol1 sol2 label",
        "validation",
        "train",
        name="*{}*",
    ),
    "siqa": _converted(
        "allenai/social_i_qa",
        "context question answerA answerB answerC label",
        "default",
        "validation",
        "9eb9490eb61bd4ffb5eaedf2ae22e260d8c4019e",
    ),
    "sst2": _files(
        "nyu-mll/glue",
        "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c",
        "sentence label",
        "sst2/validation",
        "sst2/train",
    ),
    "tnews": _clue("tnews", "sentence label"),
    "truthfulqa_mc1": _truthful("question mc1_targets"),
    "truthfulqa_mc2": _truthful("question mc2_targets"),
    "winogrande": _files(
        "allenai/winogrande",
        "01e74176c63542e6b0bcb004dcdea22d94fb67b5",
        "sentence option1 option2 answer",
        "winogrande_xl/validation",
        "winogrande_xl/train",
    ),
}

ANSWERS: Mapping[str, tuple[HubFile, ...]] = {
    "cmrc2018": _files(
        "hfl/cmrc2018",
        "137f2c45a24275fb68f6961c4d357f46288886aa",
        "id context question answers",
        "data/validation",
        "data/train",
    ),
    "drop": _files(
        "ucinlp/drop",
        "95cda593fae71b60b5b19f82de3fcf3298c1239c",
        "passage question query_id answers_spans",
        "data/validation",
        "data/train",
    ),
    "gsm8k": _files(
        "openai/gsm8k",
        "e53f048856ff4f594e959d75785d2c2d37b678ee",
        "question answer",
        "main/test",
        "main/train",
    ),
    "humaneval": _files(
        "openai/openai_humaneval",
        "7dce6050a7d6d172f3cc5c32aa97f52fa1a2e544",
        "task_id prompt canonical_solution test entry_point",
        "openai_humaneval/test",
    ),
    "nq_open": _files(
        "google-research-datasets/nq_open",
        "5dd9790a83002ad084ddeb7c420dc716852c6f28",
        "question answer",
        "nq_open/validation",
        "nq_open/train",
    ),
    "squad": _files(
        "rajpurkar/squad",
        "7b6d24c440a36b6815f21b70d25016731768db1f",
        "id title context question answers",
        "plain_text/validation",
        "plain_text/train",
    ),
    "squad2": _files(
        "rajpurkar/squad_v2",
        "3ffb306f725f7d2ce8394bc1873b24868140c412",
        "id title context question answers",
        "squad_v2/validation",
        "squad_v2/train",
    ),
    "truthfulqa_gen": _truthful("question correct_answers incorrect_answers", "generation"),
    "triviaqa": _files(
        "mandarjoshi/trivia_qa",
        "0f7faf33a3908546c6fd5b73a660e0f8ff173c2f",
        "question answer",
        "rc.nocontext/validation",
        "rc.nocontext/train",
    ),
}

TEXTS: Mapping[str, tuple[HubFile, ...]] = {
    "cnn_dailymail": _files(
        "abisee/cnn_dailymail",
        "96df5e686bee6baa90b8bee7c28b81fa3fa6223d",
        "article highlights id",
        "3.0.0/test",
        "3.0.0/validation",
    ),
    "dialogsum": _files(
        "knkarthick/dialogsum",
        MAIN,
        "id dialogue summary",
        "test",
        "train",
        name="{}.csv",
    ),
    "e2e": _converted(
        "tuetschek/e2e_nlg",
        "meaning_representation human_reference",
        "default",
        "test",
        "a1fd8dcb2b81207ecc5b7fd886f78fcee959eebc",
    ),
    "tinyshakespeare": _files(
        "karpathy/tiny_shakespeare", CONVERTED, "text", "default/test", name=FIRST
    ),
    "webnlg": _files(
        "webnlg-challenge/web_nlg",
        CONVERTED,
        "modified_triple_sets lex category size eid",
        "release_v3.0_en/dev",
        "release_v3.0_en/train",
        name=FIRST,
    ),
    "wikitext": _files(
        "Salesforce/wikitext",
        "b08601e04326c79dfdd32d625aee71d232d685c3",
        "text",
        "wikitext-2-raw-v1/test",
    ),
    "xsum": _files(
        "EdinburghNLP/xsum",
        "7d4d486c2f8ef850b1a11aead99b894ff3dd7da9",
        "document summary id",
        "data/test",
        "data/validation",
    ),
}

PAIRS: Mapping[str, tuple[HubFile, ...]] = {
    "flores200": _files(
        "mteb/FloresBitextMining",
        "2144d16cc15edd22d4a9237d12bff5f31f5c07fc",
        "eng_Latn deu_Latn fra_Latn zho_Hans",
        "devtest",
        name="*{}*",
    ),
    "multi30k": _files(
        "bentrevett/multi30k",
        "b8b9bf42b209b3de6ad42d0f69e01c50c9e08a78",
        "en de",
        "default/test",
        "default/train",
        name=FIRST,
        subset="de-en",
    ),
    "ntrex": _files(
        "mteb/NTREXBitextMining",
        "66b8b27efc99658903127730575e9fa0cb9f075c",
        "eng_Latn deu_Latn fra_Latn zho_Hans",
        "test",
        name="*{}*",
    ),
    "tatoeba": _files(
        "mteb/tatoeba-bitext-mining",
        "69e8f12da6e31d59addadda9a9c8a2e601a0e282",
        "sentence1 sentence2 lang",
        "test",
        name="*{}*",
    ),
    "wmt14": _subsets(
        "wmt/wmt14",
        "b199e406369ec1b7634206d3ded5ba45de2fe696",
        "translation",
        "de-en fr-en",
        "test",
        "validation",
    ),
    "wmt19": _subsets("wmt/wmt19", MAIN, "translation", "zh-en de-en", "validation"),
}

ENTITIES: Mapping[str, tuple[HubFile, ...]] = {
    "cluener": _converted(
        "xusenlin/clue-ner",
        "text entities",
        "xusenlin--clue-ner",
        "validation",
        "97bdc7d01c07c66515d06643484d2815412f5142",
    ),
    "conll2002": tuple(
        file
        for subset in ("es", "nl")
        for file in _files(
            "eriktks/conll2002",
            CONVERTED,
            "tokens ner_tags",
            f"{subset}/validation",
            f"{subset}/train",
            name=FIRST,
            subset=subset,
        )
    ),
    "conll2003": _converted(
        "eriktks/conll2003",
        "tokens ner_tags",
        "conll2003",
        "validation",
        "c9df626a3e85963e66ccb33b972469c01f10335e",
    ),
    "wikiann": _subsets(
        "unimelb-nlp/wikiann", MAIN, "tokens ner_tags", "en de fr zh", "test", "train"
    ),
    "wnut17": _converted("leondz/wnut_17", "tokens ner_tags", "wnut_17", "validation"),
}

HUB: Mapping[str, tuple[HubFile, ...]] = MappingProxyType(
    {**ANSWERS, **CHOICES, **ENTITIES, **PAIRS, **TEXTS}
)
"""By task: the files that are asked, then those of worked examples; by subset where there are."""
