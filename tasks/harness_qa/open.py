"""Questions without a passage: Natural Questions (open) and TriviaQA.

Asked and cut as in LLaMA's evaluation (Touvron et al. 2023, arXiv:2302.13971): the answer ends at
the first line break, full stop or comma, and any of the accepted answers counts.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness import metrics
from harness.errors import DataError
from harness_files import DataSet, Item, Row, read_json, read_json_lines
from harness_files.rows import as_row, is_json_lines

STOP = ("\n", ".", ",")


def _nq_open(path: str) -> Iterator[Item]:
    for number, row in enumerate(read_json_lines(path), start=1):
        question = f"Q: {row.filled('question').rstrip(' ?')}?\nA:"
        yield _item(number, row, question, row.texts("answer"))


def _triviaqa(path: str) -> Iterator[Item]:
    """JSON lines of context, answer and aliases; the hub's rows; or the authors' JSON."""
    rows = read_json_lines(path) if is_json_lines(path) else _original(path)
    for number, row in enumerate(rows, start=1):
        if row.has("context") or row.has("aliases"):
            answers = (row.filled("answer"), *row.texts("aliases"))
            yield _item(number, row, row.filled("context"), answers)
            continue
        answer = row.row("answer")
        asked = f"Question: {row.filled('question').strip()}\nAnswer:"
        yield _item(number, row, asked, (answer.filled("value"), *answer.texts("aliases")))


def _original(path: str) -> Iterator[Row]:
    """The authors' JSON, whose keys begin with capitals, as rows of the hub."""
    for row in as_row(read_json(path), f"'{path}'").rows("Data"):
        answer = row.row("Answer")
        aliases = answer.items("Aliases") if answer.has("Aliases") else ()
        found = {"value": answer.value("Value"), "aliases": list(aliases)}
        yield Row(fields={"question": row.value("Question"), "answer": found}, place=row.place)


def _item(number: int, row: Row, question: str, answers: tuple[str, ...]) -> Item:
    accepted = [answer for answer in dict.fromkeys(answers) if answer.strip()]
    if not accepted:
        raise DataError(f"{row.place}: no answer is given.\nAdd one or remove the question.")
    answer = f" {accepted[0].strip()}"
    return Item(id=str(number), question=question, answer=answer, reference=accepted)


NQ_OPEN = DataSet(
    name="nq_open",
    category="question answering",
    description="Natural Questions without passages, JSON lines (exact match, F1)",
    read=_nq_open,
    scorers=lambda: (metrics.exact_match(), metrics.f1()),
    stop=STOP,
)

TRIVIAQA = DataSet(
    name="triviaqa",
    category="question answering",
    description="TriviaQA with aliases, without passages, JSON or JSON lines (exact match, F1)",
    read=_triviaqa,
    scorers=lambda: (metrics.exact_match(), metrics.f1()),
    stop=STOP,
)
