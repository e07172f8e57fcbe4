"""A tokenizer read straight from ``tokenizer.json``, without transformers.

Importing transformers for a tokenizer takes longer than reading it. Where transformers would do no
more than open the file with the library ``tokenizers``, that is done here; where a class of its own
would build the tokenizer anew, or settings change it, ``None`` says that transformers is to load
it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from harness_hf.checkpoint import Checkpoint
    from harness_hf.options import Options

PLAIN = {"llama", "gpt_neox"}
"""Model types for which transformers takes the file as it is, if the class is one of these."""
CLASSES = {"PreTrainedTokenizerFast", "TokenizersBackend"}
NAMES = ("bos", "eos", "unk", "pad", "cls", "sep", "mask")
NAMED = tuple(f"{name}_token" for name in NAMES)
IGNORED = {"backend", "chat_template", "clean_up_tokenization_spaces", "model_input_names"}
IGNORED |= {"model_max_length", "name_or_path", "padding_side", "truncation_side"}
MOST = 100_000
"""Tokens; in larger vocabularies transformers may mend the file's regular expression."""
OTHER_FILES = ("special_tokens_map.json", "added_tokens.json")
AS_ADDED = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
AS_ADDED |= {"special": True}
"""How transformers adds a special token that it knows by name."""


class FileTokenizer:
    """What :class:`harness_hf.tokens.Codec` asks of a tokenizer, under transformers' names."""

    def __init__(self, raw: Any, names: Mapping[str, str]) -> None:
        """Wrap a ``tokenizers.Tokenizer``; ``names`` are its special tokens by what they are for,
        such as ``bos_token``."""
        raw.no_truncation()
        raw.no_padding()
        self._raw = raw
        self.bos_token_id = self._named(names.get("bos_token"))
        self.eos_token_id = self._named(names.get("eos_token"))
        self.all_special_tokens = list(dict.fromkeys(names.values()))

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
    """The tokenizer of ``checkpoint``, ``None`` where transformers is to load it: for its classes,
    its chat templates and its words on what is wrong."""
    folder = checkpoint.folder
    asked = options.scheme != "hf" or options.chat_template or options.trust_remote_code
    if asked or checkpoint.config.get("model_type") not in PLAIN:
        return None
    if any((folder / name).is_file() for name in OTHER_FILES):
        return None
    try:
        text = (folder / "tokenizer.json").read_text(encoding="utf-8")
        names = _names(folder, json.loads(text)["added_tokens"])
        if names is None:
            return None
        from tokenizers import Tokenizer

        raw = Tokenizer.from_str(text)
    except Exception:  # whatever the library raises for a broken file; transformers explains it
        return None
    return FileTokenizer(raw, names) if raw.get_vocab_size() <= MOST else None


def _names(folder: Path, tokens: Sequence[Mapping[str, Any]]) -> dict[str, str] | None:
    """The special tokens, of the added ``tokens``, by what they are for; ``None`` where settings
    say more than these."""
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    if settings.pop("tokenizer_class", None) not in CLASSES:
        return None
    names = {key: settings.pop(key) for key in NAMED if key in settings}
    names = {key: name for key, name in names.items() if name is not None}
    plain = {token["content"] for token in tokens if AS_ADDED.items() <= token.items()}
    known = all(isinstance(name, str) and name in plain for name in names.values())
    return names if known and not settings.keys() - IGNORED else None
