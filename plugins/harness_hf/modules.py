"""Forward passes by transformers' own modules, for any causal model, over key-value slots."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Literal

import torch

from harness_hf.logits import Logits
from harness_hf.network import branch_mask, causal_mask
from harness_hf.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness_hf.slots import Header

MaskStyle = Literal["dense", "padding", "none"]


class ModuleNetwork:
    """Any causal language model of transformers, by its own modules.

    ``mask_style`` says how masks are told to the model: ``dense``, per query and key, which
    transformers hands through to attention; ``padding``, a 0/1 mask per key that the model's own
    code extends (needed by ALiBi models, which count positions from it, and by windowed
    attention); ``none``: the model cannot work with our key-value slots. ``alone``: what it
    computes for a row depends on those beside it, so that each is read by itself; only for
    ``none``.
    """

    def __init__(self, model: Any, device: torch.device, *, most: int | None = None) -> None:
        """Wrap ``model``, which is on ``device`` already; ``most``: positions that it reads."""
        self.model = model
        self.device = device
        self.most = most
        self.mask_style: MaskStyle = "dense"
        self.alone = False
        self.takes_positions = "position_ids" in inspect.signature(model.forward).parameters
        self.head = model.get_output_embeddings()
        self.cache = cache_argument(model)
        # texts in one row are wider than any text, and so than such a table, of BigBird for one
        self._typed = any(n.endswith("token_type_ids") for n, _ in model.named_buffers())

    @property
    def shares(self) -> bool:
        """Only with dense masks can tokens be told exactly what they attend to."""
        return self.mask_style == "dense" and not self._typed

    @property
    def keeps(self) -> bool:
        """Whether key-value slots work."""
        return self.mask_style != "none"

    @property
    def dtype(self) -> torch.dtype:
        """The number type of the weights."""
        dtype: torch.dtype = self.model.dtype
        return dtype

    @property
    def embedded(self) -> int:
        """How many token ids the model can read."""
        return int(self.model.get_input_embeddings().weight.shape[0])

    def trunk(
        self, ids: torch.Tensor, index: torch.Tensor, *, header: Header | None, keep: bool
    ) -> tuple[Logits, Slots | None]:
        """See :meth:`Network.trunk`. Padding on the right needs no mask: nothing sees it."""
        if header is None and not keep:
            read = self._one_by_one if self.alone else partial(self._forward, use_cache=False)
            return read(ids, index), None
        rows, width = ids.shape
        slots = Slots.over(header, rows, self.device, apart=False)
        inputs: dict[str, Any] = {}
        if header is not None:
            mask = causal_mask(slots.base, width, ids, self.dtype)
            inputs["attention_mask"] = mask[None, None]
            positions = torch.arange(slots.base, slots.base + width, device=self.device)
            inputs |= self._positions(positions[None, :])
        logits = self._forward(ids, index, **self._cached(slots), **inputs)
        slots.advance(width)
        return logits, slots

    def step(self, ids: torch.Tensor, slots: Slots) -> Logits:
        """See :meth:`Network.step`."""
        if self.most is not None:
            slots.within(self.most)
        width = slots.length + 1
        bias = slots.bias(width, self.dtype)
        mask = bias if self.mask_style == "dense" else (bias[:, 0, 0] == 0).long()
        inputs = self._positions(slots.next_positions()[:, None])
        index = torch.arange(len(ids), device=self.device)
        logits = self._forward(
            ids,
            index,
            attention_mask=mask,
            **self._cached(slots),
            **inputs,
        )
        slots.advance(1)
        return logits

    def branch(
        self,
        ids: torch.Tensor,
        index: torch.Tensor,
        *,
        positions: torch.Tensor,
        seen: torch.Tensor,
        slots: Slots,
    ) -> Logits:
        """See :meth:`Network.branch`."""
        return self._forward(
            ids,
            index,
            attention_mask=branch_mask(seen, slots.base, self.dtype),
            **self._cached(slots),
            **self._positions(positions),
        )

    def _cached(self, slots: Slots) -> dict[str, Any]:
        return {self.cache: slot_cache(slots), "use_cache": True}

    def _one_by_one(self, ids: torch.Tensor, index: torch.Tensor) -> Logits:
        """The same logits with each row read apart, up to the last token that is asked for."""
        width = ids.shape[1]
        places = index.tolist()
        found: dict[int, torch.Tensor] = {}
        for row in dict.fromkeys(place // width for place in places):
            own = [place for place in places if place // width == row]
            last = max(own) % width
            columns = torch.tensor([place % width for place in own], device=self.device)
            table = self._forward(ids[row : row + 1, : last + 1], columns, use_cache=False).rows
            found.update(zip(own, table, strict=True))
        return Logits(rows=torch.stack([found[place] for place in places]))

    def _positions(self, positions: torch.Tensor) -> dict[str, Any]:
        return {"position_ids": positions} if self.takes_positions else {}

    def _forward(self, ids: torch.Tensor, index: torch.Tensor, **inputs: Any) -> Logits:
        """Logits at flat positions ``index`` of ``ids``."""
        with picked(self.head, index):
            output = self.model(input_ids=ids, return_dict=True, **inputs)
        return Logits(rows=output.logits.flatten(0, -2))


@contextmanager
def picked(head: Any, index: torch.Tensor) -> Iterator[None]:
    """Inside, only the flat positions ``index`` [n] go through the output ``head``, which then
    gives [1, n, vocabulary].

    They are picked from its input, so that whatever an architecture does to logits afterwards
    (scaling, capping) still happens.
    """

    def pick(_module: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden = arguments[0]
        flat = hidden.reshape(-1, hidden.shape[-1]).index_select(0, index)
        return (flat.unsqueeze(0), *arguments[1:])

    handle = head.register_forward_pre_hook(pick)
    try:
        yield
    finally:
        handle.remove()


def cache_argument(model: Any) -> str:
    """What ``model`` calls the cache that it takes and gives back: ``cache`` since transformers
    5.24, which gives up ``past_key_values``, as older ones and the code of checkpoints call it."""
    given = inspect.signature(model.forward).parameters
    return "cache" if "cache" in given else "past_key_values"


@lru_cache(maxsize=1)
def _layer_class() -> type[Any]:
    """A cache layer that writes to slots; made on demand, since it derives from transformers'."""
    from transformers.cache_utils import DynamicLayer

    class SlotLayer(DynamicLayer):  # type: ignore[misc,unused-ignore]
        """One layer's view of :class:`Slots`."""

        def __init__(self, slots: Slots, layer: int) -> None:
            super().__init__()
            self.slots = slots
            self.layer = layer
            self.is_initialized = True

        def update(
            self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
        ) -> tuple[torch.Tensor, torch.Tensor]:
            return self.slots.write(self.layer, key_states, value_states)

        def get_seq_length(self) -> int:
            return self.slots.length

        def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
            return self.slots.length + query_length, 0

    return SlotLayer


def slot_cache(slots: Slots) -> Any:
    """``slots`` as a cache of transformers; layers that share keys leave some unused."""
    from transformers.cache_utils import Cache

    layer_class = _layer_class()
    cache: Any = Cache(layer_class_to_replicate=lambda: layer_class(slots, len(cache.layers)))
    cache.layers.extend(layer_class(slots, layer) for layer in range(len(slots.keys)))
    return cache
