"""Which tokens of an echoed prompt belong to the continuation, without the server's tokenizer.

A server gives the text of each token, but not reliably where it stands: the token of a character
cut in pieces has no text of its own (U+FFFD, or empty; then the last one may show the whole
character), and some show a BOS token that the prompt does not hold. The tokens are laid along the
prompt: runs of tokens with a text must be found in it, and what lies between two runs is what the
tokens without a text cover. They can cover cut characters only, whose bytes are not ASCII, besides
what they show; the very first token alone may be unknown altogether, as vLLM lists none for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

REPLACEMENT = "\ufffd"


class AlignmentError(ValueError):
    """The tokens do not make up the prompt, or the boundary lies where nobody can tell."""


@dataclass(frozen=True, kw_only=True)
class _Run:
    """Tokens ``first`` to ``last`` (exclusive) that all have a text, or all have none, and where
    they lie in the prompt, in characters. Those without a text may still have ``shown`` so many
    characters; ``opening``: nothing is known of the first, which is the first of all."""

    first: int
    last: int
    texts: tuple[str, ...] | None
    shown: int = 0
    opening: bool = False
    start: int = 0
    end: int = 0

    @property
    def joined(self) -> str:
        return "".join(self.texts or ())

    def covers(self, text: str, *, free: float) -> bool:
        """Whether tokens without a text can stand for ``text``: a byte each at least, all of it of
        cut characters but for what they show and ``free`` characters more."""
        plain = sum(map(str.isascii, text))
        cut = len(text.encode()) - plain + min(free, plain)
        return plain <= self.shown + free and self.last - self.first <= cut


def first_after(texts: Sequence[str | None], prompt: str, boundary: int) -> int:
    """The index of the first token that reaches beyond ``boundary`` characters of ``prompt``.

    A token across the boundary counts as beyond it, and so do the first bytes of a character whose
    last token shows it whole. A BOS token before the prompt is no part of it. Raises
    AlignmentError.
    """
    failure: AlignmentError | None = None
    for lead in (0, 1):  # with the first token as part of the prompt, then as a BOS before it
        try:
            return lead + _reaching(texts[lead:], prompt, boundary, whole=not lead)
        except AlignmentError as error:
            failure = failure or error
    raise failure or AlignmentError("the server gives no tokens")


def _reaching(texts: Sequence[str | None], prompt: str, boundary: int, *, whole: bool) -> int:
    runs = list(_laid(texts, prompt, whole=whole))
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
        covered = prompt[run.start : run.end]
        bytewise = len(covered.encode()) == run.last - run.first
        if not bytewise or not run.covers(covered, free=1 if run.opening else 0):
            raise AlignmentError("context and continuation meet within a character cut in pieces")
        return run.first + len(prompt[run.start : boundary].encode())  # a byte each
    at = run.start
    for index, text in enumerate(run.texts):
        at += len(text)
        if at > boundary:
            return run.first + index
    return run.last


def _laid(texts: Sequence[str | None], prompt: str, *, whole: bool) -> Iterator[_Run]:
    """Every run with its place; together they cover the prompt."""
    runs = _runs(texts, whole=whole)
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
        free = math.inf if run.opening else 0
        if run.texts is None and end > at and not run.covers(prompt[at:end], free=free):
            raise AlignmentError("the server gives tokens of the prompt without their text")
        yield replace(run, start=at, end=end)
        at = end
    if at != len(prompt):
        raise AlignmentError("the server's tokens do not make up the whole prompt")


def _runs(texts: Sequence[str | None], *, whole: bool) -> list[_Run]:
    runs: list[_Run] = []
    for index, text in enumerate(texts):
        known = (text,) if text is not None and REPLACEMENT not in text else None
        shown = len((text or "").replace(REPLACEMENT, ""))
        last = runs[-1] if runs else None
        if last is not None and (last.texts is None) == (known is None):
            joined = None if known is None else (*(last.texts or ()), *known)
            runs[-1] = replace(last, last=index + 1, texts=joined, shown=last.shown + shown)
        else:
            opening = whole and index == 0 and text is None
            run = _Run(first=index, last=index + 1, texts=known, shown=shown, opening=opening)
            runs.append(run)
    return runs
