"""The networks that are trained: transformers' own classes, or the stacked Llama."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.errors import UsageError
from harness.pretraining import TrainingOptions
from harness_hf.quiet import quiet
from harness_train.pretrain.batches import Batch
from harness_train.pretrain.configs import (
    Checkpoint,
    Losses,
    bert_config,
    first_deviation,
    llama_config,
)
from harness_train.pretrain.optimise import Muon
from harness_train.pretrain.rows import NO_PAIR
from harness_train.pretrain.shapes import Shape
from harness_train.pretrain.stacked import StackedLlama


class Network(Protocol):
    """A module whose call gives the losses of a batch."""

    def __call__(self, batch: Batch) -> Losses:
        """Losses in nats."""
        ...

    def matrices(self) -> list[nn.Parameter]:
        """What Muon may train."""
        ...

    def others(self) -> list[nn.Parameter]:
        """All else."""
        ...

    def checkpoint(self) -> Checkpoint:
        """Weights and configuration as transformers reads them."""
        ...


class Transformer(nn.Module):
    """A network of transformers, its output computed only where something is predicted."""

    def __init__(self, shape: Shape, seed: int) -> None:
        """First weights drawn from ``seed``."""
        super().__init__()
        self.shape = shape
        self.config: Mapping[str, Any] = (
            llama_config(shape) | {"initializer_range": first_deviation(shape.width)}
            if shape.objective == "causal"
            else bert_config(shape)
        )
        with quiet(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = _built(self.config)

    def matrices(self) -> list[nn.Parameter]:
        """Weights of linear layers inside the blocks."""
        return [p for name, p in self.model.named_parameters() if _is_matrix(name, p)]

    def others(self) -> list[nn.Parameter]:
        """Embeddings, norms, biases, heads."""
        return [p for name, p in self.model.named_parameters() if not _is_matrix(name, p)]

    def forward(self, batch: Batch) -> Losses:
        """See :class:`Network`."""
        device = batch.tokens.device.type
        half = self.shape.dtype != "float32"
        with torch.autocast(device, getattr(torch, self.shape.dtype)) if half else nullcontext():
            if self.shape.objective == "causal":
                return Losses(tokens=self._causal(batch))
            return self._masked(batch)

    def _causal(self, batch: Batch) -> Tensor:
        mask = batch.mask
        if mask is not None:  # attention wants it in the type of the states
            mask = mask.to(getattr(torch, self.shape.dtype))
        found = self.model.model(input_ids=batch.tokens, attention_mask=mask, use_cache=False)
        states = found.last_hidden_state.reshape(-1, self.shape.width)
        logits = self.model.lm_head(states.index_select(0, batch.where)).float()
        return functional.cross_entropy(logits, batch.targets, reduction="none")

    def _masked(self, batch: Batch) -> Losses:
        found = self.model.bert(
            input_ids=batch.tokens, attention_mask=batch.mask, token_type_ids=batch.types
        )
        states = found.last_hidden_state.reshape(-1, self.shape.width)
        logits = self.model.cls.predictions(states.index_select(0, batch.where)).float()
        tokens = functional.cross_entropy(logits, batch.targets, reduction="none")
        if self.shape.objective == "mlm" or batch.pairs is None:
            return Losses(tokens=tokens)
        kept = batch.pairs != NO_PAIR
        said = self.model.cls.seq_relationship(found.pooler_output)[kept].float()
        pairs = functional.cross_entropy(said, batch.pairs[kept], reduction="none")
        return Losses(tokens=tokens, pairs=pairs)

    def checkpoint(self) -> Checkpoint:
        """See :class:`Network`; a tied weight is there once."""
        weights: dict[str, Tensor] = {}
        seen: set[int] = set()
        for name, weight in self.model.named_parameters():
            if id(weight) not in seen:
                weights[name] = weight
            seen.add(id(weight))
        return Checkpoint(weights=weights, config=self.config)


def _is_matrix(name: str, weight: nn.Parameter) -> bool:
    return weight.dim() == 2 and ("layers." in name or ".layer." in name)


def _built(config: Mapping[str, Any]) -> Any:
    import transformers

    kind = {"llama": transformers.LlamaConfig, "bert": transformers.BertConfig}
    made = kind[config["model_type"]](
        **{
            key: value
            for key, value in config.items()
            if key not in ("architectures", "model_type")
        }
    )
    return getattr(transformers, config["architectures"][0])(made)


def check_network(training: TrainingOptions, shape: Shape) -> None:
    """Refuse what a network cannot be. Raises UsageError."""
    if training.network == "stacked" and shape.objective != "causal":
        raise UsageError(
            f"The network 'stacked' is a Llama, which cannot be trained by {shape.objective}.\n"
            "Use --network transformers, or --objective causal."
        )
    if shape.dtype == "float16":
        raise UsageError(
            "Training computes in float32 or bfloat16; in float16 gradients vanish.\n"
            "Use --dtype bfloat16."
        )
    if training.packing == "whole" and shape.objective != "causal":
        raise UsageError("Only causal rows are packed; leave --packing away for masked ones.")


def build_network(training: TrainingOptions, shape: Shape) -> Network:
    """A network with its first weights."""
    if training.network == "stacked":
        return StackedLlama(shape, torch.Generator().manual_seed(training.seed))
    return Transformer(shape, training.seed)


def build_optimisers(
    training: TrainingOptions, network: Network, rates: tuple[float, float]
) -> list[torch.optim.Optimizer]:
    """One or two optimisers, each group with its ``peak`` rate."""
    betas = (0.9, 0.95)
    made: list[torch.optim.Optimizer] = []
    groups: list[dict[str, Any]] = [{"params": network.others(), "weight_decay": 0.0}]
    if training.optimizer == "muon":
        made.append(Muon(network.matrices(), lr=rates[0]))
    else:
        decay = training.weight_decay
        groups.insert(0, {"params": network.matrices(), "weight_decay": decay})
    made.append(torch.optim.AdamW(groups, lr=rates[1], betas=betas, fused=True))
    for optimiser, rate in zip(made, rates[-len(made) :], strict=True):
        for group in optimiser.param_groups:
            group["peak"] = rate
    return made
