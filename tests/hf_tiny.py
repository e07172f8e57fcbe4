"""Random small checkpoints for the tests of the Hugging Face adapter, made on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

CORPUS = [
    "Once upon a time there was a little boy named Ben who loved the sea.",
    "The keeper of the lighthouse wrote: 'No ship today, only fog.'\nThen he slept.",
    "Ångström, naïve café, 東京 and emoji 🙂 stand for bytes beyond ASCII.",
] * 4
VOCABULARY = 300
EMBEDDED = 304

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "vocab_size": EMBEDDED,
    "max_position_embeddings": 64,
}
GROUPED = SIZES | {"num_key_value_heads": 2}
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": (
        "gpt2",
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "vocab_size": EMBEDDED},
    ),
    "gpt2_untied": (
        "gpt2",
        {
            "n_embd": 32,
            "n_layer": 2,
            "n_head": 4,
            "n_positions": 64,
            "vocab_size": EMBEDDED,
            "tie_word_embeddings": False,
        },
    ),
    "gpt_neox": ("gpt_neox", SIZES | {"rotary_pct": 0.5}),
    "llama": ("llama", GROUPED | {"tie_word_embeddings": False}),
    "llama_tied": ("llama", GROUPED | {"tie_word_embeddings": True}),
    "qwen2": ("qwen2", GROUPED),
    "qwen3": ("qwen3", GROUPED | {"head_dim": 16}),
    "mistral_window": ("mistral", GROUPED | {"sliding_window": 6}),
    "gemma": ("gemma", GROUPED | {"head_dim": 8}),
    "gemma2_window": ("gemma2", GROUPED | {"head_dim": 8, "sliding_window": 6}),
    "opt": (
        "opt",
        {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "ffn_dim": 48,
            "vocab_size": EMBEDDED,
            "max_position_embeddings": 64,
            "word_embed_proj_dim": 32,
        },
    ),
    "bloom": ("bloom", {"hidden_size": 32, "n_layer": 2, "n_head": 4, "vocab_size": EMBEDDED}),
    "mixtral": ("mixtral", GROUPED | {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "gpt_neo_window": (
        "gpt_neo",
        {
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 6,
            "max_position_embeddings": 64,
            "vocab_size": EMBEDDED,
        },
    ),
    "mpt": (
        "mpt",
        {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 64, "vocab_size": EMBEDDED},
    ),
    "gemma3_window": (
        "gemma3_text",
        GROUPED
        | {
            "head_dim": 8,
            "sliding_window": 6,
            "layer_types": ["sliding_attention", "full_attention"],
        },
    ),
    "phi3_turning": (
        "phi3",
        GROUPED
        | {
            "original_max_position_embeddings": 16,
            "pad_token_id": 0,
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 10000.0,
                "short_factor": [1.0] * 4,
                "long_factor": [2.0] * 4,
                "original_max_position_embeddings": 16,
            },
        },
    ),
    "mamba": (
        "mamba",
        {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": EMBEDDED, "state_size": 4},
    ),
}

BEHIND_PADDING = SIZES | {"pad_token_id": 1, "is_decoder": True}
"""Of RoBERTa and its kin, whose positions begin behind the padding id, as decoders."""


def write_model(folder: Path, architecture: str, *, seed: int = 0, **extra: Any) -> Any:
    """Save a random causal model of ``architecture`` in ``folder`` and return it."""
    from transformers import AutoConfig, AutoModelForCausalLM

    kind, settings = ARCHITECTURES[architecture]
    special = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    config = AutoConfig.for_model(kind, **(settings | special | extra))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config).eval()
        with torch.no_grad():  # weights large enough that attention and order matter
            for name, weight in model.named_parameters():
                if weight.dim() == 2:
                    weight.normal_(std=0.25)
                elif name.endswith("bias"):
                    weight.normal_(std=0.1)
        model.tie_weights()
    model.save_pretrained(folder)
    return model


def write_tokenizer(folder: Path, kind: str = "bytes", *, bos: bool = False) -> Any:
    """Save a small tokenizer in ``folder`` and return it.

    ``bytes`` is a byte-level BPE with BOS and EOS, ``bare`` the same without any special token,
    ``pieces`` a SentencePiece-like one that marks spaces and falls back to bytes. With ``bos``
    it puts BOS before every text.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from tokenizers.trainers import BpeTrainer
    from transformers import PreTrainedTokenizerFast

    special = [] if kind == "bare" else ["<s>", "</s>"]
    if kind == "pieces":
        raw = Tokenizer(models.BPE(unk_token=None, byte_fallback=True, fuse_unk=True))
        raw.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
        raw.decoder = decoders.Sequence(
            [
                decoders.Replace("▁", " "),
                decoders.ByteFallback(),
                decoders.Fuse(),
                decoders.Strip(" ", 1, 0),
            ]
        )
        special += [f"<0x{b:02X}>" for b in range(256)]
        alphabet = []
    else:
        raw = Tokenizer(models.BPE())
        raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        raw.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=special,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    raw.train_from_iterator(CORPUS, trainer)
    if bos:
        raw.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)]
        )
    names = {} if kind == "bare" else {"bos_token": "<s>", "eos_token": "</s>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, **names)
    tokenizer.save_pretrained(folder)
    return tokenizer


def write_checkpoint(folder: Path, architecture: str = "llama", **extra: Any) -> Any:
    """Save a random model with a byte-level tokenizer in ``folder`` and return the model."""
    model = write_model(folder, architecture, **extra)
    write_tokenizer(folder)
    return model


HEADS: dict[str, dict[str, Any]] = {
    "bert": SIZES | {"vocab_size": VOCABULARY},
    "roberta": SIZES | {"max_position_embeddings": 66, "pad_token_id": 1, "vocab_size": EMBEDDED},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "vocab_size": EMBEDDED},
}
HEADS["fnet"] = {k: v for k, v in SIZES.items() if k != "num_attention_heads"}
HEADS["gpt2_padded"] = HEADS["gpt2"] | {"pad_token_id": 2}
HEADS["llama"] = GROUPED | {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}


def write_head(folder: Path, kind: str, head: str, labels: Sequence[str]) -> Any:
    """Save a random classifier (``TokenClassification`` or ``SequenceClassification``) with its
    tokenizer in ``folder`` and return it; ``labels`` are its id2label."""
    import transformers

    if kind in ("bert", "fnet"):
        write_wordpieces(folder)
    else:
        write_tokenizer(folder, bos=kind == "roberta")
    config = transformers.AutoConfig.for_model(
        kind.split("_")[0],
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
        **HEADS[kind],
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = getattr(transformers, f"AutoModelFor{head}").from_config(config).eval()
        with torch.no_grad():
            for weight in model.parameters():
                if weight.dim() == 2:
                    weight.normal_(std=0.4)
    model.save_pretrained(folder)
    return model


def write_wordpieces(folder: Path) -> None:
    """Save a small WordPiece tokenizer that puts [CLS] and [SEP] around one text or two."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from tokenizers.trainers import WordPieceTrainer
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    raw = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    raw.normalizer = normalizers.BertNormalizer(lowercase=False)
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=special, show_progress=False)
    raw.train_from_iterator(CORPUS, trainer)
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    PreTrainedTokenizerFast(
        tokenizer_object=raw, model_input_names=inputs, **names
    ).save_pretrained(folder)


SEQ2SEQ: dict[str, dict[str, Any]] = {
    "t5": {
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 48,
        "num_layers": 2,
        "num_heads": 4,
        "vocab_size": EMBEDDED,
        "decoder_start_token_id": 2,
        "dropout_rate": 0.0,
        "tie_word_embeddings": False,
    },
    "bart": {
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48,
        "vocab_size": EMBEDDED,
        "max_position_embeddings": 64,
        "decoder_start_token_id": 1,
        "forced_eos_token_id": None,
        "dropout": 0.0,
    },
}
HEADS["t5"] = SEQ2SEQ["t5"] | {"pad_token_id": 2, "eos_token_id": 1}
HEADS["bart"] = SEQ2SEQ["bart"] | {"pad_token_id": 2, "eos_token_id": 1, "bos_token_id": 0}
SEQ2SEQ["t5_tied"] = SEQ2SEQ["t5"] | {"tie_word_embeddings": True}
SEQ2SEQ |= dict.fromkeys(["marian", "m2m_100", "pegasus"], SEQ2SEQ["bart"])
SEQ2SEQ["led"] = SEQ2SEQ["bart"] | {
    "max_encoder_position_embeddings": 64,
    "max_decoder_position_embeddings": 64,
    "attention_window": [8, 8],
}
SEQ2SEQ["fsmt"] = SEQ2SEQ["bart"] | {
    "src_vocab_size": EMBEDDED,
    "tgt_vocab_size": EMBEDDED,
    "langs": ["en", "de"],
    "activation_function": "relu",
    "attention_dropout": 0.0,
}
SEQ2SEQ["prophetnet"] = {
    "hidden_size": 32,
    **{f"num_{half}_layers": 2 for half in ("encoder", "decoder")},
    **{f"num_{half}_attention_heads": 4 for half in ("encoder", "decoder")},
    **{f"{half}_ffn_dim": 48 for half in ("encoder", "decoder")},
    "vocab_size": EMBEDDED,
    "max_position_embeddings": 64,
    "decoder_start_token_id": 1,
    "dropout": 0.0,
}
SEQ2SEQ["switch_transformers"] = SEQ2SEQ["t5"] | {"num_experts": 4, "num_decoder_layers": 2}
SEQ2SEQ["bart_forced"] = SEQ2SEQ["bart"]
FORCED = {"bart_forced": 0}
"""Which token a kind forces to the front of what it writes. It stands in generation_config.json, as
in checkpoints today: transformers 5 drops what the model's own configuration says of it."""


def write_seq2seq(folder: Path, kind: str) -> Any:
    """Save a random encoder-decoder model and a tokenizer that ends texts with EOS."""
    from tokenizers import Tokenizer, processors
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    write_tokenizer(folder)
    path = str(folder / "tokenizer.json")
    raw = Tokenizer.from_file(path)
    raw.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A $B </s>", special_tokens=[("</s>", 1)]
    )
    raw.save(path)
    special = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    name = kind.removesuffix("_tied").removesuffix("_forced")
    config = AutoConfig.for_model(name, **(SEQ2SEQ[kind] | special))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = AutoModelForSeq2SeqLM.from_config(config).eval()
        with torch.no_grad():
            for weight in model.parameters():
                if weight.dim() == 2:
                    weight.normal_(std=0.25)
        model.tie_weights()
    model.generation_config.forced_bos_token_id = FORCED.get(kind)
    if kind == "marian":  # as its checkpoints rule out padding
        model.generation_config.bad_words_ids = [[token] for token in range(3, 200)]
    model.save_pretrained(folder)
    return AutoModelForSeq2SeqLM.from_pretrained(folder)
