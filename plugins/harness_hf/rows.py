"""Texts that are being written: what is asked, how far it has come, and what it came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness_hf.logits import NO_TOKEN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness_hf.drawing import Draw
    from harness_hf.tokens import Codec, Prompt, Stops


@dataclass(frozen=True, kw_only=True)
class Job:
    """One prompt to continue by at most ``most`` tokens.

    ``ends`` are the token ids that end the text; with ``before`` the prompt is an encoder's, and
    the decoder begins with these. ``draw`` says how tokens are drawn, ``None``: the most probable.
    """

    prompt: Prompt
    most: int
    stops: Stops
    ends: frozenset[int]
    before: tuple[int, ...] = ()
    draw: Draw | None = None

    def continuation(self, codec: Codec, ids: list[int]) -> Continuation | None:
        """What ``ids`` come to if the newest of them ends the text, else ``None``."""
        token = ids[-1]
        if token in self.ends:
            return self._ended(codec, ids, ids[:-1], truncated=False)
        full = len(ids) >= self.most
        stops = self.stops
        possible = stops.strings and not stops.last_characters.isdisjoint(codec.piece(token))
        if possible and stops.find(self._text(codec, ids)) is not None:
            return self._ended(codec, ids, ids, truncated=False)
        return self._ended(codec, ids, ids, truncated=True) if full else None

    def _text(self, codec: Codec, ids: list[int]) -> str:
        return codec.text(self.before or self.prompt.ids, ids)

    def _ended(
        self, codec: Codec, ids: list[int], kept: list[int], *, truncated: bool
    ) -> Continuation:
        text = self._text(codec, kept)
        at = self.stops.find(text)
        return Continuation(
            text=text if at is None else text[:at],
            ids=tuple(ids),
            truncated=truncated and at is None,
        )


@dataclass(frozen=True, kw_only=True)
class Continuation:
    """The text up to the first stop string; ``ids`` generated, those of the stop included.

    ``broken``: it went no further, as logits were no numbers.
    """

    text: str
    ids: tuple[int, ...]
    truncated: bool
    broken: bool = False


@dataclass
class Row:
    """A job under way: its number and the tokens it has so far."""

    number: int
    job: Job
    ids: list[int] = field(default_factory=list)

    @property
    def known(self) -> tuple[int, ...]:
        """All tokens of its text."""
        return self.job.prompt.ids + tuple(self.ids)

    @property
    def turn(self) -> tuple[Draw | None, int]:
        """How the next token is chosen, and how many were before."""
        return self.job.draw, len(self.ids)

    def read(self, codec: Codec, tokens: Sequence[int]) -> Continuation | None:
        """Take ``tokens`` up to the one that ends the text; what it came to, if one does."""
        for token in tokens:
            if token == NO_TOKEN:
                return Continuation(text="", ids=tuple(self.ids), truncated=False, broken=True)
            self.ids.append(token)
            done = self.job.continuation(codec, self.ids)
            if done is not None:
                return done
        return None
