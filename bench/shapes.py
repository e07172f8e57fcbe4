"""The models of the speed benches: random weights, and what of Llamas' must be read.

1M to 125M are counted with a small vocabulary and a tied head. 160M to 1.4B have the layers, width,
heads, vocabulary and untied head of the Pythia models of those names (Biderman et al. 2023), as
Llamas: three matrices of 8/3 of the width take the place of GPT-NeoX's two of four times the width,
so the count of parameters is Pythia's to 0.1 %.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from works import WORDS


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A Llama's measures; ``hidden`` is the width inside the feed-forward part."""

    layers: int
    width: int
    hidden: int
    heads: int = 8
    kv_heads: int = 8
    vocabulary: int = 512
    tied: bool = True

    @property
    def matrices(self) -> int:
        """Parameters of the layers' matrices, which every token passes; the head is left out."""
        attention = 2 * self.width**2 + 2 * self.width * self.width * self.kv_heads // self.heads
        return self.layers * (attention + 3 * self.width * self.hidden)

    @property
    def head(self) -> int:
        """Parameters of the output head."""
        return self.vocabulary * self.width

    @property
    def total(self) -> int:
        """All parameters."""
        embeddings = self.head if self.tied else 2 * self.head
        return self.matrices + embeddings + (2 * self.layers + 1) * self.width

    @property
    def kept(self) -> int:
        """Numbers that each token leaves behind as keys and values."""
        return 2 * self.layers * self.width * self.kv_heads // self.heads


def _pythia(layers: int, width: int, hidden: int, heads: int) -> Shape:
    return Shape(
        layers=layers,
        width=width,
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        vocabulary=50_304,
        tied=False,
    )


SIZES = {
    "1M": Shape(layers=5, width=128, hidden=352, kv_heads=4),
    "10M": Shape(layers=8, width=320, hidden=864),
    "60M": Shape(layers=12, width=640, hidden=1728),
    "125M": Shape(layers=18, width=768, hidden=2048),
    "160M": _pythia(12, 768, 2048, 12),
    "410M": _pythia(24, 1024, 2736, 16),
    "1B": _pythia(16, 2048, 5464, 8),
    "1.4B": _pythia(24, 2048, 5464, 16),
}


def shape_of(size: str, vocabulary: int | None = None) -> Shape:
    """The shape of that name, with another vocabulary where one is given."""
    shape = SIZES[size]
    return shape if vocabulary is None else replace(shape, vocabulary=vocabulary)


def write_checkpoint(
    folder: Path, size: str, vocabulary: int | None = None, dtype: str = "float32"
) -> Shape:
    """A random Llama with a tokenizer of whole words, so that lengths are those of the texts."""
    from transformers import LlamaForCausalLM

    shape = shape_of(size, vocabulary)
    _write_tokenizer(folder, shape.vocabulary)
    torch.manual_seed(0)
    model = LlamaForCausalLM(config_of(shape))
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    return shape


def write_t5(folder: Path, size: str, vocabulary: int | None = None, dtype: str = "float32") -> int:
    """A random T5 with half of the Llama's layers, rounded up, in its encoder and as many in its
    decoder; returns its parameters."""
    from transformers import T5Config, T5ForConditionalGeneration

    shape = shape_of(size, vocabulary)
    _write_tokenizer(folder, shape.vocabulary)
    torch.manual_seed(0)
    config = T5Config(
        d_model=shape.width,
        d_kv=shape.width // shape.heads,
        d_ff=shape.hidden,
        num_layers=(shape.layers + 1) // 2,
        num_heads=shape.heads,
        vocab_size=shape.vocabulary,
        feed_forward_proj="gated-gelu",
        decoder_start_token_id=0,
        pad_token_id=2,
        eos_token_id=1,
    )
    model = T5ForConditionalGeneration(config)
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    return int(model.num_parameters())


def config_of(shape: Shape) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        intermediate_size=shape.hidden,
        vocab_size=shape.vocabulary,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=1024,
        tie_word_embeddings=shape.tied,
        bos_token_id=0,
        eos_token_id=None,
    )


def _write_tokenizer(folder: Path, vocabulary: int) -> None:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = ["<s>", "</s>", "<unk>", "=", "?", "\n", *WORDS, *(" " + w for w in WORDS), " ="]
    pieces += [f"<{n}>" for n in range(vocabulary - len(pieces))]
    raw = Tokenizer(models.WordLevel({p: i for i, p in enumerate(pieces)}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?[a-z=]+|\n|\?"), "isolated")
    PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
