"""Exact and near duplicates: the first of each kind is kept.

Near duplicates by MinHash (Broder 1997) with locality-sensitive banding, as for the training data
of large models (Lee et al. 2022, arXiv:2107.06499): the word 5-grams of two documents are
compared through 125 hash minima in 25 bands of 5; where a band agrees, the Jaccard index of the
5-grams themselves decides. A pair at 0.8 is found with a chance of 1 - (1 - 0.8**5)**25, which is
more than 0.9999.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness_train.pretrain.documents import Document

BANDS, ROWS, WORDS = 25, 5, 5
_PRIME = 4_294_967_311  # the first above 2**32, so that a * h + b stays below 2**64
_SEED = 20_220_322
_CHUNK = 4096  # 5-grams hashed at once, to bound memory


def without_exact(documents: Iterable[Document]) -> Iterator[Document]:
    """Documents whose prompt and text occurred before are left out."""
    seen: set[bytes] = set()
    for document in documents:
        whole = f"{document.prompt}\0{document.text}".encode()
        digest = hashlib.blake2b(whole, digest_size=16).digest()
        if digest not in seen:
            seen.add(digest)
            yield document


def without_near(documents: Iterable[Document], threshold: float) -> Iterator[Document]:
    """Documents with a Jaccard index of ``threshold`` or more to one kept before are left out."""
    factors = _factors()
    buckets: dict[tuple[int, bytes], list[int]] = {}
    kept: list[frozenset[int]] = []
    for document in documents:
        shingles = shingles_of(f"{document.prompt} {document.text}")
        bands = list(enumerate(_bands(minima(shingles, factors))))
        near = {number for band in bands for number in buckets.get(band, ())}
        if any(jaccard(shingles, kept[number]) >= threshold for number in near):
            continue
        for band in bands:
            buckets.setdefault(band, []).append(len(kept))
        kept.append(shingles)
        yield document


def shingles_of(text: str) -> frozenset[int]:
    """Hashes (32 bits) of the text's word 5-grams; of the whole text where it has fewer words.

    Where a text has hardly a blank, as in Chinese, its characters stand for words.
    """
    words = text.lower().split()
    if len(text) > 20 * max(1, len(words)):
        words = list("".join(words))
    last = max(1, len(words) - WORDS + 1)
    return frozenset(
        zlib.crc32(" ".join(words[start : start + WORDS]).encode()) for start in range(last)
    )


def jaccard(one: frozenset[int], other: frozenset[int]) -> float:
    """Size of the intersection over that of the union."""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


def minima(shingles: frozenset[int], factors: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The least value of every hash function over the shingles, (functions,)."""
    hashes = np.fromiter(shingles, np.uint64, len(shingles))
    least = np.full(len(factors), _PRIME, np.uint64)
    for start in range(0, len(hashes), _CHUNK):
        part = hashes[start : start + _CHUNK]
        values = (factors[:, :1] * part + factors[:, 1:]) % np.uint64(_PRIME)
        np.minimum(least, values.min(axis=1), out=least)
    return least


def _factors() -> NDArray[np.uint64]:
    """Factor and summand of every hash function, (functions, 2)."""
    generator = np.random.default_rng(_SEED)
    return generator.integers(1, 2**32, (BANDS * ROWS, 2), dtype=np.uint64)


def _bands(signature: NDArray[Any]) -> Iterator[bytes]:
    for band in signature.reshape(BANDS, ROWS):
        yield band.tobytes()
