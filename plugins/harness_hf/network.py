"""Forward passes over token ids: key-value slots, masks, logits only where they are needed.

Three calls are enough for scoring and generation: ``trunk`` reads rows from their beginning (or
from a common header), ``step`` reads one more token of each, ``branch`` reads several independent
continuations of each row at once. :class:`TransformersNetwork` does them with any causal model of
transformers; :class:`harness_hf.lean.LeanNetwork` with less overhead for some architectures.
"""

from __future__ import annotations

import contextlib
import inspect
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch

from harness_hf.slots import Header, Slots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MaskStyle = Literal["dense", "padding", "none"]
LOGIT_BYTES = 32 << 20


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Of each token: its natural log-probability, and whether no other was more probable."""

    logprobs: torch.Tensor
    greedy: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class Logits:
    """Logits of ``n`` chosen positions, as they are or still to be computed from ``rows``.

    ``head`` turns hidden states into logits; ``None``: ``rows`` [n, vocabulary] are logits.
    """

    rows: torch.Tensor
    head: Callable[[torch.Tensor], torch.Tensor] | None = None
    vocabulary: int = 0

    def table(self) -> torch.Tensor:
        """All of them [n, vocabulary], in float32."""
        return (self.head(self.rows) if self.head else self.rows).float()

    def best(self) -> list[int]:
        """The most probable token at each position."""
        found: list[int] = self.table().argmax(dim=1).tolist()
        return found

    def score(self, places: torch.Tensor, targets: torch.Tensor) -> Scored:
        """Score ``targets`` [m] at the chosen positions number ``places`` [m].

        In chunks, so that a large vocabulary never makes a table of all positions.
        """
        if self.head is None:
            return pick_targets(self.rows.index_select(0, places).float(), targets)
        step = max(1, LOGIT_BYTES // (4 * self.vocabulary))
        parts = [
            pick_targets(
                self.head(self.rows.index_select(0, places[at : at + step])).float(),
                targets[at : at + step],
            )
            for at in range(0, len(targets), step)
        ]
        return Scored(
            logprobs=torch.cat([p.logprobs for p in parts]),
            greedy=torch.cat([p.greedy for p in parts]),
        )


def pick_targets(logits: torch.Tensor, targets: torch.Tensor) -> Scored:
    """Log-probabilities of ``targets`` [n] under ``logits`` [n, vocabulary]."""
    chosen = logits.gather(1, targets[:, None]).squeeze(1)
    return Scored(
        logprobs=chosen - torch.logsumexp(logits, dim=1),
        greedy=chosen >= logits.amax(dim=1),
    )


class Network(Protocol):
    """A causal language model behind the calls that scoring and generation need."""

    device: torch.device

    @property
    def shares(self) -> bool:
        """Whether ``header`` and ``branch`` work."""
        ...

    @property
    def keeps(self) -> bool:
        """Whether key-value slots work at all; without, only ``trunk`` is to be used, without
        ``keep``."""
        ...

    @property
    def embedded(self) -> int:
        """How many token ids the model can read."""
        ...

    def trunk(
        self, ids: torch.Tensor, index: torch.Tensor, *, header: Header | None, keep: bool
    ) -> tuple[Logits, Slots | None]:
        """Read ``ids`` [rows, width], padded on the right, after ``header``.

        Returns logits at the flat positions ``index`` [n], counted row by row, and with ``keep``
        the slots, padded on the right too.
        """
        ...

    def step(self, ids: torch.Tensor, slots: Slots) -> Logits:
        """Read one token of each row, ``ids`` [rows, 1], behind ``slots`` that end together."""
        ...

    def branch(
        self,
        ids: torch.Tensor,
        index: torch.Tensor,
        *,
        positions: torch.Tensor,
        seen: torch.Tensor,
        slots: Slots,
    ) -> Logits:
        """Read ``ids`` [rows, width] behind ``slots`` padded on the right.

        ``positions`` [rows, width] count from the beginning of the text; ``seen`` [rows, width,
        own slots + width] says what each token attends to besides the header.
        """
        ...


@contextlib.contextmanager
def inference() -> Iterator[None]:
    """No gradients inside, on any device."""
    with torch.inference_mode():
        yield


def read_header(network: Network, ids: tuple[int, ...]) -> Header:
    """Read a text that many rows begin with, once."""
    row = torch.tensor([ids], device=network.device)
    last = torch.tensor([len(ids) - 1], device=network.device)
    _, slots = network.trunk(row, last, header=None, keep=True)
    assert slots is not None
    return Header(
        ids=ids,
        keys=tuple(k[0, :, : slots.length].contiguous() for k in slots.keys),
        values=tuple(v[0, :, : slots.length].contiguous() for v in slots.values),
    )


def additive(seen: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """What to add to attention scores: nothing where ``seen``, else very little."""
    bias = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return bias.masked_fill_(~seen, torch.finfo(dtype).min)


def causal_behind(before: int, width: int, device: torch.device) -> torch.Tensor:
    """Which of ``before`` + ``width`` slots each of the last ``width`` sees: all up to itself."""
    keys = torch.arange(before + width, device=device)
    return keys[None, :] <= keys[before:, None]


class TransformersNetwork:
    """Any causal language model of transformers, by its own modules.

    ``mask_style`` says how masks are told to the model: ``dense``, per query and key, which
    transformers hands through to attention; ``padding``, a 0/1 mask per key that the model's own
    code extends (needed by ALiBi models, which count positions from it, and by windowed
    attention); ``none``: the model cannot work with our key-value slots.
    """

    def __init__(self, model: Any, device: torch.device) -> None:
        """Wrap ``model``, which is on ``device`` already."""
        self.model = model
        self.device = device
        self.mask_style: MaskStyle = "dense"
        self.takes_positions = "position_ids" in inspect.signature(model.forward).parameters
        self.head = model.get_output_embeddings()

    @property
    def shares(self) -> bool:
        """Only with dense masks can tokens be told exactly what they attend to."""
        return self.mask_style == "dense"

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
            return self._forward(ids, index, use_cache=False), None
        rows, width = ids.shape
        slots = Slots.over(header, rows, self.device, apart=False)
        inputs: dict[str, Any] = {}
        if header is not None:
            seen = causal_behind(slots.base, width, self.device)
            inputs["attention_mask"] = additive(seen, self.dtype)[None, None]
            positions = torch.arange(slots.base, slots.base + width, device=self.device)
            inputs |= self._positions(positions[None, :])
        logits = self._forward(ids, index, past_key_values=_cache(slots), use_cache=True, **inputs)
        slots.advance(width)
        return logits, slots

    def step(self, ids: torch.Tensor, slots: Slots) -> Logits:
        """See :meth:`Network.step`."""
        width = slots.length + 1
        bias = slots.bias(width, self.dtype)
        mask = bias if self.mask_style == "dense" else (bias[:, 0, 0] == 0).long()
        inputs = self._positions(slots.next_positions()[:, None])
        index = torch.arange(len(ids), device=self.device)
        logits = self._forward(
            ids,
            index,
            attention_mask=mask,
            past_key_values=_cache(slots),
            use_cache=True,
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
        if slots.base:
            header = seen.new_ones((*seen.shape[:2], slots.base))
            seen = torch.cat([header, seen], dim=2)
        return self._forward(
            ids,
            index,
            attention_mask=additive(seen, self.dtype)[:, None],
            past_key_values=_cache(slots),
            use_cache=True,
            **self._positions(positions),
        )

    def _positions(self, positions: torch.Tensor) -> dict[str, Any]:
        return {"position_ids": positions} if self.takes_positions else {}

    def _forward(self, ids: torch.Tensor, index: torch.Tensor, **inputs: Any) -> Logits:
        """Logits at flat positions ``index`` of ``ids``.

        Only they go through the output head: they are picked from its input, so that whatever the
        architecture does to logits afterwards (scaling, capping) still happens.
        """

        def pick(_module: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
            hidden = arguments[0]
            flat = hidden.reshape(-1, hidden.shape[-1]).index_select(0, index)
            return (flat.unsqueeze(0), *arguments[1:])

        handle = self.head.register_forward_pre_hook(pick)
        try:
            output = self.model(input_ids=ids, return_dict=True, **inputs)
        finally:
            handle.remove()
        return Logits(rows=output.logits.reshape(len(index), -1))


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


def _cache(slots: Slots) -> Any:
    """``slots`` as a cache of transformers; layers that share keys leave some unused."""
    from transformers.cache_utils import Cache

    layer_class = _layer_class()
    cache: Any = Cache(layer_class_to_replicate=lambda: layer_class(slots, len(cache.layers)))
    cache.layers.extend(layer_class(slots, layer) for layer in range(len(slots.keys)))
    return cache
