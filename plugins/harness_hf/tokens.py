"""Text to token ids and back: boundaries, windows, stop strings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.types import Cut

REPLACEMENT = "\ufffd"


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """Token ids to go on from; ``cut`` more were left out before number ``at``.

    The first ``head`` and the last ``tail`` are what tokenizer and template put around a text.
    """

    ids: tuple[int, ...]
    head: int = 0
    tail: int = 0
    cut: int = 0
    at: int = 0

    def within(self, room: int, side: Cut) -> Prompt:
        """At most ``room`` of the tokens: the text loses its start, middle or end, and what stands
        around it is kept, unless that alone leaves no room."""
        excess = len(self.ids) - room
        if excess <= 0:
            return self
        around = self.head + self.tail < room
        head, tail = (self.head, self.tail) if around else (0, 0)
        kept = room - head - tail
        at = head + {"start": 0, "middle": (kept + 1) // 2, "end": kept}[side]
        ids = self.ids[:at] + self.ids[at + excess :]
        return Prompt(ids=ids, head=head, tail=tail, cut=excess, at=at)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A context and a continuation as token ids. ``context`` holds at least one."""

    context: Prompt
    continuation: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Window:
    """A piece of a text for one forward pass: the last ``scored`` of ``ids`` are predicted."""

    ids: tuple[int, ...]
    scored: int


class TokenError(ValueError):
    """A text cannot be put to the model; the message says why."""


@dataclass
class Codec:
    """A tokenizer with its special tokens handled in one way for all models.

    ``prefix`` is what the tokenizer itself puts before a text (BOS, for some), ``suffix`` what it
    puts behind; where a text is to be continued, that is left out. ``start`` stands for the
    beginning of a text where something must precede it: BOS, else EOS, as in
    lm-evaluation-harness.
    """

    tokenizer: Any
    vocabulary: int
    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    start: int | None = None
    _pieces: dict[int, str] = field(default_factory=dict)
    _ready: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, tokenizer: Any, *, vocabulary: int) -> Codec:
        """Find out by a probe what ``tokenizer`` adds. The model knows ``vocabulary`` ids."""
        plain = tokenizer("a", add_special_tokens=False)["input_ids"]
        whole = tokenizer("a")["input_ids"]
        places = range(len(whole) - len(plain) + 1)
        at = next((i for i in places if whole[i : i + len(plain)] == plain), 0)
        start = tokenizer.bos_token_id
        return cls(
            tokenizer=tokenizer,
            vocabulary=vocabulary,
            prefix=tuple(whole[:at]),
            suffix=tuple(whole[at + len(plain) :]),
            start=tokenizer.eos_token_id if start is None else start,
        )

    def prepare(self, texts: Iterable[str]) -> None:
        """Tokenise ``texts`` in one go, for the calls that follow; forgets earlier ones."""
        wanted = list(dict.fromkeys(text for text in texts if text))
        self._ready.clear()
        if wanted:
            found = self.tokenizer(wanted, add_special_tokens=False)["input_ids"]
            self._ready.update(zip(wanted, map(tuple, found), strict=True))

    def prepare_pairs(self, pairs: Iterable[tuple[str, str]]) -> None:
        """The same for what :meth:`pair` will need for ``(context, continuation)``."""
        cut = [(context, context.rstrip(), continuation) for context, continuation in pairs]
        self.prepare(
            text
            for context, kept, continuation in cut
            for text in (kept, kept + context[len(kept) :] + continuation)
        )

    def plain(self, text: str) -> tuple[int, ...]:
        """Token ids of ``text`` alone. Raises :class:`TokenError` for ids the model lacks."""
        ids = self._ready.get(text)
        if ids is None:
            ids = tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"]) if text else ()
        if ids and max(ids) >= self.vocabulary:
            raise TokenError(
                f"the tokenizer gives token id {max(ids)}, the model knows {self.vocabulary}"
            )
        return ids

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of ``text`` with what the tokenizer puts before it, never twice."""
        ids = self.plain(text)
        if self.prefix and ids[: len(self.prefix)] == self.prefix:
            return ids
        return self.prefix + ids

    def prompt(self, text: str) -> Prompt:
        """Token ids to continue from; never empty. Raises :class:`TokenError`."""
        return self._prompt(self.encode(text) or (self._start(),))

    def whole(self, text: str) -> Prompt:
        """Token ids of a text that is read as a whole, with what the tokenizer puts around it,
        never twice: a chat template may have put it there already."""
        ids = self.encode(text)
        if not self.suffix or ids[-len(self.suffix) :] != self.suffix:
            ids += self.suffix
        return Prompt(ids=ids, head=len(self.prefix), tail=len(self.suffix))

    def _prompt(self, ids: tuple[int, ...]) -> Prompt:
        head = len(self.prefix) if ids[: len(self.prefix)] == self.prefix else 0
        return Prompt(ids=ids, head=head)

    def pair(self, context: str, continuation: str) -> Pair:
        """Split as lm-evaluation-harness does (``TemplateLM._encode_pair``).

        Spaces at the end of the context belong to the continuation; both are tokenised together,
        and the continuation is what comes after as many tokens as the context has alone. An empty
        context is the start token. Raises :class:`TokenError`.
        """
        kept = context.rstrip()
        continuation = context[len(kept) :] + continuation
        if not kept:
            ids = self.plain(continuation)
            start = self.prefix or (self._start(),)
            if len(ids) > len(start) and ids[: len(start)] == start:
                ids = ids[len(start) :]  # the text brings its own BOS
            return Pair(context=self._prompt(start), continuation=ids)
        before = self.encode(kept)
        after = self.encode(kept + continuation)[len(before) :]
        if not after and continuation:  # it merged into the last token of the context
            after = self.plain(continuation)
        return Pair(context=self._prompt(before), continuation=after)

    def special_ids(self, strings: Sequence[str]) -> frozenset[int]:
        """Ids of those ``strings`` that are special tokens, which decoding leaves out.

        Many are special without a name such as ``eos_token``: those that end turns of a chat.
        """
        found = {s: self.tokenizer.convert_tokens_to_ids(s) for s in strings if s}
        return frozenset(
            token
            for string, token in found.items()
            if isinstance(token, int)  # not that of the unknown token, which many give instead
            and self.tokenizer.convert_ids_to_tokens(token) == string
            and not self.piece(token)
        )

    def _start(self) -> int:
        if self.start is None:
            raise TokenError("the text is empty and the tokenizer has no BOS or EOS token")
        return self.start

    def text(self, before: Sequence[int], ids: Sequence[int]) -> str:
        """What ``ids`` add to a text whose tokens so far are ``before``.

        Decoded behind a few tokens of context, because many decoders drop a space at the
        beginning.
        """
        if not ids:
            return ""
        anchor = list(before[-4:])
        known = self._decode(anchor)
        whole = self._decode([*anchor, *ids])
        if whole.startswith(known):
            return whole[len(known) :]
        return self._decode(list(ids))

    def piece(self, token: int) -> str:
        """About what ``token`` looks like inside a text; the replacement character for a part of
        a character."""
        known = self._pieces.get(token)
        if known is None:
            known = self._pieces[token] = self._decode([token, token])
        return known

    def pieces(self, ids: Sequence[int]) -> tuple[str, ...]:
        """The text of each token; its name in the vocabulary where it is special or adds no text,
        its number in brackets where it is a part of a character."""
        found = []
        for at, token in enumerate(ids):
            text = self.text(ids[:at], [token])
            name = str(self.tokenizer.convert_ids_to_tokens(token))
            found.append(f"<{token}>" if REPLACEMENT in text else text or name)
        return tuple(found)

    def written(self, ids: Sequence[int]) -> str:
        """The text that ``ids`` come to, special tokens by name."""
        decoded: str = self.tokenizer.decode(
            list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return decoded

    def _decode(self, ids: list[int]) -> str:
        decoded: str = self.tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return decoded


def windows(pair: Pair, *, most: int | None, side: Cut = "start") -> tuple[list[Window], Prompt]:
    """Cut a pair to windows of at most ``most`` tokens of input.

    A window reads all its ids but the last, hence holds one more than ``most``. A context that is
    too long is cut at ``side``; a continuation longer than the model's context is scored in
    consecutive windows, each token once, the first token of a window after one token of context
    and the last window moved back to be full, as lm-evaluation-harness does
    (``get_rolling_token_windows`` with ``context_len=1``). Returns the windows and what is left of
    the context.
    """
    context, rest = pair.context, pair.continuation
    if most is None or len(context.ids) + len(rest) <= most + 1:
        return [Window(ids=context.ids + rest, scored=len(rest))], context
    if len(rest) <= most:
        kept = context.within(most + 1 - len(rest), side)
        return [Window(ids=kept.ids + rest, scored=len(rest))], kept
    kept = Prompt(ids=context.ids[-1:], cut=len(context.ids) - 1)
    ids = kept.ids + rest
    cut = [Window(ids=ids[: most + 1], scored=most)]
    done = most
    while done < len(rest):
        scored = min(most, len(rest) - done)
        end = 1 + done + scored
        cut.append(Window(ids=ids[end - most - 1 : end], scored=scored))
        done += scored
    return cut, kept


@dataclass(frozen=True, kw_only=True)
class Stops:
    """Stop strings, searched in decoded text, so that they may span tokens."""

    strings: tuple[str, ...]

    @property
    def last_characters(self) -> frozenset[str]:
        """A token that completes a stop string holds one of these, or part of a character."""
        return frozenset(s[-1] for s in self.strings if s) | {REPLACEMENT}

    def find(self, text: str) -> int | None:
        """Where the earliest stop string begins, ``None`` if there is none."""
        places = [at for s in self.strings if s and (at := text.find(s)) >= 0]
        return min(places, default=None)
