"""Small tokenizers in the file shapes that the checkpoints of well-known families have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hf_tiny import CORPUS, VOCABULARY

END = "<|endoftext|>"
LLAMA3_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_PIECES = LLAMA3_PIECES.replace(r"\p{N}{1,3}", r"\p{N}")


def typed(content: str, **more: Any) -> dict[str, Any]:
    """A special token as old settings spell it."""
    flags = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    return {"__type": "AddedToken", "content": content, **flags, **more}


def listed(content: str, *, special: bool = True, normalized: bool = False) -> dict[str, Any]:
    """An added token as ``added_tokens_decoder`` lists it."""
    flags = {"lstrip": False, "normalized": normalized, "rstrip": False, "single_word": False}
    return {"content": content, **flags, "special": special}


def stored(content: str, number: int, **flags: bool) -> dict[str, Any]:
    """An added token as ``tokenizer.json`` lists it."""
    return {"id": number, **listed(content, **flags)}


def train(first: list[str], *, pieces: bool = False) -> dict[str, Any]:
    """The content of a ``tokenizer.json``: a BPE of bytes, or of ``pieces`` that mark spaces, whose
    vocabulary begins with ``first``."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from tokenizers.trainers import BpeTrainer

    if pieces:
        raw = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        raw.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
        first, alphabet = [*first, *(f"<0x{byte:02X}>" for byte in range(256))], []
    else:
        raw = Tokenizer(models.BPE())
        raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(
        vocab_size=VOCABULARY + 40 * (not pieces) + 60 * pieces,
        special_tokens=first,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    raw.train_from_iterator(CORPUS, trainer)
    found: dict[str, Any] = json.loads(raw.to_str())
    return found | {"added_tokens": []}


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}


def by_bytes(first: list[str], **changes: Any) -> dict[str, Any]:
    """A ``tokenizer.json`` that works on bytes."""
    parts = {"pre_tokenizer": BYTES, "decoder": BYTES, "post_processor": BYTES}
    return train(first) | parts | changes


def split(pattern: str) -> dict[str, Any]:
    """A pre-tokeniser that cuts by ``pattern``, and then turns to bytes."""
    cut = {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }
    kinds = [cut, BYTES | {"use_regex": False}]
    return {"type": "Sequence", "pretokenizers": kinds}


def begun(token: str, number: int) -> dict[str, Any]:
    """A post-processor that puts ``token`` before a text."""
    begin = {"SpecialToken": {"id": token, "type_id": 0}}
    one, two = ({"Sequence": {"id": name, "type_id": n}} for n, name in enumerate("AB"))
    return {
        "type": "TemplateProcessing",
        "single": [begin, one],
        "pair": [begin, one, begin | {}, two],
        "special_tokens": {token: {"id": token, "ids": [number], "tokens": [token]}},
    }


def pythia() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]:
    """As Pythia's: runs of spaces are added tokens, special tokens are named twice."""
    file = by_bytes([END, "<|padding|>"], normalizer={"type": "NFC"})
    size = len(file["model"]["vocab"])
    file["added_tokens"] = [stored(END, 0), stored("<|padding|>", 1)]
    file["added_tokens"] += [
        stored(" " * (8 - n), size + n, special=False, normalized=True) for n in range(7)
    ]
    names = {"bos_token": END, "eos_token": END, "unk_token": END}
    settings = {
        "add_prefix_space": False,
        "model_max_length": 1000000000000000019884624838656,
        "special_tokens_map_file": "/somewhere/special_tokens_map.json",
        "name_or_path": "EleutherAI/gpt-neox-20b",
        "tokenizer_class": "GPTNeoXTokenizer",
        **names,
    }
    return file, settings, names


def qwen() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]:
    """As Qwen 2.5's: all added tokens stand in the settings as well, BOS is none."""
    file = by_bytes([], normalizer={"type": "NFC"}, pre_tokenizer=split(QWEN_PIECES))
    size = len(file["model"]["vocab"])
    special = [END, "<|im_start|>", "<|im_end|>"]
    added = {size + n: listed(token) for n, token in enumerate(special)}
    added[size + 3] = listed("<tool_call>", special=False)
    file["added_tokens"] = [{"id": number, **token} for number, token in added.items()]
    settings = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": {str(number): token for number, token in added.items()},
        "additional_special_tokens": special[1:],
        "bos_token": None,
        "chat_template": "{{ messages }}",
        "clean_up_tokenization_spaces": False,
        "eos_token": END,
        "errors": "replace",
        "model_max_length": 131072,
        "pad_token": END,
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    return file, settings, None


def gpt2() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]:
    """As GPT-2's: no settings but a length."""
    file = by_bytes([])
    size = len(file["model"]["vocab"])
    file["model"]["vocab"][END] = size
    file["added_tokens"] = [stored(END, size, normalized=True)]
    return file, {"model_max_length": 1024}, None


def llama2() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]:
    """As Llama 2's and TinyLlama's: pieces that mark spaces, BOS before a text."""
    special = ["<unk>", "<s>", "</s>"]
    file = train(special, pieces=True)
    file |= {"post_processor": begun("<s>", 1), "pre_tokenizer": None}
    parts = [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ]
    file["decoder"] = {"type": "Sequence", "decoders": parts}
    file["added_tokens"] = [stored(token, n) for n, token in enumerate(special)]
    settings = {
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": typed("<s>", normalized=False),
        "clean_up_tokenization_spaces": False,
        "eos_token": typed("</s>", normalized=False),
        "legacy": False,
        "model_max_length": 2048,
        "pad_token": None,
        "padding_side": "right",
        "sp_model_kwargs": {},
        "tokenizer_class": "LlamaTokenizer",
        "unk_token": typed("<unk>", normalized=False),
    }
    names = {
        "bos_token": listed("<s>"),
        "eos_token": listed("</s>"),
        "unk_token": listed("<unk>"),
    }
    for token in names.values():
        del token["special"]
    return file, settings, names


def llama3() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]:
    """As Llama 3's: the plain class, many added tokens, BOS by a sequence of post-processors."""
    file = by_bytes([], pre_tokenizer=split(LLAMA3_PIECES))
    file["model"]["ignore_merges"] = True
    size = len(file["model"]["vocab"])
    special = ["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|eot_id|>"]
    added = {size + n: listed(token) for n, token in enumerate(special)}
    file["added_tokens"] = [{"id": number, **token} for number, token in added.items()]
    around = [BYTES | {"trim_offsets": False}, begun(special[0], size)]
    file["post_processor"] = {"type": "Sequence", "processors": around}
    settings = {
        "added_tokens_decoder": {str(number): token for number, token in added.items()},
        "bos_token": special[0],
        "clean_up_tokenization_spaces": True,
        "eos_token": special[1],
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": 131072,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    return file, settings, {"bos_token": special[0], "eos_token": special[1]}


def smol() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]:
    """As SmolLM's: a Llama with the class of GPT-2, whose file cuts numbers to digits."""
    digits = {"type": "Digits", "individual_digits": True}
    cut = {"type": "Sequence", "pretokenizers": [digits, BYTES]}
    file = by_bytes([END, "<|im_start|>", "<repo_name>"], pre_tokenizer=cut, post_processor=None)
    special = [END, "<|im_start|>", "<repo_name>"]
    file["added_tokens"] = [stored(token, n) for n, token in enumerate(special)]
    settings = {
        "add_prefix_space": False,
        "added_tokens_decoder": {str(n): listed(token) for n, token in enumerate(special)},
        "additional_special_tokens": special[1:],
        "bos_token": END,
        "clean_up_tokenization_spaces": False,
        "eos_token": END,
        "model_max_length": 2048,
        "tokenizer_class": "GPT2Tokenizer",
        "unk_token": END,
    }
    return file, settings, None


def opt() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]:
    """As OPT's, whose files are ``vocab.json`` and ``merges.txt``; BOS stands before a text."""
    file = by_bytes(["<s>", "<pad>", "</s>", "<unk>"])
    names = {key: typed("</s>") for key in ("bos_token", "eos_token", "unk_token")}
    names["pad_token"] = typed("<pad>")
    settings = {
        "errors": "replace",
        "add_prefix_space": False,
        "add_bos_token": True,
        "special_tokens_map_file": None,
        "name_or_path": "patrickvonplaten/opt-30b",
        "tokenizer_class": "GPT2Tokenizer",
        **names,
    }
    besides = {key: {k: v for k, v in t.items() if k != "__type"} for key, t in names.items()}
    return file, settings, besides


SHAPES = {
    "pythia": ("gpt_neox", pythia),
    "qwen": ("qwen2", qwen),
    "qwen3": ("qwen3", qwen),
    "gpt2": ("gpt2", gpt2),
    "llama2": ("llama", llama2),
    "mistral": ("mistral", llama2),
    "llama3": ("llama", llama3),
    "smol": ("llama", smol),
    "opt": ("opt", opt),
}
"""By family, the model type and what its files hold."""


def write_shape(
    folder: Path,
    shape: str,
    *,
    model_type: str | None = None,
    apart: bool | None = None,
    **changes: Any,
) -> None:
    """Write the tokenizer of ``shape`` and a ``config.json`` that says what model it is of.

    ``changes`` are settings, ``...`` takes one out; ``apart``: as vocabulary and merges.
    """
    kind, make = SHAPES[shape]
    file, settings, names = make()
    settings = {k: v for k, v in (settings | changes).items() if v is not ...}
    config = {"model_type": model_type or kind}
    contents = {"tokenizer_config.json": settings, "config.json": config}
    if names is not None:
        contents["special_tokens_map.json"] = names
    if shape == "opt" if apart is None else apart:
        contents["vocab.json"] = file["model"]["vocab"]
        merges = [" ".join(merge) for merge in file["model"]["merges"]]
        text = "\n".join(["#version: 0.2", *merges, ""])
        (folder / "merges.txt").write_text(text, encoding="utf-8")
    else:
        contents["tokenizer.json"] = file
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
