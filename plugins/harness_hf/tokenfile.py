"""A tokenizer read straight from ``tokenizer.json``, without transformers.

Importing transformers for a tokenizer takes longer than reading it. What its classes for the
decoders that are read straight make of the file, and of the settings beside it, is known
(:mod:`harness_hf.tokenclass`) and done here; where a setting is none of these, ``None`` says that
transformers is to load the tokenizer.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from harness_hf.checkpoint import Checkpoint
    from harness_hf.options import Options
    from harness_hf.tokenclass import Setup

NAMES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
NAMED = tuple(f"{name}_token" for name in NAMES)
"""In the order of transformers."""
IGNORED = {"backend", "chat_template", "clean_up_tokenization_spaces", "errors", "max_length"}
IGNORED |= {"model_input_names", "model_max_length", "name_or_path", "pad_to_multiple_of"}
IGNORED |= {"padding_side", "pad_token_type_id", "sp_model_kwargs", "special_tokens_map_file"}
IGNORED |= {"spaces_between_special_tokens", "stride", "tokenizer_class", "tokenizer_file"}
IGNORED |= {"is_local", "local_files_only"}  # which transformers 5 saves
IGNORED |= {"trim_offsets", "truncation_side", "truncation_strategy", "use_default_system_prompt"}
"""Settings that change no token of a text."""
HEEDED = {"add_bos_token", "add_eos_token", "add_prefix_space", "legacy", "split_special_tokens"}
HEEDED |= {"added_tokens_decoder", "additional_special_tokens", "extra_special_tokens", *NAMED}
MOST = 100_000
"""Tokens; in larger vocabularies of Mistral transformers may mend the file's regular expression."""
OTHER_VOCABULARIES = ("tekken.json", "tiktoken.model", "tokenizer.model")
"""What transformers may take where there is no tokenizer.json, tekken.json even where there is."""
RENAMED = (
    *("allenai/dolma2", "deepseek-ai/", "google/umt5", "naver-clova-ix/", "salesforce/"),
    "stepfun-ai/",
)
"""How names of checkpoints begin for which transformers takes another class than they say."""


class FileTokenizer:
    """What :class:`harness_hf.tokens.Codec` asks of a tokenizer, under transformers' names."""

    def __init__(self, raw: Any, names: Mapping[str, str], extra: Sequence[str] = ()) -> None:
        """Wrap a ``tokenizers.Tokenizer``; ``names`` are its special tokens by what they are for,
        such as ``bos_token``, ``extra`` the others."""
        raw.no_truncation()
        raw.no_padding()
        self._raw = raw
        self.bos_token_id = self._named(names.get("bos_token"))
        self.eos_token_id = self._named(names.get("eos_token"))
        self.all_special_tokens = list(dict.fromkeys([*names.values(), *extra]))

    def __call__(
        self, text: str | Sequence[str], *, add_special_tokens: bool = True
    ) -> dict[str, Any]:
        """``input_ids`` of one text or of several."""
        texts = [text] if isinstance(text, str) else list(text)
        found = self._raw.encode_batch_fast(texts, add_special_tokens=add_special_tokens)
        ids = [one.ids for one in found]
        return {"input_ids": ids[0] if isinstance(text, str) else ids}

    def __len__(self) -> int:
        """How many tokens there are, added ones included."""
        return int(self._raw.get_vocab_size())

    def decode(
        self,
        ids: Sequence[int],
        *,
        skip_special_tokens: bool,
        clean_up_tokenization_spaces: bool = False,
    ) -> str:
        """The text of ``ids``, never cleaned up."""
        assert not clean_up_tokenization_spaces
        decoded: str = self._raw.decode(list(ids), skip_special_tokens=skip_special_tokens)
        return decoded

    def convert_ids_to_tokens(self, token: int) -> str | None:
        """What the vocabulary calls ``token``."""
        name: str | None = self._raw.id_to_token(token)
        return name

    def convert_tokens_to_ids(self, name: str) -> int | None:
        """The id of the token of this name."""
        token: int | None = self._raw.token_to_id(name)
        return token

    def get_vocab(self) -> dict[str, int]:
        """Ids by name."""
        return dict(self._raw.get_vocab())

    def get_added_vocab(self) -> dict[str, int]:
        """Ids by name of what was added to the vocabulary proper."""
        return {token.content: n for n, token in self._raw.get_added_tokens_decoder().items()}

    def _named(self, name: str | None) -> int | None:
        return None if name is None else self.convert_tokens_to_ids(name)


def read_tokenizer(checkpoint: Checkpoint, options: Options) -> FileTokenizer | None:
    """The tokenizer of ``checkpoint``, ``None`` where transformers is to load it: for its other
    classes, its chat templates and its words on what is wrong."""
    folder, config = checkpoint.folder, checkpoint.config
    if options.scheme != "hf" or options.chat_template or options.trust_remote_code:
        return None
    names = (str(config.get("_name_or_path")).lower(), str(folder).lower())
    if any(name.startswith(RENAMED) for name in names):
        return None
    try:
        return _read(folder, config)
    except Exception:  # whatever the library raises for a broken file; transformers explains it
        return None


class _OtherError(ValueError):
    """Settings that are not known here."""


def _require(holds: bool) -> None:
    if not holds:
        raise _OtherError


def _read(folder: Path, config: Mapping[str, Any]) -> FileTokenizer | None:
    path = folder / "tokenizer_config.json"
    settings = _json(path) if path.is_file() else {}
    kind, named = str(config.get("model_type")), settings.get("tokenizer_class")
    whole = (folder / "tokenizer.json").is_file()
    _require(named is not None or config.get("tokenizer_class") is None)
    _require(not (folder / OTHER_VOCABULARIES[0]).is_file())
    _require(whole or not any((folder / name).is_file() for name in OTHER_VOCABULARIES))
    from harness_hf import tokenclass

    text = (folder / "tokenizer.json").read_text(encoding="utf-8") if whole else ""
    found = tokenclass.class_of(kind, named, by_bytes='"ByteLevel"' in text)
    _require(found is not None and (whole or found == tokenclass.GPT2))
    file = json.loads(text) if whole else {"added_tokens": []}
    _require(not file.get("padding"))  # which names a token, too
    setup = _setup(str(found), settings, folder, file["added_tokens"], whole=whole)
    if whole:
        _require(found == tokenclass.PLAIN or file["model"]["type"] == "BPE")
        raw = tokenclass.set_up(setup, text, file)
    else:
        parts = (str(folder / name) for name in ("vocab.json", "merges.txt"))
        raw = tokenclass.set_up_from_parts(setup, *parts)
    if kind == "mistral" and raw.get_vocab_size() > MOST:
        return None
    names = {key: str(token) for key, token in setup.names.items()}
    return FileTokenizer(raw, names, [str(token) for token in setup.extra])


def _setup(
    kind: str, settings: dict[str, Any], folder: Path, tokens: Sequence[Any], *, whole: bool
) -> Setup:
    """What ``settings``, and what stands beside them, come to; ``tokens`` are the added ones of
    ``tokenizer.json``. Raises :class:`_OtherError` for any that are not known."""
    from tokenizers import AddedToken

    from harness_hf.tokenclass import DEFAULTS, LLAMA, Setup

    _require(settings.keys() <= IGNORED | HEEDED and not settings.get("split_special_tokens"))
    named = {key: settings[key] for key in NAMED if key in settings}
    extra = settings.get("extra_special_tokens") or settings.get("additional_special_tokens")
    if "added_tokens_decoder" in settings:
        added = {int(n): AddedToken(**t) for n, t in settings["added_tokens_decoder"].items()}
    else:
        _require(not (folder / "added_tokens.json").is_file())
        besides = _besides(folder)
        more = besides.pop("additional_special_tokens", None)
        if not {"extra_special_tokens", "additional_special_tokens"} & settings.keys():
            extra = more
        named |= besides
        added = {t["id"]: AddedToken(**{k: t[k] for k in t if k != "id"}) for t in tokens}
    by_name = {token.content: token for token in added.values()}
    known = {key: _token(token) for key, token in named.items()}
    known = {key: by_name.get(str(t), t) if t is not None else None for key, t in known.items()}
    names = {key: token for key in NAMED if (token := {**DEFAULTS[kind], **known}.get(key))}
    _require(isinstance(extra or [], list))
    extra = [token for token in map(_token, extra or []) if token is not None]
    _require(_said_alike([t for t in (*names.values(), *extra) if str(t) not in by_name]))
    _require(not isinstance(settings.get("extra_special_tokens"), dict))
    adds = [settings.get(key) for key in ("add_bos_token", "add_eos_token")]
    spaced, legacy = settings.get("add_prefix_space"), settings.get("legacy")
    _require(all(flag is None or isinstance(flag, bool) for flag in (*adds, spaced, legacy)))
    asked = not whole and any(key in settings for key in ("add_bos_token", "add_eos_token"))
    return Setup(
        kind=kind,
        names=names,
        extra=extra,
        added=added,
        spaced=kind == LLAMA if spaced is None else spaced,
        legacy=bool(legacy),
        begins=bool(adds[0]) if asked else None,
        ends=bool(adds[1]) if asked else None,
    )


def _said_alike(tokens: Sequence[Any]) -> bool:
    """Whether each of ``tokens`` that occurs again does so with the same properties: else it
    depends on the order in which they are added."""
    return len({str(token) for token in tokens}) == len({repr(token) for token in tokens})


def _besides(folder: Path) -> dict[str, Any]:
    """The special tokens of ``special_tokens_map.json``, if it is there."""
    path = folder / "special_tokens_map.json"
    found = _json(path) if path.is_file() else {}
    _require(found.keys() <= {*NAMED, "additional_special_tokens"})
    typed = {"__type": "AddedToken", "special": True}
    return {key: {**one, **typed} if isinstance(one, dict) else one for key, one in found.items()}


def _token(said: Any) -> Any:
    """A special token as transformers takes it: a text, an added token or none."""
    from tokenizers import AddedToken

    if isinstance(said, dict):
        _require(said.get("__type") == "AddedToken")
        return AddedToken(**{key: value for key, value in said.items() if key != "__type"})
    _require(said is None or (isinstance(said, str) and said != ""))
    return said


def _json(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text(encoding="utf-8"))
    _require(isinstance(found, dict))
    return dict(found)
