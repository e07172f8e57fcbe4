"""Which tokens of an echoed prompt belong to the continuation, without the server's tokenizer.

A server gives the text of each token, but not reliably where it stands: the token of a character
cut in pieces has no text of its own, and some show a BOS token that the prompt does not hold. The
tokens are laid along the prompt: runs of tokens with a text must be found in it, and what lies
between two runs is what the tokens without a text cover.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

REPLACEMENT = "\ufffd"


class AlignmentError(ValueError):
    """The tokens do not make up the prompt, or the boundary lies where nobody can tell."""


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """Tokens ``first`` to ``last`` (exclusive) with their joined text, or None: unknown."""

    first: int
    last: int
    text: str | None


def first_after(texts: Sequence[str | None], prompt: str, boundary: int) -> int:
    """The index of the first token that reaches beyond ``boundary`` characters of ``prompt``.

    A token across the boundary counts as beyond it. A BOS token before the prompt is no part of
    it. Raises AlignmentError.
    """
    failure: AlignmentError | None = None
    for lead in (0, 1):  # with the first token as part of the prompt, then as a BOS before it
        try:
            index = lead + _reaching(texts[lead:], prompt, boundary)
        except AlignmentError as error:
            failure = failure or error
            continue
        while index > lead and texts[index - 1] == "":  # the first bytes of the next character
            index -= 1
        return index
    raise failure or AlignmentError("the server gives no tokens")


def _reaching(texts: Sequence[str | None], prompt: str, boundary: int) -> int:
    for piece, start, end in list(_laid(texts, prompt)):  # all of it must fit
        if end <= boundary:
            continue
        if start >= boundary or piece.last - piece.first == 1:
            return piece.first
        if piece.text is None:
            raise AlignmentError("context and continuation meet within a character cut in pieces")
        at = start
        for index in range(piece.first, piece.last):
            at += len(texts[index] or "")
            if at > boundary:
                return index
    return len(texts)


def _laid(texts: Sequence[str | None], prompt: str) -> Iterator[tuple[_Piece, int, int]]:
    """Every piece with where it begins and ends in the prompt, in characters."""
    pieces = _pieces(texts)
    at = 0
    for number, piece in enumerate(pieces):
        if piece.text is not None:
            end = at + len(piece.text) if prompt.startswith(piece.text, at) else -1
        elif number + 1 == len(pieces):
            end = len(prompt)
        else:
            following = pieces[number + 1].text or ""
            is_last = number + 2 == len(pieces)
            end = len(prompt) - len(following) if is_last else prompt.find(following, at + 1)
        if end < at or (piece.text is None and end == at):
            raise AlignmentError("the server's tokens do not make up the prompt")
        yield piece, at, end
        at = end
    if at != len(prompt):
        raise AlignmentError("the server's tokens do not make up the whole prompt")


def _pieces(texts: Sequence[str | None]) -> list[_Piece]:
    pieces: list[_Piece] = []
    for index, text in enumerate(texts):
        known = text if text is not None and REPLACEMENT not in text else None
        last = pieces[-1] if pieces else None
        if last is not None and (last.text is None) == (known is None):
            joined = None if known is None or last.text is None else last.text + known
            pieces[-1] = _Piece(first=last.first, last=index + 1, text=joined)
        else:
            pieces.append(_Piece(first=index, last=index + 1, text=known))
    return pieces
