"""How the tokenizer classes of transformers 5 set up a tokenizer, done by the library beneath them.

A class of its own takes vocabulary and merges out of ``tokenizer.json`` and builds everything else
anew: normaliser, pre-tokeniser and decoder by its own rules, added tokens in the order of their
ids. Followed here are ``AutoTokenizer.from_pretrained`` (which class), the classes' ``__init__``
and that of ``TokenizersBackend``, beneath them all (which tokens are added, what stands around a
text), of transformers 5.24.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PLAIN = "TokenizersBackend"
GPT2, LLAMA = "GPT2Tokenizer", "LlamaTokenizer"
NEOX, QWEN = "GPTNeoXTokenizer", "Qwen2Tokenizer"
CLASSES = {name: name for name in (PLAIN, GPT2, LLAMA, NEOX, QWEN)}
CLASSES |= {f"{name}Fast": name for name in (GPT2, LLAMA, NEOX, QWEN)}
CLASSES["PreTrainedTokenizerFast"] = PLAIN
REGISTERED = {"gpt2": GPT2, "opt": GPT2, "gpt_neox": NEOX, "qwen2": QWEN, "qwen3": QWEN}
REGISTERED |= {"llama": PLAIN, "mistral": PLAIN}
"""The class that transformers keeps for a model type; for Llama it has none but the plain one."""
END = "<|endoftext|>"
DEFAULTS: Mapping[str, Mapping[str, str]] = {
    PLAIN: {},
    GPT2: {"unk_token": END, "bos_token": END, "eos_token": END},
    NEOX: {"unk_token": END, "bos_token": END, "eos_token": END, "pad_token": "<|padding|>"},
    QWEN: {"unk_token": END, "eos_token": END, "pad_token": END},
    LLAMA: {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"},
}
"""The special tokens of a class where no settings name them."""
QWEN_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What the settings of a tokenizer come to.

    ``names`` are its special tokens by what they are for, in the order of transformers, ``extra``
    the others; ``added`` are added tokens by id. ``begins`` and ``ends``: whether BOS and EOS stand
    around a text, ``None`` where ``tokenizer.json`` says that.
    """

    kind: str
    names: Mapping[str, str | AddedToken]
    extra: Sequence[str | AddedToken]
    added: Mapping[int, AddedToken]
    spaced: bool
    legacy: bool
    begins: bool | None = None
    ends: bool | None = None


def class_of(model_type: str, named: str | None, *, by_bytes: bool) -> str | None:
    """Which class transformers takes for a model of ``model_type`` whose tokenizer's settings have
    ``named`` one, ``None`` for any that is not followed here.

    ``by_bytes``: ``tokenizer.json`` works on bytes.
    """
    registered = REGISTERED.get(model_type)
    if registered is None or named is None:
        return registered
    if model_type in ("mistral", "qwen2"):  # hubs name classes for them that never were right
        return registered if named in CLASSES else None
    found = CLASSES.get(named)
    return PLAIN if found == LLAMA and by_bytes else found


def set_up(setup: Setup, stored: str, file: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that ``stored``, the text of a ``tokenizer.json`` with the content ``file``,
    becomes. Raises whatever the library raises for a broken file."""
    if setup.kind == PLAIN:
        raw = Tokenizer.from_str(stored)
    else:
        raw = _built(setup, file["model"]["vocab"], _merges(file["model"]["merges"]))
        raw.post_processor = _around(file)
    return _completed(setup, raw)


def set_up_from_parts(setup: Setup, vocabulary: str, merges: str) -> Tokenizer:
    """The same from the files ``vocab.json`` and ``merges.txt``."""
    return _completed(setup, _built(setup, *models.BPE.read_file(vocabulary, merges)))


def _merges(stored: Sequence[Any]) -> list[tuple[str, ...]]:
    return [tuple(one.split(" ")) if isinstance(one, str) else tuple(one) for one in stored]


def _around(file: Mapping[str, Any]) -> Any:
    """What the file puts around a text; read without the vocabulary, which takes time."""
    empty = {**file["model"], "vocab": {}, "merges": []}
    short = json.dumps({**file, "model": empty, "added_tokens": []})
    return Tokenizer.from_str(short).post_processor


def _built(setup: Setup, vocabulary: Any, merges: Any) -> Tokenizer:
    return _BUILDERS[setup.kind](setup, vocabulary, merges)


def _of_bytes(vocabulary: Any, merges: Any) -> Tokenizer:
    plain: dict[str, Any] = {"continuing_subword_prefix": "", "end_of_word_suffix": ""}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, fuse_unk=False, **plain))
    raw.decoder = decoders.ByteLevel()
    return raw


def _gpt2(setup: Setup, vocabulary: Any, merges: Any) -> Tokenizer:
    raw = _of_bytes(vocabulary, merges)
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=setup.spaced)
    return raw


def _neox(setup: Setup, vocabulary: Any, merges: Any) -> Tokenizer:
    raw = _gpt2(setup, vocabulary, merges)
    raw.normalizer = normalizers.NFC()
    return raw


def _qwen(setup: Setup, vocabulary: Any, merges: Any) -> Tokenizer:
    raw = _of_bytes(vocabulary, merges)
    raw.normalizer = normalizers.NFC()
    pieces = pre_tokenizers.Split(Regex(QWEN_PIECES), behavior="isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=setup.spaced, use_regex=False)
    raw.pre_tokenizer = pre_tokenizers.Sequence([pieces, to_bytes])
    return raw


def _llama(setup: Setup, vocabulary: Any, merges: Any) -> Tokenizer:
    model = models.BPE(vocab=vocabulary, merges=merges, fuse_unk=True, byte_fallback=True)
    raw = Tokenizer(model)
    where = ("always" if setup.legacy else "first") if setup.spaced else "never"
    raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=where, split=False)
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    parts += [decoders.Strip(" ", 1, 0)] if setup.spaced else []
    raw.decoder = decoders.Sequence(parts)
    return raw


_BUILDERS: Mapping[str, Callable[[Setup, Any, Any], Tokenizer]] = {
    GPT2: _gpt2,
    NEOX: _neox,
    QWEN: _qwen,
    LLAMA: _llama,
}


def _completed(setup: Setup, raw: Tokenizer) -> Tokenizer:
    """``raw`` with added tokens and what stands around a text."""
    there = raw.get_added_tokens_decoder()
    known = {repr(token) for token in there.values()}
    missing: list[Any] = [t for _, t in sorted(setup.added.items()) if repr(t) not in known]
    held = {token.content for token in there.values()} | {str(token) for token in missing}
    special: dict[str, str | AddedToken] = {}
    for token in (*setup.names.values(), *setup.extra):
        if str(token) not in held:
            special.setdefault(str(token), token)
    named = {str(token) for token in setup.names.values()}
    new = [_as_added(token, named) for token in (*missing, *special.values())]
    if new:
        raw.add_tokens(new)
    if raw.post_processor is None or setup.begins is not None or setup.kind == NEOX:
        raw.post_processor = _template(setup, raw)
    if setup.kind == QWEN:
        tokens = dict.fromkeys(str(token) for token in (*setup.names.values(), *setup.extra))
        raw.add_tokens([AddedToken(token, special=True) for token in tokens])
    return raw


def _as_added(token: str | AddedToken, named: set[str]) -> AddedToken:
    if isinstance(token, str):
        return AddedToken(token, special=True)
    if not token.special and token.content in named:
        token.special = True
    return token


def _template(setup: Setup, raw: Tokenizer) -> Any:
    asked = {"bos_token": setup.begins, "eos_token": setup.ends}
    put = {name: str(setup.names[name]) for name, on in asked.items() if on and name in setup.names}
    ids = [(token, raw.token_to_id(token)) for token in put.values()]
    before, behind = put.get("bos_token"), put.get("eos_token")
    around = " ".join(part for part in (before, "$A", behind) if part)
    return processors.TemplateProcessing(single=around, special_tokens=ids)
