"""Tokenizers learnt on the corpus: byte-level BPE for causal models, WordPiece for masked ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from harness.errors import UsageError
from harness.pretraining import CorpusOptions, Objective
from harness_train.pretrain.documents import Document

BOS, EOS, PAD = "<s>", "</s>", "<pad>"
MASKED_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LEAST_BYTES = 260  # the 256 bytes and the special tokens


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """The id of a token that the tokenizer surely has."""
    number = tokenizer.token_to_id(token)
    if number is None:
        raise ValueError(f"the tokenizer has no token {token!r}")
    return int(number)


def learn_tokenizer(
    objective: Objective, options: CorpusOptions, documents: Sequence[Document]
) -> Tokenizer:
    """Learn the objective's kind of tokenizer. Raises UsageError for a vocabulary too small."""
    taken = islice(documents, options.tokenizer_documents)
    texts = (f"{document.prompt}{document.text}" for document in taken)
    if objective == "causal":
        return byte_pairs(texts, options.vocabulary)
    return word_pieces(texts, options.vocabulary)


def byte_pairs(texts: Iterable[str], size: int) -> Tokenizer:
    """A byte-level BPE: any text comes back exactly. It puts ``<s>`` before a text."""
    if size < LEAST_BYTES:
        raise UsageError(
            f"A byte-level vocabulary has at least {LEAST_BYTES} pieces, not {size}.\n"
            "Give --vocabulary a larger number."
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[PAD, BOS, EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, token_id(tokenizer, BOS))]
    )
    return tokenizer


def word_pieces(texts: Iterable[str], size: int) -> Tokenizer:
    """A WordPiece that keeps case and accents, since names are told by them; ``[CLS] A [SEP]``."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=list(MASKED_SPECIAL), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    begin, end = ((name, token_id(tokenizer, name)) for name in ("[CLS]", "[SEP]"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[begin, end]
    )
    return tokenizer


def tokenizer_config(objective: Objective, context: int) -> dict[str, Any]:
    """What stands beside ``tokenizer.json``, so that transformers loads it."""
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
    }
    if objective == "causal":
        return {**config, "bos_token": BOS, "eos_token": EOS, "pad_token": PAD}
    pad, unknown, begin, end, mask = MASKED_SPECIAL
    return {
        **config,
        "pad_token": pad,
        "unk_token": unknown,
        "cls_token": begin,
        "sep_token": end,
        "mask_token": mask,
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
    }
