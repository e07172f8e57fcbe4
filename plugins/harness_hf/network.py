"""One forward call over token ids: key-value slots, masks, logits only where they are needed."""

from __future__ import annotations

import contextlib
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness_hf.slots import Slots

MaskStyle = Literal["dense", "padding", "none"]


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Of each token: its natural log-probability, and whether no other was more probable."""

    logprobs: torch.Tensor
    greedy: torch.Tensor


class Network:
    """A causal language model behind the one call that scoring and generation need.

    ``mask_style`` says how padding is told to the model: ``dense``, a boolean mask per row, query
    and key that transformers hands through to attention, or ``padding``, a 0/1 mask per row and
    key that the model's own code extends (needed by ALiBi models, which count positions from it,
    and by windowed attention), or ``none``: the model cannot work with our key-value slots.
    """

    def __init__(self, model: Any, device: torch.device) -> None:
        """Wrap ``model``, which is on ``device`` already."""
        self.model = model
        self.device = device
        self.mask_style: MaskStyle = "dense"
        self.takes_positions = "position_ids" in inspect.signature(model.forward).parameters
        self.head = model.get_output_embeddings()

    @property
    def dtype(self) -> torch.dtype:
        """The number type of the weights."""
        dtype: torch.dtype = self.model.dtype
        return dtype

    @property
    def embedded(self) -> int:
        """How many token ids the model can read."""
        return int(self.model.get_input_embeddings().weight.shape[0])

    @property
    def vocabulary(self) -> int:
        """How many logits a position has."""
        return int(self.head.weight.shape[0])

    def select_logits(self, ids: torch.Tensor, index: torch.Tensor, **inputs: Any) -> torch.Tensor:
        """Logits [n, vocabulary] in float32 at ``n`` flat positions of ``ids`` [rows, width].

        ``index`` counts through ``ids`` row by row. Only the chosen positions go through the
        output head: they are picked from its input, so that whatever the architecture does to
        logits afterwards (scaling, capping) still happens.
        """
        chosen = len(index)

        def pick(_module: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
            hidden = arguments[0]
            flat = hidden.reshape(-1, hidden.shape[-1]).index_select(0, index)
            return (flat.unsqueeze(0), *arguments[1:])

        handle = self.head.register_forward_pre_hook(pick)
        try:
            output = self.model(input_ids=ids, return_dict=True, **inputs)
        finally:
            handle.remove()
        logits: torch.Tensor = output.logits
        return logits.reshape(chosen, -1).float()

    def score(self, ids: torch.Tensor, index: torch.Tensor, targets: torch.Tensor) -> Scored:
        """Score ``targets`` [n] as next tokens at the flat positions ``index`` [n].

        ``ids`` [rows, width] is padded on the right, where padding cannot be seen by what is
        before it: no mask is needed, and position ids are the model's own.
        """
        logits = self.select_logits(ids, index, use_cache=False)
        return pick_targets(logits, targets)

    def extend(self, ids: torch.Tensor, slots: Slots) -> torch.Tensor:
        """Read ``ids`` [rows, width] behind what ``slots`` hold; logits [rows, vocabulary] of the
        last position of each row.

        The ids of a row end at the same slot as those of all others; slots before a row's start
        are masked.
        """
        rows, width = ids.shape
        query = torch.arange(slots.end, slots.end + width, device=self.device)
        inputs: dict[str, Any] = {"past_key_values": slots.cache, "use_cache": True}
        inputs["attention_mask"] = self._mask(slots, query)
        if self.takes_positions:
            inputs["position_ids"] = (query[None, :] - slots.starts[:, None]).clamp_(min=0)
        last = torch.arange(rows, device=self.device) * width + (width - 1)
        return self.select_logits(ids, last, **inputs)

    def _mask(self, slots: Slots, query: torch.Tensor) -> torch.Tensor | None:
        width = slots.end + len(query)
        keys = torch.arange(width, device=self.device)
        real = keys[None, :] >= slots.starts[:, None]
        if self.mask_style == "padding":
            return real.long()
        causal = keys[None, :] <= query[:, None]
        seen = real[:, None, None, :] & causal[None, None]
        # a query that is itself padding sees itself, so that no softmax is over nothing
        itself = keys[None, :] == query[:, None]
        return seen | itself[None, None]


def pick_targets(logits: torch.Tensor, targets: torch.Tensor) -> Scored:
    """Log-probabilities of ``targets`` [n] under ``logits`` [n, vocabulary]."""
    chosen = logits.gather(1, targets[:, None]).squeeze(1)
    return Scored(
        logprobs=chosen - torch.logsumexp(logits, dim=1),
        greedy=chosen >= logits.amax(dim=1),
    )


@contextlib.contextmanager
def inference() -> Iterator[None]:
    """No gradients inside, on any device."""
    with torch.inference_mode():
        yield
