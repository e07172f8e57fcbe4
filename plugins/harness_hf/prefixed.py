"""Attention with learnt keys and values before those of the text, for any model of transformers
whose attention goes through its ``AttentionInterface``.

peft's prefix is a cache that is handed to the model from outside: transformers 5.24 calls the
argument otherwise than peft 0.21 looks for it, encoders without a cache take none, and positions of
the context are spent. Here attention itself reads the prefix: encoders, decoders and both halves
of an encoder-decoder take it alike, with their own caches and masks, and no position is spent.
"""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from harness.errors import DataError, UsageError
from harness_hf.prefix import FOLDER, prefix_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

NAME = "learnt_prefix"
TOLD = "harness_prefix_"
"""What the names of our attention functions begin with; the one that they call follows."""
INNER = ("sdpa", "eager")
NOWHERE = "none of its layers has an attention that takes learnt keys and values"

Pair = tuple[torch.Tensor, torch.Tensor]


class Prefix(torch.nn.Module):
    """Keys and values [heads, length, size] before every text, of one attention module."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Begin with these numbers."""
        super().__init__()
        self.keys = torch.nn.Parameter(keys.detach().clone())
        self.values = torch.nn.Parameter(values.detach().clone())

    def before(self, key: torch.Tensor, value: torch.Tensor) -> Pair:
        """Keys and values [rows, heads, slots, size] with the prefix before them."""
        own = (part.to(like.dtype) for part, like in ((self.keys, key), (self.values, value)))
        mine = [part.expand(len(key), -1, -1, -1) for part in own]
        return torch.cat([mine[0], key], dim=2), torch.cat([mine[1], value], dim=2)


def has_prefix(model: Any) -> bool:
    """Whether some attention of the model reads a prefix."""
    return any(isinstance(module, Prefix) for module in model.modules())


def draw_prefix(model: Any, length: int) -> None:
    """Put a prefix before each attention of ``model``: the keys and values of ``length`` random
    tokens by torch's generator, as what the model itself computes is a better beginning than noise
    (Li and Liang 2021, section 7.4). Works on torch's ``meta`` device, too.

    Raises ValueError where no attention of the architecture takes one.
    """
    inner = _inner(model)
    if inner is None:
        raise ValueError(f"its attention is '{model.config._attn_implementation}', not sdpa")
    if not model._can_set_attn_implementation():
        raise ValueError(NOWHERE)
    try:
        found = _kept(model, inner, length)
    except RuntimeError:
        if model.device.type != "meta":
            raise
        # Some architectures look at numbers on their way, which are not there: ask a real twin.
        with torch.device("cpu"):
            found = _kept(type(model)(copy.deepcopy(model.config)), inner, length)
    if not found:
        raise ValueError(NOWHERE)
    for name, (keys, values) in found.items():
        if keys.shape[-2] != length:
            raise ValueError("its attention reads other keys than those of the text")
        pair = Prefix(keys, values).to(model.device)
        model.get_submodule(name).add_module(NAME, pair)
    _switch_on(model, inner)


def _kept(model: Any, inner: str, length: int) -> dict[str, Pair]:
    """The keys and values [heads, length, size] that each attention, by name, is called with."""
    found: dict[torch.nn.Module, Pair] = {}

    def note(
        module: torch.nn.Module, query: Any, key: Any, value: Any, *more: Any, **by: Any
    ) -> Any:
        found.setdefault(module, (key[0], value[0]))
        return _plain(inner, module)(module, query, key, value, *more, **by)

    _register(f"{TOLD}note", inner, note)
    with _attention(model, f"{TOLD}note"), torch.no_grad():
        _read_random(model, length)
    return {name: found[module] for name, module in model.named_modules() if module in found}


def take_off(model: Any) -> dict[str, torch.Tensor]:
    """The model without its prefix again; returns what was learnt, by name."""
    held = {
        f"{name}.{part}": tensor.detach().cpu().contiguous()
        for name, module in model.named_modules()
        if isinstance(module, Prefix)
        for part, tensor in (("keys", module.keys), ("values", module.values))
    }
    for module in list(model.modules()):
        if isinstance(getattr(module, NAME, None), Prefix):
            delattr(module, NAME)
    model.set_attn_implementation(model.config._attn_implementation.removeprefix(TOLD))
    return held


def with_prefix(model: Any, folder: Path) -> Any:
    """The model behind the prefix in its folder, if there is one.

    Raises UsageError for an attention that takes none, and DataError for another model's prefix.
    """
    for path in prefix_files(folder):
        from safetensors.torch import load_file

        inner = _inner(model)
        if inner is None:
            raise UsageError(
                f"{folder} was trained with a prefix, which the attention "
                f"'{model.config._attn_implementation}' does not read.\nUse sdpa or eager."
            )
        try:
            _attach(model, load_file(path))
        except (AttributeError, KeyError, ValueError) as error:
            raise DataError(
                f"{folder / FOLDER}: the prefix is of another model: {error}."
            ) from error
        _switch_on(model, inner)
    return model


def _attach(model: Any, tensors: Mapping[str, torch.Tensor]) -> None:
    for name in sorted({name.rsplit(".", 1)[0] for name in tensors}):
        place, _, last = name.rpartition(".")
        if last != NAME:
            raise ValueError(f"{name} is no part of a prefix")
        module = model.get_submodule(place)
        module.add_module(NAME, Prefix(tensors[f"{name}.keys"], tensors[f"{name}.values"]))


def _inner(model: Any) -> str | None:
    used = str(model.config._attn_implementation).removeprefix(TOLD)
    return used if used in INNER else None


def _switch_on(model: Any, inner: str) -> None:
    def attend(
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        **by: Any,
    ) -> Any:
        plain, prefix = _plain(inner, module), getattr(module, NAME, None)
        if not isinstance(prefix, Prefix):
            return plain(module, query, key, value, attention_mask, **by)
        length = prefix.keys.shape[1]
        causal = by.get("is_causal")
        causal = getattr(module, "is_causal", True) if causal is None else causal
        if attention_mask is None and causal and query.shape[2] > 1 and inner == "sdpa":
            # The kernel would hide by place, which the prefix shifts.
            seen = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=key.device)
            attention_mask = seen.tril(key.shape[2] - query.shape[2])[None, None]
        if attention_mask is not None:
            shown = attention_mask.dtype == torch.bool
            attention_mask = functional.pad(attention_mask, (length, 0), value=shown)
        if by.get("position_bias") is not None:  # T5 counts distances within the text
            by["position_bias"] = functional.pad(by["position_bias"], (length, 0))
        return plain(module, query, *prefix.before(key, value), attention_mask, **by)

    _register(TOLD + inner, inner, attend)
    model.set_attn_implementation(TOLD + inner)


def _plain(inner: str, module: torch.nn.Module) -> Callable[..., Any]:
    """The attention function that the module would have called."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS as KNOWN

    if inner == "eager":
        found: Callable[..., Any] = sys.modules[type(module).__module__].eager_attention_forward
        return found
    return KNOWN[inner]  # type: ignore[no-any-return]


def _register(name: str, inner: str, function: Callable[..., Any]) -> None:
    from transformers import AttentionInterface
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS as MASKS
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(name, function)
    AttentionMaskInterface.register(name, MASKS[inner])


@contextmanager
def _attention(model: Any, name: str) -> Iterator[None]:
    before = model.config._attn_implementation
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def _read_random(model: Any, length: int) -> None:
    body, was = model.base_model, model.training
    table = body.get_input_embeddings().weight
    ids = torch.randint(table.shape[0], (1, length), device=table.device)
    inputs = {"input_ids": ids}
    if "decoder_input_ids" in inspect.signature(body.forward).parameters:
        inputs["decoder_input_ids"] = ids
    body.eval()
    try:
        body(**inputs)
    finally:
        body.train(was)
