"""Rows as the hub's copies of the data sets have them, turned into the gauntlet's form.

The same questions are then asked in the same words, whichever of the two files is given.
HellaSwag's texts are cleaned as lm-evaluation-harness does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from harness_files import Row, read_json_lines
from harness_files.rows import wrong_type

LETTERS = "ABCDEFGH"


@dataclass(frozen=True, kw_only=True)
class Original:
    """How to know a row of the hub's copy, by a column, and what it becomes."""

    column: str
    turn: Callable[[Row], Mapping[str, object]]


def rows(path: str, original: Original | None) -> Iterator[Row]:
    """A file's rows in the gauntlet's form."""
    for row in read_json_lines(path):
        if original is not None and row.has(original.column) and not row.has("gold"):
            yield Row(fields=original.turn(row), place=row.place)
        else:
            yield row


def _keyed(row: Row) -> tuple[tuple[str, ...], int]:
    """Texts of ``choices`` and the position of ``answerKey`` among their labels."""
    choices, key = row.row("choices"), row.filled("answerKey").strip()
    labels, texts = choices.texts("label"), choices.texts("text")
    if key not in labels or len(labels) != len(texts):
        raise wrong_type(f"{row.place}: 'answerKey'", f"one of {', '.join(labels)}", key)
    return texts, labels.index(key)


def _plain(column: str, before: str = "") -> Callable[[Row], Mapping[str, object]]:
    def turn(row: Row) -> Mapping[str, object]:
        texts, gold = _keyed(row)
        return {"query": before + row.filled(column), "choices": list(texts), "gold": gold}

    return turn


def _lettered(row: Row) -> Mapping[str, object]:
    """Choices listed in the query; their letters are compared."""
    texts, gold = _keyed(row)
    letters = LETTERS[: len(texts)]
    listed = "\n".join(f"{one}. {text}" for one, text in zip(letters, texts, strict=True))
    query = f"Question: {row.filled('question')}\nChoices:\n{listed}\nAnswer:"
    return {"query": query, "choices": list(letters), "gold": gold}


def _clean(text: str) -> str:
    text = re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". "))
    return text.replace("  ", " ")


def _hellaswag(row: Row) -> Mapping[str, object]:
    context = f"{row.text('ctx_a')} {row.text('ctx_b').capitalize()}"
    label = row.text("label")
    return {
        "query": _clean(f"{row.filled('activity_label')}: {context}"),
        "choices": [_clean(ending) for ending in row.texts("endings")],
        "gold": int(label) if label.isascii() and label.isdigit() else label,
    }


def _winogrande(row: Row) -> Mapping[str, object]:
    before, gap, after = row.filled("sentence").partition("_")
    answer = row.filled("answer")
    if not gap or answer not in ("1", "2"):
        raise wrong_type(f"{row.place}: 'answer'", "1 or 2 for a sentence with a _", answer)
    return {
        "context_options": [before + row.filled(key).strip() for key in ("option1", "option2")],
        "continuation": after,
        "gold": int(answer) - 1,
    }


def _lettered_fields(question: Row, choices: tuple[str, ...], gold: int) -> Mapping[str, object]:
    letters = LETTERS[: len(choices)]
    listed = "\n".join(f"{one}. {text}" for one, text in zip(letters, choices, strict=True))
    query = (
        f"Context: {question.filled('context').strip()}\n"
        f"Question: {question.filled('question').strip()}\nChoices:\n{listed}\nAnswer:"
    )
    return {"query": query, "choices": list(letters), "gold": gold}


def _logiqa(row: Row) -> Mapping[str, object]:
    """Choices listed in the query, the first on the line that says so, as the gauntlet has them."""
    texts = row.texts("options")
    letters = LETTERS[: len(texts)]
    listed = "\n".join(f"{one}. {text.strip()}" for one, text in zip(letters, texts, strict=True))
    query = (
        f"Context: {row.filled('context').strip()}\n"
        f"Question: {row.filled('query').strip()}\nChoices: {listed}"
    )
    return {"query": query, "choices": list(letters), "gold": row.number("correct_option")}


def _siqa(row: Row) -> Mapping[str, object]:
    texts = tuple(row.filled(f"answer{letter}").strip() for letter in "ABC")
    label = str(row.value("label")).strip()
    if label not in ("1", "2", "3"):
        raise wrong_type(f"{row.place}: 'label'", "1, 2 or 3", label)
    return _lettered_fields(row, texts, int(label) - 1)


def _piqa(row: Row) -> Mapping[str, object]:
    texts = [row.filled(key).strip() for key in ("sol1", "sol2")]
    query = f"Question: {row.filled('goal').strip()}"
    return {"query": query, "choices": texts, "gold": row.number("label")}


def _copa(row: Row) -> Mapping[str, object]:
    """The premise without its full stop, then because or therefore."""
    word = {"cause": "because", "effect": "therefore"}.get(row.filled("question").strip())
    if word is None:
        raise wrong_type(f"{row.place}: 'question'", "cause or effect", row.value("question"))
    texts = [_lower(row.filled(key).strip()) for key in ("choice1", "choice2")]
    premise = row.filled("premise").strip().rstrip(".")
    return {"query": f"{premise}, {word}", "choices": texts, "gold": row.number("label")}


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


ARC = Original(column="answerKey", turn=_plain("question", "Question: "))
COMMONSENSE_QA = Original(column="answerKey", turn=_lettered)
HELLASWAG = Original(column="endings", turn=_hellaswag)
COPA = Original(column="premise", turn=_copa)
LOGIQA = Original(column="correct_option", turn=_logiqa)
OPENBOOKQA = Original(column="answerKey", turn=_plain("question_stem"))
PIQA = Original(column="goal", turn=_piqa)
SIQA = Original(column="answerA", turn=_siqa)
WINOGRANDE = Original(column="option1", turn=_winogrande)
