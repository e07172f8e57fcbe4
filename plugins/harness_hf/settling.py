"""Find out, before the first request, how an encoder-decoder can be run.

Architectures differ in what they do with padding, caches and positions. So each way is tried on a
few random tokens against passes over the same tokens, each text by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from harness_hf.batching import LOG, reason_of
from harness_hf.network import inference
from harness_hf.probe import near

if TYPE_CHECKING:
    from harness_hf.seq2seq import EncoderDecoder

SOURCES = (9, 5, 7)
TEXTS = (6, 3, 4)

Texts = list[tuple[int, ...]]
Way = Callable[["EncoderDecoder", Texts, Texts], torch.Tensor]


def settle_reading(network: EncoderDecoder) -> None:
    """Set whether ``network`` reads texts alone, and picks positions before its output head."""
    sources, texts = _random_texts(network)
    with inference():
        expected = _one_by_one(network, sources, texts)
        network.alone = not _agrees(network, _side_by_side, sources, texts, expected)
        expected = _all_along(network, sources, texts)
        network.picks = True
        network.picks = _agrees(network, _all_along, sources, texts, expected)
    if network.alone:
        LOG.info("%s reads a text otherwise in company: one by one", _name(network))
    if not network.picks:
        LOG.info("%s has an output of its own: logits of all positions", _name(network))


def settle_writing(network: EncoderDecoder) -> None:
    """Set whether ``network`` keeps slots, and whether rows may join others in them."""
    sources, texts = _random_texts(network)
    short = [text[: min(TEXTS)] for text in texts]
    with inference():
        expected = _one_by_one(network, sources, short)
        network.keeps = _agrees(network, _together, sources, short, expected)
        if network.keeps:
            _settle_joining(network, sources, texts)
    if not network.keeps:
        LOG.info("%s takes no key-value slots: generation recomputes", _name(network))
    elif not network.admits:
        LOG.info("%s counts positions for all rows alike: none joins another", _name(network))


def _settle_joining(network: EncoderDecoder, sources: Texts, texts: Texts) -> None:
    expected = _one_by_one(network, sources, texts)
    try:
        network.learn_places()
    except Exception as error:
        LOG.info("%s does not show its positions: %s", _name(network), reason_of(error))
    network.admits = True
    network.admits = _agrees(network, _joining, sources, texts, expected)


def _random_texts(network: EncoderDecoder) -> tuple[Texts, Texts]:
    """Texts for the encoder, and for the decoder."""
    draw = torch.Generator().manual_seed(0)
    size = network.model.get_input_embeddings().weight.shape[0]
    sources, texts = (
        [tuple(torch.randint(size, (n,), generator=draw).tolist()) for n in lengths]
        for lengths in (SOURCES, TEXTS)
    )
    return sources, texts


def _agrees(
    network: EncoderDecoder, way: Way, sources: Texts, texts: Texts, expected: torch.Tensor
) -> bool:
    """Whether ``way`` ends each text with the ``expected`` logits."""
    try:
        found = way(network, sources, texts)
    except Exception as error:  # what an architecture does not know fails in any manner
        LOG.debug("%s: %s", _name(network), reason_of(error))
        return False
    written = expected.isfinite()
    if found.shape != expected.shape or not bool(written.any()):  # broken weights make no numbers
        return False
    return near(found[written], expected[written], network.model.dtype)


def _one_by_one(network: EncoderDecoder, sources: Texts, texts: Texts) -> torch.Tensor:
    """Each text read by itself, without slots."""
    pairs = zip(sources, texts, strict=True)
    return torch.cat([_side_by_side(network, [source], [text]) for source, text in pairs])


def _side_by_side(network: EncoderDecoder, sources: Texts, texts: Texts) -> torch.Tensor:
    """All texts at once, without slots."""
    return network.whole(network.encode(sources), texts).table()


def _all_along(network: EncoderDecoder, sources: Texts, texts: Texts) -> torch.Tensor:
    """The first text, at each of its tokens."""
    index = torch.arange(len(texts[0]), device=network.device)
    return network.read(network.encode(sources[:1]), texts[:1], index).table()


def _together(network: EncoderDecoder, sources: Texts, texts: Texts) -> torch.Tensor:
    """All but the last token of texts of one length, then the last one from slots."""
    _, slots = network.begin(network.encode(sources), [text[:-1] for text in texts])
    return network.step(_column(network, [text[-1] for text in texts]), slots).table()


def _joining(network: EncoderDecoder, sources: Texts, texts: Texts) -> torch.Tensor:
    """The first text is farther when the others come; it ends first, and leaves them."""
    first, second, third = texts
    _, slots = network.begin(network.encode(sources[:1]), [first[:-2]])
    network.step(_column(network, [first[-2]]), slots)
    _, others = network.begin(network.encode(sources[1:]), [second[:-2], third[:-2]])
    slots.append(others)
    logits = network.step(_column(network, [first[-1], second[-2], third[-2]]), slots).table()[:1]
    order = slots.drop([0])
    rest = network.step(_column(network, [texts[row][-1] for row in order]), slots).table()
    return torch.cat([logits, *(rest[order.index(row)][None] for row in (1, 2))])


def _column(network: EncoderDecoder, tokens: list[int]) -> torch.Tensor:
    return torch.tensor(tokens, device=network.device)[:, None]


def _name(network: EncoderDecoder) -> str:
    return type(network.model).__name__
