"""Where the text of a training comes from: files, or the invented world of the ``world-`` tasks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from harness.errors import DataError, UsageError
from harness.reading import place, read_text, shown

WORLD, WORLD_TEXT = "world", "world:text"
_PARAGRAPHS = re.compile(r"\n(?:[ \t\r]*\n)+")


@dataclass(frozen=True, kw_only=True)
class Document:
    """A text to learn from. ``prompt`` stands before it and is read but not learnt."""

    text: str
    prompt: str = ""

    @property
    def size(self) -> int:
        """Bytes as UTF-8, prompt and text."""
        return len(self.prompt.encode()) + len(self.text.encode())


def read_corpus(names: Sequence[str], most: int | None) -> Iterator[Document]:
    """Yield the documents of ``names`` in order, at most ``most`` of them.

    A name is a file or a corpus that comes with the program: ``world`` (prompts with answers),
    ``world:text`` (their sentences alone). JSON lines hold a document in ``text``, and a
    ``prompt`` if they like. In any other text, blank lines stand between documents, and a line is
    a sentence where a document has several, as in the corpora that BERT was trained on.

    Raises UsageError for an endless corpus without ``most``, DataError for what cannot be read.
    """
    if most is None and {WORLD, WORLD_TEXT} & set(names):
        raise UsageError(
            f"The corpus '{WORLD}' has no end.\nSay how much of it to take: --documents 20000"
        )
    yield from islice((d for name in names for d in _documents(name)), most)


def _documents(name: str) -> Iterator[Document]:
    if name in (WORLD, WORLD_TEXT):
        yield from _world(text_only=name == WORLD_TEXT)
    elif name.removesuffix(".gz").endswith((".jsonl", ".ndjson")):
        yield from _json_lines(name)
    else:
        for part in _PARAGRAPHS.split(read_text(name)):
            if part.strip():
                yield Document(text=part.strip("\r\n"))


def _json_lines(path: str) -> Iterator[Document]:
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{place(path, number)} is not JSON: {error}.") from None
        text = row.get("text") if isinstance(row, dict) else None
        prompt = row.get("prompt", "") if isinstance(row, dict) else ""
        if not isinstance(text, str) or not isinstance(prompt, str):
            raise DataError(
                f"{place(path, number)} holds {shown(row)}, without a text under 'text'.\n"
                "Each line is an object with 'text' and, if it has one, 'prompt'."
            )
        yield Document(text=text, prompt=prompt)


def _world(*, text_only: bool) -> Iterator[Document]:
    """The training stream; it never holds a prompt of the held-out sets."""
    try:
        from harness_world.examples import PROMPT_END, training
    except ImportError as error:
        raise UsageError(
            f"The corpus '{WORLD}' comes with the plugin world, which cannot be imported: {error}."
        ) from error
    for example in training():
        if not text_only:
            yield Document(text=f" {example.answer}", prompt=example.prompt)
        elif example.task == "generation":
            yield Document(text=example.answer)
        elif not example.kind.startswith("fact"):
            # The sentences of a prompt stand before a question or behind the task's word.
            body = example.prompt.removesuffix(PROMPT_END).partition("\nQuestion: ")[0]
            first, blank, rest = body.partition(": ")
            yield Document(text=rest if blank and first in _WORLD_WORDS else body)


_WORLD_WORDS = ("Translate", "Names")


def held_out_documents(names: Sequence[str]) -> dict[str, list[Document]]:
    """What a corpus that comes with the program keeps out of training, by task."""
    if WORLD not in names:
        return {}
    from harness_world.examples import TASKS, held_out

    return {
        task: [Document(text=f" {e.answer}", prompt=e.prompt) for e in held_out(task)]
        for task in TASKS
    }
