"""The family ``nano``: eight small language models that come with the program.

They are Llamas of a thousand to a million parameters outside the embedding, trained from scratch
by ``python -m harness_nano.recipe`` on the invented world of the ``world-`` tasks, so that a
scaling table can be made at once, on a laptop, without a download.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness import hookimpl
from harness.errors import UsageError
from harness.types import ModelSettings, ModelSpec
from harness_nano.shapes import SHAPES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.types import Model

FAMILY = "nano"
WEIGHTS = Path(__file__).parent / "weights"


def _build(settings: ModelSettings, *, name: str) -> Model:
    try:
        from harness_hf import build
    except ImportError as error:
        raise UsageError(
            f"Model '{name}' needs the plugin hf, which cannot be imported: {error}.\n"
            "Install it: pip install 'harness[hf]'"
        ) from error
    return build(replace(settings, argument=str(WEIGHTS / name)), name=name, family=FAMILY)


@hookimpl
def harness_models() -> Iterator[ModelSpec]:
    """Declare every size."""
    for name, shape in SHAPES.items():
        yield ModelSpec(
            name=name,
            build=partial(_build, name=name),
            kinds=frozenset({"generate", "loglikelihood"}),
            family=FAMILY,
            size=shape.total,
            description=f"Llama, {shape.width} wide, {shape.layers} layers, in the package",
            default=True,
        )
