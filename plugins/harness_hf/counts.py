"""Parameter counts of a checkpoint, from what its headers declare.

Embeddings, in the sense of Kaplan et al. (2020, arXiv:2001.08361, section 2.1), are the token
embeddings and learnt position embeddings; like most later work an untied output head counts as
one too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from harness.types import Parameters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness_hf.checkpoint import Tensor

EMBEDDING = re.compile(
    r"(^|\.)(embed_tokens|wte|word_embeddings|embed_in|tok_embeddings|shared|embeddings|wpe|"
    r"embed_positions|position_embeddings|token_type_embeddings|lm_head|embed_out)"
    r"\.(weight|bias)$|^output\.weight$"
)
TOKENS = re.compile(
    r"(^|\.)(embed_tokens|wte|word_embeddings|embed_in|tok_embeddings|shared|embeddings)\.weight$"
)
HEAD = re.compile(r"(^|\.)(lm_head|embed_out)\.weight$|^output\.weight$")
BUFFER = re.compile(
    r"(\.attn\.bias|\.attention\.bias|masked_bias|rotary_emb\.inv_freq|rotary_emb\.(cos|sin)_cached|"
    r"position_ids|num_batches_tracked|running_mean|running_var|weight_scale|weight_scale_inv|"
    r"final_logits_bias)$"
)
EXPERT = re.compile(r"\.experts\.(\d+)\.")
FUSED_EXPERTS = re.compile(r"\.experts\.[a-z_]+$")


def count_parameters(tensors: Sequence[Tensor], config: Mapping[str, Any]) -> Parameters:
    """Count what ``tensors`` hold; a tied output head counts once.

    ``active`` is set for mixtures of experts whose configuration says how many experts a token
    uses. Packed quantised weights are not countable from headers: all counts are then ``None``.
    """
    if _is_packed(tensors, config):
        return Parameters()
    kept = _without_tied_head([t for t in tensors if not _is_buffer(t)], config)
    total = sum(t.numel for t in kept)
    vocabulary = config.get("vocab_size")
    embeddings = [t for t in kept if EMBEDDING.search(t.name)]
    if not any(TOKENS.search(t.name) for t in embeddings):  # names that are new to us
        embeddings += [
            t
            for t in kept
            if len(t.shape) == 2 and t.shape[0] == vocabulary and t not in embeddings
        ]
    return Parameters(
        total=total,
        non_embedding=total - sum(t.numel for t in embeddings),
        active=_active(kept, total, config),
    )


def _is_buffer(tensor: Tensor) -> bool:
    """Whether a stored tensor is no parameter: causal masks, frequencies, scales."""
    if not BUFFER.search(tensor.name):
        return False
    is_mask = tensor.name.endswith("bias")
    named = tensor.name.endswith(("masked_bias", "final_logits_bias"))
    return not is_mask or named or len(tensor.shape) in (0, 4)


def _is_packed(tensors: Sequence[Tensor], config: Mapping[str, Any]) -> bool:
    integers = {"I32", "I8", "U8"}
    return "quantization_config" in config and any(
        t.dtype in integers and len(t.shape) >= 2 for t in tensors
    )


def _without_tied_head(kept: list[Tensor], config: Mapping[str, Any]) -> list[Tensor]:
    heads = [t for t in kept if HEAD.search(t.name)]
    tokens = [t for t in kept if TOKENS.search(t.name)]
    if len(heads) != 1 or not tokens or heads[0].shape != tokens[0].shape:
        return kept
    tied = config.get("tie_word_embeddings")
    if tied is None:  # the default differs between architectures: look at the weights
        tied = same_bytes(heads[0], tokens[0])
    return [t for t in kept if t is not heads[0]] if tied else kept


def same_bytes(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of safetensors files hold the same; not known of pickled ones."""
    size = one.end - one.begin
    if size == 0 or size != other.end - other.begin:
        return False
    with one.file.open("rb") as a, other.file.open("rb") as b:
        a.seek(one.begin)
        b.seek(other.begin)
        while size > 0:
            step = min(size, 8 << 20)
            if a.read(step) != b.read(step):
                return False
            size -= step
    return True


def _active(kept: Sequence[Tensor], total: int, config: Mapping[str, Any]) -> int | None:
    names = ("num_local_experts", "num_experts", "n_routed_experts")
    experts = next((config[n] for n in names if isinstance(config.get(n), int)), 0)
    used = config.get("num_experts_per_tok")
    if not isinstance(used, int) or experts < 2:
        return None
    routed = sum(
        t.numel
        for t in kept
        if EXPERT.search(t.name)
        or (FUSED_EXPERTS.search(t.name) and t.shape and t.shape[0] == experts)
    )
    return total - routed + routed * min(used, experts) // experts if routed else None
