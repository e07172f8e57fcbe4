"""Models behind an OpenAI-compatible server: ``openai:MODEL[@BASE_URL][,option=value...]``.

The modules, in the order in which they build on each other:

``address``     model name and base URL, cut and checked
``options``     what the command line says, checked
``secret``      the key: read from the environment, kept out of every text
``faults``      what can go wrong with one attempt, sorted by what helps
``bodies``      requests as JSON bodies
``replies``     JSON replies, read strictly
``alignment``   which tokens of an echoed prompt belong to the continuation
``likelihood``  log-probabilities from an echoed prompt
``pace``        how many requests may be under way
``account``     what answers cost, and the bound on it
``server``      one attempt, through the official SDK
``talk``        retries, pace and account around the attempts
``bridge``      an asynchronous stream consumed from synchronous code
``model``       the adapter that puts them behind :class:`harness.types.Model`

The SDK (extra ``openai``) is imported at the first request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import hookimpl
from harness.types import ModelSpec
from harness_openai.options import OPTIONS, read_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.types import Model, ModelSettings

__all__ = ["build", "harness_models"]


def build(settings: ModelSettings) -> Model:
    """Return the model that ``settings.argument`` names; nothing is sent yet.

    Raises :class:`harness.errors.UsageError` for an address or an option that cannot be.
    """
    from harness_openai.model import OpenAIModel

    return OpenAIModel(read_options(settings))


@hookimpl
def harness_models() -> Iterator[ModelSpec]:
    """Yield the scheme ``openai:``."""
    yield ModelSpec(
        name="openai",
        build=build,
        kinds=frozenset({"generate", "loglikelihood"}),
        argument="MODEL[@BASE_URL]",
        options=OPTIONS,
        description="A model behind an OpenAI-compatible server.",
    )
