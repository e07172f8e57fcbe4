"""Weights and tokenizer of a checkpoint, loaded and checked against each other."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from harness.errors import DataError, ModelError
from harness_hf.batching import LOG, is_out_of_memory
from harness_hf.checkpoint import LEFTOVERS, read_json
from harness_hf.memory import check_memory
from harness_hf.quiet import import_transformers, quiet
from harness_hf.work import WORKS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from harness_hf.checkpoint import Checkpoint
    from harness_hf.described import Described
    from harness_hf.lean import LeanNetwork
    from harness_hf.options import Options

LEAST_SHARE = 2
"""Embeddings are padded to round numbers, never to more than twice the tokenizer's size."""

MANY_LAYERS = 1000
ATTENTION_WORDS = ("FlashAttention", "flash_attn", "attn_implementation", "scaled_dot_product")
"""What transformers says of an attention that it cannot use."""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """Weights on their device and the tokenizer that belongs to them.

    The weights are in transformers' ``model``, or in ``network`` where they were read without it.
    ``config`` has the settings of the model's text part as attributes; ``ends`` is what the
    settings of generation call the end of a text: an id, several or ``None``. ``attention`` is the
    implementation that was asked for, which only transformers' modules have.
    """

    tokenizer: Any
    device: torch.device
    config: Any
    ends: Any
    model: Any = None
    network: LeanNetwork | None = None
    attention: str | None = None

    @property
    def embedded(self) -> int:
        """How many token ids the model can read."""
        if self.network is not None:
            return self.network.embedded
        return int(self.model.get_input_embeddings().weight.shape[0])

    @property
    def dtype(self) -> torch.dtype:
        """The number type of the weights."""
        if self.network is not None:
            return self.network.decoder.dtype
        found: torch.dtype = self.model.dtype
        return found


def load(described: Described) -> Loaded:
    """Load the tokenizer and the weights.

    Raises :class:`harness.errors.DataError` where the files do not make a working model, and
    :class:`harness.errors.ModelError` where the machine cannot hold it.
    """
    import torch

    options, device = described.options, described.device
    check_memory(described)
    _check_layers(described)
    tokenizer = load_tokenizer(described.checkpoint, options)
    loaded = _read_straight(described, tokenizer)
    if loaded is None:
        dtype = getattr(torch, described.dtype)
        transformers = import_transformers()
        with quiet():
            model = _load_weights(transformers, described, dtype).eval()
        loaded = Loaded(
            tokenizer=tokenizer,
            device=torch.device(device),
            config=model.config.get_text_config(),
            ends=getattr(getattr(model, "generation_config", None), "eos_token_id", None),
            model=model,
            attention=options.attention,
        )
    _check_ends(loaded.ends, options)
    _check_vocabulary(loaded, options)
    _warn_of_other_marks(_marks(described.checkpoint.config), tokenizer, options.source)
    return loaded


def _read_straight(described: Described, tokenizer: Any) -> Loaded | None:
    """The weights of a plain decoder, ``None`` where transformers is to load them."""
    from harness_hf.learnt import named_usually
    from harness_hf.straight import read_ends, read_lean

    ends = read_ends(described.checkpoint)
    network = None if ends is None else read_lean(described)
    if network is None:
        return None
    config = SimpleNamespace(**named_usually(described.checkpoint.config))
    return Loaded(
        tokenizer=tokenizer, device=network.device, config=config, ends=ends, network=network
    )


def load_tokenizer(checkpoint: Checkpoint, options: Options) -> Any:
    """Load the tokenizer alone.

    Raises :class:`harness.errors.DataError` where its files do not make one.
    """
    from harness_hf.tokenfile import read_tokenizer

    read = read_tokenizer(checkpoint, options)
    if read is not None:
        return read
    transformers = import_transformers()
    # words that are tagged one by one each begin as words do
    keywords = {"add_prefix_space": True} if options.scheme == "hf-tagger" else {}
    try:
        with quiet():
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                str(checkpoint.folder),
                local_files_only=True,
                trust_remote_code=options.trust_remote_code,
                **keywords,
            )
        # It warns once of a text beyond the context, which is cut and counted here, or windowed.
        warned = getattr(tokenizer, "deprecation_warnings", None)
        if isinstance(warned, dict):
            warned["sequence-length-is-longer-than-the-specified-maximum"] = True
        return tokenizer
    except Exception as error:  # whatever the tokenizer's own code raises
        for name in ("tokenizer.json", "tokenizer_config.json"):
            if (checkpoint.folder / name).is_file():
                read_json(checkpoint.folder / name)  # which says what is wrong, and of which file
        # transformers looks at the configuration, too, before it chooses a tokenizer
        part = "config.json" if "alidation error" in str(error) else "the tokenizer"
        said = _first_line(error)
        said = f"{said} is missing" if isinstance(error, KeyError) else said
        raise DataError(
            f"{options.who}: {part} cannot be loaded: {said}\n{_remote_hint(error)}"
        ) from error


def _load_weights(transformers: Any, described: Described, dtype: Any) -> Any:
    checkpoint, options, device = described.checkpoint, described.options, described.device
    work = WORKS[options.scheme]
    auto = work.auto[-1 if checkpoint.config.get("is_encoder_decoder") else 0]
    attention = options.attention or ("eager" if device == "mps" else None)  # see by_products
    keywords: dict[str, Any] = {"attn_implementation": attention} if attention else {}
    try:
        model, found = getattr(transformers, auto).from_pretrained(
            str(checkpoint.folder),
            dtype=dtype,
            local_files_only=True,
            use_safetensors=checkpoint.is_safetensors,
            trust_remote_code=options.trust_remote_code,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # it then says which, and we refuse them
            **keywords,
        )
    except Exception as error:
        raise _explain(error, checkpoint, options) from error
    _check_tensors(found, options)
    from harness_hf.prefixed import with_prefix

    try:
        return with_prefix(model, checkpoint.folder).to(device)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise ModelError(
                f"{options.who} cannot be moved to {device}: {_first_line(error)}\n"
                "Use device=cpu, or see whether the device's driver works."
            ) from error
        raise ModelError(
            f"{options.who} does not fit on {device}: {_first_line(error)}\n"
            "Use a smaller dtype, another device or a smaller model."
        ) from error


def _explain(error: Exception, checkpoint: Checkpoint, options: Options) -> DataError | ModelError:
    text = str(error)
    kind = checkpoint.config.get("model_type", "unknown")
    if isinstance(error, MemoryError) or "allocate memory" in text:
        return ModelError(
            f"{options.who} does not fit in memory: {_first_line(error)}\n"
            "Use a smaller dtype or a smaller model."
        )
    if options.attention and any(word in text for word in ATTENTION_WORDS):
        return ModelError(
            f"{options.who} cannot use attn={options.attention}: {_first_line(error)}\n"
            "Use attn=sdpa or attn=eager, or leave it out."
        )
    if "model_type" not in checkpoint.config:
        return DataError(
            f"{options.who}: config.json does not say what architecture it is of: "
            "model_type is missing.\nTake the config.json that the weights were saved with."
        )
    if "does not recognize this architecture" in text or "Unrecognized" in text:
        return DataError(
            f"{options.who}: the installed transformers does not know the architecture "
            f"{kind!r}.\nA newer one may. {_remote_hint(error)}"
        )
    return DataError(
        f"{options.who}: cannot be loaded as {WORKS[options.scheme].noun} "
        f"(model_type {kind!r}): {_first_line(error)}\n{_remote_hint(error)}"
    )


def _check_tensors(found: Mapping[str, Any], options: Options) -> None:
    """transformers fills what is missing with random numbers and only warns; we do not."""
    wrong = []
    for key, word in (
        ("missing_keys", "missing"),
        ("unexpected_keys", "surplus"),
        ("mismatched_keys", "of another shape"),
    ):
        keys = sorted(map(_tensor_words, found.get(key) or ()))
        if key == "unexpected_keys":  # masks that old checkpoints hold, which nobody reads
            keys = [k for k in keys if not k.endswith(LEFTOVERS)]
        if WORKS[options.scheme].heads:  # encoders bring a pooling layer that not all heads use
            keys = [k for k in keys if key != "unexpected_keys" or ".pooler." not in k]
        if keys:
            wrong.append(f"{len(keys)} {word} ({', '.join(keys[:3])}{', ...' * (len(keys) > 3)})")
    if wrong:
        raise DataError(
            f"{options.who}: the weights do not match config.json: tensors "
            f"{'; '.join(wrong)}.\n"
            "The checkpoint is of another architecture or was saved incompletely."
        )


def _tensor_words(key: Any) -> str:
    """A tensor's name; of one with another shape also its own and the one it should have."""
    if not isinstance(key, tuple):
        return str(key)
    name, *shapes = key
    if len(shapes) != 2:
        return str(name)
    has, wanted = ("x".join(map(str, shape)) for shape in shapes)
    return f"{name}: {has} instead of {wanted}"


def _check_layers(described: Described) -> None:
    """Building layers that no file holds takes all memory before anything is compared."""
    layers = described.checkpoint.config.get("num_hidden_layers")
    held = len(described.tensors)
    if isinstance(layers, int) and layers > max(held, MANY_LAYERS):  # some share their tensors
        raise DataError(
            f"{described.options.who}: config.json says {layers:,} layers, the weight files "
            f"hold {held:,} tensors.\nTake the config.json that the weights were saved with."
        )


def _check_ends(ends: Any, options: Options) -> None:
    found = ends if isinstance(ends, list | tuple) else [] if ends is None else [ends]
    strange = next((one for one in found if not isinstance(one, int)), None)
    if strange is not None:
        raise DataError(
            f"{options.who}: eos_token_id is {str(strange)[:40]!r}, no token id.\n"
            "Mend config.json or generation_config.json."
        )


def _check_vocabulary(loaded: Loaded, options: Options) -> None:
    rows, tokenizer = loaded.embedded, loaded.tokenizer
    # tokens added later (a pad token, say) may lie beyond: a text that uses one fails alone
    added = tokenizer.get_added_vocab()
    most = max((i for t, i in tokenizer.get_vocab().items() if t not in added), default=-1) + 1
    if most == 0:
        raise DataError(f"{options.who}: the tokenizer's vocabulary is empty.")
    if most > rows:
        raise DataError(
            f"{options.who}: the tokenizer has {most:,} token ids, the model embeds {rows:,}: "
            "they do not belong together.\nUse the tokenizer that the weights were trained with."
        )
    if len(tokenizer) * LEAST_SHARE < rows:
        raise DataError(
            f"{options.who}: the tokenizer has {len(tokenizer):,} token ids, the model embeds "
            f"{rows:,}, most of which no text could reach: they do not belong together.\n"
            "Use the tokenizer that the weights were trained with."
        )


def _marks(config: Mapping[str, Any]) -> tuple[set[int], set[int]]:
    """The ids that ``config`` calls beginning and end of a text."""
    found = []
    for name in ("bos_token_id", "eos_token_id"):
        value = config.get(name)
        found.append({n for n in (value if isinstance(value, list) else [value]) if n is not None})
    return found[0], found[1]


def _warn_of_other_marks(marks: tuple[set[int], set[int]], tokenizer: Any, source: str) -> None:
    """A tokenizer of another model that is about as large gives itself away by its marks, if both
    are others; one alone may be (chat models end turns with a mark of their own), and so may ids
    that no text reaches, which configurations keep from their defaults."""
    own = (tokenizer.bos_token_id, tokenizer.eos_token_id)
    pairs = zip(marks, own, strict=True)
    if all(said and max(said) < len(tokenizer) and i not in {None, *said} for said, i in pairs):
        (begin, end), sizes = own, [min(said) for said in marks]
        LOG.warning(
            "%s: its tokenizer begins and ends texts with ids %d and %d, its config.json says %d "
            "and %d: is it the tokenizer that the weights were trained with?",
            source,
            begin,
            end,
            *sizes,
        )


def _remote_hint(error: Exception) -> str:
    if "trust_remote_code" in str(error):
        return "It brings Python code of its own: trust_remote_code=true runs it, if you trust it."
    return "Check config.json and the tokenizer files."


def _first_line(error: Exception) -> str:
    """The first line of what was said, and the next where that only announces it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = lines[0] if lines else type(error).__name__
    if said.endswith(":") and len(lines) > 1:
        said = f"{said} {lines[1]}"
    return said[:300]
