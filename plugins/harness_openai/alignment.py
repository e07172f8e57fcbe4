"""Which tokens of an echoed prompt belong to the continuation, without the server's tokenizer.

A server gives the text of each token, but not reliably where it stands: the token of a character
cut in pieces has no text of its own (U+FFFD, or empty; then the last one may show the whole
character), and some show a BOS token that the prompt does not hold. The tokens are laid along the
prompt: runs of tokens with a text must be found in it, and what lies between two runs is what the
tokens without a text cover.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

REPLACEMENT = "\ufffd"


class AlignmentError(ValueError):
    """The tokens do not make up the prompt, or the boundary lies where nobody can tell."""


@dataclass(frozen=True, kw_only=True)
class _Run:
    """Tokens ``first`` to ``last`` (exclusive) that all have a text, or all have none, and where
    they lie in the prompt, in characters."""

    first: int
    last: int
    texts: tuple[str, ...] | None
    start: int = 0
    end: int = 0

    @property
    def joined(self) -> str:
        return "".join(self.texts or ())


def first_after(texts: Sequence[str | None], prompt: str, boundary: int) -> int:
    """The index of the first token that reaches beyond ``boundary`` characters of ``prompt``.

    A token across the boundary counts as beyond it, and so do the first bytes of a character whose
    last token shows it whole. A BOS token before the prompt is no part of it. Raises
    AlignmentError.
    """
    failure: AlignmentError | None = None
    for lead in (0, 1):  # with the first token as part of the prompt, then as a BOS before it
        try:
            return lead + _reaching(texts[lead:], prompt, boundary)
        except AlignmentError as error:
            failure = failure or error
    raise failure or AlignmentError("the server gives no tokens")


def _reaching(texts: Sequence[str | None], prompt: str, boundary: int) -> int:
    runs = list(_laid(texts, prompt))
    index = len(texts)
    for run in runs:
        if run.end > boundary:
            index = run.first if run.start >= boundary else _within(run, prompt, boundary)
            break
    hidden = {i for run in runs if run.start == run.end for i in range(run.first, run.last)}
    while index and (texts[index - 1] == "" or (index - 1 in hidden and texts[index - 1])):
        index -= 1
    return index


def _within(run: _Run, prompt: str, boundary: int) -> int:
    """The token of a run that reaches beyond a boundary inside of it."""
    if run.last - run.first == 1:
        return run.first
    if run.texts is None:
        if len(prompt[run.start : run.end].encode()) != run.last - run.first:
            raise AlignmentError("context and continuation meet within a character cut in pieces")
        return run.first + len(prompt[run.start : boundary].encode())  # a byte each
    at = run.start
    for index, text in enumerate(run.texts):
        at += len(text)
        if at > boundary:
            return run.first + index
    return run.last


def _laid(texts: Sequence[str | None], prompt: str) -> Iterator[_Run]:
    """Every run with its place; together they cover the prompt."""
    runs = _runs(texts)
    at = 0
    for number, run in enumerate(runs):
        if run.texts is not None:
            end = at + len(run.joined) if prompt.startswith(run.joined, at) else -1
        elif number + 1 == len(runs):
            end = len(prompt)
        else:
            following = runs[number + 1].joined
            is_last = number + 2 == len(runs)
            end = len(prompt) - len(following) if is_last else prompt.find(following, at)
        if end < at:
            raise AlignmentError("the server's tokens do not make up the prompt")
        yield replace(run, start=at, end=end)
        at = end
    if at != len(prompt):
        raise AlignmentError("the server's tokens do not make up the whole prompt")


def _runs(texts: Sequence[str | None]) -> list[_Run]:
    runs: list[_Run] = []
    for index, text in enumerate(texts):
        known = (text,) if text is not None and REPLACEMENT not in text else None
        last = runs[-1] if runs else None
        if last is not None and (last.texts is None) == (known is None):
            joined = None if known is None else (*(last.texts or ()), *known)
            runs[-1] = _Run(first=last.first, last=index + 1, texts=joined)
        else:
            runs.append(_Run(first=index, last=index + 1, texts=known))
    return runs
