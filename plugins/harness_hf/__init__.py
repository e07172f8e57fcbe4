"""Hugging Face checkpoints as models: ``hf:``, ``hf-tagger:``, ``hf-classifier:`` and a path or id.

The modules, in the order in which they build on each other:

``options``     what the command line says, checked
``prefix``      keys and values that were learnt to stand before every text
``checkpoint``  the files of a checkpoint: what they are, whether they are whole
``counts``      parameter counts, from headers alone
``work``        what a checkpoint can be asked for
``tokens``      text to token ids and back, boundaries, windows, stop strings
``tokenclass``  what the tokenizer classes of transformers set up
``tokenfile``   tokenizers read without transformers
``chat``        prompts in chat templates
``memory``      whether weights fit, before they are loaded
``devices``     device and dtype
``described``   what a checkpoint says of itself, without its weights
``quiet``       transformers without its chatter
``loading``     weights and tokenizer
``hubsize``     whether a model of the hub can fit, before it is fetched
``resolve``     from a path or hub id to a folder
``prompts``     requests as token ids, exactly as they are read
``logits``      logits of chosen positions, and what is read off them
``slots``       keys and values of rows that come and go
``network``     the three calls that scoring and generation need of a causal model
``modules``     these by transformers' own modules
``prefixed``    attention with learnt keys and values before those of the text
``products``    products with matrices, laid out for the CPU
``parts``       the usual parts of a decoder
``building``    how known decoders are put together from weights by name
``taken``       these weights, taken out of those modules
``planning``    what a configuration says, value by value
``learnt``      what those of GPT-2 and OPT say
``plans``       what the configurations of known decoders say
``straight``    their weights, read from files without transformers
``attention``   attention in blocks, beside a header, by products
``lean``        the three calls with less overhead, for these
``probe``       which of the two a model can be run by, found out before use
``batching``    which rows are computed together
``budget``      how much is computed at once
``sharing``     which texts begin alike
``packing``     texts that begin alike laid out as rows
``scoring``     log-likelihoods
``drawing``     tokens drawn by their probabilities, the same ones in any batch
``rows``        texts that are being written
``readers``     what generation needs of a model
``generation``  continuation, token by token
``answers``     from requests to jobs, from what was found to responses
``engine``      the answers of a decoder
``sources``     slots of rows that look at a text of an encoder
``seq2seq``     forward passes of an encoder-decoder
``settling``    how it can be run, found out before use
``translator``  the answers of an encoder-decoder model
``labels``      the labels of a classification head and a task's
``heads``       forward passes of such heads
``tagger``      a tag for each word
``classifier``  how probable each label of a text is
``unheeded``    settings of generation that answers do without
``threads``     how many threads a model is worth, how they wait; when Python looks for garbage
``spending``    what loading took, the device's memory, energy
``model``       the adapter that puts them behind :class:`harness.types.Model`

Nothing here imports torch or transformers before a model's weights are needed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from harness import hookimpl
from harness.types import ModelSpec
from harness_hf.options import OPTIONS_OF, read_options
from harness_hf.threads import wait_briefly
from harness_hf.work import WORKS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.types import Model, ModelSettings

__all__ = ["build", "harness_models"]


def build(settings: ModelSettings, *, name: str | None = None, family: str | None = None) -> Model:
    """Return the model of the checkpoint that ``settings.argument`` names.

    ``name`` and ``family`` are what the model is called in results; by default the last component
    of the path and the same without its size. Other plugins may call this for checkpoints they
    bring along. Raises :class:`harness.errors.UsageError` for an option that cannot be.
    """
    return _build("hf", settings, name=name, family=family)


def _build(
    scheme: str, settings: ModelSettings, *, name: str | None = None, family: str | None = None
) -> Model:
    from harness_hf.model import HFModel

    wait_briefly()
    return HFModel(read_options(scheme, settings, name=name, family=family))


DESCRIPTIONS = {
    "hf": "A language model in Hugging Face format, causal or encoder-decoder.",
    "hf-tagger": "A token-classification checkpoint, for tasks that ask for tags.",
    "hf-classifier": "A text-classification checkpoint, for tasks with a set of labels.",
}


@hookimpl
def harness_models() -> Iterator[ModelSpec]:
    """Yield the schemes ``hf:``, ``hf-tagger:`` and ``hf-classifier:``."""
    for scheme, description in DESCRIPTIONS.items():
        yield ModelSpec(
            name=scheme,
            build=partial(_build, scheme),
            kinds=WORKS[scheme].kinds,
            argument="PATH-OR-HUB-ID",
            options=OPTIONS_OF[scheme],
            description=description,
        )
