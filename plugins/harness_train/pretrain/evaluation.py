"""The loss on documents kept out of training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer

from harness_train.pretrain.batches import Batch
from harness_train.pretrain.documents import Document
from harness_train.pretrain.feed import Feed
from harness_train.pretrain.networks import Network
from harness_train.pretrain.vocabulary import EOS

MOST_BATCHES = 64


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Documents of one kind as batches; ``size`` in bytes, None where the rows do not hold all
    of the documents' texts; ``end`` is the token that ends a document, which is no byte of it."""

    batches: tuple[Batch, ...]
    size: int | None
    end: int | None


def held_out_of(feed: Feed, documents: Sequence[Document], tokenizer: Tokenizer) -> HeldOut:
    """The batches of ``feed``, at most ``MOST_BATCHES``; masks are the same at each call."""
    steps = math.ceil(len(feed.rows) / feed.batch_rows)
    parts = []
    for step in range(min(steps, MOST_BATCHES)):
        stop = min(len(feed.rows), (step + 1) * feed.batch_rows)
        parts.append(feed.part(np.arange(step * feed.batch_rows, stop), step))
    # Joined rows cut documents, so only whole ones can be told in bytes.
    whole = feed.whole and steps <= MOST_BATCHES
    size = sum(len(document.text.encode()) for document in documents) if whole else None
    return HeldOut(batches=tuple(parts), size=size, end=tokenizer.token_to_id(EOS))


@torch.no_grad()
def losses_of(
    network: Network, held_out: Mapping[str, HeldOut], device: torch.device
) -> dict[str, dict[str, float]]:
    """By kind: nats per predicted token, with bits per byte and the loss of pairs if they apply."""
    return {kind: _losses(network, each, device) for kind, each in held_out.items()}


def _losses(network: Network, held_out: HeldOut, device: torch.device) -> dict[str, float]:
    total = inside = pairs = 0.0
    count = pair_count = 0
    for batch in held_out.batches:
        found = network(batch.to(device))
        total, count = total + float(found.tokens.sum()), count + len(found.tokens)
        if held_out.end is not None:
            inside += float(found.tokens[batch.targets.to(device) != held_out.end].sum())
        if found.pairs is not None:
            pairs, pair_count = pairs + float(found.pairs.sum()), pair_count + len(found.pairs)
    said = {"nats_per_token": round(total / max(1, count), 5)}
    if held_out.size:
        said["bits_per_byte"] = round(inside / math.log(2) / held_out.size, 5)
    if pair_count:
        said["nats_per_pair"] = round(pairs / pair_count, 5)
    return said
