"""Small random checkpoints and labelled texts to fine-tune on, made on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PEOPLE = ("Tila", "Ben Smith", "Ora Lin", "Mo")
PLACES = ("Boria", "Surville", "New Dall")
FRAMES = ("{p} is in {l} .", "the road to {l} is long .", "we like {p} .", "near {l} lives {p} .")


def columns(path: Path, number: int, *, first: int = 0, scheme: str = "iob2") -> Path:
    """A file of CoNLL columns with people and places in short sentences."""
    from harness.metrics import tags_from_spans

    lines = []
    for i in range(first, first + number):
        tokens, spans = [], []
        for word in FRAMES[i % len(FRAMES)].split():
            kind = {"{p}": "PER", "{l}": "LOC"}.get(word)
            stock = PEOPLE if kind == "PER" else PLACES
            words = stock[(i * 7 // 4) % len(stock)].split() if kind else [word]
            if kind:
                spans.append((kind, len(tokens), len(tokens) + len(words)))
            tokens += words
        tags = tags_from_spans(spans, len(tokens), scheme)
        lines += [f"{token} {tag}" for token, tag in zip(tokens, tags, strict=True)] + [""]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def word_pieces(folder: Path) -> Any:
    """A lower-case WordPiece tokenizer over the texts' letters and some words, as BERT's."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = "abcdefghijklmnopqrstuvwxyz."
    words = ["is", "in", "the", "road", "to", "long", "we", "like", "near", "lives", "ben", "new"]
    pieces = [*special, *letters, *(f"##{one}" for one in letters), *words]
    tokenizer = Tokenizer(
        models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    fast.save_pretrained(folder)
    return fast


def write_bert(folder: Path, *, width: int = 16, seed: int = 0) -> Path:
    """A random masked language model of BERT's architecture."""
    return _write(folder, "BertForMaskedLM", "BertConfig", width, seed)


def write_distilbert(folder: Path) -> Path:
    """The same of DistilBERT's, whose layers have other names."""
    sizes = {"dim": 16, "hidden_dim": 32, "n_layers": 1, "n_heads": 2}
    return _write(folder, "DistilBertForMaskedLM", "DistilBertConfig", 16, 0, **sizes)


def _write(folder: Path, model: str, config: str, width: int, seed: int, **sizes: int) -> Path:
    import torch
    import transformers

    tokenizer = word_pieces(folder)
    usual = {
        "hidden_size": width,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 2 * width,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = getattr(transformers, config)(
            vocab_size=len(tokenizer),
            max_position_embeddings=64,
            initializer_range=0.2,
            **(sizes or usual),
        )
        getattr(transformers, model)(made).save_pretrained(folder)
    return folder
