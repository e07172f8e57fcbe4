"""Which rows a step learns from: a function of the seed and the step alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from harness_train.pretrain.batches import Batch, Masking, causal_batch, masked_batch
from harness_train.pretrain.rows import Rows

_ORDER, _MASKS = 1, 2  # streams of random numbers that must not be the same


@dataclass(frozen=True, kw_only=True)
class Feed:
    """Batches by number. ``masking`` is None for causal rows; ``whole`` as in packing."""

    rows: Rows
    batch_rows: int
    seed: int
    shuffle: bool
    whole: bool
    masking: Masking | None

    def batch(self, step: int) -> Batch:
        """The batch of a step; after the last row comes the first, in another order."""
        return self.part(self._which(step * self.batch_rows, (step + 1) * self.batch_rows), step)

    def part(self, which: NDArray[np.intp], step: int) -> Batch:
        """Some rows as a batch; masks are drawn for the step."""
        if self.masking is None:
            return causal_batch(self.rows, which, whole=self.whole)
        generator = np.random.default_rng((self.seed, _MASKS, step))
        return masked_batch(self.rows, which, self.masking, generator)

    def tokens(self, steps: int) -> int:
        """Tokens learnt from in so many steps: repeats count, padding does not."""
        count = steps * self.batch_rows
        passes, rest = divmod(count, len(self.rows))
        part = self._which(passes * len(self.rows), count) if rest else np.empty(0, np.intp)
        return passes * self.rows.used + int((self.rows.documents[part] > 0).sum())

    def _which(self, begin: int, end: int) -> NDArray[np.intp]:
        size = len(self.rows)
        found = []
        while begin < end:
            passes, place = divmod(begin, size)
            stop = min(size, place + end - begin)
            if self.shuffle:
                found.append(_order(self.seed, passes, size)[place:stop])
            else:
                found.append(np.arange(place, stop))
            begin += stop - place
        return np.concatenate(found)


@lru_cache(maxsize=4)
def _order(seed: int, passes: int, size: int) -> NDArray[np.intp]:
    return np.random.default_rng((seed, _ORDER, passes)).permutation(size)
