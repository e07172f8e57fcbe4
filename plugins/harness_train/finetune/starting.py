"""The checkpoint that training starts from: what it is, and what can be trained on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import DataError, ModelError, UsageError, suggestion
from harness_hf.checkpoint import Checkpoint, generation_settings, read_tensors
from harness_hf.counts import count_parameters
from harness_hf.described import RELATIVE, stated_context
from harness_hf.devices import has_bfloat16
from harness_hf.options import DTYPE_ALIASES, DTYPES, Options
from harness_hf.prompts import decoder_beginning
from harness_hf.quiet import quiet
from harness_hf.resolve import find

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.training import Start
    from harness.types import Parameters, RequestKind

USUAL_LENGTH = 512
"""Tokens of a row where a checkpoint states none."""
SCHEMES = {"tag": "hf-tagger", "classify": "hf-classifier", "generate": "hf"}


@dataclass(frozen=True, kw_only=True)
class Base:
    """A checkpoint with its configuration, read without its weights.

    ``length`` is the most tokens of one row; ``parameters`` are counted from the files;
    ``before`` are the ids with which an encoder-decoder begins whatever it writes.
    """

    start: Start
    checkpoint: Checkpoint
    config: Any
    parameters: Parameters
    length: int
    before: tuple[int, ...] = ()

    @property
    def encoder_decoder(self) -> bool:
        """Whether prompt and answer go to different halves of the model."""
        return bool(getattr(self.config, "is_encoder_decoder", False))


def open_base(start: Start, kind: RequestKind, length: int | None) -> Base:
    """Read what the checkpoint says of itself, and refuse what cannot be trained to ``kind``.

    An id of the hub is fetched. Raises DataError for a broken checkpoint, ModelError for one that
    cannot be had and UsageError for one of the wrong kind.
    """
    checkpoint = find(Options(scheme="hf", source=str(start.folder)))
    config = _config(checkpoint)
    _refuse_objective(config, kind, start.name)
    own = stated_context(checkpoint.config, start.name)
    bound = None if checkpoint.config.get("model_type") in RELATIVE else own
    if length is not None and bound is not None and length > bound:
        raise UsageError(
            f"--max-length {length} is more than the {bound} tokens that '{start.name}' takes.\n"
            f"Give at most {bound}."
        )
    writes = kind == "generate" and getattr(config, "is_encoder_decoder", False)
    before = decoder_beginning(generation_settings(checkpoint), start.name) if writes else ()
    return Base(
        start=start,
        checkpoint=checkpoint,
        config=config,
        parameters=count_parameters(read_tensors(checkpoint), checkpoint.config),
        length=length or own or USUAL_LENGTH,
        before=before,
    )


def resolve_dtype(asked: str, device: str) -> str:
    """The number type of the forward pass; weights and moments stay in float32.

    ``auto``: bfloat16 on a GPU, float16 where it lacks that, float32 elsewhere. Raises UsageError.
    """
    name = DTYPE_ALIASES.get(asked, asked)
    on_gpu = device.startswith("cuda")
    if name == "auto":
        if not on_gpu:
            return "float32"
        return "bfloat16" if has_bfloat16(device) else "float16"
    if name not in DTYPES:
        raise UsageError(f"Unknown --dtype {asked!r}. {suggestion(asked, DTYPES)}")
    if name == "float16" and not on_gpu:
        raise UsageError(
            f"--dtype float16 trains on a GPU only, and this is {device}.\nUse bfloat16 or float32."
        )
    return name


def _config(checkpoint: Checkpoint) -> Any:
    with quiet():
        from transformers import AutoConfig

        try:
            return AutoConfig.from_pretrained(str(checkpoint.folder), local_files_only=True)
        except Exception as error:  # whatever a broken or foreign configuration raises
            raise DataError(
                f"{checkpoint.folder}: config.json is none that the installed transformers knows: "
                f"{_first_line(error)}"
            ) from error


def _refuse_objective(config: Any, kind: RequestKind, name: str) -> None:
    with quiet():
        from transformers.models.auto import modeling_auto as auto
    tables = {
        "tag": auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
        "classify": auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
        "generate": auto.MODEL_FOR_CAUSAL_LM_MAPPING,
    }
    words = {"tag": "tag tokens", "classify": "classify texts", "generate": "write answers"}
    if kind == "generate" and getattr(config, "is_encoder_decoder", False):
        known = type(config) in auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING
    else:
        known = type(config) in tables[kind]
    if kind == "generate" and _reads_both_ways(config):
        known = False
    if not known:
        family = getattr(config, "model_type", "unknown")
        fitting = "a causal or an encoder-decoder checkpoint" if kind == "generate" else "another"
        raise UsageError(
            f"'{name}' is of the architecture '{family}', which cannot be trained to "
            f"{words[kind]}.\nUse {fitting}, or another task."
        )


def _reads_both_ways(config: Any) -> bool:
    """Whether it is an encoder such as BERT, which sees the answer it should foretell."""
    from transformers.models.auto import modeling_auto as auto

    heads = [str(name) for name in getattr(config, "architectures", None) or ()]
    if any(name.endswith("ForCausalLM") or name.endswith("LMHeadModel") for name in heads):
        return False
    encoder = type(config) in auto.MODEL_FOR_MASKED_LM_MAPPING
    whole = getattr(config, "is_encoder_decoder", False)
    return encoder and not whole and not getattr(config, "is_decoder", False)


def load_tokenizer(base: Base, kind: RequestKind) -> Any:
    """The checkpoint's tokenizer, with a padding token. Raises DataError."""
    # Words that are tagged one by one each begin as words do.
    keywords = {"add_prefix_space": True} if kind == "tag" else {}
    with quiet():
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(
                str(base.checkpoint.folder), local_files_only=True, **keywords
            )
        except Exception as error:  # whatever the tokenizer's own code raises
            raise DataError(
                f"{base.checkpoint.folder}: the tokenizer cannot be loaded: {_first_line(error)}"
            ) from error
        if not tokenizer.is_fast:
            raise DataError(
                f"{base.checkpoint.folder}: the tokenizer is a slow one, which does not say where "
                "words begin.\nConvert it to tokenizer.json with transformers."
            )
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        if tokenizer.pad_token is None:
            raise DataError(f"{base.checkpoint.folder}: the tokenizer has no token to pad with.")
    return tokenizer


def _model_class(base: Base, kind: RequestKind) -> Any:
    import transformers

    names = {
        "tag": "AutoModelForTokenClassification",
        "classify": "AutoModelForSequenceClassification",
        "generate": "AutoModelForSeq2SeqLM" if base.encoder_decoder else "AutoModelForCausalLM",
    }
    return getattr(transformers, names[kind])


def _labelling(kind: RequestKind, labels: Sequence[str]) -> dict[str, Any]:
    if kind == "generate":
        return {}
    return {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: i for i, label in enumerate(labels)},
    }


def empty_model(base: Base, kind: RequestKind, labels: Sequence[str]) -> Any:
    """The architecture without weights, for counting: built on torch's ``meta`` device."""
    import copy

    config = copy.deepcopy(base.config)
    for key, value in _labelling(kind, labels).items():
        setattr(config, key, value)
    return _model_class(base, kind).from_config(config)


def load_model(base: Base, kind: RequestKind, labels: Sequence[str], pad: int | None) -> Any:
    """The weights in float32 under the head that ``kind`` needs, a new head drawn by torch's seed.

    Raises DataError for weights that do not suit and ModelError where they do not fit in memory.
    """
    import torch

    keywords = _labelling(kind, labels)
    try:
        model, found = _model_class(base, kind).from_pretrained(
            str(base.checkpoint.folder),
            dtype=torch.float32,
            local_files_only=True,
            use_safetensors=base.checkpoint.is_safetensors,
            output_loading_info=True,
            **(keywords | {"ignore_mismatched_sizes": True} if keywords else {}),
        )
    except Exception as error:  # whatever transformers raises for weights that do not suit
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            raise ModelError(f"'{base.start.name}' does not fit in memory.") from error
        raise DataError(
            f"{base.checkpoint.folder}: the weights cannot be loaded: {_first_line(error)}"
        ) from error
    _refuse_missing(found, base, model)
    if pad is not None:
        model.config.pad_token_id = pad
    if base.before:  # labels are shifted behind it, and only generation's settings may name it
        model.config.decoder_start_token_id = base.before[0]
    return model


def _refuse_missing(found: Any, base: Base, model: Any) -> None:
    """A new head may be missing from the checkpoint; a part of the body may not."""
    prefix = f"{model.base_model_prefix}."
    missing = [
        str(key)
        for key in found.get("missing_keys") or ()
        if str(key).startswith(prefix) and ".pooler." not in f".{key}"
    ]
    if missing:
        raise DataError(
            f"{base.checkpoint.folder}: {len(missing)} tensors are missing, first {missing[0]}.\n"
            "The checkpoint was saved incompletely, or config.json is another's."
        )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]
