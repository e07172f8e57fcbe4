"""Forward passes of an encoder-decoder model by transformers' own modules, over key-value slots."""

from __future__ import annotations

import inspect
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from harness_hf.logits import Logits
from harness_hf.modules import cache_argument, picked, slot_cache
from harness_hf.readers import padded
from harness_hf.sources import Source, SourceSlots

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Ids = tuple[int, ...]


def never_written(settings: Any) -> set[int]:
    """The tokens that a checkpoint's settings of generation rule out: Marian's models would write
    their padding, whose logit is 0, without end."""
    alone = (ids[0] for ids in settings.bad_words_ids or () if len(ids) == 1)
    return {*alone, *(settings.suppress_tokens or ())}


class EncoderDecoder:
    """An encoder-decoder model of transformers; the decoder reads at most ``most`` tokens.

    ``alone``: what it computes for a text depends on those beside it. ``picks``: its output head
    can be computed for some positions only. ``keeps``: its decoder writes to our slots. ``admits``:
    rows may stand at different positions; ``places`` are those that the decoder adds to what it
    reads, where it does. See :mod:`harness_hf.settling`.
    """

    def __init__(self, model: Any, device: torch.device, *, most: int | None = None) -> None:
        """Wrap ``model``, which is on ``device`` already."""
        self.model = model
        self.device = device
        self.most = most
        self.cache = cache_argument(model)
        self.head = model.get_output_embeddings()
        self.never = sorted(never_written(model.generation_config))
        self.alone = False
        self.picks = False
        self.keeps = False
        self.admits = False
        self.places: Places | None = None
        given = inspect.signature(model.forward).parameters
        self._told_positions = "decoder_position_ids" in given

    def encode(self, texts: Sequence[Ids]) -> Source:
        """Read ``texts`` side by side."""
        ids, _ = padded(texts, self.device)
        lengths = torch.tensor([len(text) for text in texts])[:, None]
        seen = (torch.arange(ids.shape[1]) < lengths).long().to(self.device)
        states = self.model.get_encoder()(input_ids=ids, attention_mask=seen).last_hidden_state
        return Source(states=states, seen=seen, lengths=tuple(len(text) for text in texts))

    def read(self, source: Source, texts: Sequence[Ids], index: torch.Tensor) -> Logits:
        """Logits at the flat positions ``index`` of ``texts``, which a decoder reads one for each
        text of ``source``. Padding on the right needs no mask: nothing before it sees it."""
        ids, _ = padded(texts, self.device)
        # FSMT hides what follows only where it is given ids of the encoder, which nobody reads
        return self._picked(ids, source, index, use_cache=False, input_ids=source.seen)

    def whole(self, source: Source, texts: Sequence[Ids]) -> Logits:
        """Logits of what is written behind ``texts``, one for each text of ``source``."""
        _, last = padded(texts, self.device)
        return self._written(self.read(source, texts, last))

    def begin(self, source: Source, texts: Sequence[Ids]) -> tuple[Logits, SourceSlots]:
        """The same, and slots behind which the rows go on."""
        from transformers import DynamicCache

        slots = SourceSlots(source)
        ids, last = padded(texts, self.device)
        across = DynamicCache()
        logits = self._picked(ids, source, last, **self._cached(slots, across))
        slots.look_at([part for layer in across.layers for part in (layer.keys, layer.values)])
        slots.align([len(text) for text in texts])
        return self._written(logits), slots

    def step(self, ids: torch.Tensor, slots: SourceSlots) -> Logits:
        """Logits behind each row of ``ids`` [rows, 1], which go behind ``slots``."""
        told: dict[str, Any] = {}
        placed: Any = nullcontext()
        if self.admits:
            if self.most is not None:
                slots.within(self.most)
            bias = slots.bias(slots.length + 1, self.model.dtype)
            told["decoder_attention_mask"] = (bias[:, 0, 0] == 0).long()
            positions = slots.next_positions()[:, None]
            if self._told_positions:
                told["decoder_position_ids"] = positions
            if self.places is not None:
                placed = self.places.at(positions, ids)
        across = crossing(slots.across)
        with placed:
            output = self._forward(ids, slots.source, **self._cached(slots, across), **told)
        slots.advance(1)
        return self._written(Logits(rows=output.logits[:, -1]))

    def learn_places(self) -> None:
        """Note which positions the decoder adds to what it reads, if it does."""
        module = getattr(self.model.get_decoder(), "embed_positions", None)
        if module is None or self.most is None:
            return
        padding = self.model.config.pad_token_id
        other = 1 if padding == 0 else 0
        table = self._noted(module, [other] * self.most)
        padded_table = table if padding is None else self._noted(module, [padding])
        self.places = Places(module, table, padding=padding, at_padding=padded_table[:1])

    def _noted(self, module: Any, ids: Sequence[int]) -> torch.Tensor:
        """What ``module`` gives for a text of ``ids``, [ids, size]."""
        found: list[torch.Tensor] = []

        def note(_module: Any, _inputs: Any, output: torch.Tensor) -> None:
            found.append(output.detach().reshape(len(ids), -1))
            raise _EnoughError

        handle = module.register_forward_hook(note)
        try:
            source = self.encode([(ids[0],)])
            self._forward(torch.tensor([ids], device=self.device), source, use_cache=False)
        except _EnoughError:
            pass
        finally:
            handle.remove()
        return found[0]

    def _picked(
        self, ids: torch.Tensor, source: Source, index: torch.Tensor, **more: Any
    ) -> Logits:
        if not self.picks:
            logits = self._forward(ids, source, **more).logits
            return Logits(rows=logits.flatten(0, -2).index_select(0, index))
        with picked(self.head, index):
            logits = self._forward(ids, source, **more).logits
        return Logits(rows=logits.flatten(0, -2))

    def _cached(self, slots: SourceSlots, across: Any) -> dict[str, Any]:
        from transformers import EncoderDecoderCache

        return {self.cache: EncoderDecoderCache(slot_cache(slots), across), "use_cache": True}

    def _written(self, logits: Logits) -> Logits:
        if self.never:
            logits.rows[:, self.never] = -torch.inf
        return logits

    def _forward(self, ids: torch.Tensor, source: Source, **more: Any) -> Any:
        from transformers.modeling_outputs import BaseModelOutput

        read = BaseModelOutput(last_hidden_state=source.states)
        read.router_logits = None  # which models with experts hand on, though no answer needs it
        return self.model(
            encoder_outputs=read,
            attention_mask=source.seen,
            decoder_input_ids=ids,
            return_dict=True,
            **more,
        )


class _EnoughError(Exception):
    """Ends a pass of which no more is wanted."""


class Places:
    """What a decoder adds for the position of a token, whose modules count from the width of the
    cache: here each row has a position of its own."""

    def __init__(
        self, module: Any, table: torch.Tensor, *, padding: int | None, at_padding: torch.Tensor
    ) -> None:
        """Stand in for ``module``: ``table`` [positions, size], and ``at_padding`` [1, size] for
        the token ``padding``, which some give no position."""
        self.module = module
        self.table = table
        self.padding = -1 if padding is None else padding
        self.at_padding = None if torch.equal(at_padding, table[:1]) else at_padding

    @contextmanager
    def at(self, positions: torch.Tensor, ids: torch.Tensor) -> Iterator[None]:
        """Inside, ``ids`` [rows, new] are read at ``positions`` [rows, new]."""
        added = self.table[positions]
        if self.at_padding is not None:
            unplaced = torch.eq(ids, self.padding)[..., None]
            added = torch.where(unplaced, self.at_padding, added)
        handle = self.module.register_forward_hook(lambda *_: added)
        try:
            yield
        finally:
            handle.remove()


def crossing(parts: Sequence[torch.Tensor]) -> Any:
    """A cache of transformers that holds ``parts``, keys and values layer by layer, as they are."""
    from transformers.cache_utils import DynamicCache, DynamicLayer

    cache = DynamicCache()
    for keys, values in zip(parts[::2], parts[1::2], strict=True):
        layer = DynamicLayer()
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        cache.layers.append(layer)
    return cache
