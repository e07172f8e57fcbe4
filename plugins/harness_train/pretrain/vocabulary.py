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
MARK = "▁"
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
    """Learn the objective's kind of tokenizer, or read the one that is given.

    Raises UsageError for a vocabulary too small, and for a file without the special tokens.
    """
    if options.tokenizer:
        return read_tokenizer(objective, options.tokenizer)
    taken = islice(documents, options.tokenizer_documents)
    texts = (f"{document.prompt}{document.text}" for document in taken)
    if objective == "causal":
        return byte_pairs(texts, options.vocabulary)
    return word_pieces(texts, options.vocabulary)


def read_tokenizer(objective: Objective, path: str) -> Tokenizer:
    """A ``tokenizer.json`` with the special tokens of the objective, at their places."""
    wanted = (PAD, BOS, EOS) if objective == "causal" else MASKED_SPECIAL
    try:
        tokenizer = Tokenizer.from_file(path)
    except Exception as error:  # its library raises plain exceptions
        raise UsageError(
            f"'{path}' cannot be read as a tokenizer: {' '.join(str(error).split())[:150]}.\n"
            "Name a tokenizer.json that `harness pretrain` wrote."
        ) from None
    for number, token in enumerate(wanted):
        if tokenizer.token_to_id(token) != number:
            raise UsageError(
                f"'{path}' has no '{token}' as its token {number}, which {objective} training "
                "needs.\nName a tokenizer.json that `harness pretrain` wrote for this objective."
            )
    return tokenizer


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
    """A WordPiece that keeps case and accents, since names are told by them; ``[CLS] A [SEP]``.

    Its pieces are those of byte-pair merges inside words. They are learnt by the BPE trainer with
    a mark before each word, as the library's WordPiece trainer gives other pieces each time.
    """
    normaliser = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    splitter = pre_tokenizers.BertPreTokenizer()
    learner = Tokenizer(models.BPE())
    learner.normalizer = normaliser
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [splitter, pre_tokenizers.Metaspace(replacement=MARK, prepend_scheme="always", split=False)]
    )
    learner.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=size, show_progress=False))
    by_age = sorted(learner.get_vocab().items(), key=lambda each: each[1])
    letters = sorted(piece for piece, _ in by_age if len(piece) == 1 and piece != MARK)
    merged = (piece for piece, _ in by_age if len(piece) > 1)
    pieces = [
        *MASKED_SPECIAL,
        *letters,
        *(f"##{letter}" for letter in letters),
        *(piece[1:] if piece.startswith(MARK) else f"##{piece}" for piece in merged),
    ]
    kept = list(dict.fromkeys(pieces))[: max(size, len(MASKED_SPECIAL) + 2 * len(letters))]
    vocabulary = {piece: number for number, piece in enumerate(kept)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normaliser, splitter
    tokenizer.decoder = decoders.WordPiece()
    begin, end = ((name, token_id(tokenizer, name)) for name in ("[CLS]", "[SEP]"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[begin, end]
    )
    tokenizer.add_special_tokens(list(MASKED_SPECIAL))
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
