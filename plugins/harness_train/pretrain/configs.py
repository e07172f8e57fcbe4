"""What networks share: their losses, and how a checkpoint of theirs is described."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from harness_train.pretrain.shapes import NORM_EPSILON, Shape


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Nats, one for each target; ``pairs`` one for each row, those without a label left out."""

    tokens: Tensor
    pairs: Tensor | None = None

    def mean(self) -> Tensor:
        """What is minimised: the mean over targets, plus the mean over pairs."""
        loss = self.tokens.mean()
        if self.pairs is None or not len(self.pairs):
            return loss
        return loss + self.pairs.mean()


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Weights under the names that transformers gives them, and the ``config.json``."""

    weights: Mapping[str, Tensor]
    config: Mapping[str, Any]


def llama_config(shape: Shape) -> dict[str, Any]:
    """A Llama of the shape with tied embeddings. The special tokens' ids are the tokenizer's."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": shape.width,
        "intermediate_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "head_dim": shape.width // shape.heads,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "max_position_embeddings": shape.context,
        "rms_norm_eps": NORM_EPSILON,
        "rope_theta": shape.rope_base,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_base},
        "tie_word_embeddings": True,
        "vocab_size": shape.vocabulary,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }


def bert_config(shape: Shape) -> dict[str, Any]:
    """A BERT of the shape without dropout, since hardly a text comes twice.

    The first weights are drawn wider than BERT's 0.02, which was chosen for a width of 768.
    """
    heads = {"mlm": "BertForMaskedLM", "mlm+nsp": "BertForPreTraining"}
    return {
        "architectures": [heads[shape.objective]],
        "model_type": "bert",
        "hidden_size": shape.width,
        "intermediate_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "max_position_embeddings": shape.context,
        "type_vocab_size": 2,
        "initializer_range": first_deviation(shape.width),
        "layer_norm_eps": 1e-12,
        "tie_word_embeddings": True,
        "vocab_size": shape.vocabulary,
        "pad_token_id": 0,
    }


def first_deviation(width: int) -> float:
    """Standard deviation of the first weights: 0.02 at a width of 768, as the root of the width."""
    return float(0.02 * (768 / width) ** 0.5)
