"""Token classification: a tag for each word, read off its first sub-token.

Devlin et al. 2019 (arXiv:1810.04805, section 5.3) classify words by their first sub-token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import DataError
from harness.types import Response, Sent, Tag
from harness_hf.answers import NO_MEMORY, NO_NUMBERS
from harness_hf.described import room_beside
from harness_hf.heads import Head, Row
from harness_hf.labels import OUTSIDE, Labels
from harness_hf.tokens import Codec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch

    from harness.types import Request
    from harness_hf.described import Described
    from harness_hf.loading import Loaded


@dataclass(frozen=True, kw_only=True)
class Window:
    """Words for one pass: their token ids, and for each word that this window decides about its
    number and the place of its first sub-token."""

    ids: tuple[int, ...]
    places: tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Tagging:
    """How sentences become windows of token ids. ``room`` is for words; ``None``: no bound."""

    codec: Codec
    labels: Labels
    room: int | None

    @classmethod
    def of(cls, described: Described, tokenizer: Any) -> Tagging:
        """For a checkpoint and its tokenizer."""
        codec = Codec.of(tokenizer, vocabulary=len(tokenizer))
        around = len(codec.prefix) + len(codec.suffix)
        room = room_beside(described.context, around, described.options.who)
        return cls(codec=codec, labels=Labels.of(described), room=room)

    def windows(self, words: Sequence[str]) -> list[Window]:
        """One window where all fits, else several that overlap by half; each word is decided
        where it stands farthest from a cut. Words without any sub-token are decided by none, and
        a window of nothing else is left out."""
        parts = [ids[: self.room] for ids in self._subtokens(words)]
        spans = list(_spans([len(ids) for ids in parts], self.room))
        owners = _owners([len(ids) for ids in parts], spans)
        found = []
        for number, (start, end) in enumerate(spans):
            ids = list(self.codec.prefix)
            places = []
            for word in range(start, end):
                if parts[word] and owners[word] == number:
                    places.append((word, len(ids)))
                ids += parts[word]
            ids += self.codec.suffix
            if places:
                found.append(Window(ids=tuple(ids), places=tuple(places)))
        return found

    def sent(self, request: Request) -> tuple[Sent, ...]:
        """What is read for ``request``, window by window."""
        if not isinstance(request, Tag):
            raise DataError(f"{self.labels.who} reads no {request.kind} requests.")
        return tuple(
            Sent(ids=window.ids, pieces=self.codec.pieces(window.ids))
            for window in self.windows(request.tokens)
        )

    def _subtokens(self, words: Sequence[str]) -> list[list[int]]:
        """Token ids of each word, as transformers splits a text that is given in words."""
        tokenizer = self.codec.tokenizer
        parts: list[list[int]] = [[] for _ in words]
        if not words:
            return parts
        if not tokenizer.is_fast:
            for part, word in zip(parts, words, strict=True):
                part += tokenizer(word, add_special_tokens=False)["input_ids"]
            return parts
        found = tokenizer(list(words), is_split_into_words=True, add_special_tokens=False)
        for token, word in zip(found["input_ids"], found.word_ids(), strict=True):
            if word is not None:
                parts[word].append(token)
        return parts


def _spans(lengths: Sequence[int], room: int | None) -> Iterator[tuple[int, int]]:
    """First and last word of each window; the next one begins half a window before its end."""
    start = 0
    while start < len(lengths):
        end, used = start, 0
        while end < len(lengths) and (room is None or used + lengths[end] <= room):
            used += lengths[end]
            end += 1
        yield start, end
        if end == len(lengths):
            return
        later, kept = end, 0
        while later - 1 > start and kept + lengths[later - 1] <= (room or 0) // 2:
            later -= 1
            kept += lengths[later]
        start = later


def _owners(lengths: Sequence[int], spans: Sequence[tuple[int, int]]) -> list[int]:
    """For each word the window in which it has the most context on its shorter side."""
    ends = [0]
    for length in lengths:
        ends.append(ends[-1] + length)
    best = [(-1.0, 0)] * len(lengths)
    for number, (start, end) in enumerate(spans):
        for word in range(start, end):
            before = float("inf") if start == 0 else ends[word] - ends[start]
            after = float("inf") if end == len(lengths) else ends[end] - ends[word + 1]
            best[word] = max(best[word], (min(before, after), -number))
    return [-number for _, number in best]


@dataclass
class _Sentence:
    """A request under way. ``words`` are the head's labels as tags; ``left`` windows are to come,
    ``read`` tokens have been read, and ``lost`` says why one gave no tags, if so."""

    tags: list[str]
    words: tuple[str, ...]
    left: int
    read: int = 0
    lost: str | None = None

    def take(self, window: Window, logits: torch.Tensor | None) -> None:
        """Write down the tags of the words that ``window`` decides about, by its ``logits``
        [tokens, labels]."""
        self.left -= 1
        if logits is None:
            self.lost = NO_MEMORY
            return
        if not bool(logits[: len(window.ids)].isfinite().all()):
            self.lost = NO_NUMBERS
        self.read += len(window.ids)
        best = logits.argmax(dim=-1).tolist()
        for word, place in window.places:
            self.tags[word] = self.words[best[place]]

    def response(self) -> Response:
        """The answer when no window is left."""
        if self.lost is not None:
            return Response(error=self.lost)
        return Response(tags=tuple(self.tags), prompt_tokens=self.read)


class Tagger:
    """Answers tag requests with a loaded token classifier."""

    def __init__(self, loaded: Loaded, tagging: Tagging, *, rows: int | None) -> None:
        """Make ready; ``rows`` fixes the batch size."""
        self.tagging = tagging
        self.head = Head(loaded, rows=rows)

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Yield ``(number, response)`` for every request.

        Raises :class:`harness.errors.UsageError` where the checkpoint's labels are not the task's.
        """
        under_way: dict[int, _Sentence] = {}
        words: dict[tuple[str, ...], tuple[str, ...]] = {}
        jobs: list[tuple[int, Window]] = []
        for number, request in enumerate(requests):
            if not isinstance(request, Tag):
                said = f"a token classifier cannot answer a {request.kind} request"
                yield number, Response(error=said)
                continue
            if request.types not in words:
                words[request.types] = self.tagging.labels.tags(request.types)
            windows = self.tagging.windows(request.tokens)
            sentence = _Sentence(
                tags=[OUTSIDE] * len(request.tokens),
                words=words[request.types],
                left=len(windows),
            )
            refusals = (self.head.refusal(Row(ids=window.ids)) for window in windows)
            refusal = next(filter(None, refusals), None)
            if refusal is not None:
                yield number, Response(error=refusal)
            elif not windows:
                yield number, sentence.response()
            else:
                under_way[number] = sentence
                jobs += [(number, window) for window in windows]
        for part, logits in self.head.run([Row(ids=window.ids) for _, window in jobs]):
            for place, job in enumerate(part):
                number, window = jobs[job]
                sentence = under_way[number]
                sentence.take(window, None if logits is None else logits[place])
                if not sentence.left:
                    yield number, sentence.response()
