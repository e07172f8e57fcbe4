"""What a checkpoint can be asked for, by its scheme and its architecture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from harness.errors import DataError

if TYPE_CHECKING:
    from harness.types import RequestKind
    from harness_hf.options import Options


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a scheme does with checkpoints.

    ``heads`` are endings of the architectures it answers with; ``auto`` the classes of
    transformers that load them, that of encoder-decoder models second; ``noun`` says what they
    are, ``lacks`` what others cannot do.
    """

    kinds: frozenset[RequestKind]
    heads: tuple[str, ...]
    auto: tuple[str, ...]
    noun: str
    lacks: str


WORKS: Mapping[str, Work] = MappingProxyType(
    {
        "hf": Work(
            kinds=frozenset({"generate", "loglikelihood"}),
            heads=(),
            auto=("AutoModelForCausalLM", "AutoModelForSeq2SeqLM"),
            noun="a language model (...ForCausalLM, ...ForConditionalGeneration)",
            lacks="cannot continue a text",
        ),
        "hf-tagger": Work(
            kinds=frozenset({"tag"}),
            heads=("ForTokenClassification",),
            auto=("AutoModelForTokenClassification",),
            noun="a token classifier (...ForTokenClassification)",
            lacks="gives no tags",
        ),
        "hf-classifier": Work(
            kinds=frozenset({"classify"}),
            heads=("ForSequenceClassification",),
            auto=("AutoModelForSequenceClassification",),
            noun="a text classifier (...ForSequenceClassification)",
            lacks="gives no labels",
        ),
    }
)
OTHER_HEADS = ("Classification", "QuestionAnswering", "MaskedLM", "MultipleChoice", "PreTraining")


def reject_other_heads(config: Mapping[str, Any], options: Options) -> None:
    """Raise :class:`harness.errors.DataError` for a checkpoint that the scheme cannot ask."""
    work = WORKS[options.scheme]
    kind = config.get("model_type", "")
    if not isinstance(kind, str):
        raise DataError(
            f"{options.who}: config.json says model_type={str(kind)[:40]}, "
            "which names no architecture.\nTake the config.json that the weights were saved with."
        )
    said = config.get("architectures")
    names = [str(name) for name in said] if isinstance(said, list) else []
    wrong = names and (
        not any(n.endswith(work.heads) for n in names)
        if work.heads
        else any(n.endswith(OTHER_HEADS) for n in names)
    )
    if wrong:
        better = next(
            (s for s, other in WORKS.items() if other.heads and names[0].endswith(other.heads)), ""
        )
        hint = f"Write {better}:{options.source}." if better else f"Use {work.noun}."
        raise DataError(f"{options.who} holds a {names[0]}, which {work.lacks}.\n{hint}")
