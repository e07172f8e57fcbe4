"""The data sets: how each file's rows become choices.

Most are read in the form of MosaicML's evaluation gauntlet, JSON lines of ``query``, ``choices``
and ``gold``, and asked as it and lm-evaluation-harness ask them: the query, ``Answer:`` where the
set asks questions, and each choice after a blank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from harness.errors import DataError
from harness_choice.choices import Choice, ChoiceSet
from harness_choice.originals import (
    ARC,
    COMMONSENSE_QA,
    COPA,
    HELLASWAG,
    LOGIQA,
    OPENBOOKQA,
    PIQA,
    SIQA,
    WINOGRANDE,
    Original,
    rows,
)
from harness_files import Row, read_json_lines, read_table, read_text
from harness_files.columnar import is_columnar
from harness_files.rows import wrong_type

ANSWER = "\nAnswer:"
LETTERS = "ABCD"


def _index(row: Row, key: str, number: int) -> int:
    index = row.number(key)
    if not 0 <= index < number:
        raise wrong_type(
            f"{row.place}: '{key}'", f"the number of a choice, 0 to {number - 1}", index
        )
    return index


def _choices(row: Row, key: str) -> tuple[str, ...]:
    texts = tuple(text.strip() for text in row.texts(key))
    if len(texts) < 2 or not all(texts):
        raise DataError(
            f"{row.place}: '{key}' needs two choices or more, none of them empty.\n"
            "Fill them in or remove the line."
        )
    return texts


def _query(row: Row, identity: int, suffix: str) -> Choice:
    texts = _choices(row, "choices")
    context = row.filled("query").strip() + suffix
    return Choice(
        id=str(identity),
        options=tuple((context, f" {text}") for text in texts),
        right=(_index(row, "gold", len(texts)),),
    )


def queries(
    suffix: str = "", original: Original | None = None
) -> Callable[[str], Iterator[Choice]]:
    """A reader of ``query``, ``choices``, ``gold`` lines; ``suffix`` ends each query.

    ``original`` also reads the rows of the hub's copy.
    """

    def read(path: str) -> Iterator[Choice]:
        for number, row in enumerate(rows(path, original), start=1):
            yield _query(row, number, suffix)

    return read


def _boolq(path: str) -> Iterator[Choice]:
    """The original ``question``, ``passage``, ``answer`` lines, or the gauntlet's."""
    for number, row in enumerate(read_json_lines(path), start=1):
        if row.has("query"):
            yield _query(row, number, ANSWER)
            continue
        passage, question = row.filled("passage").strip(), row.filled("question").strip()
        context = f"Passage: {passage}\nQuestion: {question.rstrip('?')}?{ANSWER}"
        yield Choice(
            id=str(number),
            options=((context, " no"), (context, " yes")),
            right=(int(row.truth("answer")),),
        )


def _winogrande(path: str) -> Iterator[Choice]:
    """Partial scoring (Trinh and Le 2018): one ending after each reading of the pronoun."""
    for number, row in enumerate(rows(path, WINOGRANDE), start=1):
        contexts = _choices(row, "context_options")
        ending = f" {row.filled('continuation').strip()}"
        yield Choice(
            id=str(number),
            options=tuple((context, ending) for context in contexts),
            right=(_index(row, "gold", len(contexts)),),
        )


def _blimp(path: str) -> Iterator[Choice]:
    """Whole sentences from the beginning of a text; good and bad take turns to stand first."""
    for number, row in enumerate(read_json_lines(path)):
        pair = [("", row.filled(key).strip()) for key in ("sentence_good", "sentence_bad")]
        right = number % 2
        yield Choice(
            id=f"{row.text('UID')}-{row.value('pairID', 'pair_id')}",
            options=tuple(pair if right == 0 else reversed(pair)),
            right=(right,),
        )


MMLU_COLUMNS = ("question", *LETTERS, "answer")


def _mmlu(path: str) -> Iterator[Choice]:
    """CSV without header and with letters as answers; or with a header and answers 0 to 3.

    The hub's rows hold the subject, a list of choices, and answers 0 to 3.
    """
    if is_columnar(path):
        for number, row in enumerate(read_json_lines(path), start=1):
            texts = row.texts("choices")
            if len(texts) != len(LETTERS):
                raise wrong_type(f"{row.place}: 'choices'", "four of them", list(texts))
            subject = row.filled("subject")
            yield _lettered(number, row, texts, _index(row, "answer", 4), subject)
        return
    header = read_text(path).startswith("question,")
    names = ("question", *(f"choice{i}" for i in range(4)), "answer") if header else MMLU_COLUMNS
    for number, row in enumerate(read_table(path, columns=names, header=header), start=1):
        answer = row.text("answer").strip()
        known = "0123" if header else LETTERS
        if len(answer) != 1 or answer not in known:
            raise wrong_type(f"{row.place}: 'answer'", f"one of {', '.join(known)}", answer)
        texts = tuple(row.text(name) for name in names[1:5])
        yield _lettered(number, row, texts, known.index(answer))


def _lettered(number: int, row: Row, texts: Sequence[str], right: int, topic: str = "") -> Choice:
    lines = [f"{letter}. {text}" for letter, text in zip(LETTERS, texts, strict=True)]
    context = "\n".join([row.filled("question").strip(), *lines]) + ANSWER
    return Choice(
        id=str(number),
        options=tuple((context, f" {letter}") for letter in LETTERS),
        right=(right,),
        topic=topic,
    )


def _mmlu_introduction(path: str) -> str:
    """The line that opens every prompt; the subject is told by the row, or the file's name."""
    subject = Path(path).name.split(".")[0]
    for ending in ("_test", "_dev", "_val"):
        subject = subject.removesuffix(ending)
    about = subject.replace("_", " ")
    return f"The following are multiple choice questions (with answers) about {about}."


SETS: tuple[ChoiceSet, ...] = (
    ChoiceSet(name="arc_challenge", description="ARC, hard questions", read=queries(ANSWER, ARC)),
    ChoiceSet(name="arc_easy", description="ARC, easy questions", read=queries(ANSWER, ARC)),
    ChoiceSet(
        name="blimp",
        description="BLiMP minimal pairs of one file",
        read=_blimp,
        max_shots=0,
        subsets=True,
    ),
    ChoiceSet(name="boolq", description="BoolQ, yes or no about a passage", read=_boolq),
    ChoiceSet(
        name="commonsense_qa",
        description="CommonsenseQA, by letter",
        read=queries("", COMMONSENSE_QA),
    ),
    ChoiceSet(name="copa", description="COPA, causes and effects", read=queries("", COPA)),
    ChoiceSet(
        name="hellaswag", description="HellaSwag, how a text goes on", read=queries("", HELLASWAG)
    ),
    ChoiceSet(name="logiqa", description="LogiQA, logic by letter", read=queries(ANSWER, LOGIQA)),
    ChoiceSet(
        name="mmlu",
        description="MMLU by letter: a subject's CSV, or rows of all subjects",
        read=_mmlu,
        introduction=_mmlu_introduction,
        subsets=True,
    ),
    ChoiceSet(
        name="openbookqa", description="OpenBookQA, science facts", read=queries("", OPENBOOKQA)
    ),
    ChoiceSet(name="piqa", description="PIQA, everyday physics", read=queries(ANSWER, PIQA)),
    ChoiceSet(name="siqa", description="Social IQa, by letter", read=queries("", SIQA)),
    ChoiceSet(name="winogrande", description="WinoGrande, partial scoring", read=_winogrande),
)
