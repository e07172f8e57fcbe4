"""The families ``nano`` and ``nano-bert``: small models that come with the program.

``nano`` is eight Llamas of a thousand to a million parameters outside the embedding, trained from
scratch by ``harness pretrain nano.toml``, the recipe beside this module, on the invented world of
the ``world-`` tasks, so that a scaling table can be made at once, on a laptop, without a download.
``nano-bert`` is five BERTs, trained by ``bert.toml`` on the world's text, to be fine-tuned.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness import hookimpl
from harness.errors import UsageError
from harness.types import ModelSettings, ModelSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.types import Model

FAMILY = "nano"
WEIGHTS = Path(__file__).parent / "weights"
RECIPE = Path(__file__).parent / "nano.toml"
SIZES = {
    "nano-1k": 5_416,
    "nano-3k": 9_660,
    "nano-9k": 19_300,
    "nano-24k": 40_096,
    "nano-56k": 80_112,
    "nano-150k": 183_744,
    "nano-420k": 475_800,
    "nano-1m": 1_103_256,
}
"""All parameters of every size; declared, since a plugin's hooks read no file."""

BERT = "nano-bert"
BERT_WEIGHTS = Path(__file__).parent / "bert"
BERT_RECIPE = Path(__file__).parent / "bert.toml"
BERT_SIZES = {
    "nano-bert-8k": 16_962,
    "nano-bert-16k": 30_178,
    "nano-bert-28k": 46_722,
    "nano-bert-62k": 89_794,
    "nano-bert-200k": 242_506,
}


def _build(settings: ModelSettings, *, name: str) -> Model:
    try:
        from harness_hf import build
    except ImportError as error:
        raise UsageError(
            f"Model '{name}' needs the plugin hf, which cannot be imported: {error}.\n"
            "Install it: pip install 'harness[hf]'"
        ) from error
    return build(replace(settings, argument=str(WEIGHTS / name)), name=name, family=FAMILY)


def _encoder(settings: ModelSettings, *, name: str) -> Model:
    from harness_nano.encoder import Encoder

    return Encoder(BERT_WEIGHTS / name, name=name, family=BERT)


@hookimpl
def harness_models() -> Iterator[ModelSpec]:
    """Declare every size."""
    for name, size in BERT_SIZES.items():
        yield ModelSpec(
            name=name,
            build=partial(_encoder, name=name),
            kinds=frozenset(),
            family=BERT,
            size=size,
            description="BERT trained on the world, to be fine-tuned, in the package",
        )
    for name, size in SIZES.items():
        yield ModelSpec(
            name=name,
            build=partial(_build, name=name),
            kinds=frozenset({"generate", "loglikelihood"}),
            family=FAMILY,
            size=size,
            description="Llama trained on the world, in the package",
            default=True,
        )
