"""Requests as token ids: exactly what a model reads for each, weights or no weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from harness.errors import DataError
from harness.types import Generate, Loglikelihood, Sent
from harness_hf.chat import Chat
from harness_hf.tokens import Codec, Pair, Prompt, TokenError, windows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.types import Request
    from harness_hf.chat import Rendered
    from harness_hf.described import Described
    from harness_hf.tokens import Window


@dataclass(frozen=True, kw_only=True)
class Opening:
    """A prompt to continue by at most ``most`` tokens; after ``before`` in a decoder of its own."""

    prompt: Prompt
    most: int
    before: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """Windows to score. ``source`` is what an encoder reads; ``read`` counts the tokens of the
    context that are left, ``lost`` those that were cut before number ``at``, ``scored`` those of
    the continuation, of which none is cut."""

    windows: Sequence[Window]
    read: int
    scored: int
    lost: int
    at: int = 0
    source: Prompt | None = None


class Prompts(Protocol):
    """How a model's requests become token ids. Methods raise :class:`TokenError`."""

    codec: Codec

    def prepare(self, requests: Sequence[Generate | Loglikelihood]) -> None:
        """Tokenise in one go what the calls that follow will need."""
        ...

    def opening(self, request: Generate) -> Opening:
        """What is to be continued."""
        ...

    def scoring(self, request: Loglikelihood) -> Scoring:
        """What is to be scored."""
        ...


class CausalPrompts:
    """For decoders: prompt and answer are one text. With ``chat`` the prompt is a user's turn and
    the answer the assistant's."""

    def __init__(self, codec: Codec, *, context: int | None, chat: Chat | None = None) -> None:
        """``context``: the most tokens that the model reads, ``None`` for no bound."""
        self.codec = codec
        self.context = context
        self.chat = chat

    def prepare(self, requests: Sequence[Generate | Loglikelihood]) -> None:
        """See :meth:`Prompts.prepare`."""
        if self.chat is not None:
            return  # a template's texts are tokenised as they are rendered
        pairs = [(r.context, r.continuation) for r in requests if isinstance(r, Loglikelihood)]
        if pairs:
            self.codec.prepare_pairs(pairs)
        else:
            self.codec.prepare(r.prompt for r in requests if isinstance(r, Generate))

    def opening(self, request: Generate) -> Opening:
        """See :meth:`Prompts.opening`."""
        if self.chat is not None:
            prompt = self._turn(self.chat.render(request.prompt))
        else:
            prompt = self.codec.prompt(request.prompt)
        return _opening(prompt, request, self.context)

    def scoring(self, request: Loglikelihood) -> Scoring:
        """See :meth:`Prompts.scoring`. A text without a context is no answer to a turn."""
        if self.chat is not None and request.context:
            pair = self._answer(self.chat.render(request.context), request.continuation)
        else:
            pair = self.codec.pair(request.context, request.continuation)
        cut, kept = windows(pair, most=self.context, side=request.cut)
        return Scoring(
            windows=cut,
            read=len(kept.ids),
            scored=len(pair.continuation),
            lost=kept.cut,
            at=kept.at,
        )

    def _turn(self, rendered: Rendered) -> Prompt:
        ids = self.codec.plain(rendered.text)
        if not ids:
            raise TokenError("the chat template leaves nothing of the prompt")
        head, tail = (len(self.codec.plain(part)) for part in (rendered.head, rendered.tail))
        return Prompt(ids=ids, head=head, tail=tail)

    def _answer(self, rendered: Rendered, continuation: str) -> Pair:
        """The continuation as the assistant's turn, without the blank that parted it."""
        prompt = self._turn(rendered)
        words = continuation.removeprefix(" ")
        whole = self.codec.plain(rendered.text + words)
        size = len(prompt.ids)
        after = whole[size:] if whole[:size] == prompt.ids else self.codec.plain(words)
        return Pair(context=prompt, continuation=after)


class SourcePrompts:
    """For encoder-decoder models: the encoder reads the prompt, the decoder writes the answer.

    As in lm-evaluation-harness the prompt has all that the tokenizer puts around a text, the
    continuation nothing; it comes after ``before``, with which every answer begins.
    """

    def __init__(
        self,
        codec: Codec,
        *,
        context: int | None,
        before: tuple[int, ...],
        chat: Chat | None = None,
    ) -> None:
        """``context``: the most tokens that encoder and decoder each read."""
        self.codec = codec
        self.context = context
        self.before = before
        self.chat = chat

    def prepare(self, requests: Sequence[Generate | Loglikelihood]) -> None:
        """See :meth:`Prompts.prepare`; texts are tokenised as they are asked for."""

    def opening(self, request: Generate) -> Opening:
        """See :meth:`Prompts.opening`."""
        prompt = self._source(request.prompt)
        most = request.max_tokens
        if self.context is not None:
            prompt = prompt.within(self.context, request.cut)
            most = min(most, self.context - len(self.before))
        return Opening(prompt=prompt, most=most, before=self.before)

    def scoring(self, request: Loglikelihood) -> Scoring:
        """See :meth:`Prompts.scoring`."""
        kept = request.context.rstrip()
        source = self._source(kept)
        rest = self.codec.plain(request.context[len(kept) :] + request.continuation)
        if self.context is not None:
            source = source.within(self.context, request.cut)
        pair = Pair(context=Prompt(ids=self.before, head=len(self.before)), continuation=rest)
        cut, _ = windows(pair, most=self.context)
        return Scoring(
            windows=cut,
            read=len(source.ids),
            scored=len(rest),
            lost=source.cut,
            at=source.at,
            source=source,
        )

    def _source(self, text: str) -> Prompt:
        prompt = self.codec.whole(self.chat.render(text).text if self.chat else text)
        if not prompt.ids:
            raise TokenError("the text is empty and the tokenizer puts nothing around it")
        return prompt


def _opening(prompt: Prompt, request: Generate, context: int | None) -> Opening:
    most = request.max_tokens
    if context is not None:
        # max_tokens is often a generous bound: never give up more than half for it
        prompt = prompt.within(max(context - most, context // 2), request.cut)
        most = min(most, context - len(prompt.ids))
    return Opening(prompt=prompt, most=most)


def sent(prompts: Prompts, request: Request) -> tuple[Sent, ...]:
    """What the model reads for ``request``; raises :class:`harness.errors.DataError`."""
    codec = prompts.codec
    try:
        if isinstance(request, Generate):
            opening = prompts.opening(request)
            role = "encoder" if opening.before else ""
            return (_prompt_sent(opening.prompt, codec, role), *_decoder(opening.before, 0, codec))
        if isinstance(request, Loglikelihood):
            scoring = prompts.scoring(request)
            return _scoring_sent(scoring, codec)
    except TokenError as error:
        raise DataError(f"hf: {error}.") from error
    raise DataError(f"hf: a language model reads no {request.kind} requests.")


def _scoring_sent(scoring: Scoring, codec: Codec) -> tuple[Sent, ...]:
    if scoring.source is not None:
        parts = [_prompt_sent(scoring.source, codec, "encoder")]
        for window in scoring.windows:
            parts += _decoder(window.ids, window.scored, codec)
        return tuple(parts)
    return tuple(
        Sent(
            ids=window.ids,
            pieces=codec.pieces(window.ids),
            scored=window.scored,
            cut=0 if number else scoring.lost,
            at=0 if number else scoring.at,
            text=codec.written(window.ids),
        )
        for number, window in enumerate(scoring.windows)
    )


def _prompt_sent(prompt: Prompt, codec: Codec, role: str) -> Sent:
    return Sent(
        ids=prompt.ids,
        pieces=codec.pieces(prompt.ids),
        cut=prompt.cut,
        at=prompt.at,
        role=role,
        text=codec.written(prompt.ids),
    )


def _decoder(ids: tuple[int, ...], scored: int, codec: Codec) -> list[Sent]:
    pieces = codec.pieces(ids)
    if not ids:
        return []
    return [Sent(ids=ids, pieces=pieces, scored=scored, role="decoder", text=codec.written(ids))]


def language_prompts(described: Described, tokenizer: Any, vocabulary: int) -> Prompts:
    """How the requests of a language model become token ids; it knows ``vocabulary`` of them.

    Raises :class:`harness.errors.UsageError` for a chat template that refuses a prompt, and
    :class:`harness.errors.DataError` for a decoder whose first token is not known.
    """
    codec = Codec.of(tokenizer, vocabulary=vocabulary)
    template = described.template
    chat = Chat(template, tokenizer, described.options.source) if template else None
    config = described.checkpoint.config
    if not config.get("is_encoder_decoder"):
        return CausalPrompts(codec, context=described.context, chat=chat)
    before = decoder_beginning(described.generation, described.options.source)
    return SourcePrompts(codec, context=described.context, before=before, chat=chat)


def decoder_beginning(generation: Mapping[str, Any], source: str) -> tuple[int, ...]:
    """Ids with which every answer of an encoder-decoder begins: its start, and what is forced.

    ``generation`` are the settings of the checkpoint ``source``. Raises
    :class:`harness.errors.DataError` where they do not say it.
    """
    start = generation.get("decoder_start_token_id")
    if start is None:
        raise DataError(
            f"hf: {source} does not say with which token its decoder begins.\n"
            "Set decoder_start_token_id in config.json or generation_config.json."
        )
    forced = generation.get("forced_bos_token_id")
    before = (start,) if forced is None else (start, forced)
    for token in before:
        if not isinstance(token, int) or token < 0:
            raise DataError(
                f"hf: {source}: decoder_start_token_id and forced_bos_token_id are token ids, "
                f"not {str(token)[:40]!r}.\nMend config.json or generation_config.json."
            )
    return before
